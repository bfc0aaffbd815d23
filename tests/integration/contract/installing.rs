//! Installing and uninstalling as tools: servers come over https from repositories that real git serves, into
//! folders of the test's own. Tests that are not about pip use a stand-in called `uv`.

mod asking;
mod deciding;
mod interrupting;
mod refusing;
mod removing;
mod rows;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::client::{Client, Era};
use super::stage::Stage;
use crate::harness::{GitServer, Proxy, Repository, initialize_params};

/// A server in Python that needs nothing. Its tool tells a variable; it can be held up by a file that is
/// not there yet.
const SERVER: &str = r#"
import json, os, sys, time

def call(arguments):
    until = arguments.get("until")
    if until:
        open(until + ".began", "w").close()
        while not os.path.exists(until):
            time.sleep(0.005)
    text = "rain in " + os.environ.get("CITY", "town")
    return {"content": [{"type": "text", "text": text}]}

ANSWERS = {
    "initialize": lambda _: {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                             "serverInfo": {"name": "weather", "version": "1"}},
    "tools/list": lambda _: {"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]},
    "tools/call": lambda params: call(params.get("arguments", {})),
    "ping": lambda _: {},
}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = ANSWERS.get(message["method"])
    said = {"result": answer(message.get("params", {}))} if answer else {"error": {"code": -32601, "message": "no"}}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
"#;

/// Makes the environments that are asked for, and installs packages by noting them. Of a package `fails` it
/// says why it does not come; a package `waits` never comes.
const UV: &str = r#"#!/bin/sh
if [ "$1" = venv ]; then
    mkdir -p .venv/bin && ln -s PYTHON .venv/bin/python
    exit
fi
cat requirements.txt needs.txt 2>/dev/null > .venv/packages
if grep -q waits .venv/packages; then
    exec sleep 300
fi
if grep -q fails .venv/packages; then
    for line in $(seq 40); do echo "line $line"; done
    echo "no such package" >&2
    exit 1
fi
"#;

/// The configuration before the test, with comments.
const BEFORE: &str = "{\n  // mine\n  \"mcpServers\": {\n    // the clock\n    \"clock\": { \"command\": \"FAKE\", \"args\": [\"clock.json\"] }\n  }\n}\n";

/// A user's project and folders, and a repository `weather` at a server.
struct World {
    git: GitServer,
    repository: Repository,
    stage: Stage,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let git = GitServer::new();
        let repository = git.repository("weather", files);
        let stage = Stage::new([("clock", json!({"mark": "clock"}))]);
        let world = Self {
            git,
            repository,
            stage,
        };
        world.stage.project.save(".mcp.json", &Self::before());
        let python = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable, end='')"])
            .output()
            .unwrap();
        let python = String::from_utf8(python.stdout).unwrap();
        let uv = UV.replace("PYTHON", &python);
        world.stage.project.write("bin/uv", &uv);
        let path = world.stage.project.path("bin/uv");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        world
    }

    /// With a server that is found by itself.
    fn simple() -> Self {
        Self::new(&[("server.py", SERVER)])
    }

    /// With a server that needs this package.
    fn needing(package: &str) -> Self {
        Self::new(&[("server.py", SERVER), ("requirements.txt", package)])
    }

    fn before() -> String {
        let fake = crate::harness::example("fake_server");
        BEFORE.replace("FAKE", fake.to_str().unwrap())
    }

    fn proxy(&self, subcommand: &'static str) -> Proxy {
        let root = self.stage.project.root();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", root.join("bin").display());
        self.stage
            .at_home(Proxy::configured(subcommand))
            .env("XDG_DATA_HOME", root.join("data"))
            .env("SSL_CERT_FILE", self.git.authority_file())
            .env("PATH", path)
    }

    /// A client of the legacy era with just these `capabilities`.
    #[track_caller]
    fn client(proxy: Proxy, capabilities: &Value) -> Client {
        let peer = proxy.spawn();
        let mut params = initialize_params();
        params["capabilities"] = capabilities.clone();
        peer.initialize(&params).result();
        let era = Era::Legacy;
        Client { peer, era }
    }

    /// A client before `serve` that asks its user nothing.
    #[track_caller]
    fn serve(&self) -> Client {
        Self::client(self.proxy("serve"), &json!({}))
    }

    fn url(&self) -> String {
        self.git.url("git/weather")
    }

    fn head(&self) -> String {
        self.repository.git(&["rev-parse", "HEAD"])
    }

    /// The arguments of an installation from the repository, and `more`.
    fn arguments(&self, more: Value) -> Value {
        let mut arguments = json!({"git_url": self.url()});
        let Value::Object(more) = more else {
            panic!("no object: {more}")
        };
        arguments.as_object_mut().unwrap().extend(more);
        arguments
    }

    fn config(&self) -> String {
        self.stage.project.read(".mcp.json")
    }

    /// The content of the folder of servers.
    fn left(&self) -> Vec<PathBuf> {
        let servers = self.stage.project.path("data/mcp-proxy/servers");
        let read = fs::read_dir(servers).into_iter().flatten().flatten();
        read.map(|entry| entry.path()).collect()
    }

    /// Whether anything was run for a server.
    fn has_environment(&self) -> bool {
        let mut level = self.left();
        while !level.is_empty() {
            if level.iter().any(|it| it.ends_with(".venv")) {
                return true;
            }
            let read = |it: &PathBuf| fs::read_dir(it).into_iter().flatten().flatten();
            level = level.iter().flat_map(read).map(|it| it.path()).collect();
        }
        false
    }

    /// Nothing is there that was not there before.
    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(self.left(), [] as [PathBuf; 0]);
        assert_eq!(self.config(), Self::before());
    }
}

/// The message of an error; asserts that it holds all `texts`.
#[track_caller]
fn says(said: &Value, texts: &[&str]) {
    let error = said["error"].as_str().unwrap();
    for text in texts {
        assert!(error.contains(text), "{text:?} is not in {error:?}");
    }
}

/// The text that the tool `name` of a server returns.
#[track_caller]
fn told(client: &Client, name: &str) -> String {
    client.call(name, &json!({})).tool_text()
}

const TOOLS_CHANGED: &str = "notifications/tools/list_changed";
