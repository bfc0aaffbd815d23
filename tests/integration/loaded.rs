//! Files that a running process has loaded are watched although no glob names them; files that it writes are not.

mod copies;
mod data;
mod elsewhere;
mod installing;

use std::ffi::OsStr;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::{Log, Project, Proxy, Watched};

/// A server in Python without packages: `serve` answers each call of a tool with the value of `told` for its name.
const SERVE: &str = r#"
import json
import sys


def serve(told):
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        if message["method"] == "initialize":
            server = {"name": "loaded", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
        elif message["method"] == "tools/list":
            result = {"tools": [{"name": "mark", "inputSchema": {"type": "object"}}]}
        else:
            result = {"content": [], "structuredContent": {"mark": told()}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

/// A project in `app` with the files that both languages' servers need.
fn project() -> Project {
    let project = Project::new();
    project.write("app/pyproject.toml", "[project]\nname = \"app\"\n");
    project.write("app/package.json", r#"{"name": "app"}"#);
    project.write("app/serve.py", SERVE);
    project.copy("fixtures/warm/look.cjs", "app/look.cjs");
    project
}

/// The text of a server in Python that answers with the value of `mark` after `head`.
fn in_python(head: &str, mark: &str) -> String {
    format!("{head}\nfrom serve import serve\nserve(lambda: {mark})\n")
}

/// As [`in_python`], in Node.js; `.mjs` imports the modules that `.cjs` requires.
fn in_node(head: &str, mark: &str) -> String {
    format!("{head}\nserve('2025-06-18', () => ({{ mark: {mark} }}));\n")
}

const REQUIRE: &str = "const { serve } = require('./look.cjs');";
const IMPORT: &str = "import look from './look.cjs'; const { serve } = look;";

/// The proxy before a server in the directory `app`.
#[track_caller]
fn started<W: AsRef<OsStr>>(project: Project, words: &[W]) -> Watched {
    with_options(project, words, &[])
}

#[track_caller]
fn with_options<W: AsRef<OsStr>>(project: Project, words: &[W], options: &[&str]) -> Watched {
    let log = Log::new();
    let proxy = Proxy::dev(words.iter().map(AsRef::as_ref)).options(options);
    let peer = log.written_by(proxy).at(&project.path("app")).spawn();
    Watched::met(project, peer, log)
}

/// Saves one file after the other in place of its content, each with other marks, and sees each become live.
#[track_caller]
fn saves_count(watched: &Watched, files: &[&str]) {
    for round in 0..2 {
        for file in files {
            let before = watched.mark();
            let after = format!("{file} {round}");
            let reloads = watched.events("reloaded").len();
            watched.project.edit(file, &before, &after);
            watched.until("reloaded", reloads + 1);
            assert_eq!(watched.mark(), after, "{}", watched.log());
        }
    }
}

/// Links `path` to `target`, which is relative to the link.
#[track_caller]
fn link(project: &Project, target: &str, path: &str) {
    std::fs::create_dir_all(project.path(path).parent().unwrap()).unwrap();
    symlink(target, project.path(path)).unwrap();
}

/// The globs that `get_loaded_servers` shows.
#[track_caller]
fn globs(watched: &Watched) -> Vec<String> {
    let answer = watched.peer.call("get_loaded_servers", &json!({}));
    let servers = answer.result()["structuredContent"]["servers"].clone();
    serde_json::from_value(servers[0]["watch"].clone()).unwrap()
}
