//! Modern clients over HTTP, whose legacy server requests input by requests of its own.

use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Answer, Modern};
use crate::harness::{DEADLINE, eventually};

/// A legacy server with the tool `asks`, which asks for the roots, and then reports progress.
fn script() -> Value {
    let asks = json!([[{"method": "roots/list"}]]);
    let schema = json!({"type": "object"});
    json!({"eras": ["legacy"], "tools": [{"name": "asks", "inputSchema": schema, "x-push": asks}]})
}

/// A call by a client with this name and these capabilities; `more` are further params.
fn call(client: &str, capabilities: &Value, tool: &str, more: &Value) -> Modern {
    let meta = json!({
        "io.modelcontextprotocol/clientInfo": {"name": client, "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "progressToken": more["token"],
    });
    let mut params = json!({"name": tool, "arguments": more["arguments"], "_meta": meta});
    if more["state"].is_string() {
        params["requestState"] = more["state"].clone();
        params["inputResponses"] = json!({"1": {"roots": []}, "2": {"roots": []}});
    }
    Modern::new(&json!(1), "tools/call", params)
}

fn begin(stage: &Stage, client: &str) -> Answer {
    let more = json!({"token": "a", "arguments": {}});
    call(client, &json!({"roots": {}}), "asks", &more).ask(&stage.site)
}

fn repeat(stage: &Stage, client: &str, state: &Value) -> Answer {
    let more = json!({"token": "b", "arguments": {}, "state": state});
    call(client, &json!({"roots": {}}), "asks", &more).ask(&stage.site)
}

/// The state of an answer that requests input.
#[track_caller]
fn state(answer: &Answer) -> Value {
    assert_eq!(answer.status(), 200, "{}", answer.body);
    let result = answer.last().result();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result["requestState"].clone()
}

#[test]
fn a_call_goes_on_in_the_request_that_repeats_it() {
    let stage = Stage::new(&script(), &[]);
    let state = state(&begin(&stage, "one"));
    // Only the client that was asked may answer.
    let foreign = repeat(&stage, "two", &state);
    assert_eq!((foreign.status(), foreign.error_code()), (200, -32602));
    let answer = repeat(&stage, "one", &state);
    let messages = answer.messages();
    assert_eq!(messages[0].method(), Some("notifications/progress"));
    assert_eq!(messages[0].params()["progressToken"], "b");
    let result = answer.last().result();
    let answers = &result["structuredContent"]["answers"];
    assert_eq!(answers[0]["result"], json!({"roots": []}), "{result}");
    let replayed = repeat(&stage, "one", &state);
    assert_eq!((replayed.status(), replayed.error_code()), (200, -32602));
}

/// The server does not say during which of two calls it asks.
#[test]
fn no_client_is_asked_for_another_one() {
    let stage = Stage::new(&script(), &[]);
    let state = state(&begin(&stage, "one"));
    let answer = begin(&stage, "two").last().result();
    let error = &answer["structuredContent"]["answers"][0]["error"];
    assert_eq!(error["code"], -32600, "{answer}");
    let answer = repeat(&stage, "one", &state).last().result();
    assert!(answer["structuredContent"]["answers"][0]["result"].is_object());
}

#[test]
fn a_server_learns_at_its_next_start_what_its_clients_support() {
    let stage = Stage::new(&script(), &[]);
    let state = |capabilities: Value| {
        let more = json!({"arguments": {}});
        let answer = call("one", &capabilities, "state", &more).ask(&stage.site);
        answer.last().result()["structuredContent"]["initialize"]["capabilities"].take()
    };
    let extensions = json!({"vendor/e": {"a": 1}, "io.modelcontextprotocol/tasks": {}});
    let roots = || json!({"roots": {"listChanged": true}, "vendor": {}, "extensions": extensions});
    let first = json!({"roots": {}, "extensions": {"vendor/e": {"a": 1}}});
    assert_eq!(state(roots()), first);
    let more = json!({"elicitation": {"url": {}}, "extensions": {"vendor/f": {}}});
    assert_eq!(state(more), first);
    let mut saved = script();
    saved["mark"] = "v2".into();
    stage.project.save("script.json", &saved.to_string());
    let extensions = json!({"vendor/e": {"a": 1}, "vendor/f": {}});
    let all = json!({"roots": {}, "elicitation": {"url": {}}, "extensions": extensions});
    eventually(DEADLINE, || state(roots()) == all);
    // Each call is asked only for what it declares itself.
    let more = json!({"arguments": {"method": "elicitation/create", "params": {"mode": "url"}}});
    let answer = call("one", &roots(), "ask", &more).ask(&stage.site);
    let result = answer.last().result();
    let error = &result["structuredContent"]["answer"]["error"];
    assert_eq!(error["code"], -32021, "{result}");
}
