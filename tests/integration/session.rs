//! One client's conversation in one era: everything reaches the other side, once, and survives reloads.

#[cfg(unix)]
mod endings;
#[cfg(unix)]
mod lists;
mod modern;
#[cfg(unix)]
mod paging;
mod questions;
mod tasks;

use serde_json::{Value, json};

use crate::harness::{Message, Peer, Project, initialize_params, modern_meta, scripted};

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
const RESOURCE: &str = r#"{"uri":"file:///a","name":"a"}"#;

/// A client in front of the fake server, whose script is its source.
struct Session {
    peer: Peer,
    project: Project,
}

impl Session {
    #[track_caller]
    fn start(script: &Value, options: &[&str]) -> Self {
        let (peer, project) = scripted(script, options);
        Self { peer, project }
    }

    #[track_caller]
    fn legacy(script: &Value, options: &[&str]) -> Self {
        let session = Self::start(script, options);
        session.peer.initialize(&initialize_params()).result();
        session
    }

    #[track_caller]
    fn modern(script: &Value, options: &[&str]) -> Self {
        let session = Self::start(script, options);
        session.peer.modern("server/discover", json!({})).result();
        session
    }

    fn save(&self, script: &Value) {
        self.project.save("script.json", &script.to_string());
    }

    /// Saves the script and waits until the client was told of the reload.
    #[track_caller]
    fn reload(&self, script: &Value) {
        self.save(script);
        self.peer.expect_notification(TOOLS_CHANGED);
    }

    /// The messages that the server remembers.
    #[track_caller]
    fn state(&self) -> Value {
        self.peer.call("state", &json!({})).result()["structuredContent"].take()
    }

    #[track_caller]
    fn listen(&self, id: &str, notifications: &Value) {
        self.peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"notifications":{notifications},"_meta":{}}}}}"#,
            modern_meta()
        ));
    }

    /// How many notifications of this method came on the stream `id`, a JSON value.
    fn on_stream(&self, method: &str, id: &Value) -> usize {
        self.peer
            .count(|message| message.method() == Some(method) && stream(message) == *id)
    }
}

/// The stream that a notification belongs to.
fn stream(message: &Message) -> Value {
    message.params()["_meta"]["io.modelcontextprotocol/subscriptionId"].take()
}

/// Holds once nothing that was sent before can still be on its way.
#[track_caller]
fn quiet(session: &Session) {
    session.peer.ask("ping", &json!({})).result();
    session.peer.call("mark", &json!({})).result();
}

#[test]
fn the_introduction_is_the_servers_own() {
    let script = json!({
        "serverInfo": {"name": "own", "version": "9", "vendor": 1},
        "instructions": "Do this.",
        "capabilities": {"tools": {"vendor": 1}, "vendor": {"a": 1}, "tasks": {"list": {}}},
    });
    let session = Session::start(&script, &[]);
    let mut params = initialize_params();
    params["protocolVersion"] = "2025-06-18".into();
    params["vendor"] = 1.into();
    let result = session.peer.initialize(&params).result();
    assert_eq!(result["serverInfo"], script["serverInfo"]);
    assert_eq!(result["instructions"], "Do this.");
    assert_eq!(result["protocolVersion"], "2025-06-18");
    let capabilities = &result["capabilities"];
    assert_eq!(
        capabilities["tools"],
        json!({"vendor": 1, "listChanged": true})
    );
    assert_eq!(capabilities["vendor"], json!({"a": 1}));
    assert_eq!(capabilities["tasks"], json!({"list": {}}));
    assert_eq!(session.state()["initialize"], params);
    // The same again needs no new server and no waiting.
    let pid =
        |peer: &Peer| peer.call("mark", &json!({})).result()["structuredContent"]["pid"].take();
    let before = pid(&session.peer);
    assert_eq!(
        session.peer.initialize(&params).result()["serverInfo"]["name"],
        "own"
    );
    assert_eq!(pid(&session.peer), before);
}

