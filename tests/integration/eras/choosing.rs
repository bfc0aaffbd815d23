//! Servers that one of the eras serves better, and how people and models are told.

use serde_json::{Value, json};

use super::{Pair, tool, with};
use crate::harness::{DEADLINE, eventually, initialize_params};

/// A server whose tool `t` sends its client a request, which fails in the modern era in this way.
fn pushing(refusal: &Value) -> Value {
    let push = json!({"method": "elicitation/create", "params": {"message": "?"}});
    let mut extra = json!({ "x-push": [[push]] });
    if let Some(raw) = refusal.as_str() {
        extra["x-raw"] = raw.into();
    }
    json!({"eras": ["modern"], "tools": [tool("t", &extra)]})
}

/// The result of a tool that failed with this text.
fn failed(text: &str) -> Value {
    let result = r#"{"resultType":"complete","content":[{"type":"text","text":"TEXT"}],"isError":true,"n":1E5}"#;
    result.replace("TEXT", text).into()
}

#[test]
fn a_call_that_needs_the_legacy_era_fails_with_that_advice() {
    let fastmcp =
        "elicitation via server-initiated requests is unavailable on 2026-07-28 connections.";
    let typescript = "Server-to-client requests are not available on protocol revision 2026-07-28: return inputRequired.";
    for refusal in [Value::Null, failed(fastmcp), failed(typescript)] {
        for is_modern in [true, false] {
            let pair = Pair::start(&pushing(&refusal), &["--name", "asks"]);
            let peer = &pair.peer;
            let call = || {
                let params = json!({"name": "t", "arguments": {}});
                if is_modern {
                    peer.modern("tools/call", params)
                } else {
                    peer.ask("tools/call", &params)
                }
            };
            if !is_modern {
                peer.initialize(&initialize_params()).result();
            }
            let answer = call();
            if refusal.is_null() {
                assert_eq!(answer.error()["code"], -32600);
                assert!(answer.line.contains("back-channel"), "{}", answer.line);
            } else {
                let result = answer.result();
                assert_eq!(result["isError"], true);
                assert_eq!(result["content"].as_array().unwrap().len(), 2);
                assert!(answer.line.contains(r#""n":1E5"#), "{}", answer.line);
                let kind = result["resultType"].as_str();
                assert_eq!(kind, is_modern.then_some("complete"));
            }
            for words in ["era = \\\"legacy\\\"", "[servers.asks]", "--era legacy"] {
                assert!(answer.line.contains(words), "{}", answer.line);
            }
            // The person is told once.
            call();
            peer.expect_stderr("set `era = \"legacy\"` in [servers.asks]");
            let told = peer.transcript().matches("in [servers.asks], or").count();
            assert_eq!(told, 1, "{}", peer.transcript());
        }
    }
}

/// With the advice, the same server asks its client.
#[test]
fn the_legacy_era_lets_the_server_send_its_request() {
    let mut script = pushing(&Value::Null);
    script["eras"] = json!([]);
    let pair = Pair::start(&script, &["--era", "legacy"]);
    let peer = &pair.peer;
    peer.initialize(&initialize_params()).result();
    let call = peer.request("tools/call", &json!({"name": "t", "arguments": {}}));
    let asked = peer.expect_request("elicitation/create");
    peer.respond(&asked, &json!({"action": "accept"}));
    let answer = peer.await_response(call).result();
    let answered = &answer["structuredContent"]["answers"][0]["result"]["action"];
    assert_eq!(answered, "accept");

    // A modern client as well, by the result of its call.
    let pair = Pair::start(&script, &["--era", "legacy"]);
    let params = json!({"name": "t", "arguments": {}});
    let asked = pair.peer.modern("tools/call", params.clone()).result();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let mut again = params;
    again["inputResponses"] = json!({"1": {"action": "accept"}});
    again["requestState"] = asked["requestState"].clone();
    let answer = pair.peer.modern("tools/call", again).result();
    let answered = &answer["structuredContent"]["answers"][0]["result"]["action"];
    assert_eq!(answered, "accept");
}

/// The first start waits for the answer to the probe, later ones do not send it.
#[test]
fn a_server_that_ignores_the_probe_is_probed_once() {
    let script = |mark: &str| json!({"mark": mark, "eras": ["legacy"], "silent": ["server/discover"], "record": true});
    let pair = Pair::start(&script("v1"), &["--start-timeout", "6s"]);
    pair.peer.modern("server/discover", json!({})).result();
    let first = pair.heard();
    assert_eq!(first[0]["method"], "server/discover");
    assert_eq!(first[1]["method"], "initialize");
    pair.peer
        .expect_stderr("ignored `server/discover` for 2.0 s");
    pair.save(&script("v2"));
    pair.peer.expect_stderr("reloaded");
    assert_eq!(pair.heard()[0]["method"], "initialize");
}

#[test]
fn an_odd_answer_to_the_probe_is_that_of_a_legacy_server() {
    let both = json!({"eras": []});
    let only_old = r#"{"supportedVersions":["2025-11-25"],"capabilities":{}}"#;
    for script in [
        json!({"eras": ["legacy"], "unread": ["server/discover"]}),
        with(both.clone(), "raw", json!({"server/discover": "{}"})),
        with(both, "raw", json!({"server/discover": only_old})),
    ] {
        let pair = Pair::start(&script, &[]);
        pair.peer.modern("server/discover", json!({})).result();
        let state = pair.modern_call("state", &json!({})).result();
        assert!(state["structuredContent"]["initialize"].is_object());
        assert_eq!(pair.peer.count(|it| it.id() == Some("null")), 0);
    }
}

#[test]
fn a_server_without_the_era_that_is_set_fails_with_that_cause() {
    for (known, set) in [("legacy", "modern"), ("modern", "legacy")] {
        let pair = Pair::start(&json!({"eras": [known]}), &["--era", set]);
        pair.peer.request("initialize", &initialize_params());
        pair.peer
            .expect_stderr(&format!("`era = \"{set}\"` or `--era {set}` is set"));
    }
    let exits = json!({"eras": ["legacy"], "exit_on_discover": true});
    let pair = Pair::start(&exits, &["--era", "modern"]);
    pair.peer.request("initialize", &initialize_params());
    pair.peer.expect_stderr("or `--era modern` is set");
}

/// The filter of a listen stream may have members of extensions, such as the one for tasks.
#[test]
fn a_modern_server_gets_the_filters_of_extensions() {
    let pair = Pair::start(&json!({"eras": ["modern"]}), &[]);
    let peer = &pair.peer;
    peer.modern("server/discover", json!({})).result();
    let filter = json!({"taskIds": ["a", "b"], "vendor/x": {"n": 1}, "off": false});
    let honoured = json!({"taskIds": ["a", "b"], "vendor/x": {"n": 1}});
    pair.listen("l", &filter);
    let acknowledged = peer
        .lines_since(0)
        .into_iter()
        .find(|it| it.method() == Some("notifications/subscriptions/acknowledged"));
    assert_eq!(acknowledged.unwrap().params()["notifications"], honoured);
    pair.listen(
        "other",
        &json!({"toolsListChanged": true, "taskIds": ["c"]}),
    );
    let heard = || {
        let state = pair.modern_call("state", &json!({})).result();
        state["structuredContent"]["listens"][0].clone()
    };
    let ids = json!(["a", "b", "c"]);
    eventually(DEADLINE, || heard()["taskIds"] == ids);
    assert_eq!(heard()["vendor/x"], json!({"n": 1}));
    assert!(heard()["off"].is_null());

    let tag = "io.modelcontextprotocol/subscriptionId";
    let task = json!({"taskId": "b", "status": "completed", "_meta": {tag: "@LISTEN@"}});
    let notify = json!({"method": "notifications/tasks", "params": task});
    pair.modern_call("notify", &notify).result();
    let told = peer.expect_notification("notifications/tasks").params();
    assert_eq!(
        told,
        json!({"taskId": "b", "status": "completed", "_meta": {tag: "l"}})
    );
    assert_eq!(peer.notifications("notifications/tasks"), 1);
}
