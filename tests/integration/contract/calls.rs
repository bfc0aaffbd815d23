//! Calls on their way to a server and back: none lost, mixed up, shortened or waited for in vain.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::client::Client;
use super::stage::{Stage, tool};
use super::{CALL, LOAD, LOADED};
use crate::harness::{DEADLINE, Message, eventually};

/// Begins a call of a tool that answers when it is told; gives its id and the server's question.
#[track_caller]
fn begin_question(client: &Client, server: &str) -> (u64, Message) {
    let id = client.begin(&format!("{server}__ask"), &json!({"method": "roots/list"}));
    (id, client.peer.expect_request("roots/list"))
}

/// Lets the server answer the call whose question this is; `mark` comes back in its answer.
#[track_caller]
fn answer(client: &Client, (id, question): (u64, Message), mark: &str) {
    client.peer.respond(&question, &json!({ "mark": mark }));
    let result = client.peer.await_response(id).result();
    let said = &result["structuredContent"]["answer"]["result"]["mark"];
    assert_eq!(said, mark, "{}", client.peer.transcript());
    assert_eq!(client.peer.responses_to(id), 1);
}

#[track_caller]
fn load(client: &Client, server: &str) -> Value {
    client.success(LOAD, &json!({"server_name": server}))
}

/// The answer of a call that was given up came as the answer of the next one, since ids were not compared;
/// from then on every call got the answer of the one before.
#[test]
fn a_late_answer_goes_to_its_own_call() {
    let stage = Stage::new([("a", json!({}))]);
    let client = stage.serve();
    load(&client, "a");
    let first = begin_question(&client, "a");
    let second = begin_question(&client, "a");
    for at in 0..3 {
        let echoed = client.call("a__bench", &json!({ "at": at })).result();
        assert_eq!(echoed["structuredContent"], json!({ "at": at }));
    }
    // A cancelled call gets no response, whenever the server handles it.
    let given_up = begin_question(&client, "a");
    let reason = json!({"requestId": given_up.0, "reason": "enough"});
    client.peer.notify("notifications/cancelled", &reason);
    eventually(DEADLINE, || {
        let heard = client.call("a__state", &json!({})).line;
        heard.contains("notifications/cancelled")
    });
    client
        .peer
        .respond(&given_up.1, &json!({"mark": "given up"}));
    answer(&client, second, "second");
    answer(&client, first, "first");
    let echoed = client.call("a__bench", &json!({"at": "the end"})).result();
    assert_eq!(echoed["structuredContent"], json!({"at": "the end"}));
    assert_eq!(client.peer.responses_to(given_up.0), 0);
}

/// Five seconds were all that a call had.
#[test]
fn a_call_may_take_longer_than_five_seconds() {
    let stage = Stage::new([("a", json!({"mark": "slowly"})), ("b", json!({}))]);
    let client = stage.serve();
    load(&client, "a");
    let by_name = json!({"server_name": "a", "tool_name": "slow", "parameters": {"ms": 5300}});
    let slow = [
        client.begin("a__slow", &json!({"ms": 5200})),
        client.begin(CALL, &by_name),
    ];
    // Neither this server nor another is busy meanwhile.
    load(&client, "b");
    for name in ["a__bench", "b__bench"] {
        client.call(name, &json!({})).result();
    }
    for id in slow {
        assert_eq!(client.peer.responses_to(id), 0);
        assert_eq!(client.peer.await_response(id).tool_text(), "slowly");
    }
}

/// All calls to all servers went one after the other, under one lock.
#[test]
fn any_number_of_calls_runs_in_parallel() {
    let stage = Stage::new([("a", json!({})), ("b", json!({}))]);
    let client = stage.serve();
    load(&client, "a");
    load(&client, "b");
    let mut open: Vec<_> = (0..64)
        .map(|at| begin_question(&client, ["a", "b"][at % 2]))
        .collect();
    let mut at = 0;
    // The last comes first, then the first: in no order that anybody could have kept.
    while let Some(question) = open.pop() {
        answer(&client, question, &at.to_string());
        open.reverse();
        at += 1;
    }
    assert_eq!(at, 64);
}

