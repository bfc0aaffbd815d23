//! A legacy client in front of a modern server.

use serde_json::json;

use super::{MESSAGE, Pair, TOOLS_CHANGED, UPDATED, has_no_modern_members, tool};
use crate::harness::{DEADLINE, eventually, initialize_params};

#[test]
fn a_modern_server_introduces_itself_to_a_legacy_client() {
    let script = json!({"eras": ["modern"], "serverInfo": {"name": "own", "version": "9"}, "instructions": "Do this.",
        "capabilities": {"tools": {"x": 1}, "extensions": {"a/b": {"c": 1}, "io.modelcontextprotocol/tasks": {}}}});
    let pair = Pair::start(&script, &[]);
    let mut params = initialize_params();
    params["protocolVersion"] = "2025-03-26".into();
    let result = pair.peer.initialize(&params).result();
    assert_eq!(result["protocolVersion"], "2025-03-26");
    assert_eq!(result["serverInfo"], script["serverInfo"]);
    assert_eq!(result["instructions"], "Do this.");
    assert_eq!(
        result["capabilities"]["tools"],
        json!({"x": 1, "listChanged": true})
    );
    assert_eq!(
        result["capabilities"]["extensions"],
        json!({"a/b": {"c": 1}})
    );
    has_no_modern_members(&result);
}

