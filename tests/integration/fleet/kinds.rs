//! Prompts, completions, resources, subscriptions and log levels of several servers.

use serde_json::{Value, json};

use super::{Fleet, Servers};
use crate::harness::{DEADLINE, Message, eventually, modern_meta};

const UPDATED: &str = "notifications/resources/updated";

fn prompt(name: &str) -> Value {
    json!({"mark": name, "prompts": [{"name": "p", "arguments": [{"name": "x", "foo": 1.0}]}]})
}

#[test]
fn prompts_are_named_listed_and_got_as_tools_are() {
    let fleet = Servers::new()
        .with("b", &prompt("b"))
        .set("a", &prompt("a"), "prefix = ''")
        .with("none", &json!({}))
        .legacy();
    let prompts = fleet.peer.ask("prompts/list", &json!({}));
    let entry =
        |name: &str| format!(r#"{{"name":"{name}","arguments":[{{"name":"x","foo":1.0}}]}}"#);
    let expected = format!(r#"{{"prompts":[{},{}]}}"#, entry("b__p"), entry("p"));
    assert_eq!(prompts.result_text(), expected);
    for (name, mark) in [("b__p", "b"), ("p", "a")] {
        let got = fleet
            .peer
            .ask("prompts/get", &json!({"name": name}))
            .result();
        assert_eq!(got["messages"][0]["content"]["text"], mark);
    }
    let unknown = fleet.peer.ask("prompts/get", &json!({"name": "a__p"}));
    assert_eq!(unknown.error()["code"], -32602);
}

/// The values of a completion: the argument that the server received.
#[track_caller]
fn completed(fleet: &Fleet, reference: &Value) -> Message {
    let argument = json!({"name": "x", "value": "1E5"});
    let params = json!({"ref": reference, "argument": argument, "context": {"arguments": {}}});
    fleet.peer.ask("completion/complete", &params)
}

#[test]
fn completions_go_to_the_server_of_the_prompt_or_the_template() {
    let script = |scheme: &str| {
        json!({
            "record": true,
            "raw": {
                "prompts/list": r#"{"prompts":[{"name":"p"}]}"#,
                "resources/templates/list": format!(r#"{{"resourceTemplates":[{{"uriTemplate":"{scheme}://{{id}}"}}]}}"#),
                "tools/list": r#"{"tools":[{"name":"t"}]}"#,
            },
        })
    };
    let fleet = Servers::new()
        .with("a", &script("one"))
        .with("b", &script("two"))
        .legacy();
    let heard = |server: &str| -> String {
        let params = json!({"name": format!("{server}__t")});
        fleet
            .peer
            .ask("vendor/heard", &params)
            .result_text()
            .replace(r#"\""#, "\"")
    };
    let send = |reference: Value| {
        let params = json!({"ref": reference, "argument": {"name": "x", "value": "1"}, "foo": 1});
        fleet.peer.request("completion/complete", &params)
    };
    for server in ["a", "b"] {
        heard(server);
    }
    send(json!({"type": "ref/prompt", "title": "t", "name": "b__p"}));
    send(json!({"type": "ref/resource", "uri": "two://{id}"}));
    send(json!({"type": "ref/resource", "uri": "one://{id}"}));
    let (a, b) = (heard("a"), heard("b"));
    assert!(
        a.contains(r#""ref":{"type":"ref/resource","uri":"one://{id}"}"#) && !a.contains("two:"),
        "{a}"
    );
    let own = r#""params":{"ref":{"type":"ref/prompt","title":"t","name":"p"},"argument":{"name":"x","value":"1"},"foo":1}"#;
    assert!(
        b.contains(own) && b.contains("two://{id}") && !b.contains("one:"),
        "{b}"
    );
    let unknown = completed(&fleet, &json!({"type": "ref/prompt", "name": "p"}));
    assert_eq!(unknown.error()["code"], -32602);
}

#[track_caller]
fn read(fleet: &Fleet, uri: &str) -> Message {
    fleet.peer.ask("resources/read", &json!({"uri": uri}))
}

fn text(answer: &Message) -> String {
    let result = answer.result();
    result["contents"][0]["text"].as_str().unwrap().to_owned()
}

/// Three servers with resources of their own, and one that two of them have.
fn resources() -> Servers {
    let resource = |uri: &str| json!({"uri": uri, "name": "n", "size": 1.0});
    Servers::new()
        .with("a", &json!({"mark": "a", "resources": [resource("own://a"), resource("both://x")]}))
        .with("b", &json!({"mark": "b", "resources": [resource("own://b"), resource("both://x")],
            "templates": [{"uriTemplate": "file://b/{+path}", "name": "t"}, {"uriTemplate": "item://{id}", "name": "t"}]}))
        .with("c", &json!({"mark": "c", "resources": [resource("hidden://c")],
            "templates": [{"uriTemplate": "item://{id}/{part}", "name": "t"}],
            "raw": {"resources/list": r#"{"resources":[]}"#}}))
}

#[test]
fn resources_are_read_where_they_are() {
    let fleet = resources().legacy();
    let listed = fleet
        .peer
        .ask("resources/list", &json!({}))
        .result_text()
        .to_owned();
    let entry = |uri: &str| format!(r#"{{"uri":"{uri}","name":"n","size":1.0}}"#);
    let all = ["own://a", "both://x", "own://b"].map(entry).join(",");
    assert_eq!(listed, format!(r#"{{"resources":[{all}]}}"#));
    let templates = fleet.list("resources/templates/list");
    let templates: Vec<&Value> = templates.iter().map(|it| &it["uriTemplate"]).collect();
    assert_eq!(
        templates,
        ["file://b/{+path}", "item://{id}", "item://{id}/{part}"]
    );
    for (uri, owner) in [
        ("own://a", "a"),
        ("own://b", "b"),
        ("both://x", "a"),
        ("file://b/deep/er", "b"),
        ("item://7", "b"),
        ("item://7/part", "c"),
        ("hidden://c", "c"),
    ] {
        assert_eq!(text(&read(&fleet, uri)), owner, "{uri}");
    }
    assert_eq!(read(&fleet, "nobody://has-it").error()["code"], -32002);
}

/// A name that no server lists may belong to a server that is being reloaded.
#[test]
fn an_unlisted_resource_is_not_lost_while_its_server_reloads() {
    let fleet = resources().legacy();
    let hidden = json!({"mark": "new", "start_delay_ms": 700, "resources": [{"uri": "hidden://c", "name": "n"}],
        "raw": {"resources/list": r#"{"resources":[]}"#}});
    let spawned = fleet.events_of("spawned", "c");
    fleet.save("c", &hidden);
    fleet.until("spawned", "c", spawned + 1);
    assert_eq!(text(&read(&fleet, "hidden://c")), "new");
}

fn subscribed(fleet: &Fleet, server: &str) -> Value {
    fleet.state(server)["subscriptions"].take()
}

#[test]
fn subscriptions_go_where_the_resource_is_and_survive_a_reload() {
    let fleet = resources().legacy();
    fleet
        .peer
        .ask("resources/subscribe", &json!({"uri": "own://b"}))
        .result();
    assert_eq!(subscribed(&fleet, "b"), json!(["own://b"]));
    assert_eq!(subscribed(&fleet, "a"), json!([]));
    fleet.call("b__touch", &json!({"uri": "own://b"})).result();
    let told = fleet.peer.expect_notification(UPDATED);
    assert_eq!(told.params(), json!({"uri": "own://b"}));

    let script = json!({"mark": "v2", "resources": [{"uri": "own://b", "name": "n"}]});
    fleet.save("b", &script);
    fleet.until("reloaded", "b", 1);
    eventually(DEADLINE, || subscribed(&fleet, "b") == json!(["own://b"]));
    assert_eq!(subscribed(&fleet, "a"), json!([]));
    fleet
        .peer
        .ask("resources/unsubscribe", &json!({"uri": "own://b"}))
        .result();
    eventually(DEADLINE, || subscribed(&fleet, "b") == json!([]));
}

#[test]
fn a_refused_subscription_is_not_replayed() {
    let script = |fails: bool| json!({"mark": "b", "fail_subscribe": fails, "resources": [{"uri": "own://b", "name": "n"}]});
    let fleet = Servers::marked(["a"]).with("b", &script(true)).legacy();
    let params = json!({"uri": "own://b"});
    let answer = fleet.peer.ask("resources/subscribe", &params);
    assert_eq!(answer.error()["code"], -32602);
    fleet.save("b", &script(false));
    fleet.until("reloaded", "b", 1);
    assert_eq!(subscribed(&fleet, "b"), json!([]));
}

#[test]
fn one_stream_of_a_modern_client_hears_of_all_servers() {
    let resource = |uri: &str| json!({"uri": uri, "name": "n"});
    let fleet = Servers::new()
        .with(
            "old",
            &json!({"mark": "old", "eras": ["legacy"], "resources": [resource("own://old")]}),
        )
        .with(
            "new",
            &json!({"mark": "new", "eras": ["modern"], "resources": [resource("own://new")]}),
        )
        .dev();
    fleet.peer.modern("server/discover", json!({})).result();
    fleet.peer.modern("resources/list", json!({})).result();
    let filter =
        json!({"toolsListChanged": true, "resourceSubscriptions": ["own://old", "own://new"]});
    let params = json!({"_meta": modern_meta(), "notifications": filter});
    let stream = fleet.peer.request("subscriptions/listen", &params);
    let tag = |message: &Message| {
        message.params()["_meta"]["io.modelcontextprotocol/subscriptionId"].clone()
    };
    let acknowledged = fleet
        .peer
        .expect_notification("notifications/subscriptions/acknowledged");
    assert_eq!(tag(&acknowledged), json!(stream));
    let call = |tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        fleet.peer.modern("tools/call", params).result()
    };
    let follows = |server: &str| {
        call(&format!("{server}__state"), json!({}))["structuredContent"].to_string()
    };
    for server in ["old", "new"] {
        eventually(DEADLINE, || {
            follows(server).contains(&format!("own://{server}"))
        });
        let uri = format!("own://{server}");
        call(&format!("{server}__touch"), json!({"uri": uri}));
        let told = fleet.peer.expect_notification(UPDATED);
        assert_eq!(
            (tag(&told), told.params()["uri"].clone()),
            (json!(stream), json!(uri))
        );
        let added = json!({"tools": [{"name": format!("{server}_tool")}]});
        call(&format!("{server}__set_tools"), added);
        let told = fleet.peer.expect_notification(super::LIST_CHANGED);
        assert_eq!(tag(&told), json!(stream));
    }
    assert!(!follows("old").contains("own://new") && !follows("new").contains("own://old"));
    fleet
        .peer
        .notify("notifications/cancelled", &json!({"requestId": stream}));
    eventually(DEADLINE, || {
        !follows("old").contains("own://old") && !follows("new").contains("own://new")
    });
}

#[test]
fn a_log_level_is_for_all_servers_and_those_to_come() {
    let log = json!({"mark": "v1", "tools": [{"name": "noisy", "x-log": "\u{e9}"}]});
    let fleet = Servers::new().with("a", &log).with("b", &log).legacy();
    fleet
        .peer
        .ask("logging/setLevel", &json!({"level": "warning"}))
        .result();
    let levels = || ["a", "b"].map(|name| fleet.state(name)["level"].take());
    eventually(DEADLINE, || {
        levels() == [json!("warning"), json!("warning")]
    });
    fleet.call("a__noisy", &json!({})).result();
    fleet.save("b", &log_of("v2"));
    fleet.until("reloaded", "b", 1);
    assert_eq!(levels(), [json!("warning"), json!("warning")]);
    let third = super::servers::section("c", "");
    fleet.save("c", &log);
    let text = format!("{}\n{third}", fleet.project.read("mcp-proxy.toml"));
    fleet.project.save("mcp-proxy.toml", &text);
    fleet.until_present(&["a", "b", "c"]);
    assert_eq!(fleet.state("c")["level"], "warning");
    assert_eq!(fleet.peer.notifications("notifications/message"), 0);
    fleet
        .peer
        .ask("logging/setLevel", &json!({"level": "debug"}))
        .result();
    eventually(DEADLINE, || levels() == [json!("debug"), json!("debug")]);
    fleet.call("c__noisy", &json!({})).result();
    fleet.peer.expect_notification("notifications/message");
}

fn log_of(mark: &str) -> Value {
    json!({"mark": mark})
}

#[test]
fn notifications_of_the_client_reach_all_servers() {
    let fleet = Servers::marked(["a", "b"]).legacy();
    fleet
        .peer
        .notify("notifications/roots/list_changed", &json!({}));
    for server in ["a", "b"] {
        let heard = || fleet.state(server)["notifications"].to_string();
        eventually(DEADLINE, || heard().contains("roots/list_changed"));
    }
    fleet.peer.notify("vendor/told", &json!({"n": 1}));
    for _ in ["a", "b"] {
        let echo = fleet.peer.expect_notification("vendor/echo");
        assert_eq!(echo.params(), json!({"n": 1}));
    }
}

#[test]
fn an_unknown_method_goes_where_its_name_or_uri_leads() {
    let fleet = resources().legacy();
    let ask = |params: Value| fleet.peer.ask("vendor/x", &params);
    assert_eq!(
        ask(json!({"name": "b__echo", "n": 1})).result(),
        json!({"name": "echo", "n": 1})
    );
    assert_eq!(
        ask(json!({"uri": "own://b"})).result(),
        json!({"uri": "own://b"})
    );
    for params in [
        json!({}),
        json!({"name": "nobody"}),
        json!({"uri": "nobody://x"}),
    ] {
        assert_eq!(ask(params).error()["code"], -32601);
    }
}

#[test]
fn a_reload_renews_the_resources_of_its_server_alone() {
    let fleet = resources().legacy();
    for uri in ["own://a", "own://b"] {
        let params = json!({"uri": uri});
        fleet.peer.ask("resources/subscribe", &params).result();
    }
    fleet.save(
        "b",
        &json!({"mark": "v2", "resources": [{"uri": "own://b", "name": "n"}]}),
    );
    fleet.until("reloaded", "b", 1);
    let told = fleet.peer.expect_notification(UPDATED);
    assert_eq!(told.params(), json!({"uri": "own://b"}));
    fleet.peer.ask("ping", &json!({})).result();
    assert_eq!(fleet.peer.notifications(UPDATED), 1);
}

/// An unlisted resource may be out of date after a reload as well.
#[test]
fn no_resource_of_watched_code_may_be_kept() {
    let raw = r#"{"resultType":"complete","contents":[],"ttlMs":60000,"cacheScope":"public"}"#;
    let resource = |uri: &str| json!({"uri": uri, "name": "n", "x-raw": raw});
    let list = r#"{"resultType":"complete","resources":[{"uri":"own://b","name":"n"}],"ttlMs":0,"cacheScope":"public"}"#;
    let script = json!({"eras": ["modern"], "raw": {"resources/list": list},
        "resources": [resource("own://b"), resource("hidden://b")]});
    let fleet = Servers::marked(["a"]).with("b", &script).dev();
    fleet.peer.modern("server/discover", json!({})).result();
    for uri in ["own://b", "hidden://b"] {
        let read = fleet.peer.modern("resources/read", json!({"uri": uri}));
        assert_eq!(read.result()["ttlMs"], 0, "{uri}");
    }
}
