use super::*;
use crate::fleet::ToolCache;
use crate::mcp::List;
use crate::meta_tools::Set;

fn offer() -> OfferedMetaTools {
    OfferedMetaTools::new(Set::All, true, None, false)
}

/// Returns a fleet whose servers `a` and `b` have a tool of their own and one of the same name.
fn fleet() -> Fleet {
    let fleet = Fleet::loaded_with(&["a", "b"], false);
    fleet.list(
        "a",
        &[(ListKind::Tools, "x"), (ListKind::Tools, "time.now")],
    );
    fleet.list("b", &[(ListKind::Tools, "x"), (ListKind::Tools, "send")]);
    fleet
}

/// Returns the line that a call with these arguments becomes, or the error.
fn sent(fleet: &Fleet, line: &str, arguments: &str) -> Result<(String, String), Value> {
    let meant = ToolCall::new(arguments, &offer())?;
    let name = meant.server(fleet, &offer())?;
    let (_, line) = meant.line(line, &fleet.one(&name), &fleet.catalog())?;
    Ok((name, line))
}

#[tokio::test]
async fn a_call_becomes_that_of_the_tool_it_names() {
    let fleet = fleet();
    for (arguments, server, name, parameters) in [
        (r#"{"server_name":"a","tool_name":"x"}"#, "a", "x", "{}"),
        (
            r#"{"server_name":"b","tool_name":"x","parameters":{"n":1E400,"n":-0,"s":"\ud83d"}}"#,
            "b",
            "x",
            r#"{"n":1E400,"n":-0,"s":"\ud83d"}"#,
        ),
        (
            r#"{"tool_name":"send","parameters":null}"#,
            "b",
            "send",
            "{}",
        ),
        (r#"{"tool_name":"time.now"}"#, "a", "time.now", "{}"),
        // The name under which clients see the tool.
        (r#"{"tool_name":"b__x"}"#, "b", "x", "{}"),
        (r#"{"server_name":"b","tool_name":"b__x"}"#, "b", "x", "{}"),
        (
            r#"{"tool":"s\u0065nd","args":"{\"to\":1.0}"}"#,
            "b",
            "send",
            r#"{"to":1.0}"#,
        ),
    ] {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1.0},"name":"call_dynamic_server_tool","arguments":{},"task":{"ttl":5}},"x":1E5}"#;
        let expected = line
            .replace("call_dynamic_server_tool", name)
            .replace(r#""arguments":{}"#, &format!(r#""arguments":{parameters}"#));
        let sent = sent(&fleet, line, arguments);
        assert_eq!(sent, Ok((server.to_owned(), expected)), "{arguments}");
    }
}

#[tokio::test]
async fn a_call_without_a_tool_says_what_to_give() {
    let fleet = fleet();
    for (arguments, error, suggestion) in [
        ("{}", "`tool_name` is missing", ""),
        (r#"{"tool_name":5}"#, "`tool_name` must be a string", ""),
        (
            r#"{"tool_name":"send","parameters":5}"#,
            "`parameters` must be an object",
            "",
        ),
        (
            r#"{"tool_name":"send","rehearse":1}"#,
            "`rehearse` must be true or false; nothing was done",
            "",
        ),
        (
            r#"{"tool_name":"send","rehearse":"yes"}"#,
            "`rehearse` must be true or false; nothing was done",
            "",
        ),
        (
            r#"{"tool_name":"send","server_name":5}"#,
            "`server_name` must be a string",
            "",
        ),
        (
            r#"{"tool_name":"x"}"#,
            "Several servers have a tool 'x': a, b",
            "`server_name`",
        ),
        (
            r#"{"tool_name":"sent"}"#,
            "Tool 'sent' not found",
            "did you mean 'send'?",
        ),
        (
            r#"{"tool_name":"weather"}"#,
            "Tool 'weather' not found",
            "the tools are:",
        ),
        (
            r#"{"server_name":"a","tool_name":"send"}"#,
            "Server 'a' has no tool 'send'",
            "the server's tools are: x, time.now",
        ),
        (
            r#"{"server_name":"b","tool_name":"sned"}"#,
            "Server 'b' has no tool 'sned'",
            "did you mean 'send'?",
        ),
        // The other server's tool is not called in its place.
        (
            r#"{"server_name":"a","tool_name":"b__x"}"#,
            "Server 'a' has no tool 'b__x'",
            "",
        ),
    ] {
        let given = sent(&fleet, "{}", arguments).unwrap_err();
        let text = |member: &str| given[member].as_str().unwrap_or_default().to_owned();
        assert!(text("error").contains(error), "{arguments}: {given}");
        assert!(
            text("suggestion").contains(suggestion),
            "{arguments}: {given}"
        );
    }
}

#[tokio::test]
async fn a_server_that_has_not_listed_yet_may_have_the_tool() {
    let fleet = Fleet::loaded_with(&["a", "b"], false);
    let line = r#"{"id":1,"params":{}}"#;
    let arguments = r#"{"server_name":"a","tool_name":"new"}"#;
    let expected = r#"{"id":1,"params":{"name":"new","arguments":{}}}"#;
    let sent = sent(&fleet, line, arguments);
    assert_eq!(sent, Ok(("a".to_owned(), expected.to_owned())));
}

#[tokio::test]
async fn the_only_server_of_a_client_has_every_tool() {
    let fleet = Fleet::loaded_with(&["a"], true);
    let meant = ToolCall::new(r#"{"tool_name":"any"}"#, &offer()).unwrap();
    assert_eq!(meant.server(&fleet, &offer()), Ok("a".to_owned()));
}

#[tokio::test]
async fn a_tool_of_a_server_that_does_not_run_is_found_where_it_was_last() {
    let dir = tempfile::tempdir().unwrap();
    let known = ToolCache::open(dir.path().to_owned());
    let fleet = Fleet::configured(&["a", "b", "c"], false, Some(known.clone()));
    for (server, tools) in [
        ("a", r#"{"tools":[{"name":"x"},{"name":"y"},{"name":"z"}]}"#),
        ("b", r#"{"tools":[{"name":"x"}]}"#),
        ("c", r#"{"tools":[{"name":"z"}]}"#),
    ] {
        let mut list = List::default();
        list.add_page(ListKind::Tools, tools).unwrap();
        let config = fleet.config();
        known.store(config.server(server).unwrap(), &list).unwrap();
    }
    let server = |tool: &str| {
        let arguments = format!(r#"{{"tool_name":"{tool}"}}"#);
        ToolCall::new(&arguments, &offer()).and_then(|meant| meant.server(&fleet, &offer()))
    };
    assert_eq!(server("y"), Ok("a".to_owned()));
    assert_eq!(server("b__x"), Ok("b".to_owned()));
    assert!(server("b__y").is_err());
    assert!(server("x").unwrap_err()["error"] == "Several servers have a tool 'x': a, b");
    assert!(server("w").is_err());
    // A loaded server takes precedence, and only its newest list counts.
    fleet.add_unstarted("c");
    fleet.list("c", &[(ListKind::Tools, "y")]);
    assert_eq!(server("y"), Ok("c".to_owned()));
    assert_eq!(server("z"), Ok("a".to_owned()));
}

#[tokio::test]
async fn many_tools_are_not_listed_in_an_error() {
    let fleet = Fleet::loaded_with(&["a"], false);
    let names: Vec<String> = (0..=FEW).map(|number| format!("tool{number}")).collect();
    let tools: Vec<_> = names
        .iter()
        .map(|name| (ListKind::Tools, &**name))
        .collect();
    fleet.list("a", &tools);
    for (set, words) in [(Set::All, SEARCH), (Set::Dev, LOADED)] {
        let offer = OfferedMetaTools::new(set, true, None, false);
        let error = missing("weather", &fleet, None, &offer);
        let suggestion = error["suggestion"].as_str().unwrap();
        assert!(suggestion.contains(words), "{suggestion}");
        assert!(!suggestion.contains("tool7"), "{suggestion}");
    }
}
