//! Process trees, programs, paths and configuration of Windows.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, Run, Watched, eventually, example, initialize_params,
    marked, processes_with_tag,
};

/// Starts a batch file that runs the server, in front of which the proxy stands.
#[track_caller]
fn wrapped(script: &Value) -> (Project, Peer, Log) {
    let project = Project::new();
    project.write("script.json", &script.to_string());
    let server = example("fake_server");
    let batch = format!("@echo off\r\n\"{}\" script.json\r\n", server.display());
    project.write("serve.cmd", &batch);
    let log = Log::new();
    let proxy = Proxy::dev([r".\serve"]).options(["--meta-tools", "none", "--watch", "*.json"]);
    let peer = log.written_by(proxy).within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    assert!(processes_with_tag(peer.tag()).len() >= 3);
    (project, peer, log)
}

#[test]
fn a_server_behind_a_batch_file_is_reloaded_and_ends_with_the_session() {
    let (project, peer, log) = wrapped(&json!({"mark": "v1"}));
    project.save("script.json", &marked("v2"));
    log.until("reloaded", 1);
    let answer = peer.call("mark", &json!({}));
    assert_eq!(answer.result()["structuredContent"]["mark"], "v2");
    peer.close_stdin();
    assert!(peer.wait_exit().success());
    eventually(DEADLINE, || processes_with_tag(peer.tag()).is_empty());
}

#[test]
fn nothing_outlives_a_proxy_that_is_killed() {
    let (_project, peer, _log) = wrapped(&json!({"mark": "v1", "ignore_eof": true}));
    let tag = peer.tag().to_owned();
    // `TerminateProcess`: the proxy cannot do anything any more.
    drop(peer);
    eventually(DEADLINE, || processes_with_tag(&tag).is_empty());
}

#[test]
fn a_server_that_ignores_the_end_of_stdin_is_killed() {
    let (_project, peer, _log) = wrapped(&json!({"mark": "v1", "ignore_eof": true}));
    peer.close_stdin();
    assert!(peer.wait_exit().success());
    eventually(DEADLINE, || processes_with_tag(peer.tag()).is_empty());
}

#[test]
fn programs_are_found_as_a_shell_finds_them() {
    let project = Project::new();
    fs::copy(example("fake_server"), project.path("server.exe")).unwrap();
    project.write("script.json", &marked("v1"));
    project.write("bin/serve.cmd", "@.\\server.exe script.json\r\n");
    let path = format!("Path={}", project.path("bin").display());
    for (program, arguments) in [
        ("serve", &[][..]),
        ("serve.cmd", &[]),
        (r".\bin\SERVE", &[]),
        ("bin/serve", &[]),
        (r".\server", &["script.json"]),
    ] {
        let mut words = vec!["check", "--env", &path, "--", program];
        words.extend(arguments);
        Run::within(&project, &words).ended_with(0);
    }
    // Clients with the TypeScript SDK do not pass this variable on.
    let mut command = Command::new(Proxy::program());
    command.args(["check", "--env", &path, "--", "serve"]);
    command.current_dir(project.root()).env_remove("PATHEXT");
    Run::of(command).ended_with(0);
    let run = Run::within(&project, &["check", "--env", &path, "--", "no-such-mcp"]).ended_with(4);
    assert!(run.stderr.contains("is not in PATH"), "{run:#?}");
}

#[test]
fn a_line_break_for_a_batch_file_is_refused_and_a_script_needs_its_interpreter() {
    let project = Project::new();
    project.write("serve.cmd", "@echo off\r\n");
    project.write("server.py", "print(1)\n");
    let run = Run::within(&project, &["check", "--", r".\serve.cmd", "a\nb"]).ended_with(4);
    assert!(run.stderr.contains("is a batch file"), "{run:#?}");
    let run = Run::within(&project, &["check", "--", r".\server.py"]).ended_with(4);
    assert!(
        run.stderr.contains("put the interpreter in front"),
        "{run:#?}"
    );
}

