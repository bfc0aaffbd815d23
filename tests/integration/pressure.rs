//! Clients and servers that take nothing more: the rest of the session goes on.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Log, Project, Proxy, SOURCE, eventually, example, initialize_params, marked,
    processes_with_tag, require,
};

/// Longer than a reload may take here.
const DRAIN: &str = "40s";

#[test]
fn newer_code_frees_a_client_from_a_server_that_hangs() {
    let project = Project::new();
    project.write(SOURCE, &marked("v1"));
    let log = Log::new();
    let proxy = Proxy::dev([example("fake_server"), SOURCE.into()])
        .options(["--watch", SOURCE, "--drain-timeout", DRAIN])
        .within(&project);
    let peer = log.written_by(proxy).spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    let server = example("fake_server");
    let (pid, _) = processes_with_tag(peer.tag())
        .into_iter()
        .find(|(_, command)| command.starts_with(server.to_str().unwrap()))
        .unwrap();
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();

    let started = Instant::now();
    let pad = "x".repeat(10_000);
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..400 {
                peer.request(
                    "tools/call",
                    &json!({"name": "echo", "arguments": {"pad": pad}}),
                );
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        // About the capacity of pipes and queue, after which the proxy stops reading.
        eventually(DEADLINE, || sent.load(Ordering::Relaxed) >= 150);
        project.save(SOURCE, &marked("v2"));
        log.until("reloaded", 1);
    });
    peer.ask("ping", &json!({})).result();
    let mark = peer.call("mark", &json!({})).result();
    assert_eq!(mark["structuredContent"]["mark"], "v2");
    assert!(started.elapsed() < DEADLINE);
}

#[test]
fn a_server_that_closes_its_stdin_has_ended() {
    let project = Project::new();
    project.write(
        SOURCE,
        &json!({"mark": "v1", "ignore_eof": true}).to_string(),
    );
    let peer = Proxy::dev([example("fake_server"), SOURCE.into()])
        .option("--no-watch")
        .within(&project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    let slow = peer.request(
        "tools/call",
        &json!({"name": "slow", "arguments": {"ms": 600_000}}),
    );
    peer.call("close_stdin", &json!({})).result();
    let text = peer.await_response(slow).tool_text();
    assert!(text.contains("closed its stdin"), "{text}");
    // By its successor.
    peer.call("mark", &json!({})).result();
}

/// A client that reads nothing until it is told to.
struct Deaf {
    proxy: Child,
    project: Project,
    log: Log,
}

impl Deaf {
    /// Has introduced itself to this server.
    #[track_caller]
    fn to<S: Into<OsString>>(server: impl IntoIterator<Item = S>, project: Project) -> Self {
        let log = Log::new();
        let proxy = log.written_by(Proxy::dev(server).options(["--watch", "src/**"]));
        let mut proxy = proxy.within(&project).command();
        let proxy = proxy
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut client = Self {
            proxy: proxy.unwrap(),
            project,
            log,
        };
        client.ask(0, "initialize", &initialize_params());
        client.log.until("ready", 1);
        client
    }

    #[track_caller]
    fn ask(&mut self, id: u64, method: &str, params: &Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.proxy.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Reads on until there are `count` answers; gives the ids of those that are no errors.
    #[track_caller]
    fn read(&mut self, count: usize) -> BTreeSet<u64> {
        let lines = BufReader::new(self.proxy.stdout.as_mut().unwrap()).lines();
        let messages = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let answers = messages.filter(|message: &Value| message["method"].is_null());
        answers
            .take(count)
            .filter(|answer| answer["result"].is_object() && answer["result"]["isError"] != true)
            .filter_map(|answer| answer["id"].as_u64())
            .collect()
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

#[test]
fn new_code_proves_itself_while_the_client_does_not_read() {
    let project = Project::new();
    project.write(SOURCE, &marked("v1"));
    let server = [example("fake_server").into_os_string(), SOURCE.into()];
    let mut client = Deaf::to(server, project);
    for id in 1..=3 {
        let arguments = json!({"pad": "x".repeat(1 << 20)});
        let call = json!({"name": "echo", "arguments": arguments});
        client.ask(id, "tools/call", &call);
    }
    client.project.save(SOURCE, &marked("v2"));
    client.log.until("reloaded", 1);
    assert_eq!(client.log.events("broken"), Vec::<Value>::new());
    assert_eq!(client.read(4), (0..=3).collect());
}

/// Ends with its output in the pipe, before the client has read the first part of it.
const SAYS_MUCH_AND_ENDS: &str = r#"
import json, os, sys, time
def say(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    result = {"content": [{"type": "text", "text": "x" * 150_000}]}
    if asked["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    elif asked["method"] == "tools/list":
        result = {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
    elif asked["method"] == "tools/call":
        say(method="notifications/message", params={"level": "info", "data": "x" * (2 << 20)})
        # What follows is to be read apart from it.
        time.sleep(0.3)
    if "id" in asked:
        say(id=asked["id"], result=result)
    if asked["method"] == "tools/call":
        os._exit(0)
"#;

#[test]
fn a_server_that_ends_is_heard_to_the_end_however_slowly_the_client_reads() {
    require("python3", "install Python 3");
    let project = Project::new();
    project.write("src/server.py", SAYS_MUCH_AND_ENDS);
    let mut client = Deaf::to(["python3", "src/server.py"], project);
    client.ask(1, "tools/call", &json!({"name": "t"}));
    client.log.until("exited", 1);
    client.log.until("spawned", 2);
    assert_eq!(client.read(2), [0, 1].into());
}
