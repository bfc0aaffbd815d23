//! Peculiarities of single clients.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::*;
use super::{ONE, PROJECT, User};
use crate::config::ConfigContext;

#[test]
fn a_server_that_vs_code_restarts_or_debugs_is_left() {
    let text = r#"{"servers": {"watched": {"command": "x", "dev": {"watch": "src/**"}},
        "debugged": {"command": "node", "args": ["y"], "dev": {"debug": {"type": "node"}}},
        "plain": {"command": "x", "dev": {}}}}"#;
    let (user, _) = User::with("project/.vscode/mcp.json", text);
    // Another client does not know the key.
    let other = user.path("home/project/.mcp.json");
    fs::write(other, text.replace("\"servers\"", "\"mcpServers\"")).unwrap();
    let plan = user.plan(&Selection::default());
    let skipped: Vec<_> = plan
        .skipped
        .iter()
        .map(|it| (&*it.name, it.is_fault))
        .collect();
    assert_eq!(skipped, [("watched", true), ("debugged", true)]);
    assert!(plan.skipped[0].why.contains("remove `dev`"));
    assert_eq!(plan.proposals.len(), 4);
}

#[test]
fn the_address_of_a_process_becomes_an_option() {
    for url in ["http://127.0.0.1:{port}/mcp", "auto"] {
        let text = format!(r#"{{"mcpServers": {{"a": {{"command": "x", "url": "{url}"}}}}}}"#);
        let (user, _) = User::with(PROJECT, &text);
        let plan = user.plan(&Selection::default());
        assert_eq!(plan.proposals[0].words[1..], ["dev", "--url", url, "--"]);
    }
}

#[test]
fn the_variables_of_each_client_are_understood() {
    let one = |text: &str, client: &str| {
        let (user, _) = User::with(client, text);
        let mut plan = user.plan(&Selection::default());
        match plan.proposals.pop() {
            Some(it) => Ok((it.spec.program, it.spec.args, it.spec.env)),
            None => Err(plan.skipped.remove(0).why),
        }
    };
    let gemini = r#"{"mcpServers": {"a": {"command": "$KEY/x", "args": ["${KEY}", "$NO", "a$"], "env": {"K": "$KEY"}}}}"#;
    let expected = |args: &[&str]| {
        let args = args.iter().map(Into::into).collect();
        Ok(("k/x".into(), args, vec![("K".into(), "k".into())]))
    };
    let found = one(gemini, ".gemini/settings.json");
    assert_eq!(found, expected(&["k", "", "a$"]));
    let open_code = r#"{"mcp": {"a": {"type": "local", "command": ["{env:KEY}/x", "{env:NO}", "$KEY"],
        "environment": {"K": "{env:KEY}"}}}}"#;
    let found = one(open_code, "project/opencode.json");
    assert_eq!(found, expected(&["", "$KEY"]));
    let file = open_code.replace("$KEY", "{file:~/.key}");
    let why = one(&file, "project/opencode.json").unwrap_err();
    assert!(
        why.contains("OpenCode reads this value from a file"),
        "{why}"
    );
    let template =
        "mcpServers:\n  - name: a\n    command: x\n    env:\n      K: ${{ secrets.K }}\n";
    let why = one(template, ".continue/config.yaml").unwrap_err();
    assert!(why.contains("Continue replaces this value"), "{why}");
}

#[test]
fn a_file_of_two_clients_is_found_and_restored_for_each() {
    let (user, _) = User::with(PROJECT, ONE);
    let plan_for = |client: &str| {
        user.plan(&Selection {
            clients: vec![client.to_owned()],
            ..Selection::default()
        })
    };
    let client = |plan: &Plan| plan.proposals.first().map(|it| it.client.id);
    assert_eq!(
        client(&user.plan(&Selection::default())),
        Some("claude-code")
    );
    for id in ["claude-code", "copilot"] {
        assert_eq!(client(&plan_for(id)), Some(id));
    }
    assert_eq!(client(&plan_for("cursor")), None);
    user.wrap_all(&plan_for("copilot")).unwrap();
    let record = &records(&user.records_folder()).unwrap().known[0];
    let is_of = ["claude-code", "copilot", "cursor"].map(|id| record.is_of(id));
    assert_eq!(is_of, [true, true, false]);
}

#[test]
fn only_a_shared_file_of_a_terminals_client_has_the_bare_name() {
    let (user, _) = User::with(PROJECT, ONE);
    for file in [".vscode/mcp.json", ".cursor/mcp.json", "opencode.json"] {
        let path = user.path("home/project").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match file {
            "opencode.json" => r#"{"mcp": {"a": {"command": ["x"]}}}"#.to_owned(),
            ".vscode/mcp.json" => ONE.replace("mcpServers", "servers"),
            _ => ONE.to_owned(),
        };
        fs::write(path, text).unwrap();
    }
    let local = format!(
        "{{\"mcpServers\": {{\"u\": {{\"command\": \"x\"}}}}, \"projects\": {{{:?}: {{\"mcpServers\": {{\"l\": {{\"command\": \"x\"}}}}}}}}}}",
        user.path("home/project")
    );
    fs::write(user.path("home/.claude.json"), local).unwrap();
    fs::create_dir(user.path("bin")).unwrap();
    let program = std::env::current_exe().unwrap();
    let link = user.path("bin/mcp-proxy");
    symlink(&program, &link).unwrap();
    let path = user.path("bin").display().to_string();
    let around = ConfigContext {
        program: Some(program),
        variables: [("PATH".to_owned(), path)].into(),
        ..user.around()
    };
    let plan = plan(&around, &Selection::default());
    let bare = plan
        .proposals
        .iter()
        .filter(|it| it.words[0] == "mcp-proxy");
    let bare: Vec<&str> = bare.map(|it| it.client.id).collect();
    assert_eq!(bare, ["claude-code", "opencode"]);
    let full = plan
        .proposals
        .iter()
        .filter(|it| it.words[0] == link.to_str().unwrap());
    let full: Vec<&str> = full.map(|it| it.client.id).collect();
    assert_eq!(full, ["claude-code", "vscode", "cursor", "claude-code"]);
}

#[test]
fn an_entry_keeps_the_settings_that_the_own_file_adds() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#;
    let (user, _) = User::with(PROJECT, text);
    let folder = user.path("home/project");
    fs::write(
        folder.join("mcp-proxy.toml"),
        "[servers.a]\ntools = { deny = ['t'] }\n",
    )
    .unwrap();
    fs::create_dir(folder.join(".cursor")).unwrap();
    fs::write(folder.join(".cursor/mcp.json"), text).unwrap();
    let plan = user.plan(&Selection::default());
    let words: Vec<String> = plan
        .proposals
        .iter()
        .map(|it| it.words[1..].join(" "))
        .collect();
    assert_eq!(words, ["dev --server a --", "dev --", "dev --", "dev --"]);
    assert!(!plan.proposals[0].spec.tools.compile().admits("t"));
    user.wrap().unwrap();
    let loaded = crate::config::load(&user.around());
    let a = loaded
        .config
        .servers
        .iter()
        .find(|it| it.name == "a")
        .unwrap();
    assert_eq!(
        (a.program.to_str(), &a.tools.deny[..]),
        (Some("x"), &["t".to_owned()][..])
    );
    for outcome in user.undo_all(false) {
        assert_eq!(outcome.unwrap(), Restored::File);
    }
}
