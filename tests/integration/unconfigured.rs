//! `dev` without a usable configuration: it lives, names the fault, and recovers when the file is mended.
//! Clients do not start a server on stdio again.

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, Run, eventually, example, initialize_params,
};

const LIST_CHANGED: &str = "notifications/tools/list_changed";

fn good() -> String {
    let program = json!(example("fake_server"));
    format!("[servers.a]\ncommand = {program}\nargs = ['a.json']\n")
}

fn mend(project: &Project) {
    project.write("mcp-proxy.toml", &good());
}

#[track_caller]
fn dev(project: &Project, options: &[&str]) -> (Peer, Log, Value) {
    project.write("a.json", r#"{"mark": "a"}"#);
    let log = Log::new();
    let proxy = log.written_by(Proxy::configured("dev").options(options.iter().copied()));
    let peer = proxy.within(project).spawn();
    let introduction = peer.initialize(&initialize_params()).result();
    (peer, log, introduction)
}

/// The client was told of `fault`; with a good configuration its calls are answered.
#[track_caller]
fn recovers(
    project: &Project,
    (peer, log, introduction): &(Peer, Log, Value),
    fault: &str,
    tool: &str,
    mend: impl Fn(&Project),
) {
    let instructions = introduction["instructions"].as_str().unwrap_or_default();
    assert!(instructions.contains(fault), "{introduction}");
    peer.ask("tools/list", &json!({})).result();
    let refused = peer.call(tool, &json!({}));
    assert!(refused.line.contains(fault), "{}", refused.line);
    log.until("config_fault", 1);
    mend(project);
    log.until("ready", 1);
    peer.expect_notification(LIST_CHANGED);
    eventually(DEADLINE, || {
        let tools = peer.ask("tools/list", &json!({}));
        tools.line.contains(&format!("{tool:?}"))
    });
    let answer = peer.call(tool, &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "a");
}

#[test]
fn a_broken_configuration_is_told_and_recovers() {
    for (text, fault) in [
        ("[servers.a\n", "mcp-proxy.toml:1"),
        ("[servers.a]\ncomand = 'x'\n", "did you mean `command`?"),
        (
            "[servers.a]\ncommand = '${NO_SUCH_VARIABLE_ANYWHERE}'\n",
            "NO_SUCH_VARIABLE_ANYWHERE",
        ),
    ] {
        let project = Project::new();
        project.write("mcp-proxy.toml", text);
        recovers(&project, &dev(&project, &[]), fault, "a__mark", mend);
    }
}

#[test]
fn a_broken_file_of_the_client_is_told_and_recovers() {
    let project = Project::new();
    project.write(".mcp.json", r#"{"mcpServers": {"a": {"#);
    let program = json!(example("fake_server"));
    let good = json!({"mcpServers": {"a": {"command": program, "args": ["a.json"]}}});
    let mend = |project: &Project| project.write(".mcp.json", &good.to_string());
    recovers(
        &project,
        &dev(&project, &[]),
        ".mcp.json:1",
        "a__mark",
        mend,
    );
}

#[test]
fn a_missing_configuration_is_told_and_recovers() {
    let project = Project::new();
    recovers(
        &project,
        &dev(&project, &[]),
        "mcp-proxy.toml",
        "a__mark",
        mend,
    );
    let project = Project::new();
    let options = ["--config", "mcp-proxy.toml"];
    recovers(
        &project,
        &dev(&project, &options),
        "mcp-proxy.toml",
        "a__mark",
        mend,
    );
}

#[test]
fn a_chosen_server_that_is_not_there_is_told_and_recovers() {
    for text in [
        "[servers.b]\ncommand = 'x'\n",
        "[servers.a]\ncomand = 'x'\n",
    ] {
        let project = Project::new();
        project.write("mcp-proxy.toml", text);
        let options = ["--server", "a", "--meta-tools", "none"];
        recovers(
            &project,
            &dev(&project, &options),
            "mcp-proxy.toml",
            "mark",
            mend,
        );
    }
}

#[test]
fn a_model_that_loads_servers_itself_is_told_too() {
    let project = Project::new();
    project.write("mcp-proxy.toml", "[servers.a\n");
    let peer = Proxy::configured("serve").within(&project).spawn();
    let introduction = peer.initialize(&initialize_params()).result();
    let instructions = introduction["instructions"].as_str().unwrap_or_default();
    for part in [
        "search_tools",
        "none (configuration error",
        "mcp-proxy.toml:1",
    ] {
        assert!(instructions.contains(part), "{introduction}");
    }
}

/// A script learns of it by the exit code.
#[test]
fn one_that_is_never_mended_ends_as_the_error_that_it_is() {
    let project = Project::new();
    let run = Run::within(&project, &["dev"]).ended_with(2);
    assert!(run.stderr.contains("no configuration"), "{run:#?}");
    project.write("mcp-proxy.toml", "[servers.a\n");
    let run = Run::within(&project, &["dev"]).ended_with(3);
    assert!(run.stderr.contains("mcp-proxy.toml:1"), "{run:#?}");
    project.write("mcp-proxy.toml", &good());
    let run = Run::within(&project, &["dev", "--server", "weather"]).ended_with(2);
    assert!(
        run.stderr.contains("no server `weather`; it has `a`"),
        "{run:#?}"
    );
}