#[test]
fn a_legacy_client_gets_results_that_it_can_read() {
    let pair = Pair::forward(json!({
        "mark": "m",
        "tools": [
            tool("typed", &json!({"outputSchema": {"type": "array"}, "x-raw": r#"{"resultType":"complete","content":[],"structuredContent":[1],"x":1E5}"#})),
            tool("plain", &json!({"outputSchema": {"type": "object"}})),
            tool("odd", &json!({"x-raw": r#"{"resultType":"vendor"}"#})),
        ],
        "prompts": [{"name": "p"}],
        "resources": [{"uri": "file:///a", "name": "a"}],
    }));
    let peer = &pair.peer;
    for (method, params) in [
        ("tools/list", json!({})),
        ("prompts/list", json!({})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("prompts/get", json!({"name": "p"})),
        ("resources/read", json!({"uri": "file:///a"})),
        ("tools/call", json!({"name": "mark"})),
        ("completion/complete", json!({"argument": {}})),
    ] {
        has_no_modern_members(&peer.ask(method, &params).result());
    }
    let tools = peer.ask("tools/list", &json!({})).result()["tools"].take();
    let listed = |name: &str| {
        let mut tools = tools.as_array().unwrap().iter();
        tools.find(|tool| tool["name"] == name).unwrap().clone()
    };
    assert!(listed("typed")["outputSchema"].is_null());
    assert_eq!(listed("plain")["outputSchema"], json!({"type": "object"}));
    assert_eq!(
        peer.call("typed", &json!({})).result_text(),
        r#"{"content":[],"x":1E5}"#
    );
    let odd = peer.call("odd", &json!({}));
    assert_eq!(odd.result()["isError"], true);
    assert!(odd.tool_text().contains("`vendor`"));
    assert_eq!(
        peer.ask("resources/read", &json!({"uri": "x:y"})).error()["code"],
        -32602
    );
}

#[test]
fn a_modern_server_is_told_who_the_legacy_client_is() {
    let pair = Pair::forward(json!({"record": true}));
    pair.heard();
    let params = json!({"name": "t", "_meta": {"progressToken": 1, "vendor/x": 2}});
    pair.peer.request("tools/call", &params);
    pair.peer
        .notify("notifications/roots/list_changed", &json!({}));
    pair.peer.notify("notifications/vendor", &json!({"a": 1}));
    let heard = pair.heard();
    assert_eq!(heard.len(), 2, "{heard:#?}");
    let meta = &heard[0]["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(
        meta["io.modelcontextprotocol/clientInfo"],
        initialize_params()["clientInfo"]
    );
    // The server may report the progress of several rounds.
    assert!(meta["progressToken"].is_u64(), "{meta}");
    assert_eq!(meta["vendor/x"], 2);
    assert_eq!(heard[1]["method"], "notifications/vendor");
}

#[test]
fn a_modern_server_learns_the_extensions_of_a_legacy_client() {
    let pair = Pair::start(&json!({"eras": ["modern"], "record": true}), &[]);
    let mut params = initialize_params();
    params["capabilities"]["extensions"] =
        json!({"vendor/e": {"a": 1}, "io.modelcontextprotocol/tasks": {}});
    pair.peer.initialize(&params).result();
    pair.heard();
    pair.peer.request("tools/call", &json!({"name": "t"}));
    let told = &pair.heard()[0]["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(told["extensions"], json!({"vendor/e": {"a": 1}}));
}

#[test]
fn a_request_for_input_where_none_is_allowed_is_a_clear_error() {
    let raw = r#"{"resultType":"input_required","requestState":"s"}"#;
    let pair = Pair::forward(json!({"raw": {"completion/complete": raw}}));
    let error = pair.peer.ask("completion/complete", &json!({})).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`input_required`"), "{message}");
}

#[test]
fn a_legacy_client_hears_what_changes_in_a_modern_server() {
    let script = |mark: &str| json!({"mark": mark, "eras": ["modern"], "resources": [{"uri": "file:///a", "name": "a"}]});
    let pair = Pair::forward(script("v1"));
    let peer = &pair.peer;
    peer.call("set_tools", &json!({"tools": [tool("added", &json!({}))]}));
    assert_eq!(
        peer.expect_notification(TOOLS_CHANGED).line,
        format!(r#"{{"jsonrpc":"2.0","method":"{TOOLS_CHANGED}"}}"#)
    );
    peer.ask("resources/subscribe", &json!({"uri": "file:///a"}))
        .result();
    let touched = || peer.call("touch", &json!({"uri": "file:///a"}));
    touched();
    assert_eq!(
        peer.expect_notification(UPDATED).params(),
        json!({"uri": "file:///a"})
    );

    pair.save(&script("v2"));
    peer.expect_notification(TOOLS_CHANGED);
    assert_eq!(
        peer.expect_notification(UPDATED).params(),
        json!({"uri": "file:///a"})
    );
    touched();
    assert_eq!(
        peer.expect_notification(UPDATED).params(),
        json!({"uri": "file:///a"})
    );
    assert_eq!(peer.notifications(TOOLS_CHANGED), 2);

    peer.ask("resources/unsubscribe", &json!({"uri": "file:///a"}))
        .result();
    let before = peer.notifications(UPDATED);
    touched();
    peer.call("mark", &json!({}));
    assert_eq!(peer.notifications(UPDATED), before);
}

#[test]
fn the_level_that_a_legacy_client_sets_goes_with_its_requests() {
    let script = |mark: &str| json!({"mark": mark, "eras": ["modern"], "tools": [tool("talk", &json!({"x-log": "hello"}))]});
    let pair = Pair::forward(script("v1"));
    let peer = &pair.peer;
    let talk = || peer.call("talk", &json!({})).result();
    talk();
    assert_eq!(peer.notifications(MESSAGE), 0);
    // Not even a call that follows at once comes before the level.
    let set = peer.request("logging/setLevel", &json!({"level": "debug"}));
    talk();
    assert_eq!(peer.await_response(set).result_text(), "{}");
    assert_eq!(peer.expect_notification(MESSAGE).params()["data"], "hello");
    pair.save(&script("v2"));
    peer.expect_notification(TOOLS_CHANGED);
    talk();
    peer.expect_notification(MESSAGE);
    peer.ask("logging/setLevel", &json!({"level": "error"}))
        .result();
    talk();
    assert_eq!(peer.notifications(MESSAGE), 2);
}

/// A modern server would refuse every request with such a level.
#[test]
fn an_unknown_level_is_refused_and_the_former_one_stays() {
    let script = |mark: &str| json!({"mark": mark, "eras": ["modern"], "tools": [tool("talk", &json!({"x-log": "hello"}))]});
    let pair = Pair::forward(script("v1"));
    let peer = &pair.peer;
    peer.ask("logging/setLevel", &json!({"level": "info"}))
        .result();
    for params in [
        json!({"level": "warn"}),
        json!({"level": 5}),
        json!({"level": null}),
        json!({}),
    ] {
        let error = peer.ask("logging/setLevel", &params).error();
        assert_eq!(error["code"], -32602, "{params}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("notice, warning, error"), "{message}");
    }
    peer.call("talk", &json!({})).result();
    assert_eq!(peer.notifications(MESSAGE), 1);
    pair.save(&script("v2"));
    peer.expect_notification(TOOLS_CHANGED);
    peer.call("talk", &json!({})).result();
    assert_eq!(peer.notifications(MESSAGE), 2);
}

#[test]
fn a_legacy_client_cancels_a_call_of_a_modern_server() {
    let pair = Pair::forward(json!({}));
    let peer = &pair.peer;
    peer.call("mark", &json!({}));
    let call = peer.request(
        "tools/call",
        &json!({"name": "slow", "arguments": {"ms": 60000}}),
    );
    peer.notify("notifications/cancelled", &json!({"requestId": call}));
    let cancelled = || {
        let state = peer.call("state", &json!({})).result();
        let notifications = state["structuredContent"]["notifications"].clone();
        notifications
            .as_array()
            .unwrap()
            .iter()
            .any(|told| told["method"] == "notifications/cancelled")
    };
    eventually(DEADLINE, cancelled);
}
