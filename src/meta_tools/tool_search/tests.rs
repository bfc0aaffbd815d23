use super::*;

#[test]
fn a_number_of_results_is_whole_and_positive() {
    for (raw, expected) in [
        ("1", Some(1)),
        ("10", Some(10)),
        ("5.0", Some(5)),
        ("5.00", Some(5)),
        ("0", None),
        ("0.0", None),
        ("-1", None),
        ("5.5", None),
        ("5.", None),
        ("1e2", None),
        (r#""5""#, None),
        ("99999999999999999999999", None),
    ] {
        assert_eq!(whole(raw), expected, "{raw}");
    }
}

#[test]
fn a_tool_is_described_in_the_bytes_of_its_server() {
    let entry = |raw: &str| Entry {
        name: "t".into(),
        raw: raw.into(),
    };
    for (raw, generation, left_out, expected) in [
        (
            r#"{"name":"t","description":"\ud83d","inputSchema":{"properties":{"a":{"default":1E400},"b":{}}},"x":-0}"#,
            Some(3),
            None,
            r#"{"tool":{"name":"t","description":"\ud83d","inputSchema":{"properties":{"a":{"default":1E400},"b":{}}},"x":-0,"server":"s"},"generation":3,"call_with":"call_dynamic_server_tool(server_name='s', tool_name='t', parameters={a, b})"}"#,
        ),
        (
            r#"{"name":"t"}"#,
            None,
            None,
            r#"{"tool":{"name":"t","server":"s","description":""},"loaded":false,"call_with":"call_dynamic_server_tool(server_name='s', tool_name='t', parameters={})"}"#,
        ),
        (
            r#"{"name":"t","description":""}"#,
            Some(1),
            Some("\"x\" is odd"),
            r#"{"tool":{"name":"t","description":"","server":"s"},"generation":1,"call_with":"call_dynamic_server_tool(server_name='s', tool_name='t', parameters={})","left_out":"\"x\" is odd"}"#,
        ),
    ] {
        let state = generation.map(|generation| LoadedState {
            generation,
            left_out,
            lag: None,
        });
        let described = describe("s", &entry(raw), state.as_ref());
        assert_eq!(described, expected, "{raw}");
    }
}

#[tokio::test]
async fn all_tools_are_listed_by_name_with_the_beginning_of_a_description() {
    let fleet = Fleet::loaded_with(&["b", "a"], false);
    fleet.list("b", &[(ListKind::Tools, "y"), (ListKind::Prompts, "p")]);
    fleet.list("a", &[(ListKind::Tools, "z"), (ListKind::Tools, "x")]);
    let list = all(&fleet);
    let tool =
        |name: &str, server: &str| json!({ "name": name, "server": server, "description": "" });
    assert_eq!(
        list,
        json!({
            "count": 3,
            "tools": [tool("x", "a"), tool("y", "b"), tool("z", "a")],
            "server_count": 2,
            "servers": ["b", "a"],
        })
    );
}
