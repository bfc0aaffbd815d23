//! Addresses that the proxy finds itself, and the advice on those that refuse it.

use serde_json::Value;

use super::raw::{HOOK, call, project, serve_by};
use super::{OWN_PORT, Served};
use crate::harness::{Project, free_port, initialize_params, peers};

/// Server with the transport of revision 2024-11-05.
const SSE_SERVER: &str = r#"import os
from fastmcp import FastMCP
mcp = FastMCP("own")
@mcp.tool
def mark() -> str:
    return "v0"
mcp.run(transport="sse", path="/sse", port=int(os.environ["PORT"]), show_banner=False)
"#;
/// Code for a server that answers at one path only, and fails at its root otherwise.
const AT_PATH: &str = r#"    if handler.path == "PATH":
        return False
    print(handler.path, "is missed", flush=True)
    handler.answer(500 if handler.path == "/" else 404)
    return True"#;
/// HTTP server that answers every POST with the same status.
const REFUSER: &str = r#"import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(STATUS)
    def do_GET(self):
        self.send_error(STATUS)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Starts Python code behind the proxy, and a session.
#[track_caller]
fn served(code: &str, url: &str) -> Served {
    let project = Project::new();
    project.write("server.py", code);
    let python = peers().join("python/.venv/bin/python").into_os_string();
    let words = vec![python, "server.py".into()];
    let options = ["--watch", "*.py", "--no-warm"];
    let served = Served::start(project, words, url, &options);
    served.peer.initialize(&initialize_params());
    served
}

/// Returns the failure of a server that does not start.
#[track_caller]
fn failure(code: &str, url: &str) -> Value {
    let served = served(code, url);
    served.log.until("broken", 1)[0]["failure"].clone()
}

/// Starts a server without an SDK at `path` behind the proxy, and a session; its last argument is `port`.
#[track_caller]
fn raw(path: &str, port: &str) -> Served {
    let (project, words) = project(&AT_PATH.replace("PATH", path), port);
    let served = serve_by(project, words, "auto", &["--no-warm"]);
    assert_eq!(call(&served, "mark")["mark"], "v0", "{path}");
    served
}

#[test]
fn the_port_and_the_path_are_found_at_each_start() {
    for (path, port) in [("/mcp", "{port}"), ("/", "0"), ("/api/mcp", "0")] {
        let served = raw(path, port);
        served.project.edit("raw_http.py", "\"v0\"", "\"v1\"");
        served.log.until("reloaded", 1);
        assert_eq!(call(&served, "mark")["mark"], "v1", "{path}");
        // Later starts try the path that was found before the others.
        let lines = served.log.events("stderr");
        let of_second = lines.iter().filter(|it| it["generation"] == 2);
        let missed: Vec<&Value> = of_second
            .filter(|it| it["line"].to_string().contains("is missed"))
            .collect();
        assert!(missed.is_empty(), "{path}: {missed:?}");
        if path == "/" {
            let (before, after) = ("== \"/\":", "== \"/api/mcp\":");
            served.project.edit("raw_http.py", before, after);
            assert_eq!(call(&served, "mark")["mark"], "v1");
            served.log.exactly("reloaded", 2);
        }
    }
    let served = served(SSE_SERVER, "auto");
    assert_eq!(served.mark(), "v0");
    served.project.edit("server.py", "\"v0\"", "\"v1\"");
    served.log.until("reloaded", 1);
    assert_eq!(served.mark(), "v1");
}

#[test]
fn a_fixed_port_of_the_code_is_found() {
    raw("/api/mcp", &free_port().to_string());
}

#[test]
fn a_refused_handshake_comes_with_advice() {
    for url in ["auto", OWN_PORT] {
        for (status, expected) in [
            ("401", "asks for authorization"),
            ("403", "allowed hosts"),
            ("421", "allowed hosts"),
        ] {
            let failure = failure(&REFUSER.replace("STATUS", status), url);
            let reason = failure["reason"].as_str().unwrap();
            assert!(reason.contains(&format!("HTTP {status}")), "{reason}");
            let advice = failure["advice"].as_str().unwrap();
            assert!(advice.contains(expected), "{status}: {advice}");
        }
    }
}

#[test]
fn an_exit_before_any_port_is_told_with_its_output() {
    let failure = failure("import sys; sys.exit('no such table')", "auto");
    let text = failure.to_string();
    for part in ["before it listened on a port", "status 1", "no such table"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_server_on_all_networks_is_noted_once() {
    let (project, words) = project(HOOK, "{port}");
    project.edit("raw_http.py", "127.0.0.1", "0.0.0.0");
    let served = serve_by(project, words, "auto", &["--no-warm"]);
    assert_eq!(call(&served, "mark")["mark"], "v0");
    served.project.edit("raw_http.py", "\"v0\"", "\"v1\"");
    served.log.until("reloaded", 1);
    assert_eq!(call(&served, "mark")["mark"], "v1");
    let told = served
        .log
        .text()
        .matches("listens on all networks (0.0.0.0:")
        .count();
    assert_eq!(told, 1, "{}", served.log.text());
}
