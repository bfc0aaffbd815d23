//! A project in a folder whose name is not UTF-8. Other systems than Linux refuse such names.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    CACHE, GitServer, Peer, Project, Proxy, Run, STATE, example, initialize_params, marked,
};

/// Name of the folder, in JSON.
const SHOWN: &str = "b\u{fffd}d";

/// Returns a project and its odd folder, with the fake server `weather` in `.mcp.json`.
fn odd() -> (Project, PathBuf) {
    let project = Project::new();
    let folder = project.root().join(OsStr::from_bytes(b"b\xe9d"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("weather.json"), marked("v0")).unwrap();
    let weather = json!({"command": example("fake_server"), "args": ["weather.json"]});
    let servers = json!({"mcpServers": {"weather": weather}});
    fs::write(folder.join(".mcp.json"), servers.to_string()).unwrap();
    (project, folder)
}

fn command(project: &Project, folder: &PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(Proxy::program());
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("MCP_PROXY_CONFIG")
        .env("HOME", project.root())
        .env("XDG_DATA_HOME", project.path("data"))
        .env(CACHE, project.path("cache"))
        .env(STATE, project.state());
    command
}

/// Runs a command in the folder; returns its JSON object, whose texts name the folder.
#[track_caller]
fn object(project: &Project, folder: &PathBuf, arguments: &[&str]) -> Value {
    let run = Run::of(command(project, folder, arguments));
    assert!(!run.stderr.contains("panicked"), "{arguments:?}: {run:#?}");
    match serde_json::from_str(&run.stdout) {
        Ok(object) => object,
        Err(error) => panic!("{arguments:?}: {error}: {run:#?}"),
    }
}

#[test]
fn commands_print_their_json() {
    let (project, folder) = odd();
    for arguments in [
        &["list", "--json"][..],
        &["check", "--json"],
        &["tools", "--json"],
        &["doctor", "--json"],
        &["config", "show", "--json"],
        &["status", "--json"],
    ] {
        object(&project, &folder, arguments);
    }
    let list = object(&project, &folder, &["list", "--json"]);
    let cwd = list["servers"][0]["cwd"].as_str().unwrap();
    assert!(cwd.ends_with(SHOWN), "{list}");
    let removed = object(&project, &folder, &["uninstall", "weather", "--json"]);
    let file = removed["unregistered"][0].as_str().unwrap();
    assert!(file.contains(SHOWN), "{removed}");
}

#[test]
fn an_installation_is_registered_and_removed() {
    let (project, folder) = odd();
    let git = GitServer::new();
    let server = "for line in open(0): pass\n";
    git.repository("rain", &[("server.py", server)]);
    let run = |arguments: &[&str]| {
        let mut command = command(&project, &folder, arguments);
        command
            .env("SSL_CERT_FILE", git.authority_file())
            .env_remove("SSL_CERT_DIR");
        let run = Run::of(command).ended_with(0);
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let url = git.url("git/rain");
    let installed = run(&["install", &url, "--no-check", "--json"]);
    let file = installed["registered"][0].as_str().unwrap();
    assert!(file.contains(SHOWN), "{installed}");
    let found = run(&["list", "--installed", "--json"]);
    assert_eq!(found["installed"][0]["registered"], installed["registered"]);
    let removed = run(&["uninstall", "rain", "--delete-files", "--json"]);
    assert_eq!(removed["unregistered"], installed["registered"]);
    assert!(removed["deleted"].is_string(), "{removed}");
}

#[test]
fn meta_tools_answer() {
    let (project, folder) = odd();
    let peer = Peer::spawn_command(command(&project, &folder, &["serve"]));
    // A client that can ask its user would have to confirm the removal.
    let mut params = initialize_params();
    params["capabilities"] = json!({});
    peer.initialize(&params).result();
    let called = |tool: &str, arguments: &Value| {
        let mut result = peer.call(tool, arguments).result();
        assert_eq!(result["isError"], false, "{result}");
        result["structuredContent"].take()
    };
    let installed = called("list_installed_mcp_servers", &json!({}));
    let cwd = installed["servers"][0]["cwd"].as_str().unwrap();
    assert!(cwd.ends_with(SHOWN), "{installed}");
    let removed = called("uninstall_mcp_server", &json!({"server_name": "weather"}));
    let file = removed["config_files"][0].as_str().unwrap();
    assert!(file.contains(SHOWN), "{removed}");
}

#[test]
fn status_and_logs_find_the_project() {
    let (project, folder) = odd();
    let peer = Peer::spawn_command(command(&project, &folder, &["dev"]));
    peer.initialize(&initialize_params()).result();
    peer.expect_stderr("ready in");
    let status = object(&project, &folder, &["status", "--json"]);
    let found = status["running"][0]["project"].as_str().unwrap();
    assert!(found.ends_with(SHOWN), "{status}");
    let logs = Run::of(command(&project, &folder, &["logs"])).ended_with(0);
    assert!(logs.stdout.contains(SHOWN), "{logs:#?}");
}
