//! Servers behind one entry.

use super::*;

fn all() -> Selection {
    Selection {
        combines: true,
        ..Selection::default()
    }
}

/// Plans and makes a setup with combined entries; returns the plan.
#[track_caller]
fn combine(user: &User) -> Plan {
    let plan = user.plan(&all());
    let together = |one: &Proposal, other: &Proposal| one.combined == other.combined;
    for table in plan.proposals.chunk_by(together) {
        let table: Vec<&Proposal> = table.iter().collect();
        ServersFile::write(&table).unwrap().unwrap().keep();
    }
    user.wrap_all(&plan).unwrap();
    plan
}

fn servers_file(plan: &Plan) -> &Path {
    &plan.proposals[0].combined.as_ref().unwrap().file
}

/// Returns the commands of all servers that setup would wrap.
fn commands(user: &User) -> Vec<(String, Vec<String>)> {
    let proposals = user.plan(&Selection::default()).proposals.into_iter();
    proposals.map(|it| (it.entry.name, it.before)).collect()
}

/// Asserts that undo restores each byte, and the servers of a file that has changed since. Returns false if the form of
/// the file allows no common entry.
#[track_caller]
fn round_trip(relative: &str, text: &str) -> bool {
    let (user, path) = User::with(relative, text);
    let before = commands(&user);
    let plan = user.plan(&all());
    if plan.proposals.is_empty() {
        let faults = plan.skipped.iter().filter(|it| it.is_fault);
        assert_eq!(faults.count(), before.len(), "{text}");
        return false;
    }
    let plan = combine(&user);
    let (after, file) = (read(&path), servers_file(&plan).to_owned());
    assert!(
        after.contains("serve") && after.contains("mcp-proxy.json"),
        "{after}"
    );
    assert!(commands(&user).is_empty(), "{after}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(user.undo_all(false)[0].as_ref().unwrap(), &Restored::File);
    assert_eq!(read(&path), text, "from\n{after}");
    assert!(!file.exists());

    combine(&user);
    fs::write(&path, read(&path) + "\n").unwrap();
    assert!(matches!(
        user.undo_all(false)[..],
        [Err(UndoError::Changed(_))]
    ));
    let outcomes = user.undo_all(true);
    assert!(
        matches!(&outcomes[..], [Ok(Restored::Servers(servers))] if servers.len() == before.len()),
        "{outcomes:?} {after}"
    );
    assert_eq!(commands(&user), before, "from\n{after}");
    assert!(!file.exists());
    true
}

#[test]
fn undo_restores_each_byte_of_combined_servers() {
    let shapes = shapes::all();
    let is_yaml = |path: &str| path.ends_with("yaml");
    let refused = shapes.iter().filter(|(path, text)| !round_trip(path, text));
    let refused: Vec<_> = refused.filter(|(path, _)| !is_yaml(path)).collect();
    // A table within a line, dotted keys.
    assert!(refused.len() <= 5, "{refused:#?}");
}

#[test]
fn servers_move_with_their_settings_and_the_directory_of_the_client() {
    let text = r#"{"mcpServers": {"a": {"command": "x", "args": ["1"], "env": {"K": "${KEY}"}, "timeout": 5000},
        "far": {"url": "https://x.example/"}, "b": {"command": "y", "cwd": "/"}}}"#;
    let (user, path) = User::with(PROJECT, text);
    let plan = combine(&user);
    let file = servers_file(&plan);
    assert!(
        file.ends_with("home/project/.mcp.mcp-proxy.json"),
        "{}",
        file.display()
    );
    let written: serde_json::Value = serde_json::from_str(&read(file)).unwrap();
    let expected = serde_json::json!({"mcpServers": {
        "a": {"command": "x", "args": ["1"], "env": {"K": "${KEY}"}, "timeout": 5000, "cwd": "${cwd}"},
        "b": {"command": "y", "cwd": "/"},
    }});
    assert_eq!(written, expected);
    let after: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
    let entry = serde_json::json!({
        "command": "/opt/bin/mcp-proxy", "args": ["serve", "--config", file.to_str().unwrap()],
    });
    assert_eq!(after["mcpServers"]["mcp-proxy"], entry);
    assert_eq!(after["mcpServers"].as_object().unwrap().len(), 2);
    let config = crate::config::load(&ConfigContext {
        explicit: Some(file.to_owned()),
        cwd: user.path("home"),
        variables: [("KEY".to_owned(), "k".to_owned())].into(),
        ..ConfigContext::default()
    });
    assert!(config.faults.is_empty(), "{:?}", config.faults);
    let servers = config.config.servers;
    assert_eq!(servers[0].cwd, user.path("home").canonicalize().unwrap());
    assert_eq!(servers[1].cwd, Path::new("/"));
}

