//! A modern client in front of a legacy server.

use serde_json::{Value, json};

use super::{MESSAGE, Pair, TOOLS_CHANGED, UPDATED, tool, with};
use crate::harness::{DEADLINE, eventually, initialize_params, modern_meta};

#[test]
fn a_legacy_server_introduces_itself_to_a_modern_client() {
    let script = json!({"eras": ["legacy"], "serverInfo": {"name": "own", "version": "9"}, "instructions": "Do this.",
        "capabilities": {"tools": {"x": 1}, "tasks": {"list": {}}, "extensions": {"a/b": {"c": 1}}}});
    let pair = Pair::start(&script, &[]);
    let result = pair.peer.modern("server/discover", json!({})).result();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"],
        script["serverInfo"]
    );
    assert_eq!(result["instructions"], "Do this.");
    assert_eq!(
        result["capabilities"]["tools"],
        json!({"x": 1, "listChanged": true})
    );
    assert!(result["capabilities"]["tasks"].is_null());
    assert_eq!(
        result["capabilities"]["extensions"],
        json!({"a/b": {"c": 1}})
    );
    assert_eq!(
        (
            &result["resultType"],
            &result["ttlMs"],
            &result["cacheScope"]
        ),
        (&json!("complete"), &json!(0), &json!("private"))
    );
}

#[test]
fn a_modern_client_gets_results_that_it_can_read() {
    let pair = Pair::backward(
        json!({"prompts": [{"name": "p"}], "resources": [{"uri": "file:///a", "name": "a"}],
        "tools": [tool("url", &json!({}))]}),
    );
    for (method, params, cacheable) in [
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        ("resources/read", json!({"uri": "file:///a"}), true),
        ("prompts/get", json!({"name": "p"}), false),
        ("tools/call", json!({"name": "mark"}), false),
        ("completion/complete", json!({"argument": {}}), false),
    ] {
        let result = pair.peer.modern(method, params).result();
        assert_eq!(result["resultType"], "complete", "{method}");
        let cache = if cacheable {
            (json!(0), json!("private"))
        } else {
            (Value::Null, Value::Null)
        };
        assert_eq!(
            (&result["ttlMs"], &result["cacheScope"]),
            (&cache.0, &cache.1),
            "{method}"
        );
    }
    let error = pair
        .peer
        .modern("resources/read", json!({"uri": "x:y"}))
        .error();
    assert_eq!(error["code"], -32602);
    assert_eq!(error["data"], json!({"uri": "x:y"}));
    assert_eq!(pair.peer.modern("ping", json!({})).error()["code"], -32601);
    assert_eq!(
        pair.peer.modern("initialize", json!({})).error()["code"],
        -32601
    );
}

#[test]
fn a_legacy_server_gets_requests_that_it_can_read() {
    let pair = Pair::backward(json!({}));
    let mut meta = modern_meta();
    meta["progressToken"] = "p".into();
    meta["io.modelcontextprotocol/logLevel"] = "info".into();
    let result = pair.peer.ask("vendor/x", &json!({"a": 1, "_meta": meta}));
    let info = json!({"name": "fake-server", "version": "1.0.0"});
    let meta = &result.result()["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/serverInfo"], info);
    // Another request of the client may have the same token.
    assert!(meta["progressToken"].is_u64(), "{meta}");
    assert_eq!(
        result.result(),
        json!({"a": 1, "_meta": meta, "resultType": "complete"})
    );
    let state = pair.modern_call("state", &json!({})).result()["structuredContent"].take();
    assert_eq!(state["initialize"]["protocolVersion"], "2025-11-25");
    assert_eq!(
        state["initialize"]["clientInfo"],
        initialize_params()["clientInfo"]
    );
    let declared = json!({"sampling": {}, "elicitation": {}});
    assert_eq!(state["initialize"]["capabilities"], declared);
    assert_eq!(state["initialized"], true);
}

#[test]
fn a_legacy_server_learns_the_extensions_of_a_modern_client() {
    let pair = Pair::start(&json!({"eras": ["legacy"]}), &[]);
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"]["extensions"] =
        json!({"vendor/e": {"a": 1}, "io.modelcontextprotocol/tasks": {}});
    let discover = json!({"_meta": meta});
    pair.peer.ask("server/discover", &discover).result();
    let state = pair.modern_call("state", &json!({})).result()["structuredContent"].take();
    assert_eq!(
        state["initialize"]["capabilities"],
        json!({"sampling": {}, "elicitation": {}, "extensions": {"vendor/e": {"a": 1}}})
    );
}

#[test]
fn a_modern_client_hears_what_changes_in_a_legacy_server() {
    let script = |mark: &str| json!({"mark": mark, "eras": ["legacy"], "resources": [{"uri": "file:///a", "name": "a"}]});
    let pair = Pair::backward(script("v1"));
    let peer = &pair.peer;
    pair.listen(
        "s",
        &json!({"toolsListChanged": true, "resourceSubscriptions": ["file:///a"]}),
    );
    let tagged = json!({"_meta": {"io.modelcontextprotocol/subscriptionId": "s"}});
    pair.modern_call("set_tools", &json!({"tools": [tool("added", &json!({}))]}));
    assert_eq!(peer.expect_notification(TOOLS_CHANGED).params(), tagged);
    let updated = with(tagged.clone(), "uri", "file:///a".into());
    let touch = || pair.modern_call("touch", &json!({"uri": "file:///a"}));
    touch();
    assert_eq!(peer.expect_notification(UPDATED).params(), updated);

    pair.save(&script("v2"));
    assert_eq!(peer.expect_notification(TOOLS_CHANGED).params(), tagged);
    assert_eq!(peer.expect_notification(UPDATED).params(), updated);
    touch();
    assert_eq!(peer.expect_notification(UPDATED).params(), updated);

    peer.notify("notifications/cancelled", &json!({"requestId": "s"}));
    let subscriptions = || {
        pair.modern_call("state", &json!({})).result()["structuredContent"]["subscriptions"].take()
    };
    eventually(DEADLINE, || subscriptions() == json!([]));
    assert_eq!(
        (
            peer.notifications(TOOLS_CHANGED),
            peer.notifications(UPDATED)
        ),
        (2, 3)
    );
}

