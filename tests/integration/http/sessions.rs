//! The legacy era: a session for each client, with servers of its own.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Event, Legacy, request};
use crate::harness::{DEADLINE, eventually, initialize_params, processes_with_tag};

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// The pid of the server that answers.
fn pid(client: &Legacy) -> u64 {
    let answer = client.call("mark", &json!({}));
    answer.result()["structuredContent"]["pid"]
        .as_u64()
        .unwrap()
}

fn lives(stage: &Stage, pid: u64) -> bool {
    let all = processes_with_tag(stage.site.peer.tag());
    all.iter().any(|(it, _)| u64::from(*it) == pid)
}

#[test]
fn every_session_has_servers_of_its_own_until_it_ends() {
    let stage = Stage::plain();
    let clients: Vec<_> = (0..3).map(|_| Legacy::begin(&stage.site)).collect();
    let ids: HashSet<_> = clients.iter().map(|client| &client.id).collect();
    assert_eq!(ids.len(), 3);
    for id in ids {
        assert!(
            id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "{id}"
        );
    }
    let pids: Vec<_> = clients.iter().map(pid).collect();
    assert_eq!(pids.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(clients[0].end().status(), 200);
    eventually(DEADLINE, || !lives(&stage, pids[0]));
    assert_eq!(
        clients[0]
            .post(&request(&json!(1), "ping", &json!({})))
            .status(),
        404
    );
    assert_eq!(clients[0].end().status(), 404);
    assert_eq!(pid(&clients[1]), pids[1]);
    // Each server was introduced to its own client.
    let state = clients[2].call("state", &json!({})).result();
    let info = &state["structuredContent"]["initialize"]["clientInfo"]["name"];
    assert_eq!(info, "raw-client");
}

#[test]
fn a_request_without_its_session_is_refused() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    let ping = request(&json!(7), "ping", &json!({}));
    let post = |headers: &[(&str, &str)]| stage.site.post(headers, &ping);
    let missing = post(&[]);
    assert_eq!((missing.status(), missing.last().id()), (400, Some("7")));
    assert_eq!(
        post(&[("Mcp-Session-Id", "0123456789abcdef")]).status(),
        404
    );
    assert_eq!(
        post(&[
            ("Mcp-Session-Id", &client.id),
            ("Mcp-Session-Id", &client.id)
        ])
        .status(),
        400
    );
    let own = ("Mcp-Session-Id", &*client.id);
    assert_eq!(post(&[own]).status(), 200);
    assert_eq!(
        post(&[own, ("MCP-Protocol-Version", "2025-06-18")]).status(),
        200
    );
    assert_eq!(
        post(&[own, ("MCP-Protocol-Version", "1999-01-01")]).status(),
        400
    );
    for (method, headers, status) in [
        ("GET", vec![("Accept", "text/event-stream")], 400),
        ("GET", vec![own, ("Accept", "application/json")], 406),
        ("DELETE", vec![], 400),
        ("PUT", vec![own], 405),
        ("GET", vec![("MCP-Protocol-Version", "2026-07-28")], 405),
        ("DELETE", vec![("MCP-Protocol-Version", "2026-07-28")], 405),
    ] {
        assert_eq!(
            stage.site.ask(method, &headers, "").status(),
            status,
            "{method} {headers:?}"
        );
    }
    assert_eq!(
        stage
            .site
            .ask("POST", &[own, ("Content-Type", "text/plain")], &ping)
            .status(),
        415
    );
    let html = [
        own,
        ("Content-Type", "application/json"),
        ("Accept", "text/html"),
    ];
    assert_eq!(stage.site.ask("POST", &html, &ping).status(), 406);
}

#[test]
fn a_save_is_told_on_one_stream_of_each_session() {
    let stage = Stage::plain();
    let (one, other) = (Legacy::begin(&stage.site), Legacy::begin(&stage.site));
    let (head, mut first) = one.stand(None);
    assert_eq!(head.status, 200);
    let (_, mut second) = one.stand(None);
    let (_, mut others) = other.stand(None);
    stage.save("new");
    assert_eq!(second.message().method(), Some(LIST_CHANGED));
    assert_eq!(others.message().method(), Some(LIST_CHANGED));
    for client in [&one, &other] {
        assert_eq!(
            client.call("mark", &json!({})).result()["structuredContent"]["mark"],
            "new"
        );
    }
    one.end();
    // Its streams end, and nothing else has come on them.
    let rest: Vec<Event> = std::iter::from_fn(|| first.event()).collect();
    assert!(rest.iter().all(|event| event.data.is_empty()), "{rest:?}");
    let rest: Vec<Event> = std::iter::from_fn(|| second.event()).collect();
    let again = rest.iter().any(|event| event.data.contains(LIST_CHANGED));
    assert!(!again, "{rest:?}");
}

