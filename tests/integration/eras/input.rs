//! A legacy client in front of a modern server that requests input by its results.

use serde_json::{Value, json};

use super::{Pair, TOOLS_CHANGED, tool};
use crate::harness::{DEADLINE, Message, Peer, eventually, initialize_params};

const CANCELLED: &str = "notifications/cancelled";

/// A modern server with the tool and the prompt `t`, which request input in these rounds: each has members of
/// `inputRequests` and a state.
fn asking(mark: &str, rounds: &[(String, &str)]) -> Value {
    let raw = |(requests, state): &(String, &str)| {
        format!(
            r#"{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":{state}}}"#
        )
    };
    let rounds: Vec<String> = rounds.iter().map(raw).collect();
    json!({
        "mark": mark,
        "eras": ["modern"],
        "tools": [tool("t", &json!({"x-rounds": rounds}))],
        "prompts": [{"name": "t", "x-rounds": rounds}],
    })
}

/// Some rounds, each with one request for the roots.
fn rounds(count: usize) -> Vec<(String, &'static str)> {
    const STATES: [&str; 9] = [
        "\"1\"", "\"2\"", "\"3\"", "\"4\"", "\"5\"", "\"6\"", "\"7\"", "\"8\"", "\"9\"",
    ];
    let round = |state| (r#""r":{"method":"roots/list"}"#.to_owned(), state);
    STATES.into_iter().take(count).map(round).collect()
}

#[track_caller]
fn started(script: &Value, options: &[&str]) -> Pair {
    let pair = Pair::start(script, options);
    pair.peer.initialize(&initialize_params()).result();
    pair
}

fn begin_call(peer: &Peer) -> u64 {
    peer.request("tools/call", &json!({"name": "t", "arguments": {}}))
}

#[track_caller]
fn answered(result: &Message) -> Value {
    result.result()["structuredContent"].take()
}

#[test]
fn the_client_gives_every_kind_of_input() {
    let form = r#"{"message":"é\ud83d","requestedSchema":{"type":"object","properties":{"n":{"maximum":1E5}}}}"#;
    let requests = format!(
        r#""a\/":{{"method":"elicitation/create","params":{form}}},"s\"":{{"method":"sampling/createMessage","params":{{"maxTokens":1.0}}}},"r":{{"method":"roots/list"}}"#
    );
    let pair = started(&asking("m", &[(requests, r#""\u00e9\"\/""#)]), &[]);
    let peer = &pair.peer;
    let call = begin_call(peer);
    // In any order, and all at once.
    let roots = peer.expect_request("roots/list");
    let sampling = peer.expect_request("sampling/createMessage");
    let elicitation = peer.expect_request("elicitation/create");
    assert_eq!(elicitation.params_text(), form);
    assert_eq!(sampling.params_text(), r#"{"maxTokens":1.0}"#);
    assert!(roots.value()["params"].is_null());
    let respond = |request: &Message, result: &str| {
        let id = request.id().unwrap();
        peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
        ));
    };
    respond(&elicitation, r#"{"action":"decline"}"#);
    respond(&sampling, r#"{"role":"assistant","n":1E5}"#);
    assert_eq!(peer.responses_to(call), 0);
    respond(&roots, r#"{"roots":[ ]}"#);
    let line = peer.await_response(call).line;
    let expected = r#""structuredContent":{"responses":{"a\/":{"action":"decline"},"s\"":{"role":"assistant","n":1E5},"r":{"roots":[ ]}},"state":"\u00e9\"\/"}"#;
    assert!(line.contains(expected), "{line}");
    assert!(!line.contains("resultType"), "{line}");
}

#[test]
fn a_prompt_requests_input_like_a_tool() {
    let pair = started(&asking("m", &rounds(2)), &[]);
    let peer = &pair.peer;
    let get = peer.request("prompts/get", &json!({"name": "t"}));
    for _ in 0..2 {
        let asked = peer.expect_request("roots/list");
        peer.respond(&asked, &json!({"roots": []}));
    }
    let result = peer.await_response(get).result();
    assert_eq!(result["messages"][0]["content"]["text"], "m");
}

#[test]
fn rounds_have_a_limit() {
    for count in [8, 9] {
        let pair = started(&asking("m", &rounds(count)), &[]);
        let peer = &pair.peer;
        let call = begin_call(peer);
        for round in 1..=8 {
            let asked = peer.expect_request("roots/list");
            peer.respond(&asked, &json!({"roots": [round]}));
        }
        let answer = peer.await_response(call);
        if count == 8 {
            let expected = json!({"responses": {"r": {"roots": [8]}}, "state": "8"});
            assert_eq!(answered(&answer), expected);
        } else {
            assert_eq!(answer.result()["isError"], true);
            let text = answer.tool_text();
            assert!(text.contains("more than 8 times"), "{text}");
        }
    }
}

#[test]
fn a_server_that_only_needs_time_is_called_again() {
    let raw = r#"{"resultType":"input_required","requestState":"later"}"#;
    let script = json!({"eras": ["modern"], "tools": [tool("t", &json!({"x-rounds": [raw]}))]});
    let pair = started(&script, &[]);
    let answer = pair.peer.call("t", &json!({}));
    assert_eq!(
        answered(&answer),
        json!({"responses": null, "state": "later"})
    );
}

/// The server reports the progress of each round from its beginning.
#[test]
fn progress_does_not_go_back_in_a_later_round() {
    let raw = |(requests, state): (String, &str)| {
        format!(
            r#"{{"resultType":"input_required","inputRequests":{{{requests}}},"requestState":{state}}}"#
        )
    };
    let rounds: Vec<String> = rounds(2).into_iter().map(raw).collect();
    let definition = tool("t", &json!({"x-rounds": rounds, "x-progress": 2}));
    let pair = started(&json!({"eras": ["modern"], "tools": [definition]}), &[]);
    let peer = &pair.peer;
    // A second call with a token of its own has its own progress.
    for token in [json!("p"), json!(7)] {
        let params = json!({"name": "t", "arguments": {}, "_meta": {"progressToken": token}});
        let call = peer.request("tools/call", &params);
        for _ in 0..2 {
            let asked = peer.expect_request("roots/list");
            peer.respond(&asked, &json!({"roots": []}));
        }
        peer.await_response(call).result();
        for value in [1, 2] {
            let params = peer.expect_notification("notifications/progress").params();
            let reported = (&params["progressToken"], &params["progress"]);
            assert_eq!(reported, (&token, &json!(value)));
        }
    }
    let reported = peer.notifications("notifications/progress");
    assert_eq!(reported, 4, "{}", peer.transcript());
}

/// Of several requests, the failure of one ends the others.
#[test]
fn an_error_of_the_client_is_that_of_the_call() {
    let requests = r#""a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{}}"#;
    let pair = started(&asking("m", &[(requests.to_owned(), "\"s\"")]), &[]);
    let peer = &pair.peer;
    let calls = [
        begin_call(peer),
        peer.request("prompts/get", &json!({"name": "t"})),
    ];
    for (call, is_tool) in calls.into_iter().zip([true, false]) {
        let roots = peer.expect_request("roots/list");
        let elicitation = peer.expect_request("elicitation/create");
        let id = elicitation.id().unwrap();
        let error = r#"{"code":-32600,"message":"Elicitation not supported","data":1E5}"#;
        peer.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
        let answer = peer.await_response(call);
        if is_tool {
            assert_eq!(answer.result()["isError"], true);
            let text = answer.tool_text();
            assert!(text.contains("Elicitation not supported"), "{text}");
        } else {
            assert_eq!(answer.error_text(), error);
        }
        let cancelled = peer.expect_notification(CANCELLED).params();
        assert_eq!(cancelled["requestId"].to_string(), roots.id().unwrap());
        // Too late.
        peer.respond(&roots, &json!({"roots": []}));
    }
}

#[test]
fn a_client_is_not_asked_for_more_than_it_declares() {
    let requests = r#""a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"mode":"url","url":"u"}}"#;
    let pair = Pair::start(&asking("m", &[(requests.to_owned(), "\"s\"")]), &[]);
    let peer = &pair.peer;
    peer.initialize(&initialize_params()).result();
    let answer = peer.call("t", &json!({}));
    assert_eq!(answer.result()["isError"], true);
    let text = answer.tool_text();
    assert!(text.contains(r#"{"elicitation":{"url":{}}}"#), "{text}");
    let error = peer.ask("prompts/get", &json!({"name": "t"})).error();
    assert_eq!(error["code"], -32021);
    let required = &error["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"elicitation": {"url": {}}}));
    assert_eq!(
        peer.count(|message| message.method() == Some("roots/list")),
        0
    );

    // Codex declares URLs, with a revision that did not have them.
    let mut params = initialize_params();
    params["protocolVersion"] = "2025-06-18".into();
    params["capabilities"]["elicitation"] = json!({"form": {}, "url": {}});
    peer.initialize(&params).result();
    let call = begin_call(peer);
    let asked = peer.expect_request("elicitation/create");
    let id = asked.params()["elicitationId"].as_str().unwrap().to_owned();
    assert!(id.len() >= 32, "{id}");
    peer.respond(&asked, &json!({"action": "accept"}));
    peer.respond(&peer.expect_request("roots/list"), &json!({"roots": []}));
    let expected = json!({"a": {"roots": []}, "b": {"action": "accept"}});
    assert_eq!(answered(&peer.await_response(call))["responses"], expected);
}

#[test]
fn a_server_is_told_which_input_its_client_gives() {
    let pair = Pair::start(&json!({"eras": ["modern"], "record": true}), &[]);
    pair.peer.initialize(&initialize_params()).result();
    pair.heard();
    pair.peer.request("tools/call", &json!({"name": "t"}));
    let told = &pair.heard()[0]["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(*told, initialize_params()["capabilities"]);
}

#[test]
fn a_call_that_is_cancelled_withdraws_what_the_client_was_asked() {
    let pair = started(&asking("m", &rounds(1)), &[]);
    let peer = &pair.peer;
    let call = begin_call(peer);
    let asked = peer.expect_request("roots/list");
    peer.notify(CANCELLED, &json!({"requestId": call}));
    let cancelled = peer.expect_notification(CANCELLED).params();
    assert_eq!(cancelled["requestId"].to_string(), asked.id().unwrap());
    peer.respond(&asked, &json!({"roots": []}));
    let state = peer.call("state", &json!({})).result()["structuredContent"].take();
    // The server has no request of the call any more.
    assert_eq!(state["notifications"], json!([]));
    assert_eq!(peer.responses_to(call), 0);
    // Nor does the end wait for it.
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

#[test]
fn a_call_is_finished_by_the_code_that_requested_input() {
    let pair = started(&asking("v1", &rounds(2)), &[]);
    let peer = &pair.peer;
    let get = peer.request("prompts/get", &json!({"name": "t"}));
    let asked = peer.expect_request("roots/list");
    pair.save(&asking("v2", &rounds(1)));
    peer.expect_notification(TOOLS_CHANGED);
    let mark = || peer.call("mark", &json!({})).result()["structuredContent"]["mark"].take();
    assert_eq!(mark(), "v2");
    peer.respond(&asked, &json!({"roots": []}));
    let asked = peer.expect_request("roots/list");
    peer.respond(&asked, &json!({"roots": []}));
    let result = peer.await_response(get).result();
    assert_eq!(result["messages"][0]["content"]["text"], "v1");
}

/// The new code does not ask the client again in silence.
#[test]
fn a_call_whose_code_ends_while_the_client_is_asked_is_an_error() {
    let pair = started(&asking("v1", &rounds(1)), &["--drain-timeout", "200ms"]);
    let peer = &pair.peer;
    let get = |peer: &Peer| peer.request("prompts/get", &json!({"name": "t"}));
    let ended = |call: u64, asked: &Message, word: &str| {
        let error = peer.await_response(call).error();
        assert_eq!(error["data"]["reason"], "server_restarted", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
        let cancelled = peer.expect_notification(CANCELLED).params();
        assert_eq!(cancelled["requestId"].to_string(), asked.id().unwrap());
    };
    let (call, asked) = (get(peer), peer.expect_request("roots/list"));
    pair.save(&asking("v2", &rounds(1)));
    ended(call, &asked, "drain timeout");

    let (call, asked) = (get(peer), peer.expect_request("roots/list"));
    let crash = json!({"name": "crash", "arguments": {"code": 3}});
    peer.request("tools/call", &crash);
    ended(call, &asked, "status 3");
    let is_question = |message: &Message| message.method() == Some("roots/list");
    eventually(DEADLINE, || {
        peer.call("mark", &json!({})).result()["isError"].is_null()
    });
    assert_eq!(peer.count(is_question), 2);
}
