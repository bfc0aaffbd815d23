//! Starts that take too long, and those that no save can mend: their errors, and the retry by the next call.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    CACHE, DEADLINE, Peer, Project, Proxy, eventually, example, initialize_params,
};

/// A server that runs this shell script before it speaks; its log of starts is `starts`.
#[track_caller]
fn started_by(script: &str, options: &[&str]) -> (Peer, Project) {
    waited_for("100ms", script, options)
}

/// As [`started_by`], for a client that is made to wait `startup_wait` for it.
#[track_caller]
fn waited_for(startup_wait: &str, script: &str, options: &[&str]) -> (Peer, Project) {
    let project = Project::new();
    project.write("script.json", r#"{"mark": "v1"}"#);
    let fake = example("fake_server");
    let script = format!(
        "echo >> starts\n{script}\nexec {} script.json\n",
        fake.display()
    );
    project.write("server.sh", &script);
    let peer = Proxy::dev(["sh", "server.sh"])
        .options(["--meta-tools", "none", "--startup-wait", startup_wait])
        .options(options.iter().copied())
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    (peer, project)
}

const SHORT: [&str; 2] = ["--start-timeout", "500ms"];

#[test]
fn a_start_that_takes_too_long_is_told_and_tried_again_by_the_next_call() {
    let (peer, project) = started_by("[ -e there ] || exec sleep 1000", &SHORT);
    let text = peer.call("mark", &json!({})).tool_text();
    for part in [
        "within 0.5 s",
        "`initialize`",
        "--start-timeout",
        "next call",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("fix the code") && !text.contains("saved code"),
        "{text}"
    );
    // The file that it waited for is not watched.
    project.write("there", "");
    let answer = peer.call("mark", &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "v1");
}

/// Many programs print their errors to stdout.
#[test]
fn a_cause_outside_of_the_code_is_told_and_the_next_call_tries_again() {
    for (failure, parts) in [
        (
            "echo 'listen EADDRINUSE: address already in use :::3000'; exit 1",
            ["  | listen EADDRINUSE", "end that process, and call again"],
        ),
        (
            "echo 'connect ECONNREFUSED 127.0.0.1:5432' >&2; exit 1",
            ["  | connect ECONNREFUSED", "does not answer: start it"],
        ),
    ] {
        let (peer, project) = started_by(&format!("[ -e there ] || {{ {failure}; }}"), &[]);
        let text = peer.call("mark", &json!({})).tool_text();
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("saved code"), "{text}");
        project.write("there", "");
        let answer = peer.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], "v1");
    }
    let (peer, _project) = started_by("exec >&-; exec sleep 1000", &[]);
    let text = peer.call("mark", &json!({})).tool_text();
    let reason = "closed its stdin or stdout before it answered `initialize`";
    assert!(text.contains(reason), "{text}");
}

#[test]
fn a_program_that_is_being_written_is_started_by_a_later_call() {
    let project = Project::new();
    project.write("script.json", r#"{"mark": "v1"}"#);
    let program = project.path("server");
    std::fs::copy(example("fake_server"), &program).unwrap();
    let writer = std::fs::File::options()
        .append(true)
        .open(&program)
        .unwrap();
    let peer = Proxy::dev([program, "script.json".into()])
        .options(["--meta-tools", "none"])
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    for _ in 0..2 {
        let text = peer.call("mark", &json!({})).tool_text();
        assert!(
            text.contains("call again when the program's file has been written"),
            "{text}"
        );
        assert!(!text.contains("saved code"), "{text}");
    }
    drop(writer);
    // Another test's child may hold the file open until it executes its program.
    let answers =
        || peer.call("mark", &json!({})).value()["result"]["structuredContent"]["mark"] == "v1";
    eventually(DEADLINE, answers);
}

#[test]
fn a_command_that_runs_nothing_does_not_execute_what_the_client_sends() {
    for command in [&["sh"][..], &["env", "bash"], &["node"], &["python3", "-u"]] {
        let project = Project::new();
        let peer = Proxy::dev(command).within(&project).spawn();
        peer.initialize(&initialize_params()).result();
        let text = peer.call("x\n touch executed\n", &json!({})).tool_text();
        assert!(text.contains("nothing to run"), "{command:?}: {text}");
        assert!(text.contains(command[0]), "{command:?}: {text}");
    }
}

/// The words of a server that introduces itself and then lists nothing.
const LISTS_NOTHING: &str = r#"read -r line
echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}'
exec sleep 1000"#;

#[test]
fn the_request_that_was_not_answered_is_named() {
    let (peer, _project) = started_by(LISTS_NOTHING, &SHORT);
    let text = peer.call("mark", &json!({})).tool_text();
    assert!(text.contains("`tools/list`"), "{text}");
}