/// Any notification of the server was taken for the answer, during the handshake as well, and the answer
/// itself for that of the next call.
#[test]
fn notifications_in_between_are_no_answers() {
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let logged = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"up"}}"#;
    let chatty = tool(
        "chatty",
        &json!({"x-log": "on it", "x-progress": 3, "x-reply": "done"}),
    );
    let stage = Stage::new([(
        "a",
        json!({"stray": [logged, changed, logged], "tools": [chatty]}),
    )]);
    let client = stage.serve();
    assert_eq!(load(&client, "a")["tool_count"], 13);
    let mark = client.peer.mark();
    let answer = client.call_raw("a__chatty", "{}");
    assert_eq!(answer.tool_text(), "done");
    let lines = client.peer.lines_since(mark);
    let methods: Vec<_> = lines.iter().filter_map(Message::method).collect();
    let progress = "notifications/progress";
    let expected = [progress, progress, progress, "notifications/message"];
    assert_eq!(methods, expected);
    for at in 0..3 {
        let log =
            json!({"method": "notifications/message", "params": {"level": "info", "data": at}});
        client.call("a__notify", &log);
        let echoed = client.call("a__bench", &json!({ "at": at })).result();
        assert_eq!(echoed["structuredContent"], json!({ "at": at }));
    }
}

/// The second of two lines that came in one piece was seen only when the next piece came: it looked as if
/// the server had not answered in time.
#[test]
fn answers_that_come_in_one_piece_are_all_seen() {
    let stage = Stage::new([("a", json!({"gather": true}))]);
    let client = stage.serve();
    load(&client, "a");
    let line = |at: usize| {
        let call = json!({"name": "a__bench", "arguments": {"at": at}});
        let request =
            json!({"jsonrpc": "2.0", "id": at + 1000, "method": "tools/call", "params": call});
        format!("{request}\n")
    };
    let lines: String = (0..200).map(line).collect();
    client.peer.send_bytes(lines.as_bytes());
    for at in 0..200 {
        let result = client.peer.await_response(at + 1000).result();
        assert_eq!(result["structuredContent"], json!({ "at": at }));
    }
}

/// A server that said nothing to `initialize` or `tools/list` made every tool of the proxy wait for ever.
#[test]
fn a_silent_server_makes_no_other_wait() {
    let stage = Stage::new([("a", json!({}))]);
    stage.define_shell("silent", "cat > /dev/null");
    let client = stage.serve();
    let loading = client.begin(LOAD, &json!({"server_name": "silent"}));
    // A call that arrives earlier waits for the load, and gets its error.
    eventually(DEADLINE, || {
        client.success(LOADED, &json!({}))["count"] == 1
    });
    let calling = client.begin(CALL, &json!({"server_name": "silent", "tool_name": "x"}));
    load(&client, "a");
    client.call("a__bench", &json!({})).result();
    let loaded = client.success(LOADED, &json!({}));
    assert_eq!(loaded["servers"][1]["status"], "starting");
    assert_eq!(loaded["servers"][0]["status"], "running");
    for id in [loading, calling] {
        assert_eq!(client.peer.responses_to(id), 0);
    }
    // The waiting caller gets an error when the server ends.
    client.success(super::UNLOAD, &json!({"server_name": "silent"}));
    let said = client.failed(&client.peer.await_response(loading));
    let error = "Server 'silent' cannot be loaded: it was unloaded before it was ready";
    assert_eq!(said["error"], error);
    let called = client.peer.await_response(calling);
    assert_eq!(called.result()["isError"], true);
    assert!(
        called.tool_text().contains("no longer loaded"),
        "{}",
        called.line
    );
}

#[test]
fn a_silent_server_is_given_up_in_the_end() {
    let stage = Stage::new([]);
    stage.define_shell("silent", "echo waiting for the tide >&2; cat > /dev/null");
    let toml = "[servers.silent]\nstart_timeout = '300ms'\n";
    stage.project.write("mcp-proxy.toml", toml);
    let client = stage.serve();
    let said = client.failure(LOAD, &json!({"server_name": "silent"}));
    let error = said["error"].as_str().unwrap();
    assert!(
        error.starts_with("Server 'silent' failed to start"),
        "{error}"
    );
    assert!(
        error.contains("within 0.3 s") && error.contains("tide"),
        "{error}"
    );
}

