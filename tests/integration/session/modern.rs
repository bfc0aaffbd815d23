//! A session of the modern era, with its streams.

use serde_json::{Value, json};

use super::{RESOURCE, Session, TOOLS_CHANGED, stream};
use crate::harness::{DEADLINE, eventually, modern_meta};

#[test]
fn a_modern_session_reaches_the_server_as_it_is() {
    let session = Session::modern(&json!({"record": true}), &[]);
    let peer = &session.peer;
    let mut meta = modern_meta();
    meta["vendor/x"] = json!({"a": 1});
    meta["progressToken"] = "p".into();
    let params = json!({"name": "t", "arguments": {}, "inputResponses": {"k": {}}, "requestState": "s", "_meta": meta});
    peer.request("tools/call", &params);
    let heard = peer.modern("vendor/heard", json!({})).result();
    let call = heard
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line.as_str().unwrap().contains("tools/call"))
        .unwrap();
    let call: Value = serde_json::from_str(call.as_str().unwrap()).unwrap();
    assert_eq!(call["params"], params);
    assert!(!heard.to_string().contains(r#"\"initialize\""#));
}

#[test]
fn discovery_is_the_servers_own() {
    let script = json!({"serverInfo": {"name": "own", "version": "9"}, "instructions": "Do this.", "capabilities": {"tools": {"vendor": 1}, "extensions": {"a/b": {}}}});
    let session = Session::start(&script, &[]);
    let result = session.peer.modern("server/discover", json!({})).result();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["instructions"], "Do this.");
    assert_eq!(result["ttlMs"], 0);
    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"],
        script["serverInfo"]
    );
    assert_eq!(
        result["capabilities"]["tools"],
        json!({"vendor": 1, "listChanged": true})
    );
    assert_eq!(result["capabilities"]["extensions"], json!({"a/b": {}}));
}

#[test]
fn a_modern_server_asks_for_input_by_its_result() {
    let session = Session::modern(&json!({"mark": "state"}), &[]);
    let ask =
        json!({"name": "ask", "arguments": {"method": "elicitation/create", "params": {"a": 1}}});
    let result = session.peer.modern("tools/call", ask.clone()).result();
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["requestState"], "state");
    assert_eq!(
        result["inputRequests"]["asked"],
        json!({"method": "elicitation/create", "params": {"a": 1}})
    );
    let mut retry = ask;
    retry["requestState"] = "state".into();
    retry["inputResponses"] = json!({"asked": {"action": "accept"}});
    let result = session.peer.modern("tools/call", retry).result();
    assert_eq!(
        result["structuredContent"]["answer"],
        json!({"asked": {"action": "accept"}})
    );
}

#[test]
fn an_unknown_type_of_result_passes() {
    let raw = r#"{"resultType":"vendor/odd","x":1E5}"#;
    let script =
        json!({"tools": [{"name": "odd", "inputSchema": {"type": "object"}, "x-raw": raw}]});
    let session = Session::modern(&script, &[]);
    assert_eq!(
        session
            .peer
            .modern("tools/call", json!({"name": "odd"}))
            .result_text(),
        raw
    );
}

#[test]
fn a_revision_that_nobody_speaks_is_refused_with_those_that_are() {
    let session = Session::start(&json!({}), &[]);
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2031-01-01", "io.modelcontextprotocol/clientCapabilities": {}}});
    for method in ["server/discover", "tools/list", "tools/call"] {
        let error = session.peer.ask(method, &params).error();
        assert_eq!(error["code"], -32022);
        assert_eq!(
            error["data"],
            json!({"supported": ["2026-07-28"], "requested": "2031-01-01"})
        );
    }
}

