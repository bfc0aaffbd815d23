//! Servers that the proxy starts and that serve HTTP: each start on a port of its own, and everything else as on stdio.

mod addresses;
mod examples;
mod raw;
mod self_reloading;
#[cfg(unix)]
mod warm;

use std::ffi::OsString;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, ServerOn, eventually, free_port, initialize_params, peers,
    processes_with_tag,
};
use crate::real_clients::{AFTER, BEFORE};

const OWN_PORT: &str = "http://127.0.0.1:{port}/mcp";
/// Server whose answers show its code; its only argument is the port.
const SERVER: &str = r#"import asyncio, os, sys
from fastmcp import FastMCP
mcp = FastMCP("own")
@mcp.tool
def mark() -> str:
    return "v0"
@mcp.tool
async def wait(file: str) -> str:
    print("waiting", flush=True)
    while not os.path.exists(file):
        await asyncio.sleep(0.02)
    return mark()
mcp.run(transport="http", port=int(sys.argv[1]), show_banner=False)
"#;

struct Served {
    project: Project,
    peer: Peer,
    log: Log,
}

impl Served {
    /// Starts a command, whose words may contain `{port}`, behind the proxy; nobody has said anything yet.
    #[track_caller]
    fn start(project: Project, words: Vec<OsString>, url: &str, options: &[&str]) -> Self {
        let log = Log::new();
        let proxy = Proxy::dev(words).options(["--url", url, "--startup-wait", "2m"]);
        let proxy = proxy.patiently(options).within(&project);
        let peer = log.written_by(proxy).spawn();
        Self { project, peer, log }
    }

    /// Starts [`SERVER`] and a session with it.
    #[track_caller]
    fn own(url: &str) -> Self {
        let project = Project::new();
        project.write("server.py", SERVER);
        let python = peers().join("python/.venv/bin/python").into_os_string();
        let port = if url.contains("{port}") {
            "{port}"
        } else {
            url.rsplit([':', '/']).nth(1).unwrap()
        };
        let words = vec![python, "server.py".into(), port.into()];
        // Standbys have tests of their own, and import the SDK once more.
        let options = ["--watch", "*.py", "--drain-timeout", "5m", "--no-warm"];
        let served = Self::start(project, words, url, &options);
        served.peer.initialize(&initialize_params()).result();
        served
    }

    #[track_caller]
    fn mark(&self) -> String {
        self.peer.call("mark", &json!({})).tool_text()
    }

    /// Calls the tool that waits for `file`, and waits until `count` calls of it have reached the server.
    #[track_caller]
    fn begin_wait(&self, file: &str, count: usize) -> u64 {
        let wait = json!({"name": "wait", "arguments": {"file": file}});
        let waiting = self.peer.request("tools/call", &wait);
        eventually(DEADLINE, || {
            self.log.text().matches("\"waiting\"").count() == count
        });
        waiting
    }

    /// Kills the proxy, and waits until no process that it has started is left.
    #[track_caller]
    fn leaves_nothing(&self) {
        self.peer.signal(rustix::process::Signal::KILL);
        eventually(DEADLINE, || processes_with_tag(self.peer.tag()).is_empty());
    }

    #[track_caller]
    fn description(&self) -> Value {
        let listed = self.peer.ask("tools/list", &json!({})).result();
        let tools = listed["tools"].as_array().unwrap();
        let echo = tools.iter().find(|tool| tool["name"] == "echo");
        echo.unwrap()["description"].clone()
    }
}

