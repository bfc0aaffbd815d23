//! `setup` and `undo`: clients' files are wrapped once the wrapped servers work, and restored.

mod many;
mod own;
mod real_clients;

use std::ffi::OsStr;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Peer, Project, Proxy, Run, example, initialize_params};

/// File of Claude Code in the project.
const FILE: &str = "home/work/.mcp.json";

/// Home directory with a project, whose `.mcp.json` has one fake server and a comment.
fn home() -> Project {
    let home = Project::new();
    home.write("home/work/.git/HEAD", "");
    home.write("home/work/script.json", r#"{"mark": "v1"}"#);
    home.write(FILE, &file(&entry("script.json")));
    home
}

/// Returns a file with the entry `entry` of the server `weather`.
fn file(entry: &str) -> String {
    format!("{{\n  // servers\n  \"mcpServers\": {{\n    \"weather\": {entry}, // own\n  }},\n}}\n")
}

fn entry(script: &str) -> String {
    let server = json!(example("fake_server"));
    format!("{{\"command\": {server}, \"args\": [\"{script}\"]}}")
}

/// Runs mcp-proxy in the project of `home`.
fn command(home: &Project, arguments: &[&str]) -> Command {
    let mut command = command_of(home, Proxy::program().as_ref());
    command.args(arguments);
    command
}

/// Runs a program in the project of `home`.
fn command_of(home: &Project, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(home.path("home/work"))
        .env("HOME", home.path("home"));
    for name in [
        "MCP_PROXY_CONFIG",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
    ] {
        command.env_remove(name);
    }
    command
}

#[track_caller]
fn run(home: &Project, arguments: &[&str]) -> Run {
    Run::of(command(home, arguments))
}

#[track_caller]
fn object(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

/// Returns the command of the server, as its client reads it.
fn words(home: &Project) -> Vec<String> {
    let text = home
        .read(FILE)
        .replace("// servers", "")
        .replace(", // own\n  },\n}", "}}");
    let entry = &serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["weather"];
    let args = entry["args"].as_array().unwrap().iter();
    let words = std::iter::once(&entry["command"]).chain(args);
    words.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_wrapped_server_serves_its_client_and_comes_back_to_the_byte() {
    let home = home();
    let before = home.read(FILE);
    let setup = run(&home, &["setup", "--yes"]).ended_with(0);
    assert!(
        setup.stdout.contains("Claude Code (project): "),
        "{setup:#?}"
    );
    let words = words(&home);
    assert_eq!(words[1..3], ["dev", "--"]);
    // The program is not in the client's search path.
    assert!(words[0].starts_with('/'), "{words:?}");
    let mut client = Command::new(&words[0]);
    client.args(&words[1..]).current_dir(home.path("home/work"));
    let peer = Peer::spawn_command(client);
    peer.initialize(&initialize_params()).result();
    assert!(peer.call("mark", &json!({})).line.contains("v1"));
    peer.close_stdin();
    peer.wait_exit();

    let again = run(&home, &["setup", "--yes"]).ended_with(0);
    assert!(
        again.stdout.contains("already runs through mcp-proxy"),
        "{again:#?}"
    );
    let undo = run(&home, &["undo", "--yes"]).ended_with(0);
    assert!(undo.stdout.starts_with("restored "), "{undo:#?}");
    assert_eq!(home.read(FILE), before);
    let none = run(&home, &["undo", "--yes"]).ended_with(0);
    assert_eq!(none.stdout, "nothing to undo\n");
}

#[test]
fn a_program_in_the_search_path_is_named() {
    let home = home();
    std::fs::create_dir(home.path("bin")).unwrap();
    std::os::unix::fs::symlink(Proxy::program(), home.path("bin/mcp-proxy")).unwrap();
    let mut setup = command(&home, &["setup", "--yes"]);
    setup.env(
        "PATH",
        format!("{}:/usr/bin:/bin", home.path("bin").display()),
    );
    Run::of(setup).ended_with(0);
    assert_eq!(words(&home)[0], "mcp-proxy");
}

#[test]
fn nothing_is_changed_if_a_server_does_not_start() {
    let home = home();
    home.write(
        "home/work/script.json",
        r#"{"exit_at_start": {"code": 3, "stderr": "boom"}}"#,
    );
    let before = home.read(FILE);
    let setup = run(&home, &["setup", "--yes"]).ended_with(4);
    assert!(setup.stderr.contains("boom"), "{setup:#?}");
    assert!(
        setup.stderr.contains("`weather` does not start"),
        "{setup:#?}"
    );
    assert!(setup.stderr.contains("nothing was changed"), "{setup:#?}");
    assert_eq!(home.read(FILE), before);
    let undo = run(&home, &["undo", "--yes", "--json"]).ended_with(0);
    assert_eq!(object(&undo), json!({"files": [], "faults": []}));
}

#[test]
fn a_server_that_does_not_start_is_left_out_and_the_others_are_wrapped() {
    let home = home();
    home.write(
        "home/work/bad.json",
        r#"{"exit_at_start": {"code": 3, "stderr": "boom"}}"#,
    );
    let before = format!(
        "{{\"mcpServers\": {{\"bad\": {}, \"good\": {}}}}}",
        entry("bad.json"),
        entry("script.json")
    );
    home.write(FILE, &before);
    let setup = run(&home, &["setup", "--yes"]).ended_with(4);
    assert!(
        setup.stdout.contains("left as it is: `bad` in ")
            && setup.stdout.contains("does not start: ")
            && setup.stdout.contains("wrapped 1 server;"),
        "{setup:#?}"
    );
    assert!(setup.stderr.contains("; 1 server wrapped"), "{setup:#?}");
    let after = home.read(FILE);
    assert_eq!(after.matches("\"dev\", \"--\"").count(), 1, "{after}");
    assert!(after.starts_with(&before[..before.find("\"good\"").unwrap()]));

    let json = run(&home, &["setup", "--yes", "--json"]).ended_with(4);
    let report = object(&json);
    let server = &report["servers"][0];
    assert_eq!(
        (&server["server"], &server["wrapped"]),
        (&json!("bad"), &json!(false))
    );
    let reason = server["reason"].as_str().unwrap();
    assert!(reason.starts_with("does not start: "), "{report}");
    run(&home, &["setup", "good", "--yes"]).ended_with(0);
    run(&home, &["undo", "--yes"]).ended_with(0);
    assert_eq!(home.read(FILE), before);
}

#[test]
fn only_a_few_servers_are_started_at_once() {
    const MANY: usize = 9;
    let home = home();
    home.write("home/work/script.json", r#"{"start_delay_ms": 300}"#);
    let server = example("fake_server");
    let script = json!(format!(
        "echo + >> starts; {} script.json; echo - >> starts",
        server.display()
    ));
    let entry = |n| format!("\"s{n}\": {{\"command\": \"sh\", \"args\": [\"-c\", {script}]}}");
    let entries: Vec<String> = (0..MANY).map(entry).collect();
    home.write(
        FILE,
        &format!("{{\"mcpServers\": {{{}}}}}", entries.join(", ")),
    );
    let setup = run(&home, &["setup", "--yes"]).ended_with(0);
    assert!(setup.stdout.contains("wrapped 9 servers;"), "{setup:#?}");
    let starts = home.read("home/work/starts");
    let (mut running, mut most) = (0, 0);
    for line in starts.lines() {
        running += if line == "+" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!(starts.matches('+').count(), 2 * MANY, "{starts}");
    assert!((2..=4).contains(&most), "{most}: {starts}");
}

#[test]
fn an_unreadable_record_does_not_stop_the_undo_of_the_others() {
    let home = home();
    let before = home.read(FILE);
    run(&home, &["setup", "--yes"]).ended_with(0);
    let broken = "home/.local/state/mcp-proxy/setup/00000000000000000001-1.json";
    home.write(broken, "{");
    let undo = run(&home, &["undo", "--yes"]).ended_with(1);
    assert!(undo.stdout.starts_with("restored "), "{undo:#?}");
    assert!(
        undo.stderr.contains("00000000000000000001-1.json: "),
        "{undo:#?}"
    );
    assert_eq!(home.read(FILE), before);
    let json = run(&home, &["undo", "--yes", "--json"]).ended_with(1);
    let report = object(&json);
    assert_eq!(report["files"], json!([]));
    assert!(
        report["faults"][0]
            .as_str()
            .unwrap()
            .contains("delete the record"),
        "{report}"
    );
}

#[test]
fn a_server_is_proved_in_its_own_directory_and_environment() {
    let home = home();
    home.write("home/work/sub/script.json", "{}");
    let server = example("fake_server");
    let script = format!(
        "[ \"$KEY\" = k1 ] && [ -f script.json ] && exec {}",
        server.display()
    );
    let script = json!(script);
    let of = |cwd: &str, key: &str| {
        file(&format!(
            "{{\"command\": \"sh\", \"args\": [\"-c\", {script}], \"env\": {{\"KEY\": \"{key}\"}}, \"cwd\": \"{cwd}\"}}"
        ))
    };
    for (cwd, key, code) in [("sub", "k2", 4), (".git", "k1", 4), ("sub", "k1", 0)] {
        home.write(FILE, &of(cwd, key));
        let setup = run(&home, &["setup", "weather", "--yes"]).ended_with(code);
        assert!(!setup.stdout.contains(key), "{setup:#?}");
    }
    assert!(
        home.read(FILE)
            .contains("\"env\": {\"KEY\": \"k1\"}, \"cwd\": \"sub\"")
    );
}

#[test]
fn consent_is_required_and_a_dry_run_changes_nothing() {
    let home = home();
    let server = json!(example("fake_server"));
    home.write(
        FILE,
        &file(&format!(
            "{{\"command\": {server}, \"args\": [\"--api-key\", \"s3cr3t\"]}}"
        )),
    );
    let before = home.read(FILE);
    let refused = run(&home, &["setup"]).ended_with(2);
    assert!(
        refused.stderr.contains("pass --yes to agree"),
        "{refused:#?}"
    );
    let dry = run(&home, &["setup", "--dry-run"]).ended_with(0);
    assert!(
        dry.stdout.contains("    + /") && dry.stdout.contains(" dev -- "),
        "{dry:#?}"
    );
    let json = run(&home, &["setup", "--dry-run", "--json"]).ended_with(0);
    let report = object(&json);
    let server = &report["servers"][0];
    assert_eq!(server["client"], "claude-code");
    assert_eq!(
        (&server["scope"], &server["wrapped"]),
        (&json!("project"), &json!(false))
    );
    assert_eq!(report["dry_run"], true);
    for run in [refused, dry, json] {
        assert!(
            !run.stdout.contains("s3cr3t") && !run.stderr.contains("s3cr3t"),
            "{run:#?}"
        );
    }
    assert_eq!(home.read(FILE), before);
    assert!(!home.path("home/.local/state").exists());
}

#[test]
fn undo_keeps_what_was_changed_since() {
    let home = home();
    let before = home.read(FILE);
    let setup = run(&home, &["setup", "--yes", "--json"]).ended_with(0);
    assert_eq!(object(&setup)["servers"][0]["wrapped"], true);
    home.edit(FILE, "// servers", "// my servers");
    let refused = run(&home, &["undo", "--yes"]).ended_with(1);
    assert!(
        refused
            .stderr
            .contains("has changed since setup; --keep-changes"),
        "{refused:#?}"
    );
    assert!(home.read(FILE).contains("\"--\""));
    let other = run(&home, &["undo", "--yes", "--client", "cursor"]).ended_with(0);
    assert_eq!(other.stdout, "nothing to undo\n");
    let undo = run(&home, &["undo", "--yes", "--keep-changes", "--json"]).ended_with(0);
    let file = &object(&undo)["files"][0];
    assert_eq!(
        (&file["restored"], &file["exact"]),
        (&json!(["weather"]), &json!(false))
    );
    assert_eq!(
        home.read(FILE),
        before.replace("// servers", "// my servers")
    );
}

#[test]
fn names_and_broken_files_are_told() {
    let home = home();
    let unknown = run(&home, &["setup", "wether", "--yes"]).ended_with(2);
    assert!(
        unknown.stderr.contains("did you mean `weather`?"),
        "{unknown:#?}"
    );
    home.write("home/.cursor/mcp.json", "{\"mcpServers\": {,}}");
    let broken = run(&home, &["setup", "--yes"]).ended_with(3);
    assert!(
        broken.stderr.contains(".cursor/mcp.json:1:17"),
        "{broken:#?}"
    );
    assert_eq!(words(&home)[1], "dev");
    assert_eq!(home.read("home/.cursor/mcp.json"), "{\"mcpServers\": {,}}");
}

/// Two runs of different servers, of clients that share no file, and of one file.
#[test]
fn setups_at_once_lose_nothing() {
    let home = home();
    let script = entry("script.json");
    let before = format!("{{\"mcpServers\": {{\"a\": {script}, \"b\": {script}}}}}");
    home.write(FILE, &before);
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let home = &home;
            scope.spawn(move || run(home, &["setup", name, "--yes"]).ended_with(0));
        }
    });
    let after = home.read(FILE);
    assert_eq!(after.matches("\"dev\", \"--\"").count(), 2, "{after}");
    let undo = run(&home, &["undo", "--yes", "--json"]).ended_with(0);
    let files = object(&undo);
    let exact = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["exact"]);
    assert_eq!(exact.collect::<Vec<_>>(), [true, true]);
    assert_eq!(home.read(FILE), before);
}

#[test]
fn files_in_toml_and_yaml_are_wrapped_and_restored() {
    let home = home();
    let project = home.read(FILE);
    let server = json!(example("fake_server"));
    let script = json!(home.path("home/work/script.json"));
    let files = [
        (
            "home/.codex/config.toml",
            format!(
                "[mcp_servers.weather] # own\ncommand = {server} # scripted\nargs = [{script}]\n"
            ),
        ),
        (
            "home/.config/goose/config.yaml",
            format!(
                "extensions:\n  weather:\n    cmd: {server} # scripted\n    args:\n      - {script}\n    type: stdio\n"
            ),
        ),
        (
            "home/.continue/config.yaml",
            format!("mcpServers:\n  - name: weather\n    command: {server}\n"),
        ),
    ];
    for (file, text) in &files {
        home.write(file, text);
    }
    let setup = run(&home, &["setup", "--scope", "user", "--yes", "--json"]).ended_with(0);
    let report = object(&setup);
    let clients = report["servers"].as_array().unwrap().iter();
    let clients: Vec<_> = clients.map(|it| it["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["goose", "continue", "codex"]);
    for (file, text) in &files {
        let after = home.read(file);
        assert!(
            after.contains("\"--\"") && after.matches('#').count() == text.matches('#').count(),
            "{after}"
        );
    }
    assert_eq!(home.read(FILE), project);
    run(&home, &["undo", "--yes"]).ended_with(0);
    for (file, text) in &files {
        assert_eq!(home.read(file), *text);
    }
}
