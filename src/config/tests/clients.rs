//! Loading of clients' files.

use super::*;

#[test]
fn a_clients_file_is_read_with_comments_and_keys_of_its_own() {
    let loaded = loaded(&[(
        ".mcp.json",
        r#"{
          // Claude Code
          "other": 1,
          "mcpServers": {
            "a": { "type": "stdio", "command": "x", "args": ["${A}"], "env": {"N": 1, "no": null},
                   "alwaysLoad": true, "timeout": 60000, },
            "proxy": { "command": "mcp-proxy", "args": ["dev"], "cwd": "/no/such" },
            "one": { "command": "mcp-proxy", "args": ["dev", "--", "uv", "run", "server.py"] },
          },
        }"#,
    )]);
    assert_eq!(messages(&loaded), [""; 0]);
    assert_eq!(names(&loaded), ["a", "one"]);
    let a = &loaded.config.servers[0];
    assert_eq!(
        (a.args[0].to_str(), &a.env[..]),
        (Some("1"), &[("N".into(), "1".into())][..])
    );
    let one = &loaded.config.servers[1];
    assert_eq!(
        (one.program.to_str(), &one.args[1..]),
        (Some("uv"), &["server.py".into()][..])
    );
    assert_eq!(loaded.notes.len(), 1);
}

#[test]
fn the_form_of_vs_code_has_its_watch_and_workspace() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".vscode")).unwrap();
    fs::write(
        folder.path().join(".vscode/mcp.json"),
        r#"{"servers": {
            "a": {"command": "x", "args": ["${workspaceFolder}/a", "${env:A}"], "dev": {"watch": "src/**"}},
            "b": {"command": "x", "cwd": "${workspaceFolder}/sub", "dev": {"watch": ["src/**", "!*.md"], "debug": {}}}
        }}"#,
    )
    .unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let loaded = load(&ConfigContext {
        explicit: Some(".vscode/mcp.json".into()),
        cwd: folder.path().to_owned(),
        variables: [("A".to_owned(), "1".to_owned())].into(),
        ..ConfigContext::default()
    });
    assert_eq!(messages(&loaded), [""; 0]);
    let [a, b] = &loaded.config.servers[..] else {
        panic!("not two servers")
    };
    let root = folder.path().display();
    assert_eq!(a.args, [format!("{root}/a").as_str(), "1"]);
    assert_eq!(
        (a.watch.join(" "), &a.cwd),
        (
            "src/**".to_owned(),
            &dunce::canonicalize(folder.path()).unwrap()
        )
    );
    let below = |glob| folder.path().join(glob).display().to_string();
    let globs = [below("src/**"), format!("!{}", below("*.md"))];
    assert_eq!(b.watch, globs);
    assert!(b.cwd.ends_with("sub"));
}

#[test]
fn a_client_file_may_call_a_server_anything() {
    let text = r#"{"mcpServers": {"my files.v2": {"command": "x"}, " ": {"command": "x"}}}"#;
    let loaded = loaded(&[(".mcp.json", text)]);
    assert_eq!(names(&loaded), ["my files.v2"]);
    assert_eq!(messages(&loaded), ["invalid server name ` `"]);
}

