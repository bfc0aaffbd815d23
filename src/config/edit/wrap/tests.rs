//! Edits of single commands: the exact text, and the way back.

use super::*;

fn path(keys: &[&str]) -> EntryPath {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let name = "x".to_owned();
    EntryPath { keys, name }
}

fn words() -> Vec<String> {
    ["mcp-proxy", "dev", "--"].map(str::to_owned).to_vec()
}

fn parse(file: &str, text: &str) -> ClientFile {
    ClientFile::parse(Path::new(file), text).unwrap()
}

/// Wraps the server `x`; asserts that unwrapping restores `text`.
#[track_caller]
fn wrapped(file: &str, keys: &[&str], text: &str) -> String {
    let path = path(keys);
    let before = parse(file, text);
    let after = before.wrapped(&path, &words()).unwrap();
    let again = parse(file, &after).unwrapped(&path, &words(), !before.has_args(&path));
    assert_eq!(again.unwrap().as_deref(), Some(text), "{after}");
    after
}

#[test]
fn a_command_is_wrapped_in_the_layout_of_its_file() {
    for (entry, expected) in [
        (
            r#"{"command": "uv", "args": ["run", "s.py"]}"#,
            r#"{"command": "mcp-proxy", "args": ["dev", "--", "uv", "run", "s.py"]}"#,
        ),
        (
            r#"{"args":["run","s.py"],"env":{"A":"1"},"command":"uv"}"#,
            r#"{"args":["dev","--","uv","run","s.py"],"env":{"A":"1"},"command":"mcp-proxy"}"#,
        ),
        (
            "{\n\t\"command\": \"uv\", // c\n\t\"args\": [\n\t\t\"run\", // d\n\t\t\"s.py\",\n\t],\n}",
            "{\n\t\"command\": \"mcp-proxy\", // c\n\t\"args\": [\n\t\t\"dev\",\n\t\t\"--\",\n\t\t\"uv\",\n\t\t\"run\", // d\n\t\t\"s.py\",\n\t],\n}",
        ),
        (
            "{\r\n  \"args\": [\r\n    \"a\"\r\n  ],\r\n  \"command\": \"x\"\r\n}",
            "{\r\n  \"args\": [\r\n    \"dev\",\r\n    \"--\",\r\n    \"x\",\r\n    \"a\"\r\n  ],\r\n  \"command\": \"mcp-proxy\"\r\n}",
        ),
        (
            r#"{"command": "./\u00e4", "args": []}"#,
            r#"{"command": "mcp-proxy", "args": ["dev", "--", "./\u00e4"]}"#,
        ),
        (
            "{\n  \"command\": \"x\", // c\n  \"env\": {}\n}",
            "{\n  \"command\": \"mcp-proxy\",\n  \"args\": [\"dev\", \"--\", \"x\"], // c\n  \"env\": {}\n}",
        ),
        (
            r#"{"command": "x"}"#,
            r#"{"command": "mcp-proxy", "args": ["dev", "--", "x"]}"#,
        ),
        (
            r#"{"command": ["npx", "-y", "z"], "type": "local"}"#,
            r#"{"command": ["mcp-proxy", "dev", "--", "npx", "-y", "z"], "type": "local"}"#,
        ),
        (
            r#"{"command": {"path": "x", "args": ["y"], "env": {}}}"#,
            r#"{"command": {"path": "mcp-proxy", "args": ["dev", "--", "x", "y"], "env": {}}}"#,
        ),
    ] {
        let file = |entry: &str| {
            format!("{{ // head\n\"mcpServers\": {{\"a\": {{}}, \"x\": {entry}}}}}\n")
        };
        let after = wrapped(".mcp.json", &["mcpServers"], &file(entry));
        assert_eq!(after, file(expected));
    }
}