#[test]
fn ping_never_waits() {
    let session = Session::start(
        &json!({"start_delay_ms": 100_000}),
        &["--startup-wait", "100ms"],
    );
    assert_eq!(session.peer.ask("ping", &json!({})).result_text(), "{}");
    session.peer.initialize(&initialize_params()).result();
    assert_eq!(session.peer.ask("ping", &json!({})).result_text(), "{}");
}

#[test]
fn a_refused_subscription_is_not_replayed() {
    let script = |fails: bool| json!({"fail_subscribe": fails});
    let session = Session::legacy(&script(true), &[]);
    let subscribe = |uri: &str| {
        session
            .peer
            .ask("resources/subscribe", &json!({"uri": uri}))
    };
    assert_eq!(subscribe("file:///refused").error()["code"], -32602);
    session.reload(&script(false));
    assert_eq!(session.state()["subscriptions"], json!([]));
    subscribe("file:///a").result();
    session.reload(&script(true));
    // The next generation refuses it, and the one after that may not.
    assert_eq!(session.state()["subscriptions"], json!([]));
    session.reload(&script(false));
    assert_eq!(session.state()["subscriptions"], json!(["file:///a"]));
}

/// Taken back and given anew in one go, and all known to the next generation.
#[test]
fn thousands_of_subscriptions_are_replayed() {
    let session = Session::legacy(
        &json!({"resources": [{"uri": "file:///a", "name": "a"}]}),
        &[],
    );
    let uri = |n: usize| json!({"uri": format!("file:///{n:04}")});
    let ask = |method: &str, n: usize| session.peer.request(method, &uri(n));
    let mut all: Vec<_> = (0..2000).map(|n| ask("resources/subscribe", n)).collect();
    all.extend((0..1000).map(|n| ask("resources/unsubscribe", 2 * n)));
    all.extend((0..500).map(|n| ask("resources/subscribe", 4 * n)));
    for id in all {
        session.peer.await_response(id).result();
    }
    session.reload(&json!({"mark": "v2", "resources": [{"uri": "file:///a", "name": "a"}]}));
    let mut told: Vec<String> =
        serde_json::from_value(session.state()["subscriptions"].take()).unwrap();
    told.sort();
    let kept = (0..2000).filter(|n| n % 2 == 1 || n % 4 == 0);
    let kept: Vec<_> = kept.map(|n| format!("file:///{n:04}")).collect();
    assert_eq!(told, kept);
}

#[test]
fn level_and_subscriptions_are_replayed_after_a_reload() {
    let script = |mark: &str| json!({"mark": mark, "resources": [{"uri": "file:///a", "name": "a"}, {"uri": "file:///b", "name": "b"}]});
    let session = Session::legacy(&script("v1"), &[]);
    let peer = &session.peer;
    peer.ask("logging/setLevel", &json!({"level": "warning"}))
        .result();
    for uri in ["file:///a", "file:///b", "file:///c"] {
        peer.ask("resources/subscribe", &json!({"uri": uri}))
            .result();
    }
    peer.ask("resources/unsubscribe", &json!({"uri": "file:///c"}))
        .result();
    let before = session.state();
    assert_eq!(before["subscriptions"], json!(["file:///a", "file:///b"]));
    session.reload(&script("v2"));
    let after = session.state();
    for what in [
        "initialize",
        "initialized",
        "level",
        "subscriptions",
        "early",
    ] {
        assert_eq!(after[what], before[what], "{what}");
    }
    // New code may show new content.
    let updated = "notifications/resources/updated";
    let uris = [
        peer.expect_notification(updated),
        peer.expect_notification(updated),
    ];
    assert_eq!(
        uris.map(|message| message.params()),
        [json!({"uri": "file:///a"}), json!({"uri": "file:///b"})]
    );
    peer.call("touch", &json!({"uri": "file:///b"}));
    assert_eq!(
        peer.expect_notification(updated).params(),
        json!({"uri": "file:///b"})
    );
    quiet(&session);
    assert_eq!(peer.notifications(updated), 3);
    for kind in ["tools", "prompts", "resources"] {
        assert_eq!(
            peer.notifications(&format!("notifications/{kind}/list_changed")),
            1
        );
    }
}