#[test]
fn each_table_has_a_file_of_its_own() {
    let (user, _) = User::with(PROJECT, ONE);
    let project = user.path("home/project");
    let claude = format!(
        "{{\"mcpServers\": {{\"u\": {{\"command\": \"x\"}}}}, \"projects\": {{{project:?}: {{\"mcpServers\": {{\"l\": {{\"command\": \"x\"}}}}}}}}}}"
    );
    let path = user.path("home/.claude.json");
    fs::write(&path, &claude).unwrap();
    let plan = combine(&user);
    let files = plan.proposals.iter().flat_map(|it| &it.combined);
    let files: Vec<_> = files
        .map(|it| it.file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            ".claude.mcp-proxy.json",
            ".mcp.mcp-proxy.json",
            ".claude.mcp-proxy-2.json"
        ]
    );
    assert_eq!(user.undo_all(false).into_iter().flatten().count(), 3);
    assert_eq!(read(&path), claude);
}

#[test]
fn servers_that_changed_in_their_file_are_kept_there() {
    let (user, path) = User::with(PROJECT, ONE);
    let plan = combine(&user);
    let file = servers_file(&plan);
    fs::write(file, read(file).replace("\"y\"", "\"z\"")).unwrap();
    let after = read(&path);
    let outcomes = user.undo_all(false);
    assert!(
        matches!(outcomes[..], [Err(UndoError::ServersChanged(_))]),
        "{outcomes:?}"
    );
    assert_eq!(read(&path), after);
    assert_eq!(user.undo_all(true).remove(0).unwrap(), Restored::File);
    assert_eq!(read(&path), ONE);
    assert!(read(file).contains("\"z\""));
}

#[test]
fn a_combined_entry_that_was_removed_keeps_the_servers() {
    let (user, path) = User::with(PROJECT, ONE);
    let plan = combine(&user);
    fs::write(&path, r#"{"mcpServers": {}}"#).unwrap();
    assert!(matches!(&user.undo_all(true)[..], [Ok(Restored::Servers(none))] if none.is_empty()));
    assert!(servers_file(&plan).exists());
    assert!(user.undo_all(true).is_empty());
}

#[test]
fn a_file_without_an_entry_is_removed() {
    let (user, path) = User::with(PROJECT, ONE);
    let plan = user.plan(&all());
    let proposals: Vec<&Proposal> = plan.proposals.iter().collect();
    let file = ServersFile::write(&proposals).unwrap().unwrap();
    assert!(servers_file(&plan).exists());
    drop(file);
    assert!(!servers_file(&plan).exists());
    assert_eq!(read(&path), ONE);
}

#[test]
fn settings_that_change_before_the_edit_are_not_lost() {
    let (user, path) = User::with(PROJECT, ONE);
    let plan = user.plan(&all());
    let proposals: Vec<&Proposal> = plan.proposals.iter().collect();
    let file = ServersFile::write(&proposals).unwrap().unwrap();
    let newer = ONE.replace("\"args\"", "\"env\": {\"K\": \"1\"}, \"args\"");
    fs::write(&path, &newer).unwrap();
    let error = user.wrap_all(&plan).unwrap_err();
    assert!(matches!(error, SetupError::Changed { .. }), "{error}");
    assert_eq!(read(&path), newer);
    drop(file);
    assert!(records(&user.records_folder()).unwrap().known.is_empty());
}