/// Loads a `.mcp.json` with one server `a` of this text.
pub(super) fn one(server: &str) -> LoadedConfig {
    let text = format!(r#"{{"mcpServers": {{"a": {server}}}}}"#);
    loaded(&[(".mcp.json", &text)])
}

/// Returns the server `a` of this text; asserts that there is no fault and no note.
#[track_caller]
pub(super) fn good(server: &str) -> ServerSpec {
    let loaded = one(server);
    assert_eq!(messages(&loaded), [""; 0], "{server}");
    assert_eq!(loaded.notes, [""; 0], "{server}");
    loaded.config.server("a").expect(server).clone()
}

#[test]
fn a_server_that_is_switched_off_in_a_clients_file_is_off() {
    for off in [
        r#"{"command": "x", "disabled": true}"#,
        r#"{"command": "x", "enabled": false}"#,
        r#"{"url": "https://x.example", "disabled": true, "sandbox": {}}"#,
        r#"{"enabled": false, "command": "${UNSET}"}"#,
        r#"{"enabled": true, "command": "x", "disabled": true}"#,
        r#"{"disabled": true, "command": "x", "enabled": true}"#,
    ] {
        let loaded = one(off);
        assert_eq!(loaded.config.disabled, ["a"], "{off}");
        assert!(loaded.config.servers.is_empty() && loaded.notes.is_empty());
        assert_eq!(messages(&loaded), [""; 0], "{off}");
    }
    good(r#"{"command": "x", "disabled": false, "enabled": true}"#);
    let odd = one(r#"{"command": "x", "disabled": "yes"}"#);
    assert!(odd.config.servers.is_empty());
    let said = "`disabled` must be true or false, not a string";
    assert_eq!(messages(&odd), [said]);
    // The proxy's own file takes precedence.
    let loaded = loaded(&[
        (
            ".mcp.json",
            r#"{"mcpServers": {"a": {"command": "x", "disabled": true}}}"#,
        ),
        ("mcp-proxy.toml", "[servers.a]\nenabled = true\n"),
    ]);
    assert_eq!(names(&loaded), ["a"]);
}

#[test]
fn blank_fields_of_the_other_kind_are_absent() {
    for far in [
        r#"{"command": "", "url": "https://x.example/"}"#,
        r#"{"command": " ", "args": [], "env": null, "cwd": "", "url": "https://x.example/"}"#,
        r#"{"command": null, "args": null, "serverUrl": "https://x.example/", "url": ""}"#,
        r#"{"url": "https://x.example/", "httpUrl": null, "type": null}"#,
    ] {
        let a = good(far);
        assert_eq!(a.remote.unwrap().url.as_str(), "https://x.example/");
        assert!(a.cwd.is_absolute());
    }
    for here in [
        r#"{"command": "x", "url": ""}"#,
        r#"{"command": "x", "url": "  ", "headers": {}, "cwd": ""}"#,
        r#"{"command": "x", "serverUrl": "", "headers": null, "enabled": null}"#,
    ] {
        let a = good(here);
        assert_eq!((a.program.to_str(), a.remote), (Some("x"), None));
    }
    config("[servers.a]\ncommand = 'x'\nurl = ''\n[servers.b]\ncommand = ''\nurl = 'http://x/'");
    assert_eq!(messages(&one(r#"{"command": "", "url": ""}"#)).len(), 1);
}

#[test]
fn each_client_has_its_own_words() {
    let x = |args: &str| (Some("x"), args.split_whitespace().map(Into::into).collect());
    for (words, args) in [
        (r#"{"command": ["x", "run", "y"]}"#, "run y"),
        (
            r#"{"type": "local", "command": ["x"], "environment": {"K": "1"}}"#,
            "",
        ),
        (
            r#"{"source": "custom", "command": {"path": "x", "args": ["y"], "env": {"K": "1"}}}"#,
            "y",
        ),
    ] {
        let a = good(words);
        assert_eq!((a.program.to_str(), a.args), x(args), "{words}");
        assert_eq!(a.env.len(), words.matches("\"K\"").count());
    }
    let a = good(
        r#"{"httpUrl": "https://x.example/", "bearer_token_env_var": "A", "http_headers": {"X-A": "1"},
            "env_http_headers": {"X-B": "A"}, "timeout": 5, "trust": true, "sandbox": false}"#,
    );
    let headers = a.remote.unwrap().headers;
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("authorization"), "Bearer 1");
    assert_eq!((header("x-a"), header("x-b")), ("1".into(), "1".into()));
    for (words, offered, hidden) in [
        (r#""includeTools": ["a"], "excludeTools": ["b"]"#, "a", "b"),
        (r#""enabled_tools": ["a"]"#, "a", "b"),
        (r#""disabledTools": ["b"]"#, "a", "b"),
        (r#""tools": ["*"], "disabled_tools": ["b"]"#, "a", "b"),
        (r#""tools": {"b": {"approval_mode": "auto"}}"#, "b", ""),
        (r#""tools": {"allow": {"approval_mode": "auto"}}"#, "b", ""),
        (r#""tools": {"allow": ["a"]}"#, "a", "b"),
        (r#""tools": {"deny": "b"}, "includeTools": ["b"]"#, "", "b"),
        (r#""enabled_tools": []"#, "", "b"),
    ] {
        let tools = good(&format!(r#"{{"command": "x", {words}}}"#))
            .tools
            .compile();
        assert!(offered.is_empty() || tools.admits(offered), "{words}");
        assert!(hidden.is_empty() || !tools.admits(hidden), "{words}");
    }
}

#[test]
fn a_server_that_only_its_client_can_start_gets_help_in_the_form_of_its_file() {
    let zed = r#"{"context_servers": {"a": {"source": "extension", "settings": {}}}}"#;
    let faults = loaded(&[(".mcp.json", zed)]).faults;
    assert!(faults[0].to_string().contains("\"command\": \"uv\""));
    let faults = loaded(&[("mcp-proxy.toml", "[servers.a]\n")]).faults;
    assert!(faults[0].to_string().contains("command = \"uv\""));
}

#[test]
fn a_key_that_cannot_be_obeyed_is_not_ignored_in_silence() {
    for (key, said) in [
        (r#""sandboxEnabled": true"#, "without a sandbox"),
        (
            r#""headersHelper": "get-token""#,
            "write them into `headers`",
        ),
        (r#""oauth": {"clientId": "s3cret"}"#, "cannot log in"),
        (r#""watch": ["*.py"]"#, "[servers.NAME] in mcp-proxy.toml"),
        (r#""evn": {"K": "s3cret"}"#, "did you mean `env`?"),
        (r#""tools": {"denny": ["b"]}"#, "did you mean `deny`?"),
    ] {
        let loaded = one(&format!(r#"{{"command": "x", {key}}}"#));
        assert_eq!(names(&loaded), ["a"], "{key}");
        let [note] = &loaded.notes[..] else {
            panic!("{key}: {:?}", loaded.notes)
        };
        assert!(note.contains(said) && note.contains("server `a`"), "{note}");
        assert!(
            note.contains(".mcp.json:1:") && !note.contains("s3cret"),
            "{note}"
        );
    }
    let ways = messages(&one(r#"{"type": "ws", "url": "https://x.example/"}"#));
    assert!(
        ways[0].contains("`type` is `ws`, but must be one of `stdio`"),
        "{ways:?}"
    );
    let selection = messages(&one(r#"{"command": "x", "tools": {"deny": 5}}"#));
    assert!(selection[0].contains("`deny` must be"), "{selection:?}");
    let two = r#"{"url": "https://x.example/", "serverUrl": "https://y.example/"}"#;
    assert_eq!(
        messages(&one(two)),
        ["`url` and `serverUrl` have different values"]
    );
}

#[test]
fn a_clients_word_in_our_own_file_is_told_in_ours() {
    for (key, help) in [
        ("disabled = true", "write `enabled = false`"),
        ("serverUrl = 'https://x.example/'", "write `url`"),
        ("includeTools = ['a']", "tools = { allow"),
        ("sandboxEnabled = true", "without a sandbox"),
    ] {
        let text = format!("[servers.a]\ncommand = 'x'\n{key}\n");
        let faults = loaded(&[("mcp-proxy.toml", &text)]).faults;
        let said = faults[0].to_string();
        assert!(faults.len() == 1 && said.contains(help), "{said}");
    }
}

#[test]
fn servers_are_found_wherever_a_client_has_them() {
    let x = r#"{"a": {"command": "x"}}"#;
    let far = r#"{"a": {"serverUrl": "https://x.example/"}}"#;
    for text in [
        x.to_owned(),
        far.to_owned(),
        format!(r#"{{"$schema": "s", "inputs": [], {}"#, &x[1..]),
        format!(r#"{{"theme": {{"command": 1}}, "context_servers": {x}}}"#),
        format!(r#"{{"mcp": {x}, "model": "m"}}"#),
        format!(r#"{{"mcp": {{"inputs": [], "servers": {far}}}}}"#),
        format!(r#"{{"mcp.servers": {x}}}"#),
        format!(r#"{{"amp.mcpServers": {x}}}"#),
        format!(r#"{{"mcp": {{"allowed": ["a"]}}, "mcpServers": {x}}}"#),
        format!(r#"{{"mcpServers": {{}}, "servers": {x}}}"#),
        format!(r#"{{"mcpServers": {x}, "servers": {{"a": {{"command": "y"}}}}}}"#),
        format!(r#"{{"mcpServers": {x}, "servers": [{{"host": "h"}}]}}"#),
    ] {
        let loaded = loaded(&[(".mcp.json", &text)]);
        assert_eq!(messages(&loaded), [""; 0], "{text}");
        assert_eq!(names(&loaded), ["a"], "{text}");
        assert_ne!(loaded.config.servers[0].program, "y");
    }
    let both = r#"{"mcpServers": {"b": {"command": "x"}}, "servers": {"a": {"command": "x"}}}"#;
    assert_eq!(names(&loaded(&[(".mcp.json", both)])), ["b", "a"]);
}

#[test]
fn a_file_without_servers_says_what_to_write() {
    for (text, help) in [
        (
            r#"{"command": "x", "args": []}"#,
            "one server without a name",
        ),
        (
            r#"{"mcpServer": {"a": {"command": "x"}}}"#,
            "did you mean `mcpServers`?",
        ),
        (
            r#"{"version": 1, "Servers": {"a": {"command": "x"}}}"#,
            "did you mean `servers`?",
        ),
        (
            r#"{"extensions": {"a": {"cmd": "x"}}}"#,
            "looks like Goose's",
        ),
        (
            r#"{"a": {"command": "x"}, "editor": {"size": 1}}"#,
            "neither",
        ),
    ] {
        let loaded = loaded(&[(".mcp.json", text)]);
        assert!(loaded.config.servers.is_empty(), "{text}");
        let said = loaded.faults[0].to_string();
        assert!(loaded.faults.len() == 1 && said.contains(help), "{said}");
    }
}

#[test]
fn the_file_of_codex_is_read_and_its_servers_in_our_own() {
    let codex = "[mcp_servers.a]\ncommand = 'x'\nenabled_tools = ['t']\nstartup_timeout_sec = 9\n\
                 [mcp_servers.b]\ncommand = 'x'\nenabled = false\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(
        &file,
        format!("model = 'gpt'\n[projects.'/x']\ntrust = 1\n{codex}"),
    )
    .unwrap();
    let around = ConfigContext {
        explicit: Some(file),
        cwd: folder.path().to_owned(),
        ..ConfigContext::default()
    };
    let own = loaded(&[(
        "mcp-proxy.toml",
        &format!("{codex}[servers.a]\nbuild = 'make'\n"),
    )]);
    for loaded in [load(&around), own] {
        assert_eq!(messages(&loaded), [""; 0]);
        assert_eq!(
            (names(&loaded), &loaded.config.disabled[..]),
            (vec!["a"], &["b".to_owned()][..])
        );
        assert_eq!(loaded.config.servers[0].tools.allow, ["t"]);
    }
    // The proxy's own file permits no other keys.
    let typo = loaded(&[("mcp-proxy.toml", &format!("[porxy]\n{codex}"))]);
    assert_eq!(messages(&typo), ["unknown key `porxy`"]);
}
