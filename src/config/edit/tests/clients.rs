//! Edits of files with servers outside of `mcpServers`.

use super::*;

/// Returns the names of the servers loaded from the file.
fn servers(path: &Path) -> Vec<String> {
    let loaded = crate::config::load(&ConfigContext {
        explicit: Some(path.to_owned()),
        cwd: path.parent().unwrap().to_owned(),
        variables: [("KEY".to_owned(), "k".to_owned())].into(),
        ..ConfigContext::default()
    });
    let names = loaded.config.servers.into_iter().map(|it| it.name);
    names.collect()
}

fn new() -> NewServer {
    NewServer {
        cwd: None,
        ..server()
    }
}

#[test]
fn a_server_is_added_where_a_client_has_its_own_and_hides_none() {
    let a = "\"a\": {\"command\": \"y\"}";
    for (name, text) in [
        (".mcp.json", format!("{{{a}}}")),
        (
            ".mcp.json",
            format!(
                "{{\n  // plugin\n  {a}, // a\n  \"c\": {{\n    \"url\": \"http://c/\"\n  }}\n}}\n"
            ),
        ),
        ("plugin.json", format!("{{\"$schema\": \"s\", {a}}}\n")),
        (
            "settings.json",
            format!("{{\n  \"theme\": {{}},\n  \"context_servers\": {{\n    {a}\n  }}\n}}"),
        ),
        (
            "settings.json",
            format!("{{ \"mcp\": {{ \"inputs\": [], \"servers\": {{ {a} }} }}, \"x\": 1 }}"),
        ),
        (
            "settings.json",
            format!("{{\n\t\"mcp.servers\": {{\n\t\t{a},\n\t}},\n}}\n"),
        ),
        (
            "settings.json",
            format!("{{\"mcpServers\": {{}}, \"servers\": {{{a}}}}}"),
        ),
        (
            "config.toml",
            "model = 'm'\n\n[mcp_servers.a]\ncommand = 'y'\n".to_owned(),
        ),
        (
            "mcp-proxy.toml",
            "[mcp_servers.a]\ncommand = 'y'\n".to_owned(),
        ),
        (
            "mcp-proxy.toml",
            "[mcp_servers.a]\ncommand = 'y'\n[servers.b]\ncommand = 'y'\n".to_owned(),
        ),
    ] {
        let (_folder, path) = file(name, &text);
        let before = servers(&path);
        assert!(before.contains(&"a".to_owned()), "{text}");
        assert!(!add(&path, "x", &new(), None).unwrap().replaced);
        let after = servers(&path);
        assert_eq!(after.len(), before.len() + 1, "{}", read(&path));
        assert!(has(&path, "x") && has(&path, "a"));
        let again = add(&path, "a", &new(), None).unwrap_err();
        assert!(matches!(again, EditError::Exists { .. }), "{again}");
        assert!(remove(&path, "x").unwrap());
        assert_eq!(read(&path), text);
        assert!(
            add(&path, "a", &new(), Some(&mut |_| Ok(())))
                .unwrap()
                .replaced
        );
        assert_eq!(servers(&path).len(), before.len(), "{}", read(&path));
        assert!(remove(&path, "a").unwrap(), "{}", read(&path));
        assert_eq!(servers(&path).len(), before.len() - 1, "{}", read(&path));
    }
}

#[test]
fn the_form_of_open_code_is_only_read() {
    let text = "{\"mcp\": {\"a\": {\"type\": \"local\", \"command\": [\"y\"]}}}";
    let (_folder, path) = file("opencode.json", text);
    assert_eq!(servers(&path), ["a"]);
    let error = add(&path, "x", &new(), None).unwrap_err().to_string();
    assert!(error.contains("write them as {\"mcpServers\""), "{error}");
    assert_eq!(read(&path), text);
    assert!(remove(&path, "a").unwrap());
}

#[test]
fn a_file_with_a_key_twice_is_left_alone() {
    for (text, fault) in [
        (
            "{\"mcpServers\": {\"a\": {}},\n\"mcpServers\": {\"x\": {}}}",
            "duplicate `mcpServers` in lines 1 and 2",
        ),
        (
            "{\"mcpServers\": {\"x\": {},\n\n\"\\u0078\": {}}}",
            "duplicate server `x` in lines 1 and 3",
        ),
        (
            "{\"mcpServers\": {\"a\": {},\n\"x\": {\"env\": {}, \"env\": {}}}}",
            "duplicate `env` in line 2",
        ),
        (
            "{\"mcp\": {\"servers\": {\"x\": {\"command\": \"y\"}},\n\"servers\": {}}}",
            "duplicate `servers` in lines 1 and 2",
        ),
    ] {
        let (_folder, path) = file(".mcp.json", text);
        let errors = [
            remove(&path, "x").unwrap_err(),
            add(&path, "x", &server(), Some(&mut |_| Ok(()))).unwrap_err(),
            add(&path, "new", &server(), None).unwrap_err(),
            check(&path).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().starts_with(fault), "{error}");
        }
        assert_eq!(read(&path), text);
    }
}
