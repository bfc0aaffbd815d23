//! `doctor`.

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Project, Proxy, Run};

/// Writes files for `doctor` to a project that is also the home directory.
fn with_clients(codex: &str, claude: &Value) -> Project {
    let project = Project::new();
    project.write(
        "mcp-proxy.toml",
        "[servers.weather]\ncommand = 'sh'\nargs = ['-c', 'true']\n",
    );
    let program = json!(Proxy::program());
    project.write(
        ".codex/config.toml",
        &format!("[mcp_servers.weather]\ncommand = {program}\nargs = [{codex}]\n"),
    );
    let shared =
        json!({"mcpServers": {"proxied": {"command": Proxy::program(), "args": ["serve"]}}});
    project.write(".mcp.json", &shared.to_string());
    let mut own = json!({"projects": {}});
    own["projects"][project.root().canonicalize().unwrap().to_str().unwrap()] = claude.clone();
    project.write(".claude.json", &own.to_string());
    project
}

/// The problems that `doctor` finds, without those of other tests that run at the same time.
#[track_caller]
fn problems(project: &Project, options: &[&str]) -> Vec<String> {
    let run = Run::within(project, &[&["doctor", "--json"], options].concat());
    let object: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, Some(i32::from(object["ok"] != true)), "{run:#?}");
    let findings = object["findings"].as_array().unwrap().iter();
    findings
        .filter(|it| it["severity"] == "problem")
        .filter(|it| it["check"] != "inotify" && it["check"] != "proxies")
        .map(|it| {
            format!(
                "{}: {}",
                it["check"].as_str().unwrap(),
                it["text"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn doctor_finds_nothing_wrong_where_nothing_is() {
    let approved = json!({"enabledMcpjsonServers": ["proxied"]});
    let project = with_clients("'dev', '--', 'sh', '-c', 'true'", &approved);
    assert_eq!(problems(&project, &["--http", "127.0.0.1:0"]), [""; 0]);
    let text = Run::within(&project, &["doctor"]).stdout;
    for line in [
        "no fault in ",
        "server `weather` starts ",
        "Codex runs 1 entry through mcp-proxy",
        "Codex ignores `tools/list_changed`",
        "watched directories are in use",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
}

#[test]
fn doctor_names_each_problem() {
    let project = with_clients(
        "'dev', '--meta-tools', 'none', '--', 'no-such-1'",
        &json!({}),
    );
    project.write(
        "mcp-proxy.toml",
        "[servers.weather]\ncommand = 'no-such-2'\n[servers.tickets]\ncomand = 'x'\n",
    );
    project.write(".cursor/mcp.json", "{\"mcpServers\": {");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let found = problems(&project, &["--http", &address]);
    for text in [
        "configuration: unknown key `comand`",
        "command: the program no-such-2 of server weather is not in PATH",
        "command: `no-such-1` of entry `weather` is not found",
        "list_changed: Codex ignores",
        "approval: server `proxied` of .mcp.json is not approved",
        "http: cannot listen at 127.0.0.1:",
        "client: ",
    ] {
        assert!(
            found.iter().any(|it| it.starts_with(text)),
            "{text}: {found:#?}"
        );
    }
}

#[test]
fn doctor_names_a_process_that_a_dead_proxy_left() {
    let project = Project::new();
    let gone = Command::new("true").spawn().and_then(|mut it| {
        it.wait()?;
        Ok(it.id())
    });
    let mut left = Command::new("sleep")
        .arg("1000")
        .env("MCP_PROXY_GUARD", format!("{}-1a2b", gone.unwrap()))
        .spawn()
        .unwrap();
    let text = Run::within(&project, &["doctor"]).ended_with(1).stdout;
    let line = format!("process {} was left by the proxy", left.id());
    left.kill().unwrap();
    left.wait().unwrap();
    assert!(text.contains(&line), "{text}");
}
