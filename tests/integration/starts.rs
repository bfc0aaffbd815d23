//! Starts that take too long, and those that no save can mend: what is told, and that the next call tries again.

use serde_json::json;

use crate::harness::{Peer, Project, Proxy, example, initialize_params};

/// A server that does what this shell script says before it speaks; its log of starts is `starts`.
#[track_caller]
fn started_by(script: &str, options: &[&str]) -> (Peer, Project) {
    let project = Project::new();
    project.write("script.json", r#"{"mark": "v1"}"#);
    let fake = example("fake_server");
    let script = format!(
        "echo >> starts\n{script}\nexec {} script.json\n",
        fake.display()
    );
    project.write("server.sh", &script);
    let peer = Proxy::dev(["sh", "server.sh"])
        .options(["--meta-tools", "none", "--startup-wait", "100ms"])
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
        !text.contains("save a fix") && !text.contains("saved code"),
        "{text}"
    );
    // What it waited for is no file that is watched.
    project.write("there", "");
    let answer = peer.call("mark", &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "v1");
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

/// What begins from the beginning each time it is started needs more time at last, not the same time again.
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
    assert!(!text.contains("save a fix"), "{text}");
    project.write("there", "");
    let answer = peer.call("mark", &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "v1");
}