#[test]
fn messages_before_the_response_come_on_the_same_stream() {
    let stage = Stage::new(
        &json!({"tools": [{"name": "chatty", "x-log": "on it", "x-progress": 2, "x-reply": "done"}]}),
        &[],
    );
    let client = Legacy::begin(&stage.site);
    let call = |id: u64, token: &Value| {
        let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": token}});
        client.post(&request(&json!(id), "tools/call", &params))
    };
    for token in [json!("a"), json!(5)] {
        let answer = call(1, &token);
        assert!(answer.is_stream());
        let messages = answer.messages();
        let progress: Vec<_> = messages
            .iter()
            .filter(|it| it.method() == Some("notifications/progress"))
            .map(|it| it.params()["progressToken"].clone())
            .collect();
        assert_eq!(progress, [token.clone(), token]);
        let logged = messages
            .iter()
            .any(|it| it.method() == Some("notifications/message"));
        assert!(logged, "{messages:?}");
        assert_eq!(answer.last().tool_text(), "done");
    }
}

#[test]
fn a_server_asks_on_the_stream_of_the_call() {
    for era in ["legacy", "modern"] {
        asks_on_the_stream_of_the_call(&Stage::new(&json!({"eras": [era]}), &[]));
    }
}

#[track_caller]
fn asks_on_the_stream_of_the_call(stage: &Stage) {
    let client = Legacy::begin(&stage.site);
    let ask = json!({"name": "ask", "arguments": {"method": "elicitation/create", "params": {"message": "?"}}});
    let mut call = client.open(&request(&json!("c"), "tools/call", &ask));
    call.head();
    let asked = call.message();
    assert_eq!(asked.method(), Some("elicitation/create"));
    let id: Value = serde_json::from_str(asked.id().unwrap()).unwrap();
    let answer =
        json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept", "content": {"x": 1}}});
    assert_eq!(client.post(&answer.to_string()).status(), 202);
    let answer = call.message();
    assert_eq!(answer.id(), Some("\"c\""));
    assert!(answer.result_text().contains("accept"), "{answer:?}");
    assert!(call.event().is_none(), "the stream ends with the answer");
}

#[test]
fn a_stream_that_broke_off_goes_on() {
    let stage = Stage::new(
        &json!({"tools": [{"name": "chatty", "x-progress": 3, "x-reply": "done"}]}),
        &[],
    );
    let client = Legacy::begin(&stage.site);
    let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut call = client.open(&request(&json!(1), "tools/call", &params));
    call.head();
    let primed = call.event().unwrap();
    assert_eq!(primed.data, "");
    let first = call.event().unwrap();
    drop(call);
    let replayed = |last: &Event| {
        let (head, mut stream) = client.stand(last.id.as_deref());
        assert_eq!(head.status, 200);
        std::iter::from_fn(move || stream.event()).collect::<Vec<_>>()
    };
    let rest = replayed(&first);
    let methods: Vec<_> = rest
        .iter()
        .map(|event| event.message().unwrap().method().map(str::to_owned))
        .collect();
    let progress = Some("notifications/progress".to_owned());
    assert_eq!(methods, [progress.clone(), progress, None]);
    assert_eq!(replayed(&primed).len(), 4);
    assert_eq!(replayed(&rest[2]).len(), 0);
    // Another session cannot read it, and no stream is made up.
    let other = Legacy::begin(&stage.site);
    for last in [first.id.as_deref().unwrap(), "99-1", "x", "1-x"] {
        assert_eq!(other.stand(Some(last)).0.status, 400, "{last}");
    }
}

#[test]
fn messages_missed_between_two_streams_come_later() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    let (_, stream) = client.stand(None);
    drop(stream);
    let notify =
        json!({"method": "notifications/message", "params": {"level": "info", "data": "stays"}});
    // The end of the stream is noticed by writing to it, or before.
    for mark in ["two", "three"] {
        stage.save(mark);
        eventually(DEADLINE, || {
            client.call("mark", &json!({})).result()["structuredContent"]["mark"] == mark
        });
    }
    client.call("notify", &notify);
    let (_, mut stream) = client.stand(None);
    assert_eq!(stream.message().method(), Some(LIST_CHANGED));
}

#[test]
fn only_newer_revisions_begin_streams_with_an_id() {
    let stage = Stage::new(
        &json!({"tools": [{"name": "chatty", "x-progress": 1}]}),
        &[],
    );
    for (revision, primed) in [
        ("2025-11-25", true),
        ("2025-06-18", false),
        ("2025-03-26", false),
    ] {
        let client = Legacy::begin_as(&stage.site, revision);
        let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": 1}});
        let mut call = client.open(&request(&json!(1), "tools/call", &params));
        call.head();
        assert_eq!(call.event().unwrap().data.is_empty(), primed, "{revision}");
        let quick = client.post(&request(&json!(2), "tools/list", &json!({})));
        assert_eq!(quick.is_stream(), primed, "{revision}");
    }
}

#[test]
fn a_client_that_names_an_ended_session_begins_a_new_one_with_initialize() {
    let stage = Stage::plain();
    let ended = Legacy::begin(&stage.site);
    ended.end();
    let initialize = request(&json!(0), "initialize", &initialize_params());
    let answer = stage
        .site
        .post(&[("Mcp-Session-Id", &ended.id)], &initialize);
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let id = answer.head.header("mcp-session-id").unwrap();
    assert_ne!(id, ended.id);
}

