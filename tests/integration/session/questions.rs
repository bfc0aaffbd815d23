//! Requests of a server to its client, and cancellation by either side.

use serde_json::{Value, json};

use super::{Session, quiet};
use crate::harness::{DEADLINE, Message, eventually, initialize_params};

#[test]
fn a_server_asks_the_client_during_a_call() {
    let session = Session::legacy(&json!({}), &[]);
    let peer = &session.peer;
    for (method, answer) in [
        (
            "sampling/createMessage",
            json!({"role": "assistant", "content": {"type": "text", "text": "a"}, "model": "m"}),
        ),
        (
            "elicitation/create",
            json!({"action": "accept", "content": {"a": 1}}),
        ),
        ("roots/list", json!({"roots": []})),
    ] {
        let call = peer.request(
            "tools/call",
            &json!({"name": "ask", "arguments": {"method": method, "params": {"a": 1}}}),
        );
        let asked = peer.expect_request(method);
        assert_eq!(asked.params(), json!({"a": 1}));
        peer.respond(&asked, &answer);
        let result = peer.await_response(call).result();
        assert_eq!(result["structuredContent"]["answer"]["result"], answer);
    }
}

#[test]
fn two_servers_questions_at_once_are_told_apart() {
    let session = Session::legacy(&json!({"mark": "v1"}), &[]);
    let peer = &session.peer;
    let ask = json!({"name": "ask", "arguments": {"method": "roots/list"}});
    let old = peer.request("tools/call", &ask);
    let first = peer.expect_request("roots/list");
    session.reload(&json!({"mark": "v2"}));
    // The new generation counts its questions from the beginning, too.
    let new = peer.request("tools/call", &ask);
    let second = peer.expect_request("roots/list");
    assert_ne!(first.id(), second.id());
    peer.respond(&second, &json!({"roots": ["new"]}));
    peer.respond(&first, &json!({"roots": ["old"]}));
    for (call, root) in [(old, "old"), (new, "new")] {
        let result = peer.await_response(call).result();
        assert_eq!(
            result["structuredContent"]["answer"]["result"]["roots"][0],
            root
        );
    }
}

/// A client that was asked something before it got the answer to its `initialize`.
fn asked_early() -> Session {
    let question = r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#;
    let session = Session::start(&json!({"stray": [question]}), &[]);
    session
        .peer
        .ask("initialize", &initialize_params())
        .result();
    let asked = |message: &Message| message.method() == Some("roots/list");
    assert_eq!(session.peer.count(asked), 0);
    session
}

#[test]
fn a_server_waits_for_the_client_to_be_ready() {
    let session = asked_early();
    session.peer.ask("ping", &json!({})).result();
    session
        .peer
        .send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    session.peer.expect_request("roots/list");
}

#[test]
fn a_client_that_goes_on_without_saying_so_is_ready() {
    let session = asked_early();
    session.peer.request("tools/list", &json!({}));
    session.peer.expect_request("roots/list");
}

#[test]
fn a_client_cancels_a_call() {
    let session = Session::legacy(&json!({}), &[]);
    let peer = &session.peer;
    quiet(&session);
    peer.send(r#"{"jsonrpc":"2.0","id":"\u0061","method":"tools/call","params":{"name":"slow","arguments":{"ms":60000}}}"#);
    peer.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0061","reason":"\/","vendor":1}}"#);
    eventually(DEADLINE, || !session.state()["notifications"][1].is_null());
    let params = &session.state()["notifications"][1]["params"];
    assert_eq!(params["reason"], "/");
    assert_eq!(params["vendor"], 1);
    assert!(params["requestId"].is_u64());
    assert_eq!(peer.responses_to(r#""\u0061""#), 0);
    // Not waited for either: the end is at once.
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

#[test]
fn a_late_answer_to_a_cancelled_call_is_the_clients_to_ignore() {
    let session = Session::legacy(&json!({"record": true}), &[]);
    let peer = &session.peer;
    // Once the server runs: a waiting call is not sent when it is cancelled.
    peer.ask("vendor/heard", &json!({})).result();
    peer.send(r#"{"jsonrpc":"2.0","id":"a","method":"vendor/x"}"#);
    peer.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#);
    let heard = || peer.ask("vendor/heard", &json!({})).result();
    let mut lines = Vec::new();
    eventually(DEADLINE, || {
        lines.extend(
            heard()
                .as_array()
                .unwrap()
                .iter()
                .map(|line| line.as_str().unwrap().to_owned()),
        );
        lines.iter().any(|line| line.contains("cancelled"))
    });
    let sent = lines.iter().find(|line| line.contains("vendor/x")).unwrap();
    let id = serde_json::from_str::<Value>(sent).unwrap()["id"].take();
    let late =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":0,"message":"cancelled"}}}}"#);
    peer.request("vendor/say", &json!({"lines": [late]}));
    assert_eq!(
        peer.await_response(r#""a""#).error()["message"],
        "cancelled"
    );
}

#[test]
fn a_client_cancels_a_call_that_waits_for_a_start() {
    let session = Session::legacy(&json!({"mark": "v1"}), &[]);
    let peer = &session.peer;
    session.save(&json!({"mark": "v2", "start_delay_ms": 1500}));
    peer.expect_stderr("changed");
    let held = peer.request("tools/call", &json!({"name": "mark"}));
    peer.notify("notifications/cancelled", &json!({"requestId": held}));
    let other = peer.call("mark", &json!({}));
    assert_eq!(other.result()["structuredContent"]["mark"], "v2");
    assert_eq!(peer.responses_to(held), 0);
    assert_eq!(
        session.state()["notifications"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_server_cancels_its_question() {
    let session = Session::legacy(&json!({"record": true}), &[]);
    let peer = &session.peer;
    peer.request("vendor/say", &json!({"lines": [
        r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q","reason":"\/"}}"#,
    ]}));
    let asked = peer.expect_request("roots/list");
    let cancelled = peer.expect_notification("notifications/cancelled");
    assert_eq!(
        cancelled.params_text(),
        format!(r#"{{"requestId":{},"reason":"\/"}}"#, asked.id().unwrap())
    );
    assert_eq!(peer.notifications("notifications/cancelled"), 1);
}

#[test]
fn a_question_of_a_server_that_is_gone_is_cancelled() {
    let session = Session::legacy(&json!({}), &[]);
    let peer = &session.peer;
    let ask = peer.request(
        "tools/call",
        &json!({"name": "ask", "arguments": {"method": "roots/list"}}),
    );
    let asked = peer.expect_request("roots/list");
    let crash = peer.request(
        "tools/call",
        &json!({"name": "crash", "arguments": {"code": 3}}),
    );
    let cancelled = peer.expect_notification("notifications/cancelled");
    assert_eq!(
        cancelled.params()["requestId"].to_string(),
        asked.id().unwrap()
    );
    for call in [ask, crash] {
        assert_eq!(peer.await_response(call).result()["isError"], true);
    }
    // Its late answer is nobody's.
    peer.respond(&asked, &json!({"roots": []}));
    quiet(&session);
    assert!(session.state()["notifications"].as_array().unwrap().len() == 1);
}
