//! Parked calls whose code is replaced or ends.

use serde_json::{Value, json};

use super::{
    ROOTS, answers, asked, asking, finish, give_roots, is_invalid_state, meta, params, repeated,
    started,
};
use crate::harness::{DEADLINE, eventually};

#[test]
fn a_parked_call_is_finished_by_the_code_that_asks() {
    let pair = started(&asking("v1", &[ROOTS, ROOTS]), &[]);
    let peer = &pair.peer;
    let result = asked(peer, peer.request("prompts/get", &params()));
    let mark = || pair.modern_call("mark", &json!({})).result()["structuredContent"]["mark"].take();
    pair.save(&asking("v2", &[]));
    eventually(DEADLINE, || mark() == "v2");
    let note = peer.expect_stderr("runs for up to 60 s more");
    assert!(note.contains("1 call"), "{note}");
    let again = repeated(params(), &result, json!({"1": {"roots": [1]}}));
    let result = asked(peer, peer.request("prompts/get", &again));
    let again = repeated(params(), &result, json!({"2": {"roots": [2]}}));
    let text = peer.ask("prompts/get", &again).result()["messages"][0]["content"]["text"].take();
    let text = text.as_str().unwrap();
    assert!(text.contains("[1]") && text.contains("[2]"), "{text}");
}

/// The new code does not ask the client again in silence.
#[test]
fn a_parked_call_whose_code_ends_is_an_error_for_its_client() {
    let pair = started(&asking("v1", &[ROOTS]), &["--drain-timeout", "200ms"]);
    let peer = &pair.peer;
    let begin = |method: &str| asked(peer, peer.request(method, &params()));
    let responses = |result: &Value| {
        let key = result["inputRequests"].as_object().unwrap().keys().next();
        json!({key.unwrap(): {"roots": []}})
    };
    let [tool, prompt] = ["tools/call", "prompts/get"].map(begin);
    pair.save(&asking("v2", &[ROOTS]));
    peer.expect_stderr("drain timeout: abandoned 2 requests");
    let answer = peer.ask("tools/call", &repeated(params(), &tool, responses(&tool)));
    assert_eq!(answer.result()["isError"], true);
    let text = answer.tool_text();
    assert!(
        text.contains("drain timeout") && text.contains("not retried"),
        "{text}"
    );
    let again = repeated(params(), &prompt, responses(&prompt));
    let error = peer.ask("prompts/get", &again).error();
    assert_eq!(error["data"]["reason"], "server_restarted", "{error}");
    is_invalid_state(&peer.ask("prompts/get", &again));

    let [tool, prompt] = ["tools/call", "prompts/get"].map(begin);
    let crash = json!({"name": "crash", "arguments": {"code": 3}, "_meta": meta()});
    peer.ask("tools/call", &crash);
    let again = repeated(params(), &tool, responses(&tool));
    let text = peer.ask("tools/call", &again).tool_text();
    assert!(text.contains("status 3"), "{text}");
    let again = repeated(params(), &prompt, responses(&prompt));
    let error = peer.ask("prompts/get", &again).error();
    assert!(
        error["message"].as_str().unwrap().contains("status 3"),
        "{error}"
    );
    // The client may begin again.
    let result = begin("tools/call");
    let again = repeated(params(), &result, responses(&result));
    assert_eq!(answers(&peer.ask("tools/call", &again)).len(), 1);
}

#[test]
fn a_reload_that_waits_for_a_client_says_so() {
    let options = ["--reload", "stop-first", "--hold-timeout", "300ms"];
    let pair = started(&asking("v1", &[ROOTS]), &options);
    let peer = &pair.peer;
    let result = asked(peer, peer.request("tools/call", &params()));
    pair.save(&asking("v2", &[ROOTS]));
    peer.expect_stderr("runs for up to");
    let text = pair.modern_call("mark", &json!({})).tool_text();
    assert!(text.contains("waits for input from the client"), "{text}");
    let answer = peer.await_response(give_roots(peer, &result, &json!(1)));
    assert_eq!(answers(&answer).len(), 1);
    let mark = || pair.modern_call("mark", &json!({})).result()["structuredContent"]["mark"].take();
    eventually(DEADLINE, || mark() == "v2");
}

#[test]
fn each_request_has_one_response_through_reloads_and_crashes() {
    let script = |mark: usize| asking(&mark.to_string(), &[ROOTS, ROOTS]);
    let pair = started(&script(0), &["--drain-timeout", "300ms"]);
    let peer = &pair.peer;
    let methods = ["tools/call", "prompts/get", "resources/read"];
    let crash = json!({"name": "crash", "arguments": {"code": 3}, "_meta": meta()});
    let mut repetitions = Vec::new();
    for round in 1..=9 {
        let begun = methods.map(|method| peer.request(method, &params()));
        if round % 2 == 0 {
            peer.await_response(begun[0]);
        }
        match round % 3 {
            0 => drop(peer.ask("tools/call", &crash)),
            1 => pair.save(&script(round)),
            _ => {}
        }
        for (method, id) in methods.into_iter().zip(begun) {
            repetitions.push(finish(peer, method, id).0);
        }
    }
    // Where nothing ends the code, the client is asked at least as often as the server asks.
    assert!(
        repetitions.iter().any(|count| *count >= 2),
        "{repetitions:?}"
    );
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}
