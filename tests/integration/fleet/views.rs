//! Servers whose tools have views (MCP Apps), behind clients of both eras.

use serde_json::{Value, json};

use super::servers::{Fleet, Servers};
use crate::harness::{Message, initialize_params, modern_meta};

const UI: &str = "io.modelcontextprotocol/ui";

fn mime_types() -> Value {
    json!({"mimeTypes": ["text/html;profile=mcp-app"]})
}

/// A server with the tool `NAME_app` and its view. It neither lists resources nor declares that it has any.
fn app(name: &str, era: &str, view: &str) -> Value {
    let meta = json!({"ui": {"resourceUri": view, "visibility": ["model", "app"]}, "vendor": 1e5});
    json!({
        "mark": name,
        "eras": [era],
        "capabilities": {"tools": {"listChanged": true}, "extensions": {UI: {name: true}}},
        "tools": [{"name": format!("{name}_app"), "inputSchema": {"type": "object"}, "_meta": meta}],
        "resources": [{"uri": view, "name": "view"}],
        "raw": {"resources/list": r#"{"resources":[]}"#},
    })
}

/// Sends a request in one of the eras.
#[track_caller]
fn ask(fleet: &Fleet, is_modern: bool, method: &str, mut params: Value) -> Message {
    if is_modern {
        params["_meta"] = modern_meta();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"] =
            json!({UI: mime_types()});
    }
    fleet.peer.ask(method, &params)
}

/// Introduces a client of one of the eras, which shows views; returns the capabilities that it is told.
#[track_caller]
fn introduce(fleet: &Fleet, is_modern: bool) -> Value {
    let answer = if is_modern {
        ask(fleet, true, "server/discover", json!({}))
    } else {
        let mut params = initialize_params();
        params["capabilities"]["extensions"] = json!({UI: mime_types()});
        fleet.peer.initialize(&params)
    };
    answer.result()["capabilities"].take()
}

#[test]
fn a_host_of_either_era_shows_views_of_servers_of_both() {
    for is_modern in [false, true] {
        let fleet = Servers::new()
            .with("old", &app("old", "legacy", "ui://old"))
            .with("new", &app("new", "modern", "ui://new"))
            .dev();
        let capabilities = introduce(&fleet, is_modern);
        let offered = json!({UI: {"old": true, "new": true}});
        assert_eq!(capabilities["extensions"], offered, "{is_modern}");

        let tools = ask(&fleet, is_modern, "tools/list", json!({})).result();
        for name in ["old", "new"] {
            let listed = tools["tools"].as_array().unwrap().iter();
            let mut listed = listed.filter(|tool| tool["name"] == format!("{name}__{name}_app"));
            let script = app(name, "modern", &format!("ui://{name}"));
            let meta = &listed.next().unwrap()["_meta"];
            assert_eq!(meta, &script["tools"][0]["_meta"]);

            let uri = json!({"uri": format!("ui://{name}")});
            let view = ask(&fleet, is_modern, "resources/read", uri).result();
            assert_eq!(view["contents"][0]["text"], name);
            // A view knows its server's own name of the tool.
            let call = json!({"name": format!("{name}_app"), "arguments": {}});
            let called = ask(&fleet, is_modern, "tools/call", call).result();
            assert_eq!(called["content"][0]["text"], name);
        }
    }
}

/// Of two servers with the same view, either may have it.
#[test]
fn a_view_of_two_servers_is_asked_of_both() {
    let script = |name: &str| {
        let mut script = app(name, "legacy", "ui://shared");
        script["capabilities"]["resources"] = json!({});
        script
    };
    let mut other = script("other");
    other["resources"] = json!([]);
    let fleet = Servers::new()
        .with("other", &other)
        .with("app", &script("app"))
        .legacy();
    let view = ask(
        &fleet,
        false,
        "resources/read",
        json!({"uri": "ui://shared"}),
    )
    .result();
    assert_eq!(view["contents"][0]["text"], "app");
}

const UPDATED: &str = "notifications/resources/updated";

/// Clients that subscribed are told, each in the way of its era.
#[test]
fn a_saved_view_is_reported_to_its_subscribers_only() {
    for is_modern in [false, true] {
        let fleet = Servers::new()
            .with("old", &app("old", "legacy", "ui://old"))
            .with("new", &app("new", "modern", "ui://new"))
            .dev();
        introduce(&fleet, is_modern);
        ask(&fleet, is_modern, "tools/list", json!({})).result();
        if is_modern {
            let mut params =
                json!({"notifications": {"resourceSubscriptions": ["ui://old", "ui://new"]}});
            params["_meta"] = modern_meta();
            fleet.peer.request("subscriptions/listen", &params);
            fleet
                .peer
                .expect_notification("notifications/subscriptions/acknowledged");
        } else {
            for name in ["old", "new"] {
                let uri = json!({"uri": format!("ui://{name}")});
                fleet.peer.ask("resources/subscribe", &uri).result();
            }
        }
        for (name, era) in [("old", "legacy"), ("new", "modern")] {
            let view = format!("ui://{name}");
            let before = fleet.peer.notifications(UPDATED);
            let mut script = app(name, era, &view);
            script["mark"] = "saved".into();
            fleet.save(name, &script);
            let told = fleet.peer.expect_notification(UPDATED).params();
            assert_eq!(told["uri"], view);
            assert_eq!(told["_meta"].is_object(), is_modern, "{told}");
            let read = ask(&fleet, is_modern, "resources/read", json!({"uri": view}));
            assert_eq!(read.result()["contents"][0]["text"], "saved");
            // The view of the other server did not change.
            assert_eq!(fleet.peer.notifications(UPDATED), before + 1);
        }
    }
}

/// Only the host knows which view calls.
#[test]
fn a_tool_name_of_two_views_is_an_error_with_both_names() {
    let mut scripts = ["a", "b"].map(|name| app(name, "legacy", &format!("ui://{name}")));
    for script in &mut scripts {
        script["tools"][0]["name"] = "show".into();
    }
    let fleet = Servers::new()
        .with("a", &scripts[0])
        .with("b", &scripts[1])
        .legacy();
    let error = fleet.call("show", &json!({})).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`a__show` or `b__show`"), "{message}");
    for name in ["a", "b"] {
        let called = fleet.call(&format!("{name}__show"), &json!({})).result();
        assert_eq!(called["content"][0]["text"], name);
    }
}

/// Tools for views are listed, since hosts need them, but models do not find them.
#[test]
fn a_tool_for_views_is_listed_and_not_found_by_models() {
    let mut script = app("a", "legacy", "ui://a");
    let mut hidden = script["tools"][0].clone();
    hidden["name"] = "refresh_for_view".into();
    hidden["_meta"]["ui"]["visibility"] = json!(["app"]);
    script["tools"].as_array_mut().unwrap().push(hidden);
    let fleet = Servers::new()
        .with("a", &script)
        .option("--meta-tools")
        .option("all")
        .start("dev");
    introduce(&fleet, false);
    let names = fleet.names("tools/list");
    assert!(
        names.contains(&"a__refresh_for_view".to_owned()),
        "{names:?}"
    );
    let all = fleet.call("list_all_tools", &json!({}));
    assert!(
        all.line.contains("a_app") && !all.line.contains("refresh_for_view"),
        "{}",
        all.line
    );
    let found = fleet.call("search_tools", &json!({"query": "refresh for view"}));
    assert!(!found.line.contains("\"refresh_for_view"), "{}", found.line);
    let called = fleet.call("refresh_for_view", &json!({})).result();
    assert_eq!(called["content"][0]["text"], "a");
}
