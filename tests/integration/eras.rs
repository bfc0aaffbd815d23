//! Clients and servers of different eras, and both eras on one pipe.

mod backward;
mod choosing;
mod forward;
mod input;
mod parked;

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Message, Peer, Project, eventually, initialize_params, modern_meta, scripted,
};

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";
const MESSAGE: &str = "notifications/message";

/// The fake server behind the proxy; its script is its source.
struct Pair {
    peer: Peer,
    project: Project,
}

impl Pair {
    #[track_caller]
    fn start(script: &Value, options: &[&str]) -> Self {
        let (peer, project) = scripted(script, options);
        Self { peer, project }
    }

    /// A legacy client in front of a modern server.
    #[track_caller]
    fn forward(script: Value) -> Self {
        let pair = Self::start(&with(script, "eras", json!(["modern"])), &[]);
        pair.peer.initialize(&initialize_params()).result();
        pair
    }

    /// A modern client in front of a legacy server.
    #[track_caller]
    fn backward(script: Value) -> Self {
        let pair = Self::start(&with(script, "eras", json!(["legacy"])), &[]);
        pair.peer.modern("server/discover", json!({})).result();
        pair
    }

    fn save(&self, script: &Value) {
        self.project.save("script.json", &script.to_string());
    }

    #[track_caller]
    fn modern_call(&self, tool: &str, arguments: &Value) -> Message {
        let params = json!({"name": tool, "arguments": arguments});
        self.peer.modern("tools/call", params)
    }

    #[track_caller]
    fn listen(&self, id: &str, notifications: &Value) {
        let meta = modern_meta();
        self.peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"subscriptions/listen","params":{{"notifications":{notifications},"_meta":{meta}}}}}"#
        ));
        self.peer
            .expect_notification("notifications/subscriptions/acknowledged");
    }

    /// The lines that a recording server got since this was asked last, without the line that asks.
    #[track_caller]
    fn heard(&self) -> Vec<Value> {
        let answer = self.peer.ask("vendor/heard", &json!({})).result();
        let lines = answer.as_array().unwrap().iter();
        let lines = lines.map(|line| serde_json::from_str(line.as_str().unwrap()).unwrap());
        let mut lines: Vec<Value> = lines.collect();
        lines.pop();
        lines
    }
}

fn with(mut script: Value, member: &str, value: Value) -> Value {
    script[member] = value;
    script
}

fn tool(name: &str, extra: &Value) -> Value {
    let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
    for (key, value) in extra.as_object().unwrap() {
        tool[key] = value.clone();
    }
    tool
}

#[track_caller]
fn has_no_modern_members(result: &Value) {
    for member in ["resultType", "ttlMs", "cacheScope"] {
        assert!(result[member].is_null(), "{member} in {result}");
    }
}

/// Whether the server behind a legacy client speaks the legacy era.
#[track_caller]
fn server_is_legacy(peer: &Peer) -> bool {
    let state = peer.call("state", &json!({})).result()["structuredContent"].take();
    !state["initialize"].is_null()
}

#[test]
fn both_eras_interleave_on_one_pipe() {
    let resources = json!([{"uri": "file:///a", "name": "a"}, {"uri": "file:///b", "name": "b"}]);
    let script = |mark: &str| json!({"mark": mark, "resources": resources});
    for eras in [json!([]), json!(["legacy"]), json!(["modern"])] {
        let pair = Pair::start(&with(script("v1"), "eras", eras.clone()), &[]);
        let peer = &pair.peer;
        peer.initialize(&initialize_params()).result();
        peer.modern("server/discover", json!({})).result();
        has_no_modern_members(&peer.ask("tools/list", &json!({})).result());
        assert_eq!(
            peer.modern("tools/list", json!({})).result()["resultType"],
            "complete"
        );
        has_no_modern_members(&peer.call("mark", &json!({})).result());
        assert_eq!(
            pair.modern_call("mark", &json!({})).result()["resultType"],
            "complete"
        );

        peer.ask("resources/subscribe", &json!({"uri": "file:///a"}))
            .result();
        pair.listen(
            "s",
            &json!({"toolsListChanged": true, "resourceSubscriptions": ["file:///b"]}),
        );
        for (uri, is_tagged) in [("file:///a", false), ("file:///b", true)] {
            peer.call("touch", &json!({"uri": uri}));
            let params = peer.expect_notification(UPDATED).params();
            assert_eq!(
                (&params["uri"], params["_meta"].is_object()),
                (&json!(uri), is_tagged)
            );
        }
        pair.save(&with(script("v2"), "eras", eras));
        let told = [
            peer.expect_notification(TOOLS_CHANGED),
            peer.expect_notification(TOOLS_CHANGED),
        ];
        let tagged = told
            .iter()
            .filter(|message| message.line.contains("subscriptionId"));
        assert_eq!(tagged.count(), 1);
        assert_eq!(
            peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
            "v2"
        );
        assert_eq!(
            pair.modern_call("mark", &json!({})).result()["structuredContent"]["mark"],
            "v2"
        );
        assert_eq!(peer.notifications(TOOLS_CHANGED), 2);
    }
}