#[test]
fn each_stream_hears_what_it_asked_for_under_its_tag() {
    let resource: Value = serde_json::from_str(RESOURCE).unwrap();
    let script = |mark: &str| json!({"mark": mark, "resources": [resource]});
    let session = Session::modern(&script("v1"), &[]);
    let peer = &session.peer;
    session.listen(r#""all""#, &json!({"toolsListChanged": true, "resourcesListChanged": true, "promptsListChanged": false}));
    session.listen("1.0", &json!({"toolsListChanged": true}));
    session.listen("77", &json!({"resourceSubscriptions": ["file:///a"]}));
    let acknowledged = "notifications/subscriptions/acknowledged";
    let all = peer.expect_notification(acknowledged);
    assert_eq!(stream(&all), "all");
    assert_eq!(
        all.params()["notifications"],
        json!({"toolsListChanged": true, "resourcesListChanged": true})
    );
    assert!(
        peer.expect_notification(acknowledged)
            .line
            .contains(r":1.0}")
    );
    assert_eq!(
        peer.expect_notification(acknowledged).params()["notifications"],
        json!({"resourceSubscriptions": ["file:///a"]})
    );

    session.save(&script("v2"));
    let resources = "notifications/resources/list_changed";
    let updated = "notifications/resources/updated";
    eventually(DEADLINE, || session.on_stream(updated, &json!(77)) == 1);
    let mark = || peer.modern("tools/call", json!({"name": "mark"})).result();
    assert_eq!(mark()["structuredContent"]["mark"], "v2");
    assert_eq!(
        (
            session.on_stream(TOOLS_CHANGED, &json!("all")),
            session.on_stream(TOOLS_CHANGED, &json!(1.0))
        ),
        (1, 1)
    );
    assert_eq!(
        (
            session.on_stream(resources, &json!("all")),
            peer.notifications(resources)
        ),
        (1, 1)
    );
    assert_eq!(
        (
            peer.notifications(TOOLS_CHANGED),
            peer.notifications(acknowledged)
        ),
        (2, 3)
    );
    assert_eq!(peer.notifications("notifications/prompts/list_changed"), 0);

    // The new generation has been told of the streams' wishes.
    peer.modern(
        "tools/call",
        json!({"name": "touch", "arguments": {"uri": "file:///a"}}),
    );
    eventually(DEADLINE, || session.on_stream(updated, &json!(77)) == 2);
    // A part of a followed resource belongs to it.
    peer.modern(
        "tools/call",
        json!({"name": "notify", "arguments": {"method": updated, "params": {"uri": "file:///a/b"}}}),
    );
    eventually(DEADLINE, || session.on_stream(updated, &json!(77)) == 3);
    assert_eq!(peer.notifications(updated), 3);

    // A stream that is cancelled hears nothing more.
    peer.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.0}}"#);
    session.save(&script("v3"));
    eventually(DEADLINE, || {
        session.on_stream(TOOLS_CHANGED, &json!("all")) == 2
    });
    mark();
    assert_eq!(session.on_stream(TOOLS_CHANGED, &json!(1.0)), 1);
}

#[test]
fn a_stream_that_the_server_ends_is_opened_anew() {
    let session = Session::modern(&json!({}), &[]);
    let peer = &session.peer;
    session.listen(r#""s""#, &json!({"toolsListChanged": true}));
    peer.modern("tools/call", json!({"name": "close_listens"}));
    let listens = || {
        peer.modern("tools/call", json!({"name": "state"})).result()["structuredContent"]["listens"]
            .take()
    };
    eventually(DEADLINE, || listens().as_array().unwrap().len() == 1);
    peer.modern("tools/call", json!({"name": "set_tools", "arguments": {"tools": [{"name": "added", "inputSchema": {"type": "object"}}]}}));
    eventually(DEADLINE, || {
        session.on_stream(TOOLS_CHANGED, &json!("s")) == 1
    });
    assert_eq!(peer.responses_to(r#""s""#), 0);
}

#[test]
fn resources_of_a_watched_server_are_not_cached() {
    let result = r#"{"resultType":"complete","ttlMs":60000,"contents":[],"x":1E5}"#;
    let session = Session::modern(&json!({"raw": {"resources/read": result}}), &[]);
    let read = session
        .peer
        .modern("resources/read", json!({"uri": "file:///a"}));
    assert_eq!(read.result_text(), result.replace("60000", "0"));
}
