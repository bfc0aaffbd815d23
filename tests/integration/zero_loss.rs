//! No request is lost, answered twice or answered by old code, whatever is saved and whenever.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    DEADLINE, Message, Peer, Project, Proxy, eventually, initialize_params, processes_with_tag,
};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
/// From a save on, so long may old code still answer a call that arrives.
const GRACE: Duration = Duration::from_millis(100);

/// A server of one source file behind the proxy.
struct Session {
    project: Project,
    peer: Peer,
    source: &'static str,
}

impl Session {
    /// The fake server; its source is its script.
    #[track_caller]
    fn start(script: &str) -> Self {
        Self::of(&fake_server(), "script.json", script)
    }

    /// What `program` runs of this source.
    #[track_caller]
    fn of(program: &Path, source: &'static str, text: &str) -> Self {
        let project = Project::new();
        project.write(source, text);
        let peer = Proxy::dev([program.as_os_str(), source.as_ref()])
            .options(["--watch", source, "--meta-tools", "none"])
            .within(&project)
            .spawn();
        peer.initialize(&initialize_params()).result();
        Self {
            project,
            peer,
            source,
        }
    }

    #[track_caller]
    fn save(&self, text: &str) {
        self.project.save(self.source, text);
    }

    #[track_caller]
    fn mark(&self) -> String {
        mark(&self.peer.call("mark", &json!({})))
    }

    /// Waits until calls fail, and gives what they say.
    #[track_caller]
    fn failure(&self) -> String {
        let mut said = String::new();
        eventually(DEADLINE, || {
            let answer = self.peer.call("mark", &json!({}));
            let value = answer.value();
            said = answer.line;
            value["error"].is_object() || value["result"]["isError"] == true
        });
        said
    }

    fn servers(&self) -> usize {
        let processes = processes_with_tag(self.peer.tag());
        let servers = processes
            .iter()
            .filter(|(pid, command)| *pid != self.peer.pid() && command.contains("fake_server"));
        servers.count()
    }
}

/// The least server on `FastMCP` whose answer tells its version.
const FASTMCP: &str = r#"
from fastmcp import FastMCP

mcp = FastMCP("versioned")


@mcp.tool
def mark() -> dict:
    return {"mark": "VERSION"}


mcp.run("stdio", show_banner=False)
"#;