#[test]
fn a_longer_startup_wait_also_holds_for_the_first_lists() {
    let (peer, _project) = waited_for("60s", "sleep 6", &[]);
    let tools = peer.ask("tools/list", &json!({})).result()["tools"].clone();
    assert_ne!(tools, json!([]), "{}", peer.transcript());
}

/// A start that begins from scratch each time needs more time in the end, not the same time again.
#[test]
fn a_start_that_compiles_comes_to_its_end() {
    let (peer, project) = started_by("echo Compiling >&2; sleep 3", &SHORT);
    let mut calls = 0;
    while peer.call("mark", &json!({})).result()["isError"] == true {
        calls += 1;
        assert!(calls < 5, "{}", peer.transcript());
    }
    let starts = project.read("starts").lines().count();
    assert_eq!(starts, 4, "0.5 s, 1 s, 2 s, 4 s");
}

#[test]
fn prompts_try_again_as_tools_do() {
    let (peer, project) = started_by("[ -e there ] || exec sleep 1000", &SHORT);
    let prompt = || peer.ask("prompts/get", &json!({"name": "none"}));
    assert!(prompt().line.contains("--start-timeout"));
    project.write("there", "");
    let line = prompt().line;
    assert!(!line.contains("--start-timeout"), "{line}");
}

#[test]
fn code_that_nobody_watches_is_tried_again_by_the_next_call() {
    let (peer, project) = started_by("[ -e there ] || exit 3", &["--no-watch"]);
    let text = peer.call("mark", &json!({})).tool_text();
    for part in ["exited with status 3", "not watched", "next call"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("fix the code"), "{text}");
    project.write("there", "");
    let answer = peer.call("mark", &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "v1");
}

/// A configuration of one server whose tools come after `delay` milliseconds, and whose script is `name`.
fn configure(project: &Project, name: &str, tool: &str, delay: u64) {
    let program = json!(example("fake_server"));
    let script = json!({"mark": tool, "tools": [{"name": tool, "inputSchema": {"type": "object"}}], "start_delay_ms": delay});
    project.write(name, &script.to_string());
    let section = format!("[servers.s]\ncommand = {program}\nargs = ['{name}']\nprefix = ''\n");
    project.write(
        "mcp-proxy.toml",
        &format!("[proxy]\nstartup_wait = '100ms'\nmeta_tools = 'none'\n{section}"),
    );
}

#[track_caller]
fn dev(project: &Project, cache: &Path) -> Peer {
    let peer = Proxy::configured("dev")
        .env(CACHE, cache)
        .within(project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    peer
}

fn list(peer: &Peer) -> String {
    peer.ask("tools/list", &json!({})).line
}

#[test]
fn a_server_that_has_not_listed_is_seen_with_its_last_known_tools() {
    let (project, cache) = (Project::new(), Project::new());
    configure(&project, "a.json", "old", 0);
    let peer = dev(&project, cache.root());
    eventually(DEADLINE, || list(&peer).contains("\"old\""));
    // Its lists are stored on disk by then.
    peer.close_stdin();
    peer.wait_exit();

    configure(&project, "a.json", "new", 7000);
    let started = Instant::now();
    let peer = dev(&project, cache.root());
    for _ in 0..4 {
        assert!(list(&peer).contains("\"old\""), "{}", peer.transcript());
    }
    assert!(started.elapsed() < Duration::from_secs(7), "they wait once");
    peer.expect_notification("notifications/tools/list_changed");
    let line = list(&peer);
    assert!(
        line.contains("\"new\"") && !line.contains("\"old\""),
        "{line}"
    );
}

#[test]
fn a_call_of_a_last_known_tool_waits_for_the_server() {
    let (project, cache) = (Project::new(), Project::new());
    configure(&project, "a.json", "same", 0);
    let peer = dev(&project, cache.root());
    eventually(DEADLINE, || list(&peer).contains("\"same\""));
    peer.close_stdin();
    peer.wait_exit();
    configure(&project, "a.json", "same", 1000);
    let peer = dev(&project, cache.root());
    let answer = peer.call("same", &json!({}));
    assert!(
        !answer.is_error() && answer.result()["isError"] != true,
        "{}",
        answer.line
    );
}

#[test]
fn another_command_does_not_show_the_tools_of_the_one_before() {
    let (project, cache) = (Project::new(), Project::new());
    configure(&project, "a.json", "old", 0);
    let peer = dev(&project, cache.root());
    eventually(DEADLINE, || list(&peer).contains("\"old\""));
    peer.close_stdin();
    peer.wait_exit();
    configure(&project, "b.json", "new", 1000);
    let peer = dev(&project, cache.root());
    assert!(!list(&peer).contains("\"old\""));
}
