//! How the tools present themselves: short, true, and as they behave.

use serde_json::{Value, json};

use super::client::{Client, Era};
use super::stage::{Stage, tool};
use super::{ALL_TOOLS, AVAILABLE, CALL, INFO, INSTALLED, LOAD, LOADED, RELOAD, SEARCH, UNLOAD};
use crate::harness::Proxy;

const READING: [&str; 6] = [LOADED, AVAILABLE, INSTALLED, SEARCH, ALL_TOOLS, INFO];
const RUNNING: [&str; 3] = [LOAD, UNLOAD, RELOAD];

fn stage() -> Stage {
    Stage::new([
        (
            "a",
            json!({"tools": [tool("tides", &json!({"description": "Tides."}))]}),
        ),
        ("b", json!({})),
        (
            "broken",
            json!({"exit_at_start": {"code": 1, "stderr": "oh"}}),
        ),
    ])
}

#[track_caller]
pub(super) fn definition(tools: &[Value], name: &str) -> Value {
    let found = tools.iter().find(|tool| tool["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} is not listed"))
        .clone()
}

#[test]
fn definitions_are_short_and_complete() {
    for era in [Era::Legacy, Era::Modern] {
        let tools = stage().client(era, Proxy::serve()).tools();
        for tool in &tools {
            let text = tool["description"].as_str().unwrap();
            assert!((20..=320).contains(&text.len()), "{text}");
            assert!(
                tool["title"]
                    .as_str()
                    .is_some_and(|title| title.len() <= 40),
                "{tool}"
            );
            let schema = &tool["inputSchema"];
            assert_eq!(schema["type"], "object");
            let properties = schema["properties"].as_object().unwrap();
            for property in properties.values() {
                assert!(!property["type"].is_null(), "{tool}");
            }
            let required = schema["required"].as_array().unwrap();
            assert!(
                required
                    .iter()
                    .all(|name| properties.contains_key(name.as_str().unwrap()))
            );
        }
        for name in READING.iter().chain(&RUNNING) {
            assert_eq!(definition(&tools, name)["outputSchema"]["type"], "object");
        }
        // Its results are those of any tool.
        assert_eq!(definition(&tools, CALL).get("outputSchema"), None);
    }
}

/// Tools annotated as read-only change no process, no list and no file; the annotations of the others are true.
#[test]
fn annotations_are_true() {
    let stage = stage();
    let client = stage.serve();
    let tools = client.tools();
    for name in READING {
        let hints = &definition(&tools, name)["annotations"];
        assert_eq!(
            *hints,
            json!({"readOnlyHint": true, "openWorldHint": false}),
            "{name}"
        );
    }
    for name in RUNNING {
        let hints = &definition(&tools, name)["annotations"];
        assert_eq!(hints["readOnlyHint"], false, "{name}");
        assert_eq!(hints["openWorldHint"], false, "{name}");
        // Another tool can undo each of its effects.
        assert_eq!(hints["destructiveHint"], false, "{name}");
    }
    let hints = &definition(&tools, CALL)["annotations"];
    assert_eq!(
        *hints,
        json!({"readOnlyHint": false, "destructiveHint": true, "openWorldHint": true})
    );

    client.success(LOAD, &json!({"server_name": "a"}));
    let before = state(&client);
    for arguments in [
        json!({"tool_name": "tides"}),
        json!({"tool_name": "tides", "server_name": "a"}),
        json!({"tool_name": "tides", "server_name": "b"}),
        json!({"tool_name": "x", "server_name": "broken"}),
    ] {
        client.call(INFO, &arguments).result();
    }
    client.success(SEARCH, &json!({"query": "tides"}));
    for name in [LOADED, AVAILABLE, INSTALLED, ALL_TOOLS] {
        client.success(name, &json!({}));
    }
    assert_eq!(state(&client), before);
}

/// A client's view of all servers, without times.
#[track_caller]
fn state(client: &Client) -> (Value, Vec<Value>, usize) {
    let mut details = client.success(AVAILABLE, &json!({}))["details"].take();
    for server in details.as_array_mut().unwrap() {
        server.as_object_mut().unwrap().remove("uptime_s");
    }
    let changes = client
        .peer
        .notifications("notifications/tools/list_changed");
    (details, client.tools(), changes)
}

/// The SDKs check this too where `rows` goes over them; here it is each kind of success and failure.
#[test]
fn results_are_as_the_output_schemas_say() {
    for era in [Era::Legacy, Era::Modern] {
        let stage = stage();
        let client = stage.client(era, Proxy::serve());
        let tools = client.tools();
        let of = |server: &str| json!({ "server_name": server });
        let tides = json!({"tool_name": "tides"});
        for (name, arguments, succeeds) in [
            (LOADED, json!({}), true),
            (AVAILABLE, json!({}), true),
            (LOAD, of("a"), true),
            (LOAD, of("a"), true),
            (LOAD, of("broken"), false),
            (LOAD, of("nowhere"), false),
            (LOADED, json!({}), true),
            (AVAILABLE, json!({}), true),
            (INSTALLED, json!({}), true),
            (RELOAD, of("a"), true),
            (RELOAD, of("b"), true),
            (RELOAD, of("broken"), false),
            (SEARCH, json!({"query": "tides"}), true),
            (SEARCH, json!({}), false),
            (ALL_TOOLS, json!({}), true),
            (INFO, tides.clone(), true),
            (INFO, json!({"tool_name": "tide"}), false),
            (UNLOAD, of("a"), true),
            (UNLOAD, of("a"), false),
        ] {
            let schema = definition(&tools, name)["outputSchema"].take();
            let answer = client.call(name, &arguments);
            let said = client.own(&answer, !succeeds);
            assert_eq!(said["success"], succeeds);
            conforms(&said, &schema, succeeds);
        }
    }
}

/// Checks the keywords that these schemas use. A success has each promised member, except those of a
/// failure and of a reload that was the first load.
#[track_caller]
pub(super) fn conforms(said: &Value, schema: &Value, succeeds: bool) {
    for name in schema["required"].as_array().unwrap() {
        assert!(said.get(name.as_str().unwrap()).is_some(), "{name}: {said}");
    }
    for (name, property) in schema["properties"].as_object().unwrap() {
        let Some(value) = said.get(name) else {
            let may_be_absent = !succeeds || ["error", "diff"].contains(&name.as_str());
            assert!(may_be_absent, "{name} is missing in {said}");
            continue;
        };
        let is = match property["type"].as_str().unwrap() {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other} is not checked"),
        };
        assert!(is, "{name} of {said} is not of the type in {property}");
    }
}
