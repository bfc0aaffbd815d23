//! Addresses that the proxy finds itself, and the advice on those that refuse it.

use serde_json::Value;

use super::{OWN_PORT, Served, free_port};
use crate::harness::{DEADLINE, Project, eventually, initialize_params, peers};

/// Server whose path and port are chosen by its own code.
const SERVER: &str = r#"import os
from fastmcp import FastMCP
mcp = FastMCP("own")
@mcp.tool
def mark() -> str:
    return "v0"
mcp.run(SETTINGS, show_banner=False)
"#;
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
    let served = Served::start(project, words, url, &["--watch", "*.py"]);
    served.peer.initialize(&initialize_params());
    served
}

/// Returns the failure of a server that does not start.
#[track_caller]
fn failure(code: &str, url: &str) -> Value {
    let served = served(code, url);
    served.log.until("broken", 1)[0]["failure"].clone()
}

#[test]
fn the_port_and_the_path_are_found_at_each_start() {
    for (transport, path, port) in [
        ("http", "/mcp", "int(os.environ['PORT'])"),
        ("http", "/", "0"),
        ("http", "/api/mcp", "0"),
        ("sse", "/sse", "int(os.environ['PORT'])"),
    ] {
        let settings = format!("transport='{transport}', path='{path}', port={port}");
        let served = served(&SERVER.replace("SETTINGS", &settings), "auto");
        assert_eq!(served.mark(), "v0", "{settings}");
        served.project.edit("server.py", "\"v0\"", "\"v1\"");
        served.log.until("reloaded", 1);
        assert_eq!(served.mark(), "v1", "{settings}");
    }
}

#[test]
fn a_fixed_port_of_the_code_is_found() {
    let settings = format!("transport='http', path='/api/mcp', port={}", free_port());
    let served = served(&SERVER.replace("SETTINGS", &settings), "auto");
    assert_eq!(served.mark(), "v0", "{}", served.log.text());
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
    let settings = "transport='http', host='0.0.0.0', port=int(os.environ['PORT'])";
    let served = served(&SERVER.replace("SETTINGS", settings), "auto");
    assert_eq!(served.mark(), "v0");
    served.project.edit("server.py", "\"v0\"", "\"v1\"");
    eventually(DEADLINE, || served.mark() == "v1");
    served.log.until("reloaded", 1);
    let told = served
        .log
        .text()
        .matches("listens on all networks (0.0.0.0:")
        .count();
    assert_eq!(told, 1, "{}", served.log.text());
}