#[test]
fn a_revision_without_sessions_is_negotiated_down() {
    let stage = Stage::plain();
    for revision in ["2026-07-28", "2099-01-01", "draft"] {
        let mut params = initialize_params();
        params["protocolVersion"] = revision.into();
        let initialize = request(&json!(0), "initialize", &params);
        let answer = stage
            .site
            .post(&[("MCP-Protocol-Version", revision)], &initialize);
        assert_eq!(answer.status(), 200, "{revision}: {}", answer.body);
        let agreed = answer.last().result()["protocolVersion"].clone();
        assert_eq!(agreed, "2025-11-25", "{revision}");
        let id = answer.head.header("mcp-session-id").unwrap().to_owned();
        let headers = [
            ("Mcp-Session-Id", &*id),
            ("MCP-Protocol-Version", "2025-11-25"),
        ];
        let state = json!({"name": "state", "arguments": {}});
        let state = request(&json!(1), "tools/call", &state);
        let state = stage.site.post(&headers, &state).last().result();
        // A server that accepts any revision would otherwise agree on one that has no sessions.
        let requested = &state["structuredContent"]["initialize"]["protocolVersion"];
        assert_eq!(requested, "2025-11-25", "{revision}");
    }
}

#[test]
fn batches_are_of_one_revision() {
    let stage = Stage::plain();
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/vendor"},
        {"jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": {"name": "mark", "arguments": {}}},
    ])
    .to_string();
    let client = Legacy::begin_as(&stage.site, "2025-03-26");
    let answer = client.post(&batch);
    assert_eq!(answer.status(), 200);
    let answers: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    let mut ids: Vec<_> = answers.iter().map(|it| it["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [json!("two"), json!(1)]);
    assert_eq!(client.post("[]").status(), 400);
    let only = json!([{"jsonrpc": "2.0", "method": "notifications/vendor"}]);
    assert_eq!(client.post(&only.to_string()).status(), 202);
    for revision in ["2025-06-18", "2025-11-25"] {
        assert_eq!(
            Legacy::begin_as(&stage.site, revision)
                .post(&batch)
                .status(),
            400,
            "{revision}"
        );
    }
    assert_eq!(stage.site.post(&[], &batch).status(), 400);
}

#[test]
fn a_cancelled_request_is_answered_all_the_same() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    let slow = json!({"name": "slow", "arguments": {"ms": 60_000}});
    let mut call = client.open(&request(&json!("s"), "tools/call", &slow));
    // The stream begins before the answer, so the request has arrived.
    call.head();
    client.tell("notifications/cancelled", &json!({"requestId": "s"}));
    let answer = call.message();
    assert_eq!((answer.id(), answer.is_error()), (Some("\"s\""), true));
    assert!(call.event().is_none());
}

#[test]
fn an_id_in_flight_is_not_used_twice() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    let slow = json!({"name": "slow", "arguments": {"ms": 60_000}});
    let mut call = client.open(&request(&json!(9), "tools/call", &slow));
    call.head();
    assert_eq!(
        client
            .post(&request(&json!(9), "ping", &json!({})))
            .status(),
        400
    );
    client.end();
    assert!(
        call.message().is_error(),
        "the end of the session is its answer"
    );
    assert!(call.message_or_end().is_none());
}

#[test]
fn sessions_are_limited_and_idle_ones_end() {
    let stage = Stage::new(&json!({}), &["--max-sessions", "2", "--session-idle", "1s"]);
    let busy = Legacy::begin(&stage.site);
    let (_, _stream) = busy.stand(None);
    let idle = Legacy::begin(&stage.site);
    let (kept, dropped) = (pid(&busy), pid(&idle));
    let initialize = request(&json!(1), "initialize", &initialize_params());
    let refused = stage.site.post(&[], &initialize);
    assert_eq!(refused.status(), 503);
    assert!(
        refused.last().error_text().contains("--max-sessions"),
        "{}",
        refused.body
    );
    assert_eq!(pid(&busy), kept);
    stage.site.log.until("session_ended", 1);
    eventually(DEADLINE, || !lives(&stage, dropped));
    assert_eq!(
        idle.post(&request(&json!(1), "ping", &json!({}))).status(),
        404
    );
    assert_eq!(
        pid(&busy),
        kept,
        "a session with an open stream is not idle"
    );
    assert_ne!(pid(&Legacy::begin(&stage.site)), kept);
}

#[test]
fn nothing_is_left_when_the_proxy_ends() {
    let stage = Stage::plain();
    let clients: Vec<_> = (0..3).map(|_| Legacy::begin(&stage.site)).collect();
    let pids: Vec<_> = clients.iter().map(pid).collect();
    let (_, mut stream) = clients[0].stand(None);
    stage.site.peer.signal(rustix::process::Signal::TERM);
    assert!(stage.site.peer.wait_exit().code().is_some());
    while stream.event().is_some() {}
    eventually(DEADLINE, || pids.iter().all(|pid| !lives(&stage, *pid)));
}
