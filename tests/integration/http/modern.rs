//! The modern era: every request stands alone, and all clients share the servers.

use std::collections::HashSet;
use std::thread;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::http::{Connection, Modern};
use crate::harness::{DEADLINE, eventually};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

fn mark(stage: &Stage) -> Value {
    let answer = Modern::call(&json!(1), "mark", &json!({})).ask(&stage.site);
    assert_eq!(answer.status(), 200, "{}", answer.body);
    answer.last().result()["structuredContent"].clone()
}

fn listen(stage: &Stage, id: &Value) -> Connection {
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut stream = Modern::new(id, "subscriptions/listen", filter).open(&stage.site);
    let head = stream.head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let acknowledged = stream.message();
    assert_eq!(
        acknowledged.method(),
        Some("notifications/subscriptions/acknowledged")
    );
    assert_eq!(acknowledged.params()["_meta"][SUBSCRIPTION], *id);
    stream
}

#[test]
fn all_clients_share_the_servers() {
    let stage = Stage::plain();
    let pids: HashSet<u64> = (0..3)
        .map(|_| mark(&stage)["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids.len(), 1);
    assert_eq!(stage.site.servers().len(), 1);
}

#[test]
fn the_status_says_what_became_of_the_request() {
    let stage = Stage::plain();
    let ask = |request: Modern| {
        let answer = request.ask(&stage.site);
        let code = answer
            .messages()
            .last()
            .and_then(|it| it.is_error().then(|| answer.error_code()));
        assert!(answer.head.header("mcp-session-id").is_none());
        (answer.status(), code)
    };
    let one = json!(1);
    let list = || Modern::new(&one, "tools/list", json!({}));
    assert_eq!(ask(list()), (200, None));
    assert_eq!(
        ask(Modern::new(&one, "server/discover", json!({}))),
        (200, None)
    );
    for method in ["initialize", "ping", "no/such"] {
        assert_eq!(
            ask(Modern::new(&one, method, json!({}))),
            (404, Some(-32601)),
            "{method}"
        );
    }
    assert_eq!(ask(Modern::call(&one, "nope", &json!({}))).0, 200);
    let mut other = list().with("MCP-Protocol-Version", Some("2027-01-01"));
    other.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2027-01-01".into();
    assert_eq!(ask(other), (400, Some(-32022)));
    let mut bare = list();
    bare.body["params"]["_meta"]
        .as_object_mut()
        .unwrap()
        .remove("io.modelcontextprotocol/clientCapabilities");
    assert_eq!(ask(bare), (400, Some(-32602)));
    let mut naked = list();
    naked.body["params"] = json!({});
    assert_eq!(ask(naked), (400, Some(-32602)));
    let mut said = list();
    said.body.as_object_mut().unwrap().remove("id");
    said.body["method"] = "notifications/vendor".into();
    assert_eq!(said.ask(&stage.site).status(), 202);
    let name = "Mcp-Name";
    for request in [
        list().with("MCP-Protocol-Version", None),
        list().with("MCP-Protocol-Version", Some("2025-11-25")),
        list().with("Mcp-Method", None),
        list().with("Mcp-Method", Some("tools/call")),
        Modern::call(&one, "mark", &json!({})).with(name, None),
        Modern::call(&one, "mark", &json!({})).with(name, Some("other")),
        Modern::call(&one, "mark", &json!({})).with(name, Some("=?base64?bWFya===?=")),
    ] {
        let headers = format!("{:?}", request.headers);
        assert_eq!(ask(request), (400, Some(-32020)), "{headers}");
    }
    let encoded = Modern::call(&one, "mark", &json!({})).with(name, Some("=?base64?bWFyaw==?="));
    assert_eq!(ask(encoded), (200, None));
}

#[test]
fn arguments_that_are_headers_too_must_agree() {
    let schema = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
    let stage = Stage::new(
        &json!({"tools": [{"name": "route", "inputSchema": schema, "x-reply": "done"}]}),
        &[],
    );
    // The tools are known once the server has listed them.
    Modern::new(&json!(0), "tools/list", json!({})).ask(&stage.site);
    let call = || Modern::call(&json!(1), "route", &json!({"region": "eu"}));
    for (value, status) in [(Some("eu"), 200), (Some("us"), 400), (None, 400)] {
        let answer = call().with("Mcp-Param-Region", value).ask(&stage.site);
        assert_eq!(answer.status(), status, "{value:?}: {}", answer.body);
    }
}

#[test]
fn clients_that_use_the_same_ids_and_tokens_get_their_own() {
    let stage = Stage::new(
        &json!({"tools": [{"name": "chatty", "x-progress": 2, "x-delay": 20}]}),
        &[],
    );
    mark(&stage);
    thread::scope(|scope| {
        for client in 0..8 {
            let stage = &stage;
            scope.spawn(move || {
                for round in 0..10 {
                    let params = json!({"name": "echo", "arguments": {"client": client, "round": round}});
                    let answer = Modern::new(&json!("same"), "tools/call", params).ask(&stage.site);
                    let echoed = answer.last().result()["structuredContent"].clone();
                    assert_eq!(echoed, json!({"client": client, "round": round}));
                    let token = json!(if client % 2 == 0 { json!(1) } else { json!("1") });
                    let params = json!({"name": "chatty", "arguments": {}, "_meta": {"progressToken": token}});
                    let answer = Modern::new(&json!(7), "tools/call", params).ask(&stage.site);
                    let tokens: Vec<Value> = answer
                        .messages()
                        .iter()
                        .filter(|it| it.method() == Some("notifications/progress"))
                        .map(|it| it.params()["progressToken"].clone())
                        .collect();
                    assert_eq!(tokens, [token.clone(), token]);
                    assert_eq!(answer.last().id(), Some("7"));
                }
            });
        }
    });
}

#[test]
fn every_stream_hears_of_a_save_under_its_own_id() {
    let stage = Stage::plain();
    let ids = [json!(1), json!("x"), json!(1)];
    let mut streams: Vec<_> = ids.iter().map(|id| listen(&stage, id)).collect();
    mark(&stage);
    stage.save("new");
    for (stream, id) in streams.iter_mut().zip(&ids) {
        let told = stream.message();
        assert_eq!(told.method(), Some(LIST_CHANGED));
        assert_eq!(told.params()["_meta"][SUBSCRIPTION], *id);
    }
    assert_eq!(mark(&stage)["mark"], "new");
}

#[test]
fn a_client_that_goes_cancels_what_it_asked() {
    let stage = Stage::plain();
    mark(&stage);
    let slow = Modern::call(&json!(1), "slow", &json!({"ms": 60_000})).open(&stage.site);
    let other = Modern::call(&json!(1), "slow", &json!({"ms": 300})).open(&stage.site);
    let heard = || {
        let state = Modern::call(&json!(2), "state", &json!({})).ask(&stage.site);
        let state = state.last().result()["structuredContent"].clone();
        state["notifications"]
            .to_string()
            .matches("notifications/cancelled")
            .count()
    };
    assert_eq!(heard(), 0);
    drop(slow);
    eventually(DEADLINE, || heard() == 1);
    let mut other = other;
    assert_eq!(
        other.answer().status(),
        200,
        "the other client's call goes on"
    );
}

#[test]
fn a_body_over_several_lines_is_one_message() {
    let stage = Stage::plain();
    let mut request = Modern::call(&json!(1), "echo", &json!({"a": "b\nc"}));
    let pretty = serde_json::to_string_pretty(&request.body).unwrap();
    request = request.with("Content-Type", None).with("Accept", None);
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let answer = stage.site.post(&headers, &pretty);
    assert_eq!(
        answer.last().result()["structuredContent"],
        json!({"a": "b\nc"})
    );
}

#[test]
fn both_eras_at_once() {
    let stage = Stage::plain();
    let client = crate::harness::http::Legacy::begin(&stage.site);
    let (_, mut stream) = client.stand(None);
    let mut listening = listen(&stage, &json!("l"));
    mark(&stage);
    stage.save("both");
    assert_eq!(stream.message().method(), Some(LIST_CHANGED));
    assert_eq!(listening.message().method(), Some(LIST_CHANGED));
    assert_eq!(mark(&stage)["mark"], "both");
    assert_eq!(
        client.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "both"
    );
}