#[test]
fn a_command_in_toml_is_wrapped_in_its_own_quotes() {
    for (text, expected) in [
        (
            "[mcp_servers.x] # c\ncommand = 'uv' # d\nargs = ['run', \"s.py\"]\n\n[mcp_servers.x.env]\nA = '1'\n",
            "[mcp_servers.x] # c\ncommand = \"mcp-proxy\" # d\nargs = [\"dev\", \"--\", 'uv', 'run', \"s.py\"]\n\n[mcp_servers.x.env]\nA = '1'\n",
        ),
        (
            "[mcp_servers.x]\r\nargs = [\r\n  # c\r\n  'a',\r\n]\r\ncommand = 'x'\r\n",
            "[mcp_servers.x]\r\nargs = [\r\n  # c\r\n  \"dev\",\r\n  \"--\",\r\n  'x',\r\n  'a',\r\n]\r\ncommand = \"mcp-proxy\"\r\n",
        ),
        (
            "[mcp_servers.x]\n  command = 'x' # c",
            "[mcp_servers.x]\n  command = \"mcp-proxy\" # c\n  args = [\"dev\", \"--\", 'x']",
        ),
        (
            "mcp_servers.x.command = 'x'\nmcp_servers.x.cwd = '/'\n",
            "mcp_servers.x.command = \"mcp-proxy\"\nmcp_servers.x.args = [\"dev\", \"--\", 'x']\nmcp_servers.x.cwd = '/'\n",
        ),
        (
            "[mcp_servers]\nx = { command = 'x', env = { A = '1' } }\n",
            "[mcp_servers]\nx = { command = \"mcp-proxy\", args = [\"dev\", \"--\", 'x'], env = { A = '1' } }\n",
        ),
    ] {
        assert_eq!(wrapped("config.toml", &["mcp_servers"], text), expected);
    }
}

#[test]
fn a_byte_order_mark_stays() {
    let text = "\u{feff}{\"mcpServers\": {\"x\": {\"command\": \"y\"}}}";
    let after = wrapped(".mcp.json", &["mcpServers"], text);
    assert!(after.starts_with("\u{feff}{\"mcp"));
}

