//! `setup --many`: servers behind one entry.

use std::process::Command;

use serde_json::{Value, json};

use super::{FILE, entry, home, object, run};
use crate::harness::{Peer, Project, initialize_params};

/// File that the servers move to.
const SERVERS: &str = "home/work/.mcp.mcp-proxy.json";

/// Home directory with a project, whose `.mcp.json` has two servers in the current directory and an address.
fn two() -> (Project, String) {
    let home = home();
    home.write("home/work/other.json", r#"{"mark": "v2"}"#);
    let before = format!(
        "{{\"mcpServers\": {{\n  // own\n  \"a\": {},\n  \"far\": {{\"url\": \"http://127.0.0.1:1/\"}},\n  \"b\": {}\n}}}}\n",
        entry("script.json"),
        entry("other.json")
    );
    home.write(FILE, &before);
    (home, before)
}

/// Returns the only entry with a command, by its name.
#[track_caller]
fn command(home: &Project) -> (String, Vec<String>) {
    let text = home.read(FILE).replace("// own", "");
    let servers = &serde_json::from_str::<Value>(&text).unwrap()["mcpServers"];
    let mut entries = servers.as_object().unwrap().iter();
    let (name, entry) = entries.find(|(_, it)| it["command"].is_string()).unwrap();
    assert!(entries.all(|(_, it)| it["command"].is_null()), "{text}");
    let args = entry["args"].as_array().unwrap().iter();
    let words = std::iter::once(&entry["command"]).chain(args);
    let words = words.map(|it| it.as_str().unwrap().to_owned());
    (name.clone(), words.collect())
}

#[test]
fn servers_behind_one_entry_serve_their_client_and_come_back_to_the_byte() {
    let (home, before) = two();
    let setup = run(&home, &["setup", "--many", "--yes"]).ended_with(0);
    assert!(setup.stdout.contains("wrapped 2 servers;"), "{setup:#?}");
    assert!(setup.stdout.contains("edit the servers in "), "{setup:#?}");
    let (name, words) = command(&home);
    assert_eq!((&*name, &*words[1]), ("mcp-proxy", "serve"));
    let mut client = Command::new(&words[0]);
    client
        .args(&words[1..])
        .current_dir(home.path("home/work"))
        .env("HOME", home.path("home"));
    let peer = Peer::spawn_command(client);
    peer.initialize(&initialize_params()).result();
    for (server, mark) in [("a", "v1"), ("b", "v2")] {
        let call = json!({"server_name": server, "tool_name": "mark", "parameters": {}});
        let answer = peer.call("call_dynamic_server_tool", &call);
        assert!(answer.line.contains(mark), "{}", answer.line);
    }
    peer.close_stdin();
    peer.wait_exit();

    let again = run(&home, &["setup", "--many", "--yes"]).ended_with(0);
    assert!(
        again.stdout.contains("already runs through mcp-proxy"),
        "{again:#?}"
    );
    let undo = run(&home, &["undo", "--yes"]).ended_with(0);
    assert!(undo.stdout.starts_with("restored "), "{undo:#?}");
    assert_eq!(home.read(FILE), before);
    assert!(!home.path(SERVERS).exists());
}

#[test]
fn a_server_that_does_not_start_stays_in_the_file_of_the_client() {
    let (home, before) = two();
    let broken = r#"{"exit_at_start": {"code": 3, "stderr": "boom"}}"#;
    home.write("home/work/script.json", broken);
    let setup = run(&home, &["setup", "--many", "--yes", "--json"]).ended_with(4);
    let report = object(&setup);
    let outcome = |at: usize| {
        let server = &report["servers"][at];
        (
            server["server"].clone(),
            server["wrapped"].clone(),
            server["entry"].clone(),
        )
    };
    assert_eq!(outcome(0), (json!("a"), json!(false), json!("mcp-proxy")));
    assert_eq!(outcome(1), (json!("b"), json!(true), json!("mcp-proxy")));
    let servers: Value = serde_json::from_str(&home.read(SERVERS)).unwrap();
    let names = servers["mcpServers"].as_object().unwrap().keys();
    assert_eq!(names.collect::<Vec<_>>(), ["b"]);
    assert!(home.read(FILE).contains("\"a\""));
    run(&home, &["undo", "--yes"]).ended_with(0);
    assert_eq!(home.read(FILE), before);

    home.write("home/work/other.json", broken);
    let setup = run(&home, &["setup", "--many", "--yes"]).ended_with(4);
    assert!(setup.stderr.contains("nothing was changed"), "{setup:#?}");
    assert_eq!(home.read(FILE), before);
    assert!(!home.path(SERVERS).exists());
}

#[test]
fn a_dry_run_shows_the_entry_and_changes_nothing() {
    let (home, before) = two();
    let dry = run(&home, &["setup", "--many", "--dry-run"]).ended_with(0);
    let lines: Vec<&str> = dry.stdout.lines().map(str::trim_start).collect();
    let at = lines.iter().position(|line| *line == "mcp-proxy").unwrap();
    assert!(
        lines[at + 1].starts_with("+ /") && lines[at + 1].contains(" serve --config "),
        "{dry:#?}"
    );
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("- ")).count(),
        2
    );
    assert!(dry.stdout.contains("`far` in "), "{dry:#?}");
    assert_eq!(home.read(FILE), before);
    assert!(!home.path(SERVERS).exists());
}