/// `isError` became a success; of an error only the message was left.
#[test]
fn errors_are_passed_on_whole() {
    let failed = r#"{"content":[{"type":"text","text":"boom"}],"isError":true,"_meta":{"x":1}}"#;
    let error = json!({"code": -32042, "message": "no such city", "data": {"city": ["Ur", 1]}});
    let stage = Stage::new([(
        "a",
        json!({"tools": [tool("fails", &json!({"x-raw": failed})), tool("refuses", &json!({"x-error": error}))]}),
    )]);
    let client = stage.serve();
    for _ in 0..2 {
        let answer = client.call(CALL, &json!({"server_name": "a", "tool_name": "fails"}));
        assert_eq!(answer.result_text(), failed);
        let answer = client.call(CALL, &json!({"server_name": "a", "tool_name": "refuses"}));
        assert_eq!(answer.error(), error);
        assert_eq!(client.call("a__fails", &json!({})).result_text(), failed);
        assert_eq!(client.call("a__refuses", &json!({})).error(), error);
    }
}

/// Of a result only the first text was left, and that was read as JSON: "42" became a number, and a
/// list, which is no object, could not be given back at all.
#[test]
fn results_are_passed_on_whole() {
    let rich = concat!(
        r#"{"content":[{"type":"text","text":"one"},{"type":"image","data":"aGk=","mimeType":"image/png"},"#,
        r#"{"type":"resource_link","uri":"file:///x","name":"x"}],"structuredContent":{"n":1E400,"s":"\ud83d"},"#,
        r#""_meta":{"a.b/c":[1, 2]},"vendor":  true}"#
    );
    let texts = ["42", "[1, 2]", "null", r#"{"success": false}"#, "\"x\""];
    let mut tools = vec![tool("rich", &json!({"x-raw": rich}))];
    for (at, text) in texts.iter().enumerate() {
        tools.push(tool(&format!("text{at}"), &json!({"x-reply": text})));
    }
    let stage = Stage::new([("a", json!({ "tools": tools }))]);
    let client = stage.serve();
    let answer = client.call(CALL, &json!({"server_name": "a", "tool_name": "rich"}));
    assert_eq!(answer.result_text(), rich);
    assert_eq!(client.call("a__rich", &json!({})).result_text(), rich);
    for (at, text) in texts.iter().enumerate() {
        let tool = format!("text{at}");
        let by_name = client.call(CALL, &json!({"server_name": "a", "tool_name": tool}));
        let plain = json!({"content": [{"type": "text", "text": text}]});
        assert_eq!(by_name.result(), plain);
        assert_eq!(
            client.call(&format!("a__{tool}"), &json!({})).result(),
            plain
        );
    }
}

/// Lines of the proxy itself, and lines that servers printed by mistake, once appeared among the messages.
#[test]
fn nothing_but_messages_is_written_to_the_client() {
    let stage = Stage::new([
        (
            "a",
            json!({"stray": ["Server starting!", "", "{\"half\":", "[1]", "42"]}),
        ),
        (
            "b",
            json!({"exit_at_start": {"code": 1, "stderr": "broken"}}),
        ),
    ]);
    let client = stage.serve();
    load(&client, "a");
    client.failure(LOAD, &json!({"server_name": "b"}));
    client.call("a__crash", &json!({"code": 1}));
    load(&client, "a");
    client.call(CALL, &json!({"server_name": "a", "tool_name": "mark"}));
    client.success(super::RELOAD, &json!({"server_name": "a"}));
    client.success(super::UNLOAD, &json!({"server_name": "a"}));
    client.peer.close_stdin();
    assert!(client.peer.wait_exit().success());
    let methods: HashSet<String> = client
        .peer
        .lines_since(0)
        .iter()
        .map(|line| {
            let value = line.value();
            assert_eq!(value["jsonrpc"], "2.0", "{}", line.line);
            value["method"].as_str().unwrap_or("a response").to_owned()
        })
        .collect();
    let expected = [
        "a response",
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    ];
    let expected = expected.map(ToOwned::to_owned);
    assert!(methods.is_subset(&HashSet::from(expected)), "{methods:?}");
}
