use super::*;
use crate::meta_tools::definitions;
use crate::meta_tools::{CALL, INSTALL, LOADED, RELOAD, SEARCH, Set, UNINSTALL};

/// Returns the definition of the meta-tool `name` for several servers.
fn tool(name: &str) -> Entry {
    let mut tools = definitions::of(Set::All, true, true).into_iter();
    tools.find(|tool| tool.name == name).unwrap()
}

#[test]
fn arguments_as_defined_stay_byte_for_byte() {
    for (name, arguments) in [
        (CALL, "{}"),
        (
            CALL,
            r#"{"tool_name":"\ud83d","parameters":{"n":123456789012345678901234567890,"a":1,"a":2,"f":1.0E+400}}"#,
        ),
        // Text stays text, even if it looks like another type.
        (SEARCH, r#"{"query":"true","max_results":7}"#),
        (SEARCH, r#"{"query":""}"#),
        (UNINSTALL, r#"{"server_name":"5","delete_files":true}"#),
        (INSTALL, r#"{"git_url":"a/b","env_vars":{"N":"1"}}"#),
    ] {
        let understood = understood(&tool(name), arguments);
        assert_eq!(understood.as_deref(), Ok(arguments), "{name}");
    }
}

#[test]
fn other_names_and_types_with_one_meaning_are_corrected() {
    for (name, arguments, expected) in [
        // Arguments as a whole.
        (LOADED, "null", "{}"),
        (LOADED, "[]", "{}"),
        (LOADED, r#""""#, "{}"),
        (
            RELOAD,
            r#"" {\"server_name\":\"a\"} ""#,
            r#"{"server_name":"a"}"#,
        ),
        // Names.
        (CALL, r#"{"Tool-Name":"a"}"#, r#"{"tool_name":"a"}"#),
        (
            CALL,
            r#"{"tool":"a","server":"b","args":{"x":1E5}}"#,
            r#"{"tool_name":"a","server_name":"b","parameters":{"x":1E5}}"#,
        ),
        (CALL, r#"{"name":"a"}"#, r#"{"tool_name":"a"}"#),
        (RELOAD, r#"{"name":"a"}"#, r#"{"server_name":"a"}"#),
        (
            SEARCH,
            r#"{"q":"a","limit":3}"#,
            r#"{"query":"a","max_results":3}"#,
        ),
        (
            INSTALL,
            r#"{"repo":"a/b","env":{"K":"v"},"force":true}"#,
            r#"{"git_url":"a/b","env_vars":{"K":"v"},"overwrite":true}"#,
        ),
        (
            UNINSTALL,
            r#"{"name":"a","force":true,"delete":true}"#,
            r#"{"force":true,"server_name":"a","delete_files":true}"#,
        ),
        // Types.
        (
            CALL,
            r#"{"tool_name":"a","parameters":"{\"x\":-0}"}"#,
            r#"{"tool_name":"a","parameters":{"x":-0}}"#,
        ),
        (
            CALL,
            r#"{"tool_name":"a","parameters":[]}"#,
            r#"{"tool_name":"a"}"#,
        ),
        (
            SEARCH,
            r#"{"query":"a","max_results":" 5 "}"#,
            r#"{"query":"a","max_results":5}"#,
        ),
        (
            UNINSTALL,
            r#"{"server_name":"a","delete_files":"True"}"#,
            r#"{"server_name":"a","delete_files":true}"#,
        ),
        // Empty values of optional parameters.
        (
            CALL,
            r#"{"tool_name":"a","server_name":null,"parameters":null}"#,
            r#"{"tool_name":"a"}"#,
        ),
        (
            CALL,
            r#"{"tool_name":"a","server_name":""}"#,
            r#"{"tool_name":"a"}"#,
        ),
    ] {
        let understood = understood(&tool(name), arguments);
        assert_eq!(understood.as_deref(), Ok(expected), "{name}: {arguments}");
    }
}

#[test]
fn values_of_a_wrong_type_are_left_to_the_tool() {
    for (name, arguments) in [
        (CALL, r#"{"tool_name":5}"#),
        (CALL, r#"{"tool_name":null}"#),
        (CALL, r#"{"tool_name":"a","parameters":"no object"}"#),
        (CALL, r#"{"tool_name":"a","parameters":[1]}"#),
        (SEARCH, r#"{"query":"a","max_results":"many"}"#),
        (UNINSTALL, r#"{"server_name":"a","delete_files":"yes"}"#),
        (UNINSTALL, r#"{"server_name":"a","delete_files":"1"}"#),
        (UNINSTALL, r#"{"server_name":"a","delete_files":1}"#),
    ] {
        let understood = understood(&tool(name), arguments);
        assert_eq!(understood.as_deref(), Ok(arguments), "{name}");
    }
}

#[test]
fn members_without_one_meaning_are_errors_that_say_what_to_give() {
    for (name, arguments, error, suggestion) in [
        (
            RELOAD,
            r#"{"servername":"a","server":"b"}"#,
            "unknown parameter `server`",
            "are: server_name",
        ),
        (
            CALL,
            r#"{"tool_name":"a","tool":"b"}"#,
            "unknown parameter `tool`",
            "parameters are:",
        ),
        // The tool's own arguments must not be taken for those of the meta-tool.
        (
            CALL,
            r#"{"tool_name":"a","city":"b"}"#,
            "unknown parameter `city`",
            "own arguments in `parameters`",
        ),
        (
            LOADED,
            r#"{"verbose":true}"#,
            "unknown parameter `verbose`",
            "no parameters",
        ),
        (
            UNINSTALL,
            r#"{"server_name":"a","delete_file":true}"#,
            "unknown parameter `delete_file`",
            "`delete_files`",
        ),
        (
            UNINSTALL,
            r#"{"server_name":"a","forec":true}"#,
            "unknown parameter `forec`",
            "`force`",
        ),
        (
            RELOAD,
            r#"{"city":1}"#,
            "nothing was done",
            "parameters are: server_name",
        ),
    ] {
        let given = understood(&tool(name), arguments).unwrap_err();
        let text = |member: &str| given[member].as_str().unwrap_or_default().to_owned();
        assert!(text("error").contains(error), "{arguments}: {given}");
        assert!(
            text("suggestion").contains(suggestion),
            "{arguments}: {given}"
        );
    }
}

#[test]
fn arguments_that_are_no_object_are_an_error() {
    for arguments in ["[1]", "5", "true", r#""text""#, r#""{\"a\":}""#, r#""[1]""#] {
        let error = understood(&tool(RELOAD), arguments).unwrap_err();
        assert_eq!(
            error["error"], "the arguments of reload_mcp_server must be an object",
            "{arguments}"
        );
    }
}

#[test]
fn another_name_does_not_take_the_place_of_the_defined_one() {
    for (name, arguments, wrong) in [
        (CALL, r#"{"tool_name":"a","name":"b"}"#, "name"),
        (CALL, r#"{"name":"b","tool_name":"a"}"#, "name"),
        (
            CALL,
            r#"{"args":{},"parameters":{},"tool_name":"a"}"#,
            "args",
        ),
        (RELOAD, r#"{"server":"b","server_name":"a"}"#, "server"),
        (
            SEARCH,
            r#"{"limit":1,"query":"a","max_results":2}"#,
            "limit",
        ),
    ] {
        let error = understood(&tool(name), arguments).unwrap_err();
        let said = error["error"].as_str().unwrap();
        let expected = format!("unknown parameter `{wrong}` of {name}; nothing was done");
        assert_eq!(said, expected, "{arguments}");
    }
}

#[test]
fn every_parameter_is_known_by_its_own_name() {
    let all = definitions::of(Set::All, true, true);
    for entry in &all {
        let definition = Members::of(&entry.raw);
        let schema = definition.object("inputSchema");
        let properties = schema.object("properties");
        for (name, _) in properties.iter() {
            let given = understood(entry, &format!(r#"{{"{name}":"1"}}"#)).unwrap();
            assert!(given.starts_with(&format!(r#"{{"{name}":"#)), "{given}");
        }
    }
    for (name, _) in OTHER_NAMES {
        let member = format!(r#""{name}":{{"#);
        assert!(all.iter().any(|it| it.raw.contains(&member)), "{name}");
    }
}

#[test]
fn a_server_is_named_by_a_string_or_not_at_all() {
    for (arguments, expected) in [
        ("{}", Ok(None)),
        (r#"{"server_name":null}"#, Ok(None)),
        (r#"{"server_name":"\u0061"}"#, Ok(Some("a".to_owned()))),
        (r#"{"server_name":5}"#, Err(())),
        (r#"{"server_name":["a"]}"#, Err(())),
        (r#"{"server_name":"\ud83d"}"#, Err(())),
    ] {
        let given = given_server(&Members::of(arguments)).map_err(drop);
        assert_eq!(given, expected, "{arguments}");
    }
}

#[tokio::test]
async fn the_only_server_needs_no_name() {
    let none = Members::of("{}");
    let one = Fleet::configured(&["a"], false, None);
    assert_eq!(server_name(&none, &one), Ok("a".to_owned()));
    let two = Fleet::configured(&["a", "b"], false, None);
    let error = server_name(&none, &two).unwrap_err();
    assert_eq!(
        error["error"],
        "`server_name` is missing; the servers are: a, b"
    );
    let given = Members::of(r#"{"server_name":"c"}"#);
    assert_eq!(server_name(&given, &two), Ok("c".to_owned()));
}

#[test]
fn a_missing_text_and_one_of_another_type_are_told_apart() {
    for (arguments, is_text, expected) in [
        (r#"{"query":"\u0061"}"#, true, "a"),
        (r#"{"query":""}"#, true, ""),
        ("{}", false, "`query` is missing: give words"),
        (r#"{"query":5}"#, false, "`query` must be a string: words"),
        (
            r#"{"query":null}"#,
            false,
            "`query` must be a string: words",
        ),
        (
            r#"{"query":"\ud83d"}"#,
            false,
            "`query` must be a string: words",
        ),
    ] {
        let arguments = Members::of(arguments);
        let given = text(&arguments, "query", "words");
        assert_eq!(given.is_ok(), is_text, "{arguments}");
        let said = match given {
            Ok(text) => text.into_owned(),
            Err(error) => error["error"].as_str().unwrap().to_owned(),
        };
        assert_eq!(said, expected, "{arguments}");
    }
}

#[test]
fn a_server_that_cannot_be_loaded_is_explained() {
    let unknown = |there: &[&str]| LoadError::Unknown {
        name: "wether".into(),
        available: there.iter().map(|it| (*it).to_owned()).collect(),
    };
    for (error, words) in [
        (unknown(&["weather", "mail"]), "did you mean 'weather'?"),
        (unknown(&["mail", "files"]), "the servers are: mail, files"),
        (unknown(&[]), "no server is configured"),
        (LoadError::Disabled("wether".into()), "enabled = false"),
        (LoadError::Unloaded, "unloaded before"),
        (
            LoadError::Faulty {
                name: "wether".into(),
                fault: "line 3: no command".into(),
            },
            "line 3: no command",
        ),
    ] {
        let said = load_error("wether", &error).to_string();
        assert!(said.contains(words), "{said}");
        assert!(said.contains("Server 'wether'"), "{said}");
    }
}
