//! Files of the proxy are readable by its user alone, with any umask.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::harness::{
    Log, Peer, Project, Proxy, SOURCE, Watched, example, initialize_params, require,
};

/// Runs the command with a umask of 0.
const OPENLY: [&str; 4] = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];

/// Each file and folder below `folder`, itself included, that is not for its owner alone.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut open = Vec::new();
    let mode = folder.symlink_metadata().unwrap().permissions().mode();
    if mode & 0o077 != 0 {
        open.push(format!("{} {:o}", folder.display(), mode & 0o7777));
    }
    if folder.is_dir() {
        for entry in folder.read_dir().unwrap() {
            open.extend(open_to_others(&entry.unwrap().path()));
        }
    }
    open
}

#[test]
fn files_of_a_standby_are_private() {
    require("python3", "install Python 3");
    let project = Project::new();
    project.write(
        "owner.py",
        "import subprocess, sys\nsys.exit(subprocess.call(sys.argv[1:]))\n",
    );
    project.write("tmp/mine", "");
    project.write(SOURCE, "{}");
    let server = ["python3".into(), "owner.py".into(), example("fake_server")];
    let server = server
        .into_iter()
        .chain([SOURCE.into(), "--token=s3cret".into()]);
    let log = Log::new();
    let proxy = Proxy::dev(server)
        .options(["--watch", "src/**"])
        .env("TMPDIR", project.path("tmp"))
        .within(&project);
    let peer = Peer::spawn_command(log.written_by(proxy).run_by(OPENLY.map(Into::into)));
    let watched = Watched::met(project, peer, log);
    assert!(!watched.peer.call("mark", &json!({})).is_error());
    let temporary = watched.project.path("tmp");
    let entries = temporary.read_dir().unwrap().map(|it| it.unwrap().path());
    let rooms: Vec<_> = entries.filter(|it| it.is_dir()).collect();
    assert_eq!(rooms.len(), 1, "{rooms:?}");
    assert_eq!(open_to_others(&rooms[0]), [] as [String; 0]);
}

#[test]
fn a_server_gets_none_of_the_proxys_own_variables() {
    let project = Project::new();
    project.write("script.json", "{}");
    let server = json!(example("fake_server")).to_string();
    let written = format!("[servers.weather]\ncommand = {server}\nargs = ['script.json']\n");
    project.write("own.toml", &written);
    let nothing: [&str; 0] = [];
    let proxy = Proxy::dev(nothing)
        .options(["--server", "weather"])
        .env("MCP_PROXY_CONFIG", project.path("own.toml"))
        .env("MCP_PROXY_LOG", "off")
        .env("OTHER", "stays")
        .within(&project);
    let peer = proxy.spawn();
    peer.initialize(&initialize_params()).result();
    let answer = peer.call("mark", &json!({})).result();
    let pid = &answer["structuredContent"]["pid"];
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.contains("OTHER=stays"));
    assert!(!environment.contains("MCP_PROXY_CONFIG") && !environment.contains("MCP_PROXY_LOG"));
}
