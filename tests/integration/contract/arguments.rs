//! Arguments of the meta-tools as models write them: understood where they mean one thing, else refused by name.

use serde_json::{Value, json};

use super::stage::Stage;
use super::*;

fn stage() -> Stage {
    Stage::new([("a", json!({"mark": "a"})), ("b", json!({"mark": "b"}))])
}

#[test]
fn other_names_and_forms_of_arguments_reach_the_tool() {
    let stage = stage();
    let client = stage.serve();
    for call in [
        json!({"server_name": "a", "tool_name": "echo", "arguments": {"x": 1}}),
        json!({"server_name": "a", "tool_name": "echo", "args": {"x": 1}}),
        json!({"server": "a", "tool": "echo", "params": {"x": 1}}),
        json!({"serverName": "a", "name": "echo", "input": {"x": 1}}),
        json!({"server_name": "a", "tool_name": "echo", "parameters": null, "arguments": {"x": 1}}),
        json!({"server_name": "a", "tool_name": "echo", "parameters": "{\"x\": 1}"}),
        json!("{\"server_name\": \"a\", \"tool_name\": \"echo\", \"parameters\": {\"x\": 1}}"),
    ] {
        let said = client.call(CALL, &call).result();
        let text = said.to_string().replace(' ', "");
        assert!(
            text.contains(r#"{\"x\":1}"#) || text.contains(r#"{"x":1}"#),
            "{call}: {said}"
        );
    }
    for nothing in [
        json!(""),
        json!([]),
        json!("null"),
        json!("{}"),
        Value::Null,
    ] {
        let call = json!({"server_name": "b", "tool_name": "mark", "parameters": nothing});
        let said = client.call(CALL, &call).result();
        assert_eq!(said["structuredContent"]["mark"], "b", "{call}");
    }
    for max in [json!("1"), json!("1.0"), json!(1.0)] {
        let said = client.success(SEARCH, &json!({"query": "", "limit": max}));
        assert_eq!(said["count"], 1);
    }
    client.success(LOADED, &json!([]));
    client.success(AVAILABLE, &json!(""));
    client.success(LOAD, &json!({"server": "b"}));
    client.success(INFO, &json!({"name": "mark", "server": "a"}));
}

#[test]
fn an_unknown_argument_is_named_and_nothing_is_done() {
    let stage = stage();
    let client = stage.serve();
    for (tool, arguments, name, hint) in [
        (
            CALL,
            json!({"server_name": "a", "tool_name": "mark", "city": "Rome"}),
            "`city`",
            "pass the tool's own arguments in `parameters`",
        ),
        (
            CALL,
            json!({"server_name": "a", "tool_name": "mark", "parameters": {}, "arguments": {"x": 1}}),
            "`arguments`",
            "the parameters are",
        ),
        (
            CALL,
            json!({"server_name": "a", "tool_name": "mark", "parametres": {}}),
            "`parametres`",
            "did you mean `parameters`?",
        ),
        (
            SEARCH,
            json!({"query": "x", "server": "a"}),
            "`server`",
            "query, max_results",
        ),
        (
            LOADED,
            json!({"verbose": true}),
            "`verbose`",
            "no parameters",
        ),
        (
            UNLOAD,
            json!({"server_name": "a", "now": 1}),
            "`now`",
            "server_name",
        ),
        (
            UNINSTALL,
            json!({"server_name": "a", "purge": true}),
            "`purge`",
            "delete_files",
        ),
        (
            INSTALL,
            json!({"git_url": "x/y", "branch": "dev"}),
            "`branch`",
            "git_url",
        ),
    ] {
        let said = client.failure(tool, &arguments);
        assert!(said["error"].as_str().unwrap().contains(name), "{said}");
        assert!(
            said["suggestion"].as_str().unwrap().contains(hint),
            "{said}"
        );
    }
    let said = client.failure(CALL, &json!({"tool_name": "mark", "args": ["x"]}));
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .contains("must be an object"),
        "{said}"
    );
}

#[test]
fn every_definition_is_closed() {
    let stage = stage();
    let tools = stage.serve().ask("tools/list", json!({})).result();
    let own: Vec<_> = tools["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["_meta"].is_object())
        .collect();
    assert_eq!(own.len(), 13);
    for tool in own {
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
    }
}