#[test]
fn a_save_is_live_with_every_sdk() {
    for on in [
        ServerOn::PythonMcp,
        ServerOn::FastMcp,
        ServerOn::TypeScriptV1,
        ServerOn::TypeScriptV2,
    ] {
        let project = Project::new();
        let mut words = on.command(&project);
        if matches!(on, ServerOn::PythonMcp | ServerOn::FastMcp) {
            project.copy("fixtures/servers/over_http.py", "over_http.py");
            words.insert(1, project.path("over_http.py").into());
        }
        words.push("{port}".into());
        let source = on.source().unwrap();
        let options = ["--watch", source, "--no-warm"];
        let served = Served::start(project, words, OWN_PORT, &options);
        served.peer.initialize(&initialize_params()).result();
        assert_eq!(served.description(), BEFORE, "{on:?}");
        served.project.edit(source, BEFORE, AFTER);
        served.log.until("reloaded", 1);
        served
            .peer
            .expect_notification("notifications/tools/list_changed");
        assert_eq!(served.description(), AFTER, "{on:?}");
        let text = served.peer.call("echo", &json!({"text": "hi"})).tool_text();
        assert_eq!(text, "echo: hi", "{on:?}");
    }
}

#[test]
fn calls_in_flight_are_answered_by_the_code_that_they_reached() {
    let served = Served::own(OWN_PORT);
    assert_eq!(served.mark(), "v0");
    let mut waiting = Vec::new();
    for round in 1..=2 {
        // A call that is still on its way would wait for the saved code.
        waiting.push(served.begin_wait("go", round));
        let (before, after) = (format!("\"v{}\"", round - 1), format!("\"v{round}\""));
        served.project.edit("server.py", &before, &after);
        assert_eq!(served.mark(), format!("v{round}"));
    }
    served.project.write("go", "");
    for (round, id) in waiting.into_iter().enumerate() {
        let text = served.peer.await_response(id).tool_text();
        assert_eq!(text, format!("v{round}"), "{}", served.log.text());
    }
    // No call may be in flight when a generation is stopped.
    served.log.until("stopped", 2);
}

#[test]
fn a_broken_save_is_told_with_its_traceback_and_mended_by_the_next() {
    let served = Served::own(OWN_PORT);
    assert_eq!(served.mark(), "v0");
    served.project.edit("server.py", "\"v0\"", "\"v0");
    served.log.until("broken", 1);
    let text = served.mark();
    for part in ["SyntaxError", "server.py", "before it listened on port"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    served.project.edit("server.py", "\"v0", "\"v2\"");
    eventually(DEADLINE, || served.mark() == "v2");
}

#[test]
fn nothing_is_left_after_any_end() {
    let served = Served::own(OWN_PORT);
    assert_eq!(served.mark(), "v0");
    served.peer.close_stdin();
    eventually(DEADLINE, || {
        processes_with_tag(served.peer.tag()).is_empty()
    });
    let served = Served::own(OWN_PORT);
    assert_eq!(served.mark(), "v0");
    served.leaves_nothing();
}

#[test]
fn a_fixed_port_is_used_by_one_process_at_a_time() {
    let port = free_port();
    let served = Served::own(&format!("http://127.0.0.1:{port}/mcp"));
    assert_eq!(served.mark(), "v0");
    let note = "stops the old process first";
    eventually(DEADLINE, || served.log.text().contains(note));
    served.project.edit("server.py", "\"v0\"", "\"v1\"");
    served.log.until("reloaded", 1);
    assert_eq!(served.mark(), "v1");
}

#[test]
fn a_port_of_another_process_is_never_taken_for_the_servers() {
    let occupant = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let port = occupant.local_addr().unwrap().port();
    let served = Served::own(&format!("http://127.0.0.1:{port}/mcp"));
    let text = served.mark();
    let expected = format!("another process listens on port {port}");
    assert!(text.contains(&expected), "{text}");
    drop(occupant);
    // A later call tries again.
    eventually(DEADLINE, || served.mark() == "v0");
}

#[test]
fn a_server_that_listens_elsewhere_is_told() {
    let elsewhere = free_port();
    let (project, words) = raw::project(raw::HOOK, &elsewhere.to_string());
    let options = ["--start-timeout", "8s"];
    let served = Served::start(project, words, OWN_PORT, &options);
    served.peer.initialize(&initialize_params());
    let broken = served.log.until("broken", 1);
    let reason = broken[0]["failure"]["reason"].as_str().unwrap();
    let expected = format!("it listens on port {elsewhere}, not on ");
    assert!(reason.contains(&expected), "{reason}");
}
