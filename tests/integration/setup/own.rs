//! Servers behind the proxy in a client's file: started together or alone, and known to the other commands.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::{FILE, command, entry, file, home, run, words};
use crate::harness::{Peer, Proxy, Run, example, initialize_params};

#[test]
fn servers_that_need_the_same_port_are_proved_one_after_the_other() {
    let home = home();
    home.write("home/work/script.json", r#"{"start_delay_ms": 300}"#);
    let server = example("fake_server");
    let script = format!(
        "mkdir port || {{ echo 'address in use' >&2; exit 1; }}; {} script.json; rmdir port",
        server.display()
    );
    let text = json!({"mcpServers": {"p": {"command": "sh", "args": ["-c", script]}}}).to_string();
    home.write(FILE, &text);
    home.write("home/work/.cursor/mcp.json", &text);
    let setup = run(&home, &["setup", "--yes"]).ended_with(0);
    assert!(setup.stdout.contains("wrapped 2 servers;"), "{setup:#?}");
}

#[test]
fn a_wrapped_server_keeps_its_name_and_its_settings() {
    let home = home();
    home.write(
        "home/work/mcp-proxy.toml",
        "[servers.weather]\ntools = { deny = ['crash'] }\n",
    );
    home.write("home/script.json", "{}");
    run(&home, &["setup", "--yes", "weather"]).ended_with(0);
    let words = words(&home);
    assert_eq!(words[1..5], ["dev", "--server", "weather", "--"]);
    for arguments in [
        &["call", "weather", "mark"][..],
        &["check"],
        &["tools", "weather"],
    ] {
        let run = run(&home, arguments).ended_with(0);
        assert!(!run.stderr.contains("mcp-proxy itself"), "{run:#?}");
    }
    let tools = |cwd: &str| {
        let mut client = Command::new(&words[0]);
        client.args(&words[1..]).current_dir(home.path(cwd));
        let peer = Peer::spawn_command(client);
        peer.initialize(&initialize_params()).result();
        let tools: Value = peer.ask("tools/list", &json!({})).result();
        let names = tools["tools"].as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        let stderr = peer.stderr().join("\n");
        (names, stderr)
    };
    let (names, _) = tools("home/work");
    assert!(
        names.contains(&"mark".to_owned()) && !names.contains(&"crash".to_owned()),
        "{names:?}"
    );
    // Without the configuration, the command of the entry runs.
    let (names, stderr) = tools("home");
    assert!(names.contains(&"mark".to_owned()), "{names:?}");
    assert!(stderr.contains("no server `weather`"), "{stderr}");
}

#[test]
fn doctor_accepts_the_programs_that_setup_wrote() {
    let home = home();
    std::fs::create_dir(home.path("bin")).unwrap();
    symlink(Proxy::program(), home.path("bin/mcp-proxy")).unwrap();
    let vs_code = "home/work/.vscode/mcp.json";
    home.write(
        vs_code,
        &file(&entry("script.json")).replace("mcpServers", "servers"),
    );
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    let with_path = |arguments: &[&str]| {
        let mut command = command(&home, arguments);
        command.env("PATH", &path);
        Run::of(command)
    };
    with_path(&["setup", "--yes"]).ended_with(0);
    assert_eq!(words(&home)[0], "mcp-proxy");
    let full = json!(home.path("bin/mcp-proxy")).to_string();
    assert!(home.read(vs_code).contains(&full), "{}", home.read(vs_code));
    let doctor = with_path(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let problems = findings.filter(|it| it["severity"] == "problem" && it["check"] == "command");
    assert_eq!(problems.collect::<Vec<_>>(), [&Value::Null; 0]);
}