#[test]
fn configuration_has_backslashes_and_windows_line_ends() {
    let project = Project::new();
    let server = example("fake_server");
    project.write("Übung 1/server.json", &marked("v1"));
    project.write("shared/data.json", "1");
    let text = format!(
        "[servers.weather]\ncommand = '{}'\nargs = ['Übung 1\\server.json']\n\
         watch = ['Übung 1\\**', '{}\\*.json']\n",
        server.display(),
        project.path("shared").display()
    );
    project.write("mcp-proxy.toml", &text.replace('\n', "\r\n"));
    let log = Log::new();
    let proxy = Proxy::configured("dev").options(["--meta-tools", "none"]);
    let peer = log.written_by(proxy).within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    log.until("ready", 1);
    project.save("Übung 1/server.json", &marked("v2"));
    log.until("reloaded", 1);
    project.write("shared/data.json", "2");
    log.until("reloaded", 2);
    let answer = peer.call("mark", &json!({}));
    assert_eq!(answer.result()["structuredContent"]["mark"], "v2");
}

#[test]
fn each_way_of_saving_is_one_reload() {
    let watched = Watched::start();
    watched.write("v1");
    watched.one_reload(&["src/server.json"]);
    watched.project.save("src/server.json", &marked("v2"));
    watched.one_reload(&["src/server.json"]);
    // Reads and equal content.
    watched.project.read("src/server.json");
    watched.write("v2");
    watched.no_reload();
    assert_eq!(watched.mark(), "v2");
}

/// Answers of a server with one package.
const ANSWERS: &str = r"
import 'ahead';
const answer = (method, params) => {
    if (method === 'initialize') {
        const { protocolVersion } = params;
        return { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'plain', version: '1' } };
    }
    if (method === 'tools/list') return { tools: [{ name: 'mark', inputSchema: { type: 'object' } }] };
    if (method === 'tools/call') return { content: [], structuredContent: { mark: 'VERSION' } };
    return {};
};
";
/// Gives the answers on stdin and stdout.
const ON_STDIN: &str = r"
let text = '';
process.stdin.on('data', (chunk) => {
    const lines = (text += chunk).split('\n');
    text = lines.pop();
    for (const { id, method, params } of lines.map(JSON.parse)) {
        if (id === undefined) continue;
        process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result: answer(method, params) }) + '\n');
    }
});
";
/// Gives the answers over HTTP.
const OVER_HTTP: &str = r"
import { createServer } from 'node:http';
createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', () => {
        if (request.method !== 'POST') return response.writeHead(405).end();
        const { id, method, params } = JSON.parse(text);
        if (id === undefined) return response.writeHead(202).end();
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ jsonrpc: '2.0', id, result: answer(method, params) }));
    });
}).listen(process.env.PORT, '127.0.0.1');
";

/// Returns the program that the variable `NODE_EXE` names.
#[track_caller]
fn node() -> PathBuf {
    let program = std::env::var_os("NODE_EXE").map(PathBuf::from);
    let program = program.or_else(|| which::which("node").ok());
    let program = program.expect("Node.js is in PATH, or NODE_EXE names it");
    std::path::absolute(program).unwrap()
}

/// Source of the servers on Node.js. Its folder is not their working directory: Wine tells the last change of a folder
/// as its creation, so a save there would count as a replaced directory.
const SERVER: &str = "src/server.mjs";

/// Server on Node.js behind the proxy.
struct OnNode {
    how: &'static str,
    // Dropped before the project: under Wine, no watched folder can be removed.
    peer: Peer,
    project: Project,
    log: Log,
}

