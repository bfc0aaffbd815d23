use std::collections::BTreeSet;

use super::*;

fn names(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

/// Returns the definitions of every choice, as JSON.
fn everything() -> Vec<Value> {
    let mut all = Vec::new();
    for several in [false, true] {
        for entry in of(Set::All, several, true) {
            let value: Value = serde_json::from_str(&entry.raw).unwrap();
            assert_eq!(value["name"], *entry.name);
            all.push(value);
        }
    }
    all
}

#[test]
fn a_choice_decides_which_tools_there_are() {
    let installing = [INSTALL, INSTALL_AND_LOAD, UNINSTALL];
    let dev = [RELOAD, LOADED, INFO, CALL];
    let rest = [LOAD, UNLOAD, AVAILABLE, INSTALLED, SEARCH, ALL_TOOLS];
    for to_install in [false, true] {
        assert_eq!(names(&of(Set::None, true, to_install)), [""; 0]);
        assert_eq!(names(&of(Set::Dev, true, to_install)), dev);
        let all = of(Set::All, true, to_install);
        let mut expected: BTreeSet<&str> = dev.into_iter().chain(rest).collect();
        if to_install {
            expected.extend(installing);
        }
        assert_eq!(names(&all).len(), expected.len());
        assert_eq!(BTreeSet::from_iter(names(&all)), expected);
    }
}

#[test]
fn every_definition_is_one_that_a_client_accepts() {
    for tool in everything() {
        let name = tool["name"].as_str().unwrap();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        assert!(name.len() <= 48 && name.chars().all(allowed), "{name}");
        for text in ["title", "description"] {
            let text = tool[text].as_str().unwrap();
            assert!(!text.is_empty() && text.trim() == text, "{name}: {text}");
            assert!(!text.contains("  "), "{name}: {text}");
        }
        for schema in ["inputSchema", "outputSchema"] {
            let schema = &tool[schema];
            if !schema.is_null() {
                assert_eq!(schema["type"], "object", "{name}");
                assert!(schema["properties"].is_object(), "{name}");
                let required = schema["required"].as_array().unwrap();
                let all = |it: &Value| !schema["properties"][it.as_str().unwrap()].is_null();
                assert!(required.iter().all(all), "{name}");
            }
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
    }
}

#[test]
fn every_parameter_has_a_type_and_a_default_of_it() {
    let kinds = ["string", "integer", "boolean", "object", "null"];
    for tool in everything() {
        let required = tool["inputSchema"]["required"].as_array().unwrap();
        for (name, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            let place = format!("{}: {name}", tool["name"]);
            let types: Vec<&str> = match &schema["type"] {
                Value::String(one) => vec![one],
                Value::Array(several) => several.iter().map(|it| it.as_str().unwrap()).collect(),
                other => panic!("{place}: {other}"),
            };
            assert!(types.iter().all(|it| kinds.contains(it)), "{place}");
            if let Some(default) = schema.get("default") {
                let kind = match default {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    other => panic!("{place}: {other}"),
                };
                assert!(types.contains(&kind), "{place}");
            }
            // A model that gives null leaves the parameter out.
            let is_required = required.iter().any(|it| it == name);
            assert!(!is_required || !types.contains(&"null"), "{place}");
        }
    }
}

#[test]
fn the_parameters_are_those_that_the_tools_read() {
    let sources = [
        "git_url",
        "server_name",
        "server_file",
        "env_vars",
        "requirements_file",
        "auto_detect",
        "overwrite",
    ];
    for (tool, parameters, required) in [
        (RELOAD, &["server_name"][..], &["server_name"][..]),
        (LOAD, &["server_name"], &["server_name"]),
        (UNLOAD, &["server_name"], &["server_name"]),
        (LOADED, &[], &[]),
        (AVAILABLE, &[], &[]),
        (INSTALLED, &[], &[]),
        (INFO, &["tool_name", "server_name"], &["tool_name"]),
        (
            CALL,
            &["server_name", "tool_name", "parameters", "rehearse"],
            &["tool_name"],
        ),
        (SEARCH, &["query", "max_results"], &["query"]),
        (ALL_TOOLS, &[], &[]),
        (INSTALL, &sources, &["git_url"]),
        (INSTALL_AND_LOAD, &sources, &["git_url"]),
        (
            UNINSTALL,
            &["server_name", "delete_files", "force"],
            &["server_name"],
        ),
    ] {
        let all = everything();
        // The last one is for several servers.
        let schema = &all.iter().rfind(|it| it["name"] == tool).unwrap()["inputSchema"];
        let given = schema["properties"].as_object().unwrap();
        let given: BTreeSet<&str> = given.keys().map(String::as_str).collect();
        assert_eq!(given, parameters.iter().copied().collect(), "{tool}");
        assert_eq!(schema["required"], json!(required), "{tool}");
    }
}

#[test]
fn a_single_server_needs_no_name() {
    for tool in [RELOAD, LOAD, UNLOAD] {
        let all = of(Set::All, false, false);
        let raw = &all.iter().find(|it| it.name == tool).unwrap().raw;
        let value: Value = serde_json::from_str(raw).unwrap();
        assert_eq!(value["inputSchema"]["required"], json!([]), "{tool}");
    }
}

#[test]
fn every_result_but_that_of_a_servers_tool_is_described() {
    for tool in everything() {
        let name = tool["name"].as_str().unwrap();
        let output = &tool["outputSchema"];
        assert_eq!(output.is_null(), name == CALL, "{name}");
        if !output.is_null() {
            assert_eq!(output["required"], json!(["success"]), "{name}");
            assert_eq!(output["properties"]["success"]["type"], "boolean", "{name}");
            assert_eq!(output["properties"]["error"]["type"], "string", "{name}");
        }
    }
}

#[test]
fn hints_warn_of_effects() {
    for (tool, reads, destroys) in [
        (LOADED, true, None),
        (SEARCH, true, None),
        (INFO, true, None),
        (RELOAD, false, Some(false)),
        (UNLOAD, false, Some(false)),
        (CALL, false, Some(true)),
        (INSTALL, false, Some(true)),
        (INSTALL_AND_LOAD, false, Some(true)),
        (UNINSTALL, false, Some(true)),
    ] {
        let all = everything();
        let hints = &all.iter().find(|it| it["name"] == tool).unwrap()["annotations"];
        assert_eq!(hints["readOnlyHint"], reads, "{tool}");
        assert_eq!(hints["destructiveHint"].as_bool(), destroys, "{tool}");
    }
}
