//! No request is lost, answered twice or answered by old code, with any save at any time.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    DEADLINE, Log, Message, Peer, Project, Proxy, eventually, example, initialize_params, peers,
    processes_with_tag, symlink,
};

const LIST_CHANGED: &str = "notifications/tools/list_changed";
/// From a save on, so long may old code still answer a call that arrives.
const GRACE: Duration = Duration::from_millis(100);

/// A kind of server; its code has the tools `mark` and `slow`, which tell its version.
struct Kind {
    program: fn() -> PathBuf,
    source: &'static str,
    /// Whether it loads packages of Node.js.
    needs_modules: bool,
    text: fn(usize) -> String,
    /// The same, but so long in starting that the next save comes first.
    late: fn(usize) -> String,
    broken: &'static str,
    /// The error for such a call.
    fault: &'static str,
    /// As many processes there are once all is quiet.
    processes: usize,
    /// Whether it serves HTTP, on a port that is its last argument.
    over_http: bool,
}

/// Ready in two milliseconds; its source is its script.
const FAKE: Kind = Kind {
    program: fake_server,
    source: "script.json",
    needs_modules: false,
    text: |version| json!({"mark": format!("v{version}")}).to_string(),
    late: |version| json!({"mark": format!("v{version}"), "start_delay_ms": 10000}).to_string(),
    broken: r#"{"mark": "#,
    fault: "script.json: EOF while parsing",
    processes: 1,
    over_http: false,
};

/// The same over HTTP, by which answers have no order: a call in flight is a test of its own elsewhere.
const HTTP: Kind = Kind {
    text: |version| json!({"eras": ["legacy"], "mark": format!("v{version}")}).to_string(),
    late: |version| {
        let mark = format!("v{version}");
        json!({"eras": ["legacy"], "mark": mark, "start_delay_ms": 10000}).to_string()
    },
    over_http: true,
    ..FAKE
};

/// The slowest to start, and so with a process that is prepared for the next save.
#[cfg(unix)]
const FASTMCP: Kind = Kind {
    program: || peers().join("python/.venv/bin/python"),
    source: "server.py",
    needs_modules: false,
    text: |version| FASTMCP_TEXT.replace("VERSION", &format!("v{version}")),
    late: |version| format!("import time\ntime.sleep(10)\n{}", (FASTMCP.text)(version)),
    broken: "from fastmcp import (",
    fault: "SyntaxError: '(' was never closed",
    processes: 2,
    over_http: false,
};

/// Prepared as well.
#[cfg(unix)]
const NODE: Kind = Kind {
    program: || PathBuf::from("node"),
    source: "server.mjs",
    needs_modules: true,
    text: |version| NODE_TEXT.replace("VERSION", &format!("v{version}")),
    late: |version| {
        format!(
            "await new Promise((wake) => setTimeout(wake, 10000));\n{}",
            (NODE.text)(version)
        )
    },
    broken: "import { x } from;",
    fault: "SyntaxError: Unexpected token ';'",
    processes: 2,
    over_http: false,
};

#[cfg(unix)]
const FASTMCP_TEXT: &str = r#"
import asyncio

from fastmcp import FastMCP

mcp = FastMCP("versioned")


@mcp.tool
def mark() -> dict:
    return {"mark": "VERSION"}


@mcp.tool
async def slow(ms: int) -> str:
    await asyncio.sleep(ms / 1000)
    return "VERSION"


mcp.run("stdio", show_banner=False)
"#;

#[cfg(unix)]
const NODE_TEXT: &str = r"
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server = new McpServer({ name: 'versioned', version: '1' });
server.registerTool('mark', {}, async () => ({ content: [], structuredContent: { mark: 'VERSION' } }));
server.registerTool('slow', { inputSchema: { ms: z.number() } }, async ({ ms }) => {
    await new Promise((wake) => setTimeout(wake, ms));
    return { content: [{ type: 'text', text: 'VERSION' }] };
});
await server.connect(new StdioServerTransport());
";

macro_rules! hold_for {
    ($($name:ident: $kind:ident;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_steady_stream_of_calls_survives_every_save() {
                steady_stream(&$kind);
            }

            #[test]
            fn a_call_in_flight_ends_on_the_code_it_began_on() {
                call_in_flight(&$kind);
            }

            #[test]
            fn a_broken_save_is_told_and_the_fix_is_live() {
                broken_save(&$kind);
            }

            #[test]
            fn a_session_that_began_broken_comes_to_life() {
                began_broken(&$kind);
            }

            #[test]
            fn a_save_while_new_code_starts_leads_to_another_start() {
                save_while_starting(&$kind);
            }

            #[test]
            fn a_flurry_of_saves_ends_on_the_last() {
                flurry(&$kind);
            }
        }
    )*};
}

hold_for! {
    a_server_that_starts_at_once: FAKE;
}

mod a_server_over_http {
    use super::*;

    #[test]
    fn a_steady_stream_of_calls_survives_every_save() {
        steady_stream(&HTTP);
    }

    #[test]
    fn a_broken_save_is_told_and_the_fix_is_live() {
        broken_save(&HTTP);
    }

    #[test]
    fn a_save_while_new_code_starts_leads_to_another_start() {
        save_while_starting(&HTTP);
    }

    #[test]
    fn a_flurry_of_saves_ends_on_the_last() {
        flurry(&HTTP);
    }
}

#[cfg(unix)]
hold_for! {
    a_prepared_python_server: FASTMCP;
    a_prepared_node_server: NODE;
}

/// A server of one source file behind the proxy.
struct Session {
    project: Project,
    peer: Peer,
    log: Log,
    kind: &'static Kind,
}

