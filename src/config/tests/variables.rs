//! Variables in clients' files.

use std::path::MAIN_SEPARATOR_STR;

use super::clients::{good, one};
use super::*;

#[test]
fn the_variables_of_a_file_are_added_and_those_written_down_win() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"mcpServers": {"a": {"command": "x", "envFile": "${workspaceFolder}/sub/.env",
        "env": {"B": "own"}}}}"#;
    fs::create_dir(folder.path().join("sub")).unwrap();
    let file = folder.path().join("sub/.env");
    fs::write(
        &file,
        "export A='1 # x' # c\nB=2\nA2=\"x\"\nhidden s3cret\n",
    )
    .unwrap();
    let loaded = loaded_in(folder.path(), &[(".mcp.json", text)]);
    assert_eq!(messages(&loaded), [""; 0]);
    let env = &loaded.config.server("a").unwrap().env;
    let expected = [("A", "1 # x"), ("A2", "x"), ("B", "own")];
    assert_eq!(*env, expected.map(|(k, v)| (k.into(), v.into())));
    assert_eq!(loaded.env_files, std::slice::from_ref(&file));
    let said = format!(
        "server `a`: line 4 of {}/sub/.env sets no variable and is left out",
        folder.path().display()
    );
    assert_eq!(loaded.notes, [said]);
    assert!(loaded.shown.toml(true).contains("env_file = "));
}

#[test]
fn a_file_of_variables_that_is_not_there_is_a_fault() {
    for server in [
        r#"{"command": "x", "envFile": "no.env"}"#,
        r#"{"command": "x", "envFile": "${workspaceFolder}/sub"}"#,
    ] {
        let loaded = one(server);
        assert!(loaded.config.servers.is_empty());
        assert!(messages(&loaded)[0].starts_with("cannot read the variables in "));
        assert_eq!(loaded.env_files.len(), 1);
    }
    assert!(
        good(r#"{"command": "x", "envFile": "", "env": {}}"#)
            .env
            .is_empty()
    );
    let far = one(r#"{"url": "https://x.example/", "envFile": ".env"}"#);
    assert!(messages(&far)[0].contains("is for a server with `command`"));
    let toml = "[servers.a]\ncommand = 'x'\nenv_file = 'own.env'\n";
    let loaded = loaded(&[("mcp-proxy.toml", toml), ("own.env", "K=v\nK=w")]);
    assert_eq!(loaded.config.servers[0].env, [("K".into(), "w".into())]);
}

#[test]
fn the_variables_of_clients_mean_what_they_mean_there() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("my project");
    fs::create_dir_all(project.join(".cursor")).unwrap();
    let text = r#"{"mcpServers": {"a": {"command": "x", "cwd": "${workspaceFolder}${/}.cursor", "args": [
        "${userHome}/x", "${workspaceFolderBasename}", "a${pathSeparator}b${/}c", "${env:A}",
        "${extensionPath}${/}x", "${CLAUDE_PLUGIN_ROOT}", "${workspaceFolder:-no}", "${cwd}"]}}}"#;
    fs::write(project.join(".cursor/mcp.json"), text).unwrap();
    let mut around = ConfigContext {
        explicit: Some(".cursor/mcp.json".into()),
        cwd: project.clone(),
        home: Some("/home/me".into()),
        variables: [("A".to_owned(), "1".to_owned())].into(),
        program: None,
        ..ConfigContext::default()
    };
    let loaded = load(&around);
    assert_eq!(messages(&loaded), [""; 0]);
    let a = &loaded.config.servers[0];
    let root = project.to_str().unwrap();
    let x = project.join("x");
    let abc = ["a", "b", "c"].join(MAIN_SEPARATOR_STR);
    let expected = [
        "/home/me/x",
        "my project",
        &abc,
        "1",
        x.to_str().unwrap(),
        root,
        root,
        root,
    ];
    assert_eq!(a.args, expected);
    assert!(a.cwd.ends_with("my project/.cursor"));
    // `env:` looks only in the environment; an unset variable is a fault.
    around.variables = [].into();
    assert_eq!(messages(&load(&around)), ["variable `A` is not set"]);
}

#[test]
fn a_variable_that_only_an_editor_replaces_is_a_fault() {
    for (value, said) in [
        (
            "${input:key}",
            "VS Code prompts for this value, mcp-proxy cannot",
        ),
        (
            "x${config:a.b}",
            "this value is an editor's setting, which mcp-proxy cannot read",
        ),
        ("${env:userHome}", "variable `userHome` is not set"),
    ] {
        let json = one(&format!(r#"{{"command": "x", "env": {{"K": "{value}"}}}}"#));
        assert_eq!(messages(&json), [said]);
        let toml = format!("[servers.a]\ncommand = 'x'\nargs = ['{value}']");
        assert_eq!(messages(&loaded(&[("mcp-proxy.toml", &toml)])), [said]);
    }
}
