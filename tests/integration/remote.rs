//! Remote servers: requests to them over HTTP, and the handling of their responses and failures.

mod commands;
#[cfg(unix)]
mod conformance;
mod eras;
mod legacy;
mod loss;
mod modern;
mod old;
mod parked;
#[cfg(unix)]
mod peers;
mod refusals;
mod resources;
mod streams;

use std::io::Write as _;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::harness::remote::HttpServer;
use crate::harness::{Log, Message, Peer, Project, Proxy, initialize_params};

const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// The proxy in front of one remote server, whose tools keep their names unless the settings have a prefix.
struct Stage {
    _project: Project,
    peer: Peer,
    log: Log,
}

impl Stage {
    /// Nobody has said anything yet; `settings` are further lines of the server's section.
    #[track_caller]
    fn before(url: &str, settings: &str) -> Self {
        Self::with(url, settings, &["--meta-tools", "none"])
    }

    #[track_caller]
    fn with(url: &str, settings: &str, options: &[&str]) -> Self {
        let project = Project::new();
        let toml = format!("[servers.far]\nurl = \"{url}\"\n{settings}\n");
        let unnamed = if settings.contains("prefix") {
            ""
        } else {
            "prefix = ''\n"
        };
        project.write("mcp-proxy.toml", &(toml + unnamed));
        let log = Log::new();
        let proxy = Proxy::configured("dev").options(options.iter().copied());
        let peer = log.written_by(proxy).within(&project).spawn();
        Self {
            _project: project,
            peer,
            log,
        }
    }

    /// A legacy client has introduced itself, and the server is there.
    #[track_caller]
    fn legacy(server: &HttpServer) -> Self {
        Self::before(&server.url(), "").met_by_legacy()
    }

    /// A modern client has asked, and the server is there.
    #[track_caller]
    fn modern(server: &HttpServer) -> Self {
        Self::before(&server.url(), "").met_by_modern()
    }

    #[track_caller]
    fn met_by_legacy(self) -> Self {
        self.peer.initialize(&initialize_params()).result();
        self.log.until("ready", 1);
        self
    }

    #[track_caller]
    fn met_by_modern(self) -> Self {
        self.peer.modern("server/discover", json!({})).result();
        self.log.until("ready", 1);
        self
    }

    #[track_caller]
    fn echo(&self, text: &str) -> Message {
        self.peer.call("echo", &json!({ "text": text }))
    }

    #[track_caller]
    fn names(&self) -> Vec<String> {
        let tools = self.peer.ask("tools/list", &json!({})).result();
        let tools = tools["tools"].as_array().unwrap().clone();
        tools.iter().map(name).collect()
    }
}

fn name(tool: &Value) -> String {
    tool["name"].as_str().unwrap().to_owned()
}

/// A proxy in front of the server at `url` whose client introduces itself, calls a tool and reads nothing more.
#[track_caller]
fn silent(url: &str) -> Unread {
    let project = Project::new();
    let toml = format!("[servers.far]\nurl = \"{url}\"\nprefix = ''\n");
    project.write("mcp-proxy.toml", &toml);
    let mut command = Proxy::configured("dev")
        .options(["--meta-tools", "none"])
        .within(&project)
        .command();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let call = json!({"name": "echo", "arguments": {"text": "a"}});
    for (id, method, params) in [
        (1, "initialize", initialize_params()),
        (2, "tools/call", call),
    ] {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
    Unread {
        child,
        _project: project,
    }
}

/// A process whose output nobody reads.
struct Unread {
    child: Child,
    _project: Project,
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