#[test]
fn a_modern_client_hears_the_log_of_requests_that_ask_for_it() {
    let pair = Pair::backward(json!({"tools": [tool("talk", &json!({"x-log": "hello"}))]}));
    let talk = |level: Option<&str>| {
        let mut meta = modern_meta();
        if let Some(level) = level {
            meta["io.modelcontextprotocol/logLevel"] = level.into();
        }
        pair.peer
            .ask("tools/call", &json!({"name": "talk", "_meta": meta}))
            .result();
        pair.peer.notifications(MESSAGE)
    };
    assert_eq!(talk(None), 0);
    // The server has another level until the request itself brings this one.
    assert_eq!(talk(Some("error")), 0);
    assert_eq!(talk(Some("debug")), 1);
    assert_eq!(talk(None), 1);
    // The server keeps the lowest level.
    assert_eq!(talk(Some("error")), 1);
    assert_eq!(talk(Some("info")), 2);

    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/logLevel"] = "warn".into();
    let params = json!({"name": "talk", "_meta": meta});
    assert_eq!(pair.peer.ask("tools/call", &params).error()["code"], -32602);
}

#[test]
fn a_modern_client_hears_only_what_it_asked_for() {
    let pair = Pair::backward(json!({"resources": [{"uri": "file:///a", "name": "a"}]}));
    for (method, params) in [
        (UPDATED, json!({"uri": "file:///a"})),
        (
            "notifications/tasks/status",
            json!({"taskId": "t", "status": "working"}),
        ),
    ] {
        let notify = json!({"method": method, "params": params});
        pair.modern_call("notify", &notify).result();
        assert_eq!(pair.peer.notifications(method), 0);
    }
    // A client of both eras may hear of resources that the server reports unasked.
    pair.peer.initialize(&initialize_params()).result();
    let notify = json!({"method": UPDATED, "params": {"uri": "file:///a"}});
    pair.modern_call("notify", &notify).result();
    pair.peer.expect_notification(UPDATED);
}

/// A server over HTTP takes a notification with the members of the modern era for one without a session.
#[test]
fn a_legacy_server_gets_notifications_that_it_can_read() {
    let pair = Pair::backward(json!({"tools": [tool("t", &json!({}))], "record": true}));
    pair.heard();
    let call = pair
        .peer
        .request("tools/call", &json!({"name": "t", "_meta": modern_meta()}));
    let meta = with(modern_meta(), "vendor/x", 1.into());
    pair.peer.notify(
        "notifications/cancelled",
        &json!({"requestId": call, "reason": "r", "_meta": meta}),
    );
    pair.peer.notify(
        "notifications/vendor",
        &json!({"a": 1, "_meta": modern_meta()}),
    );
    // The cancellation takes another way.
    let mut heard = Vec::new();
    eventually(DEADLINE, || {
        heard.extend(pair.heard());
        heard.len() == 3
    });
    let params = |method: &str| {
        let mut named = heard.iter().filter(|it| it["method"] == method);
        named.next().unwrap()["params"].clone()
    };
    assert_eq!(params("tools/call"), json!({"name": "t"}));
    assert_eq!(params("notifications/vendor"), json!({"a": 1}));
    let cancelled = json!({"requestId": heard[0]["id"], "reason": "r", "_meta": {"vendor/x": 1}});
    assert_eq!(params("notifications/cancelled"), cancelled);
}

/// A legacy server has asked for nothing by a result, so no response to a request of its can come with a call.
#[test]
fn a_legacy_server_gets_no_input_that_it_did_not_request() {
    let script = json!({"tools": [tool("t", &json!({}))], "record": true});
    let pair = Pair::backward(script);
    pair.heard();
    let responses = json!({"k": {"action": "accept"}});
    for (method, named) in [
        ("tools/call", json!({"name": "t"})),
        ("prompts/get", json!({"name": "t"})),
        ("resources/read", json!({"uri": "file:///a"})),
    ] {
        let with_meta = |extra: &Value| {
            let mut params = named.clone();
            let members = extra.as_object().unwrap().clone();
            params.as_object_mut().unwrap().extend(members);
            params["_meta"] = modern_meta();
            params
        };
        let stale = json!({"inputResponses": responses, "requestState": "forged"});
        let error = pair.peer.ask(method, &with_meta(&stale)).error();
        assert_eq!(error["code"], -32602);
        assert_eq!(error["data"]["reason"], "invalid_request_state");
        // Without a state it is a new call.
        let fresh = json!({"inputResponses": responses, "requestState": null});
        pair.peer.request(method, &with_meta(&fresh));
        let heard = pair.heard();
        assert_eq!(heard.len(), 1, "{heard:#?}");
        assert_eq!(heard[0]["params"], named);
    }
}

#[test]
fn a_legacy_server_gets_no_method_that_the_modern_era_has_removed() {
    let pair = Pair::backward(json!({"record": true}));
    pair.heard();
    for (method, params) in [
        ("logging/setLevel", json!({"level": "debug"})),
        ("resources/subscribe", json!({"uri": "file:///a"})),
        ("resources/unsubscribe", json!({"uri": "file:///a"})),
    ] {
        let error = pair.peer.modern(method, params).error();
        assert_eq!(error["code"], -32601, "{method}");
    }
    assert_eq!(pair.heard(), [] as [Value; 0]);
}
