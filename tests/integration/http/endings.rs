//! Clients that give up, and messages that are nearly right: each request gets a response, and no state is left.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Connection, Legacy, Modern, request};
use crate::harness::{DEADLINE, Project, Proxy, eventually, example, initialize_params};

fn slow(id: &Value) -> Value {
    let params = json!({"name": "slow", "arguments": {"ms": 60_000}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn cancelled(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

#[test]
fn a_cancellation_in_a_batch_is_one() {
    let stage = Stage::plain();
    let client = Legacy::begin_as(&stage.site, "2025-03-26");
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    let answer = client.post(&json!([slow(&json!(1)), cancelled(&json!(1)), ping]).to_string());
    assert!(
        answer.body.contains("cancelled the request"),
        "{}",
        answer.body
    );
    let mut earlier = client.open(&slow(&json!(2)).to_string());
    client.call("mark", &json!({}));
    client.post(&json!([ping, cancelled(&json!(2))]).to_string());
    assert!(earlier.answer().body.contains("cancelled the request"));
}

#[test]
fn a_client_that_does_not_wait_for_its_session_leaves_none() {
    let script = json!({"start_delay_ms": 1500});
    let stage = Stage::new(&script, &["--max-sessions", "1"]);
    let initialize = request(&json!(1), "initialize", &initialize_params());
    let kinds = [("Content-Type", "application/json"), ("Accept", "*/*")];
    let connection = Connection::to(stage.site.address);
    connection.request("POST", &kinds, &initialize);
    stage.site.log.until("spawned", 1);
    let refused = stage.site.post(&[], &initialize);
    assert_eq!((refused.status(), refused.last().id()), (503, Some("1")));
    drop(connection);
    assert_eq!(stage.site.log.until("session_ended", 1)[0]["session"], 1);
    assert_eq!(stage.site.post(&[], &initialize).status(), 200);
}

#[test]
fn a_request_without_a_reader_keeps_no_session() {
    let stage = Stage::new(&json!({}), &["--session-idle", "1s"]);
    let client = Legacy::begin(&stage.site);
    let mut call = client.open(&slow(&json!(1)).to_string());
    call.head();
    drop(call);
    stage.site.log.until("session_ended", 1);
    // Any message is a sign of life.
    let client = Legacy::begin(&stage.site);
    let begun = std::time::Instant::now();
    eventually(DEADLINE, || {
        let said = client.tell("notifications/roots/list_changed", &json!({}));
        assert_eq!(said.status(), 202);
        begun.elapsed().as_secs() >= 2
    });
}

#[test]
fn messages_that_are_nearly_right_are_refused() {
    let stage = Stage::plain();
    let client = Legacy::begin(&stage.site);
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
    ] {
        let answer = client.post(body);
        assert_eq!(
            (answer.status(), answer.error_code()),
            (400, -32600),
            "{body}"
        );
    }
    let broken = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"b\nc\"}}";
    let answer = client.post(broken);
    assert_eq!((answer.status(), answer.error_code()), (400, -32700));
    let ping = request(&json!(1), "ping", &json!({}));
    let own = ("Mcp-Session-Id", &*client.id);
    for revision in ["foo", "DRAFT-2026", "3", "2026-07", "2026/07/28"] {
        let odd = [own, ("MCP-Protocol-Version", revision)];
        assert_eq!(stage.site.post(&odd, &ping).status(), 400, "{revision}");
        let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let status = stage.site.post(&odd, &told.to_string()).status();
        assert_eq!(status, 400, "{revision}");
    }
}

#[test]
fn a_page_may_ask_before_it_shows_its_token() {
    let project = Project::new();
    project.write("token", "s3cret\n");
    project.set_mode("token", 0o600);
    let origin = ("Origin", "https://ide.example");
    let proxy = Proxy::dev([example("fake_server")])
        .options([
            "--no-watch",
            "--token-file",
            "token",
            "--allow-origin",
            origin.1,
        ])
        .within(&project);
    let site = crate::harness::http::Site::start(proxy);
    let asked = [origin, ("Access-Control-Request-Headers", "authorization")];
    let answer = site.ask("OPTIONS", &asked, "");
    assert_eq!(answer.status(), 204);
    let allowed = |answer: &crate::harness::http::Answer| {
        let header = answer.head.header("access-control-allow-origin");
        header.map(str::to_owned)
    };
    assert_eq!(allowed(&answer).as_deref(), Some(origin.1));
    let refused = site.post(&[origin], "{}");
    assert_eq!(refused.status(), 401);
    assert_eq!(allowed(&refused).as_deref(), Some(origin.1));
    let own = site.address.to_string();
    let twice = [
        ("Host", &*own),
        ("Host", &*own),
        ("Origin", "https://evil.example"),
    ];
    let refused = site.post(&twice, "{}");
    assert_eq!((refused.status(), allowed(&refused)), (400, None));
}

#[test]
fn the_end_is_told_and_nothing_begins_after_it() {
    let stage = Stage::plain();
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut listening = Modern::new(&json!("l"), "subscriptions/listen", filter).open(&stage.site);
    listening.head();
    listening.message();
    let client = Legacy::begin(&stage.site);
    let mut call = client.open(&slow(&json!("c")).to_string());
    call.head();
    let mut idle = Connection::to(stage.site.address);
    Modern::call(&json!(1), "mark", &json!({})).send(&idle);
    assert_eq!(idle.answer().status(), 200);
    stage.site.peer.signal(Signal::TERM);
    stage.site.log.until("ending", 1);
    // The connection is still there, or it is closed: no session begins on it in either case.
    let kinds = [("Content-Type", "application/json"), ("Accept", "*/*")];
    let initialize = request(&json!(1), "initialize", &initialize_params());
    idle.request("POST", &kinds, &initialize);
    assert!(idle.try_head().is_none_or(|head| head.status == 503));
    let last = listening.message();
    assert_eq!(last.id(), Some("\"l\""));
    assert_eq!(last.result()["resultType"], "complete");
    let answer = call.message();
    assert_eq!(answer.id(), Some("\"c\""));
    assert_eq!(answer.result()["isError"], true);
    assert!(stage.site.peer.wait_exit().code().is_some());
}

#[test]
fn log_messages_reach_only_whose_they_are() {
    let tools = json!([
        {"name": "quiet", "x-delay-ms": 1500, "x-reply": "done"},
        {"name": "chatty", "x-log": "secret", "x-delay-ms": 100, "x-reply": "done"},
    ]);
    let stage = Stage::new(&json!({"tools": tools}), &["--era", "legacy"]);
    let call = |tool: &str, level: &str| {
        let meta = json!({"io.modelcontextprotocol/logLevel": level});
        let params = json!({"name": tool, "arguments": {}, "_meta": meta});
        Modern::new(&json!(1), "tools/call", params)
    };
    let mut quiet = call("quiet", "debug").open(&stage.site);
    Modern::call(&json!(2), "mark", &json!({})).ask(&stage.site);
    call("chatty", "debug").ask(&stage.site);
    assert!(!quiet.answer().body.contains("secret"));
    // Alone it is certain whose they are; then only the level counts.
    let heard = |level: &str| {
        call("chatty", level)
            .ask(&stage.site)
            .body
            .contains("secret")
    };
    assert!(heard("debug"));
    assert!(!heard("emergency"));
}

/// A site whose server is built by this in `server`, and three sessions there.
#[track_caller]
fn built_for_three(project: &Project, build: &str) -> (crate::harness::http::Site, Vec<Legacy>) {
    project.write("log", "");
    project.write("server/script.json", "{\"mark\": \"v0\"}");
    let proxy = Proxy::dev([example("fake_server"), "script.json".into()])
        .options(["--cwd", "server", "--watch", "*", "--build", build])
        .within(project);
    let site = crate::harness::http::Site::start(proxy);
    let clients = (0..3).map(|_| Legacy::begin(&site)).collect();
    (site, clients)
}

#[track_caller]
fn all_answer(clients: &[Legacy], mark: &str) {
    for client in clients {
        let answer = || client.call("mark", &json!({})).result();
        eventually(DEADLINE, || answer()["structuredContent"]["mark"] == mark);
    }
}

#[test]
fn builds_of_the_same_server_take_turns() {
    let project = Project::new();
    let build = "echo start >> ../log; sleep 0.2; echo end >> ../log";
    let (_site, clients) = built_for_three(&project, build);
    project.save("server/script.json", "{\"mark\": \"new\"}");
    all_answer(&clients, "new");
    let log = project.read("log");
    assert!(!log.contains("start\nstart"), "{log}");
    assert!(log.lines().count() >= 8, "{log}");
}

#[test]
fn a_build_for_several_sessions_that_stamps_a_source_comes_to_rest() {
    let project = Project::new();
    let build = "echo run >> ../log; date +%s%N > stamp";
    let (_site, clients) = built_for_three(&project, build);
    all_answer(&clients, "v0");
    let builds = || project.read("log").lines().count();
    assert!(builds() <= 18, "{}", builds());
    // A machine that reports changes late takes longer to show that all of them are the build's.
    let mut costs = vec![];
    while !costs.ends_with(&[3, 3]) {
        assert!(costs.len() < 6, "{costs:?}");
        let (before, mark) = (builds(), format!("v{}", costs.len() + 1));
        project.save("server/script.json", &format!("{{\"mark\": \"{mark}\"}}"));
        all_answer(&clients, &mark);
        costs.push(builds() - before);
    }
}