impl Session {
    #[track_caller]
    fn start(kind: &'static Kind, text: &str) -> Self {
        let project = Project::new();
        project.write(kind.source, text);
        if kind.needs_modules {
            let modules = peers().join("node/node_modules");
            symlink(modules, project.path("node_modules")).unwrap();
        }
        let log = Log::new();
        let mut command: Vec<OsString> = vec![(kind.program)().into(), kind.source.into()];
        let mut options = vec!["--watch", kind.source, "--meta-tools", "none"];
        if kind.over_http {
            command.push("{port}".into());
            options.extend(["--url", "http://127.0.0.1:{port}/mcp"]);
        }
        let proxy = Proxy::dev(command).options(options);
        let peer = log.written_by(proxy).within(&project).spawn();
        peer.initialize(&initialize_params()).result();
        Self {
            project,
            peer,
            log,
            kind,
        }
    }

    #[track_caller]
    fn save(&self, text: &str) {
        self.project.save(self.kind.source, text);
    }

    #[track_caller]
    fn mark(&self) -> String {
        mark(&self.peer.call("mark", &json!({})))
    }

    /// Waits until calls fail, and returns their message.
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

    /// Waits until saved code is live, which `event` tells, and the client knows.
    #[track_caller]
    fn until_told(&self, event: &str) {
        self.log.until(event, 1);
        self.peer.expect_notification(LIST_CHANGED);
    }

    /// Waits until only those processes are there that stay. On a busy machine a server whose save came before its
    /// next process was ready keeps a second one of those for half a minute.
    #[track_caller]
    fn until_quiet(&self) {
        let servers = || {
            let processes = processes_with_tag(self.peer.tag());
            let servers = processes.iter().filter(|(pid, command)| {
                *pid != self.peer.pid()
                    && command.contains(self.kind.source)
                    && !command.contains("mcp-proxy")
            });
            servers.count()
        };
        eventually(DEADLINE * 3, || servers() == self.kind.processes);
    }
}

/// Built by `cargo test` beside the program, but not by `cargo test --test integration`.
#[track_caller]
fn fake_server() -> PathBuf {
    example("fake_server")
}

#[track_caller]
fn mark(answer: &Message) -> String {
    let result = answer.result();
    match result["structuredContent"]["mark"].as_str() {
        Some(mark) => mark.to_owned(),
        None => panic!("an answer of the tool `mark` was expected: {}", answer.line),
    }
}

/// A call every 5 ms for 14 s with 5 saves: one answer each, no error, none by code older than allowed.
#[track_caller]
fn steady_stream(kind: &'static Kind) {
    let source = kind.text;
    let session = Session::start(kind, &source(0));
    let started = Instant::now();
    let mut saves: Vec<Instant> = Vec::new();
    let mut calls: Vec<(u64, Instant)> = Vec::new();
    while started.elapsed() < Duration::from_secs(14) {
        let due = Duration::from_secs(2 * (saves.len() as u64 + 1));
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
    session.until_quiet();

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

#[track_caller]
fn call_in_flight(kind: &'static Kind) {
    let began = Instant::now();
    let session = Session::start(kind, &(kind.text)(1));
    assert_eq!(session.mark(), "v1");
    // Longer than a reload takes on this machine at this moment.
    let ms = 2000 + 3 * began.elapsed().as_millis();
    let slow = json!({"name": "slow", "arguments": {"ms": ms}});
    let slow = session.peer.request("tools/call", &slow);
    // Answered behind the slow call, so the server has that.
    assert_eq!(session.mark(), "v1");
    session.save(&(kind.text)(2));
    session.until_told("reloaded");
    assert_eq!(session.mark(), "v2");
    assert_eq!(session.peer.responses_to(slow), 0);
    assert_eq!(session.peer.await_response(slow).tool_text(), "v1");
    session.until_quiet();
}

#[track_caller]
fn broken_save(kind: &'static Kind) {
    let session = Session::start(kind, &(kind.text)(1));
    assert_eq!(session.mark(), "v1");
    session.save(kind.broken);
    let said = session.failure();
    assert!(said.contains(kind.fault), "{said}");
    // The lists are those of the last code that worked.
    let tools = session.peer.ask("tools/list", &json!({}));
    assert!(tools.result_text().contains(r#""name":"mark""#));
    session.save(&(kind.text)(3));
    session.until_told("reloaded");
    assert_eq!(session.mark(), "v3");
}

#[track_caller]
fn began_broken(kind: &'static Kind) {
    let session = Session::start(kind, kind.broken);
    let said = session.failure();
    assert!(said.contains(kind.fault), "{said}");
    session.save(&(kind.text)(1));
    session.until_told("ready");
    assert_eq!(session.mark(), "v1");
    let tools = session.peer.ask("tools/list", &json!({}));
    assert!(tools.result_text().contains(r#""name":"mark""#));
}

#[track_caller]
fn save_while_starting(kind: &'static Kind) {
    let session = Session::start(kind, &(kind.text)(1));
    assert_eq!(session.mark(), "v1");
    session.save(&(kind.late)(2));
    session.log.until("spawned", 2);
    session.save(&(kind.text)(3));
    session.until_told("reloaded");
    assert_eq!(session.mark(), "v3");
    session.until_quiet();
}

#[track_caller]
fn flurry(kind: &'static Kind) {
    let session = Session::start(kind, &(kind.text)(0));
    assert_eq!(session.mark(), "v0");
    for version in 1..=20 {
        session.save(&(kind.text)(version));
        // The rhythm of the saves; after the last one, the time that old code has left.
        std::thread::sleep(GRACE);
    }
    assert_eq!(session.mark(), "v20");
    session.until_quiet();
}
