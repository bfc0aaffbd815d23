//! Entries of clients' files that run a server through the proxy.

use serde_json::json;

use super::*;

/// Loads a `.mcp.json` with one server `a` of this command line, and this `mcp-proxy.toml`.
fn wrapped(line: &str, toml: &str) -> LoadedConfig {
    let words = shlex::split(line).unwrap();
    let entry =
        json!({"command": words[0], "args": words[1..], "cwd": ".", "env": {"A": "1", "B": "1"}});
    let text = json!({"mcpServers": {"a": entry}}).to_string();
    loaded(&[(".mcp.json", &text), ("mcp-proxy.toml", toml)])
}

#[test]
fn a_server_behind_the_proxy_is_that_server() {
    for line in [
        "mcp-proxy dev -- uv run ${A}",
        "/opt/mcp-proxy -v dev --server a -- uv run ${A}",
        "npx -y mcp-proxy-dev dev --no-watch -- uv run ${A}",
        "mcp-proxy dev -- mcp-proxy dev -- uv run ${A}",
    ] {
        let loaded = wrapped(line, "[servers.a]\ntools = { deny = ['t'] }\n");
        assert_eq!(messages(&loaded), [""; 0], "{line}");
        assert_eq!(loaded.notes, [""; 0], "{line}");
        let a = loaded.config.server("a").expect(line);
        assert_eq!(
            (a.program.to_str(), a.args.len()),
            (Some("uv"), 2),
            "{line}"
        );
        assert_eq!(
            (a.args[1].to_str(), &a.tools.deny[..]),
            (Some("1"), &["t".to_owned()][..])
        );
    }
}

#[test]
fn the_options_of_the_proxy_are_settings_of_the_server() {
    let line = "mcp-proxy --log /x dev --watch a --watch=!b --build 'make it' --reload stop-first --debounce 1s \
                --env B=2 --env C=3 --era modern --on-broken=serve-last-good --start-timeout 2s \
                --rehearse a --rehearse 'b {\"c\":1}' --rehearse recorded --rehearse-tools d --on-regression hold -- x -- --watch c";
    let loaded = wrapped(line, "[servers.a]\nbuild = 'own'\n");
    assert_eq!(messages(&loaded), [""; 0]);
    let a = loaded.config.server("a").unwrap();
    assert_eq!(a.watch, ["a", "!b"]);
    assert_eq!(
        (a.build.as_deref(), a.reload),
        (Some("own"), ReloadMode::StopFirst)
    );
    assert_eq!(a.on_broken, OnBroken::ServeLastGood);
    assert_eq!(a.era, EraChoice::Modern);
    assert_eq!(a.rehearsed_calls()[1].to_string(), "b {\"c\":1}");
    assert!(a.rehearses_recorded() && a.rehearse_tools == ["d"]);
    assert_eq!((a.rehearse.len(), a.on_regression), (3, OnRegression::Hold));
    assert_eq!(a.timeouts.start, Duration::from_secs(2));
    assert_eq!(
        a.env,
        [("A", "1"), ("B", "2"), ("C", "3")].map(|(k, v)| (k.into(), v.into()))
    );
    assert_eq!(a.args, ["--", "--watch", "c"]);
}

#[test]
fn the_directory_of_the_proxy_is_relative_to_that_of_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sub/server")).unwrap();
    let text = r#"{"mcpServers": {"a": {"command": "mcp-proxy", "args": ["dev", "--cwd", "server", "--", "x"],
        "cwd": "sub"}}}"#;
    let loaded = loaded_in(folder.path(), &[(".mcp.json", text)]);
    assert_eq!(messages(&loaded), [""; 0]);
    assert!(loaded.config.servers[0].cwd.ends_with("sub/server"));
}

#[test]
fn the_proxy_without_a_server_of_its_own_is_left_out() {
    for line in [
        "mcp-proxy dev",
        "mcp-proxy dev --",
        "mcp-proxy serve --config x.json",
        "sh -c 'exec mcp-proxy dev -- x'",
        "env A=1 mcp-proxy dev -- x",
    ] {
        let loaded = wrapped(line, "");
        assert!(loaded.config.servers.is_empty(), "{line}");
        let [note] = &loaded.notes[..] else {
            panic!("{line}: {:?}", loaded.notes)
        };
        assert!(note.starts_with("`a` is mcp-proxy itself and is left out"));
        assert_eq!(
            note.contains("x.json, see --config"),
            line.contains("x.json")
        );
    }
    // Another program of the same name.
    let loaded = wrapped("uvx mcp-proxy --port 1 -- uv run x", "");
    assert_eq!(loaded.config.servers[0].program, "uvx");
}
