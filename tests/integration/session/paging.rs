//! Lists of several pages, also of servers whose lists have no end.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::{Peer, Project, Proxy, initialize_params};

/// Answers `tools/list` with `pages` one after the other, the last of them for ever.
fn pages(pages: &[Value]) -> (Project, Peer) {
    let project = Project::new();
    let mut answers = String::new();
    for (at, page) in pages.iter().enumerate() {
        let number = at.to_string();
        let pattern = if at + 1 == pages.len() { "*" } else { &number };
        writeln!(answers, "{pattern}) r='{page}';;").unwrap();
    }
    let server = format!(
        r#"n=0
    while read -r line; do
        id=$(expr "$line" : '.*"id":\([0-9]*\)')
        case $line in
            *'"initialize"'*) r='{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}';;
            *'"tools/list"'*) case $n in {answers} esac; n=$((n+1)); echo "list $n" >&2;;
            *) continue;;
        esac
        echo "{{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":$r}}"
    done"#
    );
    project.write("server.sh", &server);
    let peer = Proxy::dev(["sh", "server.sh"])
        .transparent()
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    (project, peer)
}

#[test]
fn a_list_without_an_end_keeps_what_came() {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let page = |names: &[&str], cursor: &str| {
        let tools: Vec<Value> = names.iter().map(|name| tool(name)).collect();
        json!({"tools": tools, "nextCursor": cursor})
    };
    let cases = [
        (vec![page(&["a"], "x")], "a"),
        (vec![page(&["a"], "")], "a"),
        (
            vec![page(&["a"], "1"), page(&["b"], "2"), page(&["c"], "1")],
            "a b c",
        ),
        (vec![page(&["a"], "1"), page(&["a"], "2")], "a"),
        (vec![page(&[], ""), page(&["a"], "1"), page(&[], "2")], "a"),
    ];
    for (answers, expected) in cases {
        let (_project, peer) = pages(&answers);
        let tools = peer.ask("tools/list", &json!({})).result();
        let tools = tools["tools"].as_array().unwrap();
        let names: Vec<&str> = tools
            .iter()
            .filter_map(|tool| tool["name"].as_str())
            .collect();
        assert_eq!(names.join(" "), expected, "{answers:?}");
        peer.expect_stderr("tools/list is cut off");
    }
}

#[test]
fn an_empty_cursor_is_followed() {
    let tool = |name: &str| json!({"name": name, "inputSchema": {"type": "object"}});
    let answers = [
        json!({"tools": [tool("a")], "nextCursor": ""}),
        json!({"tools": [tool("b")]}),
    ];
    let (_project, peer) = pages(&answers);
    let tools = peer.ask("tools/list", &json!({})).result();
    assert_eq!(tools["tools"].as_array().unwrap().len(), 2);
}