/// Built by `cargo test` beside the program, but not by `cargo test --test integration`.
#[track_caller]
fn fake_server() -> PathBuf {
    let path = PathBuf::from(Proxy::PROGRAM)
        .with_file_name("examples")
        .join("fake_server");
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --example fake_server`",
        path.display()
    );
    path
}

fn marked(version: usize) -> String {
    json!({"mark": format!("v{version}")}).to_string()
}

#[track_caller]
fn mark(answer: &Message) -> String {
    let result = answer.result();
    match result["structuredContent"]["mark"].as_str() {
        Some(mark) => mark.to_owned(),
        None => panic!("an answer of the tool `mark` was expected: {}", answer.line),
    }
}

#[test]
fn a_steady_stream_of_calls_survives_every_save() {
    let session = Session::start(&marked(0));
    steady_stream(&session, marked);
}

#[test]
fn a_steady_stream_of_calls_to_fastmcp_survives_every_save() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/python/.venv/bin/python");
    assert!(
        python.exists(),
        "FastMCP is missing: run tests/peers/install"
    );
    let source = |version| FASTMCP.replace("VERSION", &format!("v{version}"));
    let session = Session::of(&python, "server.py", &source(0));
    steady_stream(&session, source);
}

/// A call every 5 ms for 20 s with 5 saves: one answer each, no error, none by code older than allowed.
#[track_caller]
fn steady_stream(session: &Session, source: impl Fn(usize) -> String) {
    let started = Instant::now();
    let mut saves: Vec<Instant> = Vec::new();
    let mut calls: Vec<(u64, Instant)> = Vec::new();
    while started.elapsed() < Duration::from_secs(20) {
        let due = Duration::from_secs(3 * (saves.len() as u64 + 1));
        if saves.len() < 5 && started.elapsed() >= due {
            session.save(&source(saves.len() + 1));
            saves.push(Instant::now());
        }
        let call = json!({"name": "mark", "arguments": {}});
        let sent = Instant::now();
        calls.push((session.peer.request("tools/call", &call), sent));
        // The rhythm of the load, not a wait for anything.
        std::thread::sleep(Duration::from_millis(5));
    }
    let is_answer = |message: &Message| message.method().is_none();
    // One answer more than calls: that of `initialize`.
    eventually(DEADLINE, || session.peer.count(is_answer) > calls.len());
    assert_eq!(session.mark(), "v5");

    let mut answers: HashMap<String, Vec<Message>> = HashMap::new();
    for message in session.peer.lines_since(0).into_iter().filter(is_answer) {
        let id = message.id().unwrap_or_default().to_owned();
        answers.entry(id).or_default().push(message);
    }
    for (id, sent) in calls {
        let answer = &answers[&id.to_string()];
        assert_eq!(answer.len(), 1, "call {id} was answered {answer:?}");
        let newest = saves.iter().filter(|save| **save + GRACE <= sent).count();
        let version: usize = mark(&answer[0])[1..].parse().unwrap();
        assert!(
            version >= newest,
            "call {id}, sent {:?} after the start, was answered by v{version}, but v{newest} was saved",
            sent - started
        );
    }
}

#[test]
fn a_call_in_flight_ends_on_the_code_it_began_on() {
    let session = Session::start(&marked(1));
    let slow = json!({"name": "slow", "arguments": {"ms": 3000}});
    let slow = session.peer.request("tools/call", &slow);
    session.save(&marked(2));
    session.peer.expect_notification(LIST_CHANGED);
    assert_eq!(session.mark(), "v2");
    assert_eq!(session.peer.responses_to(slow), 0);
    assert_eq!(session.peer.await_response(slow).tool_text(), "v1");
    eventually(DEADLINE, || session.servers() == 1);
}

#[test]
fn a_broken_save_is_told_and_the_fix_is_live() {
    let session = Session::start(&marked(1));
    assert_eq!(session.mark(), "v1");
    session.save(r#"{"mark": "#);
    let said = session.failure();
    assert!(said.contains("script.json: EOF while parsing"), "{said}");
    // The lists are those of the last code that worked.
    let tools = session.peer.ask("tools/list", &json!({}));
    assert!(tools.result_text().contains(r#""name":"mark""#));
    session.save(&marked(3));
    session.peer.expect_notification(LIST_CHANGED);
    assert_eq!(session.mark(), "v3");
}

#[test]
fn a_session_that_began_broken_comes_to_life() {
    let session = Session::start("{");
    let said = session.failure();
    assert!(said.contains("script.json: EOF while parsing"), "{said}");
    session.save(&marked(1));
    session.peer.expect_notification(LIST_CHANGED);
    assert_eq!(session.mark(), "v1");
    let tools = session.peer.ask("tools/list", &json!({}));
    assert!(tools.result_text().contains(r#""name":"mark""#));
}

#[test]
fn a_save_while_new_code_starts_leads_to_another_start() {
    let session = Session::start(&marked(1));
    assert_eq!(session.mark(), "v1");
    session.save(r#"{"mark": "v2", "start_delay_ms": 10000}"#);
    eventually(DEADLINE, || session.servers() == 2);
    session.save(&marked(3));
    session.peer.expect_notification(LIST_CHANGED);
    assert_eq!(session.mark(), "v3");
    eventually(DEADLINE, || session.servers() == 1);
}

#[test]
fn a_flurry_of_saves_ends_on_the_last() {
    let session = Session::start(&marked(0));
    assert_eq!(session.mark(), "v0");
    for version in 1..=20 {
        session.save(&marked(version));
        // The rhythm of the saves; after the last one, the time that old code has left.
        std::thread::sleep(GRACE);
    }
    assert_eq!(session.mark(), "v20");
    eventually(DEADLINE, || session.servers() == 1);
}