#[test]
fn keys_of_any_depth_are_found() {
    let text = r#"{"projects": {"/a.b c": {"mcpServers": {"x": {"command": "y"}}}}}"#;
    let after = wrapped(".claude.json", &["projects", "/a.b c", "mcpServers"], text);
    assert!(after.contains(r#""args": ["dev", "--", "y"]"#));
}

#[test]
fn a_server_says_how_it_starts() {
    let kind = |entry: &str| {
        let text = format!("{{\"mcpServers\": {{\"x\": {entry}}}}}");
        parse(".mcp.json", &text).kind(&path(&["mcpServers"]))
    };
    let command = |words: &str| {
        let words = words.split(' ').map(str::to_owned).collect();
        Some(EntryKind::Command(words))
    };
    assert_eq!(
        kind(r#"{"command": "a", "args": ["b", 1]}"#),
        command("a b 1")
    );
    assert_eq!(kind(r#"{"command": "a", "url": ""}"#), command("a"));
    for remote in [
        r#"{"url": "http://x/"}"#,
        r#"{"command": "", "serverUrl": "http://x/"}"#,
    ] {
        assert_eq!(kind(remote), Some(EntryKind::Remote), "{remote}");
    }
    for other in [
        "{}",
        "1",
        r#"{"command": ""}"#,
        r#"{"command": []}"#,
        r#"{"command": 1}"#,
        r#"{"command": "a", "args": "b"}"#,
        r#"{"command": "a", "args": [["b"]]}"#,
        r#"{"source": "extension", "settings": {}}"#,
    ] {
        assert_eq!(kind(other), Some(EntryKind::Unsupported), "{other}");
    }
}

#[test]
fn a_name_that_occurs_twice_is_left_alone() {
    let text = "{\"projects\": {\"/p\": {\"mcpServers\": {\"x\": {\"command\": \"a\"}, \"y\": {}, \"x\": {}}}}}";
    let keys = ["projects", "/p", "mcpServers"];
    let file = parse(".claude.json", text);
    assert_eq!(file.names(&path(&keys).keys), ["y"]);
    assert_eq!(file.kind(&path(&keys)), None);
    assert!(file.wrapped(&path(&keys), &words()).is_err());
    let twice =
        "{\"projects\": {\"/p\": {}, \"/p\": {\"mcpServers\": {\"x\": {\"command\": \"a\"}}}}}";
    assert_eq!(
        parse(".claude.json", twice).names(&path(&keys).keys),
        [""; 0]
    );
}

#[test]
fn a_command_that_a_client_has_rewritten_is_restored_in_its_form() {
    let path = path(&["mcpServers"]);
    for (text, args_added, expected) in [
        (
            "{\"mcpServers\":{\"x\":{\"args\":[\"dev\",\"--\",\"y\"],\"command\":\"mcp-proxy\"}}}",
            true,
            Some("{\"mcpServers\":{\"x\":{\"args\":[],\"command\":\"y\"}}}"),
        ),
        (
            "{\"mcpServers\": {\"x\": {\"command\": \"mcp-proxy\", \"args\": [\"dev\", \"--\", \"y\",]}}}",
            false,
            Some("{\"mcpServers\": {\"x\": {\"command\": \"y\", \"args\": []}}}"),
        ),
        (
            "{\"mcpServers\": {\"x\": {\"command\": \"y\"}}}",
            true,
            None,
        ),
        (
            "{\"mcpServers\": {\"x\": {\"command\": \"mcp-proxy\", \"args\": [\"dev\", \"--watch\", \"a\", \"--\", \"y\"]}}}",
            false,
            Some("{\"mcpServers\": {\"x\": {\"command\": \"y\", \"args\": []}}}"),
        ),
        ("{\"mcpServers\": {}}", true, None),
    ] {
        let unwrapped = parse(".mcp.json", text).unwrapped(&path, &words(), args_added);
        assert_eq!(unwrapped.unwrap().as_deref(), expected, "{text}");
    }
}

#[test]
fn a_command_in_yaml_is_wrapped_in_the_style_of_its_list() {
    for (keys, text, expected) in [
        (
            "extensions",
            "# Goose\nextensions:\n  x: # own\n    cmd: uv # runner\n    args:\n      - run\n      - 's.py'\n    type: stdio\n",
            "# Goose\nextensions:\n  x: # own\n    cmd: \"mcp-proxy\" # runner\n    args:\n      - \"dev\"\n      - \"--\"\n      - uv\n      - run\n      - 's.py'\n    type: stdio\n",
        ),
        (
            "extensions",
            "extensions:\r\n  x:\r\n    args: []\r\n    cmd: \"größer\"\r\n",
            "extensions:\r\n  x:\r\n    args: [\"dev\", \"--\", \"größer\"]\r\n    cmd: \"mcp-proxy\"\r\n",
        ),
        (
            "extensions",
            "extensions:\n  x:\n    cmd: 'it''s' # \"c\"\n    args: [ \"a\\\"\" , b] # d\n",
            "extensions:\n  x:\n    cmd: \"mcp-proxy\" # \"c\"\n    args: [ \"dev\", \"--\", 'it''s', \"a\\\"\" , b] # d\n",
        ),
        (
            "extensions",
            "extensions: {x: {cmd: a, envs: {}}}",
            "extensions: {x: {cmd: \"mcp-proxy\", args: [\"dev\", \"--\", a], envs: {}}}",
        ),
        (
            "mcpServers",
            "mcpServers:\n  - name: y\n    command: z\n  - command: a # c\n    name: x\nrules:\n- |\n  text: &not\n   more\n",
            "mcpServers:\n  - name: y\n    command: z\n  - command: \"mcp-proxy\" # c\n    args: [\"dev\", \"--\", a]\n    name: x\nrules:\n- |\n  text: &not\n   more\n",
        ),
        (
            "mcpServers",
            "models: &m\n  a: 1\nother: *m\nmcpServers:\n- name: x\n  args:\n  - a b\n  command: c",
            "models: &m\n  a: 1\nother: *m\nmcpServers:\n- name: x\n  args:\n  - \"dev\"\n  - \"--\"\n  - c\n  - a b\n  command: \"mcp-proxy\"",
        ),
    ] {
        assert_eq!(wrapped("config.yaml", &[keys], text), expected);
    }
}

#[test]
fn yaml_that_other_lines_may_change_is_left_alone() {
    for server in [
        "    <<: *base\n    cmd: x\n",
        "    cmd: *x\n",
        "    cmd: !!str x\n",
        "    cmd: x\n    args: &a [y]\n",
        "    cmd: x\n    args:\n",
        "    cmd: x\n    cmd: y\n",
        "    cmd: x\n    args: [*y]\n",
        "    - cmd\n",
    ] {
        let text =
            format!("base: &base\n  args: [z]\ny: &y z\nx: &x z\nextensions:\n  x:\n{server}");
        let file = parse("config.yaml", &text);
        let path = path(&["extensions"]);
        assert_eq!(file.kind(&path), Some(EntryKind::Unsupported), "{server}");
        assert!(file.wrapped(&path, &words()).is_err());
    }
    for broken in ["a: [", "a: 1\n---\nb: 1\n", "? {a: 1}\n: b\n"] {
        let error = ClientFile::parse(Path::new("config.yaml"), broken).unwrap_err();
        assert!(error.to_string().starts_with("not valid YAML"), "{error}");
    }
}

#[test]
fn a_list_that_goose_has_rewritten_becomes_empty() {
    let text = "extensions:\n  x:\n    cmd: mcp-proxy\n    args:\n    - dev\n    - --\n    - y\n    type: stdio\n";
    let unwrapped = parse("config.yaml", text).unwrapped(&path(&["extensions"]), &words(), false);
    let expected = "extensions:\n  x:\n    cmd: y\n    args: []\n    type: stdio\n";
    assert_eq!(unwrapped.unwrap().as_deref(), Some(expected));
}