#[test]
fn a_stream_and_a_subscription_share_a_resource_of_a_legacy_server() {
    let pair = Pair::start(&json!({"eras": ["legacy"]}), &[]);
    let peer = &pair.peer;
    peer.initialize(&initialize_params()).result();
    let subscriptions =
        || peer.call("state", &json!({})).result()["structuredContent"]["subscriptions"].take();
    let uri = json!({"uri": "file:///a"});
    pair.listen("s", &json!({"resourceSubscriptions": ["file:///a"]}));
    eventually(DEADLINE, || subscriptions() == json!(["file:///a"]));
    // Either may go; the server hears of the end when both have.
    peer.ask("resources/subscribe", &uri).result();
    peer.ask("resources/unsubscribe", &uri).result();
    eventually(DEADLINE, || subscriptions() == json!(["file:///a"]));
    peer.notify("notifications/cancelled", &json!({"requestId": "s"}));
    eventually(DEADLINE, || subscriptions() == json!([]));
}

/// A client that probes `server/discover` and then sends `initialize` on the same pipe.
#[track_caller]
fn probe_then_initialize(script: &Value, options: &[&str], legacy: bool) {
    let script = with(script.clone(), "mark", "v1".into());
    let pair = Pair::start(&script, options);
    let peer = &pair.peer;
    let discovered = peer.modern("server/discover", json!({})).result();
    assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    let result = peer.initialize(&initialize_params()).result();
    assert_eq!(
        result["serverInfo"]["name"],
        "fake-server",
        "{}",
        peer.transcript()
    );
    assert_eq!(result["protocolVersion"], "2025-11-25");
    has_no_modern_members(&result);
    assert_eq!(
        peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "v1"
    );
    assert_eq!(server_is_legacy(peer), legacy);
    has_no_modern_members(&peer.ask("tools/list", &json!({})).result());
    assert_eq!(
        peer.notifications(TOOLS_CHANGED),
        0,
        "{}",
        peer.transcript()
    );
    pair.save(&with(script, "mark", "v2".into()));
    peer.expect_notification(TOOLS_CHANGED);
    assert_eq!(
        peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "v2"
    );
    assert_eq!(
        peer.notifications(TOOLS_CHANGED),
        1,
        "{}",
        peer.transcript()
    );
    assert_eq!(server_is_legacy(peer), legacy);
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}

#[test]
fn probe_then_initialize_with_every_kind_of_server() {
    probe_then_initialize(&json!({}), &[], true);
    probe_then_initialize(&json!({"pin": true}), &[], true);
    probe_then_initialize(&json!({"eras": ["legacy"]}), &[], true);
    probe_then_initialize(&json!({"eras": ["modern"]}), &[], false);
    probe_then_initialize(
        &json!({"eras": ["legacy"], "exit_on_discover": true}),
        &[],
        true,
    );
}

#[test]
fn probe_then_initialize_with_a_server_that_never_answers_the_probe() {
    // The proxy has to answer before the server does, so it announces the lists once they are there.
    let script = json!({"eras": ["legacy"], "silent": ["server/discover"], "mark": "v1"});
    let pair = Pair::start(&script, &["--startup-wait", "300ms"]);
    let peer = &pair.peer;
    peer.modern("server/discover", json!({})).result();
    peer.initialize(&initialize_params()).result();
    assert_eq!(
        peer.call("mark", &json!({})).result()["structuredContent"]["mark"],
        "v1"
    );
    assert!(server_is_legacy(peer));
    peer.expect_notification(TOOLS_CHANGED);
}

#[test]
fn a_modern_client_is_served_by_a_server_that_dies_of_the_probe() {
    let script = |mark: &str| json!({"eras": ["legacy"], "exit_on_discover": true, "mark": mark});
    let pair = Pair::start(&script("v1"), &[]);
    pair.listen("s", &json!({"toolsListChanged": true}));
    let mark = || pair.modern_call("mark", &json!({})).result()["structuredContent"]["mark"].take();
    assert_eq!(mark(), "v1");
    pair.save(&script("v2"));
    pair.peer.expect_notification(TOOLS_CHANGED);
    assert_eq!(mark(), "v2");
}

#[test]
fn a_first_start_that_fails_is_no_proof_of_an_era() {
    let pair = Pair::start(
        &json!({"exit_at_start": {"code": 1, "stderr": "broken"}}),
        &[],
    );
    let peer = &pair.peer;
    peer.modern("server/discover", json!({})).result();
    assert!(
        pair.modern_call("mark", &json!({}))
            .tool_text()
            .contains("broken")
    );
    pair.listen("s", &json!({"toolsListChanged": true}));
    pair.save(&json!({"mark": "v2"}));
    peer.expect_notification(TOOLS_CHANGED);
    let state = pair.modern_call("state", &json!({})).result();
    assert_eq!(state["structuredContent"]["initialize"], Value::Null);
}

#[test]
fn the_era_that_the_user_sets_is_spoken() {
    for (era, legacy) in [("legacy", true), ("modern", false)] {
        let pair = Pair::start(&json!({}), &["--era", era]);
        pair.peer.initialize(&initialize_params()).result();
        assert_eq!(server_is_legacy(&pair.peer), legacy);
        let pair = Pair::start(&json!({}), &["--era", era]);
        pair.peer.modern("server/discover", json!({})).result();
        let state = pair.modern_call("state", &json!({})).result();
        assert_eq!(state["structuredContent"]["initialize"].is_null(), !legacy);
    }
    let pair = Pair::start(&json!({"eras": ["legacy"]}), &["--era", "modern"]);
    pair.peer.initialize(&initialize_params()).result();
    let answer = pair.peer.call("mark", &json!({}));
    assert!(
        answer.tool_text().contains("server/discover"),
        "{}",
        answer.tool_text()
    );
}
