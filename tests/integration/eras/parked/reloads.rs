//! Parked calls whose code is replaced or ends.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    ROOTS, answers, asked, asking, give_roots, is_invalid_state, meta, params, repeated,
    repetition, started,
};
use crate::harness::{DEADLINE, Message, eventually};

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

/// Returns numbers that look random and are the same in each run.
fn random() -> impl FnMut(u32) -> usize {
    let mut state = 0x9E37_79B9_u32;
    move |below| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state % below) as usize
    }
}

/// The histories of 200 calls that ask in up to three rounds, while their code is saved, crashes, or goes on.
#[test]
fn each_request_has_one_response_through_reloads_and_crashes() {
    let script = |mark: usize| asking(&mark.to_string(), &[ROOTS, ROOTS, ROOTS]);
    let pair = started(&script(0), &["--drain-timeout", "300ms"]);
    let peer = &pair.peer;
    let methods = ["tools/call", "prompts/get", "resources/read"];
    let crash = json!({"name": "crash", "arguments": {"code": 3}, "_meta": meta()});
    let mut random = random();
    let mut ends = [0; 2];
    for epoch in 1..=10 {
        let mut seen = peer.mark();
        let begin = |_| {
            let method = methods[random(3)];
            (peer.request(method, &params()).to_string(), method)
        };
        let mut open: HashMap<String, &str> = (0..20).map(begin).collect();
        // All requests go to the oldest call: the others end after three results of it.
        let mut until_event = random(3);
        while !open.is_empty() {
            if until_event == 0 {
                until_event = usize::MAX;
                match epoch % 3 {
                    0 => drop(peer.ask("tools/call", &crash)),
                    1 => pair.save(&script(epoch)),
                    _ => {}
                }
            }
            eventually(DEADLINE, || peer.mark() > seen);
            let answer = peer.lines_since(seen).remove(0);
            seen += 1;
            // The server does not say which call asks: another one may end first.
            let Some(method) = answer.id().and_then(|id| open.remove(id)) else {
                continue;
            };
            until_event -= 1;
            match repetition(&answer) {
                Some(again) => {
                    open.insert(peer.request(method, &again).to_string(), method);
                }
                None => ends[usize::from(is_failure(&answer))] += 1,
            }
        }
    }
    assert!(ends[0] >= 100 && ends[1] >= 10, "{ends:?}");
    assert_eq!(ends[0] + ends[1], 200);
    let answers = peer.lines_since(0);
    let answers = answers.iter().filter(|line| line.method().is_none());
    let mut ids: Vec<_> = answers.map(|line| line.id().unwrap()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "a request has two responses");
    // Nothing is left that a reload would wait for.
    let waits = || {
        let lines = peer.stderr();
        let waits = lines.iter().filter(|line| line.contains("runs for up to"));
        waits.count()
    };
    let before = waits();
    pair.save(&script(100));
    let mark = || pair.modern_call("mark", &json!({})).result()["structuredContent"]["mark"].take();
    eventually(DEADLINE, || mark() == "100");
    assert_eq!(waits(), before);
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

/// Whether the answer to a call of any method is a failure.
fn is_failure(answer: &Message) -> bool {
    answer.is_error() || answer.result()["isError"] == true
}