#[test]
fn progress_and_logs_keep_their_tokens_and_bytes() {
    let script = json!({"tools": [{"name": "work", "inputSchema": {"type": "object"}, "x-progress": 2, "x-log": "hello"}]});
    let session = Session::legacy(&script, &[]);
    let peer = &session.peer;
    for token in [r#""t\/""#, "1.0", "1180591620717411303424"] {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","id":901,"method":"tools/call","params":{{"name":"work","_meta":{{"progressToken":{token}}}}}}}"#));
        for done in 1..=2 {
            let progress = peer.expect_notification("notifications/progress");
            assert_eq!(
                progress.params_text(),
                format!(r#"{{"progressToken":{token},"progress":{done},"total":2}}"#)
            );
        }
        assert_eq!(
            peer.expect_notification("notifications/message").params()["data"],
            "hello"
        );
    }
}

#[test]
fn completion_tasks_and_unknown_methods_pass() {
    let session = Session::legacy(&json!({"mark": "done"}), &[]);
    let peer = &session.peer;
    let argument = json!({"name": "a", "value": "b"});
    let completion = peer.ask(
        "completion/complete",
        &json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": argument}),
    );
    assert!(
        completion.result()["completion"]["values"][0]
            .as_str()
            .unwrap()
            .contains("value")
    );
    let call = json!({"name": "mark", "arguments": {}, "task": {"ttl": 60000}});
    let task = peer.ask("tools/call", &call).result()["task"].take();
    assert_eq!(
        (&task["ttl"], &task["pollInterval"]),
        (&json!(60000), &json!(50))
    );
    let id = json!({"taskId": task["taskId"]});
    assert_eq!(peer.ask("tasks/get", &id).result()["status"], "completed");
    assert_eq!(
        peer.ask("tasks/result", &id).result()["structuredContent"]["mark"],
        "done"
    );
    assert_eq!(
        peer.ask("tasks/list", &json!({})).result()["tasks"][0]["ttl"],
        60000
    );
    assert_eq!(
        peer.ask("vendor/x", &json!({"a": [1]})).result_text(),
        r#"{"a":[1]}"#
    );
    assert_eq!(peer.ask("no/such", &json!({})).error()["code"], -32601);
    peer.notify("vendor/note", &json!({"a": 2}));
    assert_eq!(
        peer.expect_notification("vendor/echo").params(),
        json!({"a": 2})
    );
}

#[test]
fn the_pages_of_a_list_become_one() {
    let tools: Vec<Value> = (0..7)
        .map(|n| json!({"name": format!("t{n}"), "inputSchema": {"type": "object"}}))
        .collect();
    let resources: Vec<Value> = (0..7)
        .map(|n| json!({"uri": format!("file:///{n}"), "name": "r"}))
        .collect();
    let script = json!({"page_size": 2, "tools": tools, "resources": resources});
    for modern in [false, true] {
        let session = if modern {
            Session::modern(&script, &[])
        } else {
            Session::legacy(&script, &[])
        };
        let ask = |method: &str, params: Value| {
            if modern {
                session.peer.modern(method, params)
            } else {
                session.peer.ask(method, &params)
            }
        };
        let list = ask("tools/list", json!({})).result();
        let names: Vec<_> = list["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        assert!(
            names.ends_with(&["t0", "t1", "t2", "t3", "t4", "t5", "t6"]),
            "{names:?}"
        );
        assert!(list["nextCursor"].is_null());
        assert_eq!(
            ask("resources/list", json!({})).result()["resources"],
            json!(resources)
        );
        assert_eq!(
            ask("tools/list", json!({"cursor": "2"})).error()["code"],
            -32602
        );
    }
}

#[test]
fn a_list_that_the_server_changes_is_told_once_and_new() {
    let session = Session::legacy(&json!({}), &[]);
    let peer = &session.peer;
    let added = json!({"tools": [{"name": "added", "inputSchema": {"type": "object"}}]});
    peer.call("set_tools", &added);
    peer.expect_notification(TOOLS_CHANGED);
    let list = peer.ask("tools/list", &json!({})).result();
    assert!(
        list["tools"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool["name"] == "added")
    );
    quiet(&session);
    assert_eq!(peer.notifications(TOOLS_CHANGED), 1);
}
