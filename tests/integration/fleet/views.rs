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