impl OnNode {
    #[track_caller]
    fn start(how: &'static str, options: &[&str]) -> Self {
        let project = node_project(&source(how, "v0"));
        let log = Log::new();
        let proxy = Proxy::dev([node().into_os_string(), SERVER.into()]);
        let proxy = proxy.options(["--meta-tools", "none", "--watch", "src/*.mjs"]);
        let proxy = proxy.options(options.iter().copied());
        let peer = log.written_by(proxy).within(&project).spawn();
        peer.initialize(&initialize_params()).result();
        log.until("ready", 1);
        Self {
            how,
            project,
            log,
            peer,
        }
    }

    fn save(&self, version: &str) {
        self.project.save(SERVER, &source(self.how, version));
    }

    #[track_caller]
    fn mark(&self) -> Value {
        let answer = self.peer.call("mark", &json!({}));
        answer.result()["structuredContent"]["mark"].clone()
    }
}

/// Creates a project with a server and the package that it imports.
fn node_project(source: &str) -> Project {
    let project = Project::beginning_with("mcp-proxy-test C# é & (1) 100%-");
    project.write(SERVER, source);
    project.write(
        "node_modules/ahead/package.json",
        r#"{"exports": "./ahead.mjs"}"#,
    );
    project.write("node_modules/ahead/ahead.mjs", "export const ahead = 1;");
    project
}

fn source(how: &str, version: &str) -> String {
    format!("{ANSWERS}{how}").replace("VERSION", version)
}

#[test]
fn a_node_server_is_reloaded_broken_and_repaired_without_a_lost_call() {
    let server = OnNode::start(ON_STDIN, &[]);
    let mut calls = Vec::new();
    let mut call = || {
        for _ in 0..20 {
            let mark = json!({"name": "mark", "arguments": {}});
            calls.push(server.peer.request("tools/call", &mark));
        }
    };
    for round in 1..=3 {
        let version = format!("v{round}");
        call();
        server.save(&version);
        call();
        server.log.until("reloaded", round);
        assert_eq!(server.mark(), version);
    }
    for call in calls {
        server.peer.await_response(call).result();
        assert_eq!(server.peer.responses_to(call), 1);
    }
    server.project.save(SERVER, "const x = ;\n");
    server.log.until("broken", 1);
    let answer = server.peer.call("mark", &json!({}));
    assert!(answer.line.contains("SyntaxError"), "{}", answer.line);
    server.save("v9");
    server.log.until("reloaded", 4);
    assert_eq!(server.mark(), "v9");
}

#[test]
fn a_node_server_is_prepared_for_the_next_save() {
    let server = OnNode::start(ON_STDIN, &[]);
    server.save("v1");
    server.log.until("standby", 1);
    let before = processes_with_tag(server.peer.tag());
    server.save("v2");
    server.log.until("reloaded", 2);
    assert_eq!(server.mark(), "v2");
    let spawned = server.log.events("spawned").pop().unwrap();
    let was_there = before.iter().any(|(pid, _)| spawned["pid"] == *pid);
    assert!(was_there, "it started cold:\n{}", server.log.text());
}

#[test]
fn a_server_over_http_is_reloaded_and_ends_with_the_session() {
    for url in ["http://127.0.0.1:{port}/mcp", "auto"] {
        let server = OnNode::start(OVER_HTTP, &["--url", url]);
        assert_eq!(server.mark(), "v0");
        server.save("v1");
        server.log.until("reloaded", 1);
        assert_eq!(server.mark(), "v1");
        server.peer.close_stdin();
        assert!(server.peer.wait_exit().success());
        let tag = server.peer.tag();
        eventually(DEADLINE, || processes_with_tag(tag).is_empty());
    }
}

#[test]
fn the_port_of_another_process_is_never_taken_for_the_servers() {
    let occupant = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupant.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/mcp");
    let project = Project::new();
    project.write("server.mjs", &source(OVER_HTTP, "v0"));
    let node = node();
    let words = [
        "check",
        "--url",
        &url,
        "--",
        node.to_str().unwrap(),
        "server.mjs",
    ];
    let run = Run::within(&project, &words);
    let expected = format!("another process listens on port {port}");
    assert!(run.stderr.contains(&expected), "{run:#?}");
}
