//! Messages over `--max-message`, on either side: each costs itself, and its sender or the requester gets an error.

use serde_json::json;

use super::{initialized, still_works};

#[test]
fn a_request_over_the_limit_gets_an_error_wherever_its_id_stands() {
    let (_project, peer) = initialized(&json!({}), &["--max-message", "20000"]);
    let large = "x".repeat(1_000_000);
    peer.send(&format!(
        r#"{{"jsonrpc":"2.0","id":901,"method":"vendor/x","params":{{"a":"{large}"}}}}"#
    ));
    peer.send(&format!(
        r#"{{"method":"vendor/x","params":{{"a":"{large}","id":1}},"jsonrpc":"2.0","id":"last"}}"#
    ));
    for id in ["901", r#""last""#] {
        let error = peer.await_response(id).error();
        assert_eq!(error["code"], -32600);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("20000") && message.contains("--max-message"),
            "{message}"
        );
    }
    still_works(&peer);
}

#[test]
fn an_answer_over_the_limit_becomes_an_error_wherever_its_id_stands() {
    let (_project, peer) = initialized(&json!({}), &["--max-message", "20000"]);
    let large = "x".repeat(15_000);
    let tool = json!({"name": "echo", "arguments": {"a": large}});
    // The server repeats its arguments twice.
    let answer = peer.ask("tools/call", &tool);
    assert!(
        answer.error()["message"]
            .as_str()
            .unwrap()
            .contains("--max-message")
    );
    still_works(&peer);
}

#[test]
fn a_clients_answer_over_the_limit_is_an_error_for_the_server() {
    let (_project, peer) = initialized(&json!({}), &["--max-message", "20000"]);
    let call = json!({"name": "ask", "arguments": {"method": "roots/list"}});
    let call = peer.request("tools/call", &call);
    let asked = peer.expect_request("roots/list");
    let large = "x".repeat(100_000);
    peer.send(&format!(
        r#"{{"result":{{"a":"{large}"}},"jsonrpc":"2.0","id":{}}}"#,
        asked.id().unwrap()
    ));
    let answer = peer.await_response(call).tool_text();
    assert!(answer.contains("--max-message"), "{answer}");
    still_works(&peer);
}
