//! Servers in several languages and by several package managers: fetched, installed from the registries, and called.
//! Only the files of a server say how to start it.

use std::fs::{self, File};
use std::iter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use crate::harness::{Peer, Project, Run, eventually, initialize_params, peers, require};

/// Registries and compilers take their time, and two cores may be shared by many tests.
const PATIENCE: Duration = Duration::from_secs(400);

pub(super) const PYPROJECT: &str = r#"
[project]
name = "weather"
version = "1.0.0"
requires-python = ">=3.10"
dependencies = ["idna>=3"]
[project.scripts]
weather-mcp = "weather:main"
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["weather"]
"#;

/// A server with one dependency: an SDK has thirty, which show no more of the installer.
pub(super) const PYTHON: &str = r#"
import json, sys
import idna

def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        city = message.get("params", {}).get("arguments", {}).get("city", "")
        result = {
            "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                           "serverInfo": {"name": "weather", "version": "1"}},
            "tools/list": {"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": f"rain in {city}"}]},
        }.get(message["method"], {})
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

const CARGO: &str = r#"
[package]
name = "weather-mcp"
version = "1.0.0"
edition = "2021"
[dependencies]
serde_json = "1"
"#;

const RUST: &str = r#"
use std::io::{self, BufRead};
use serde_json::{json, Value};

fn main() {
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = message.get("id") else { continue };
        let city = &message["params"]["arguments"]["city"];
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "weather", "version": "1"}}),
            "tools/list" => json!({"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]}),
            "tools/call" => json!({"content": [{"type": "text", "text": format!("rain in {}", city.as_str().unwrap())}]}),
            _ => json!({}),
        };
        println!("{}", json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }
}
"#;

const GO_MOD: &str = "module example.com/weather-mcp\n\ngo 1.21\n";

const GO: &str = r#"
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type object = map[string]any

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var message struct {
			ID     any
			Method string
			Params struct{ Arguments struct{ City string } }
		}
		json.Unmarshal(lines.Bytes(), &message)
		if message.ID == nil {
			continue
		}
		result := object{}
		switch message.Method {
		case "initialize":
			result = object{"protocolVersion": "2025-06-18", "capabilities": object{"tools": object{}},
				"serverInfo": object{"name": "weather", "version": "1"}}
		case "tools/list":
			result = object{"tools": []object{{"name": "forecast", "inputSchema": object{"type": "object"}}}}
		case "tools/call":
			text := "rain in " + message.Params.Arguments.City
			result = object{"content": []object{{"type": "text", "text": text}}}
		}
		line, _ := json.Marshal(object{"jsonrpc": "2.0", "id": message.ID, "result": result})
		fmt.Println(string(line))
	}
}
"#;

/// A tool of `tests/peers` by the name that the proxy looks for.
fn tool(name: &str) -> PathBuf {
    let path = match name {
        "uv" | "go" => format!("python/.venv/bin/{name}"),
        "yarn" => "tools/node_modules/@yarnpkg/cli-dist/bin/yarn.js".to_owned(),
        name => format!("tools/node_modules/.bin/{name}"),
    };
    let path = peers().join(path);
    assert!(
        path.exists(),
        "run tests/peers/install: there is no {}",
        path.display()
    );
    path
}

/// Lets `command` find the tools of these names, besides those of the machine.
pub(super) fn find(command: &mut Command, world: &World, tools: &[&str]) {
    let folder = world.project.path("tools");
    // Another command of the test may have had others.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for name in tools {
        symlink(tool(name), folder.join(name)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A machine may have uv, which then comes before pip.
    let others = std::env::split_paths(&path).filter(|folder| !folder.join("uv").exists());
    let all = iter::once(folder).chain(others);
    command.env("PATH", std::env::join_paths(all).unwrap());
    // The registries are reached with the certificates of the machine.
    match std::env::var_os("SSL_CERT_FILE") {
        Some(file) => command.env("SSL_CERT_FILE", file),
        None => command.env_remove("SSL_CERT_FILE"),
    };
}

/// Installs the repository of `world`, which may take its time.
#[track_caller]
pub(super) fn install(world: &World, tools: &[&str], options: &[&str], code: i32) -> String {
    let folder = world.repository.folder.display().to_string();
    let files = ["out", "err"].map(|it| File::create(world.project.path(it)).unwrap());
    let [out, err] = files;
    let mut install = world.command(&[&["install", &folder, "--json"], options].concat());
    find(&mut install, world, tools);
    let mut child = install.stdout(out).stderr(err).spawn().unwrap();
    let mut status = None;
    eventually(PATIENCE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    let said = world.project.read("err");
    assert_eq!(status.unwrap().code(), Some(code), "{said}");
    said
}

/// Installs the repository of `world`, calls its tool and removes it; nothing is left.
#[track_caller]
pub(super) fn installs_and_answers(world: &World, tools: &[&str], options: &[&str]) -> String {
    let said = install(world, tools, options, 0);
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    assert_eq!(installed["starts"], true, "{said}");
    let mut call = world.command(&["call", "weather", "forecast", r#"{"city": "Oslo"}"#]);
    find(&mut call, world, tools);
    assert_eq!(Run::of(call).ended_with(0).stdout.trim(), "rain in Oslo");
    world.run(&["uninstall", "weather", "--delete-files"], 0);
    world.assert_untouched();
    said
}

/// The file `name` that a tool writes for a project of `files`.
pub(super) fn written_by(
    program: &str,
    words: &[&str],
    files: &[(&str, &str)],
    name: &str,
) -> String {
    let project = Project::new();
    for (file, text) in files {
        project.write(file, text);
    }
    let mut command = Command::new(tool(program));
    command.args(words).current_dir(project.path("."));
    Run::of(command).ended_with(0);
    project.read(name)
}

#[test]
fn python_with_a_dependency() {
    require(
        "python3",
        "install Python 3.10 or newer with the venv module",
    );
    let world = World::new(&[("pyproject.toml", PYPROJECT), ("weather.py", PYTHON)]);
    installs_and_answers(&world, &[], &[]);
}

#[test]
fn python_by_uv() {
    let files = [("pyproject.toml", PYPROJECT), ("weather.py", PYTHON)];
    let world = World::new(&files);
    let said = installs_and_answers(&world, &["uv"], &[]);
    assert!(said.contains("running uv pip install"), "{said}");
    let lock = written_by("uv", &["lock"], &files, "uv.lock");
    world.repository.commit(&[("uv.lock", &lock)]);
    let said = installs_and_answers(&world, &["uv"], &[]);
    assert!(said.contains("running uv sync --frozen"), "{said}");
}

#[test]
fn python_that_uv_alone_can_install() {
    let project = "[project]\nname = 'weather'\nversion = '1'\ndependencies = ['tiny']\n\
        [tool.uv.sources]\ntiny = { path = 'tiny-1.0-py3-none-any.whl' }\n";
    let server = super::SERVER.replace("import json, sys", "import json, sys, tiny");
    let server = server.replace("\"rain\"", "tiny.word");
    let world = World::new(&[("pyproject.toml", project), ("server.py", &server)]);
    let python = Command::new("python3");
    let wheel = world.repository.folder.clone();
    make_wheel(python, &wheel);
    world.repository.commit(&[]);
    let said = install(&world, &[], &[], 5);
    assert!(
        said.contains("`tiny`") && said.contains("install uv"),
        "{said}"
    );
    world.assert_untouched();
    installs_and_answers(&world, &["uv"], &[]);
}

/// Puts a package that says where it rains into a folder.
fn make_wheel(mut python: Command, folder: &Path) {
    let program = r#"
import zipfile
info = "tiny-1.0.dist-info/"
with zipfile.ZipFile("tiny-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("tiny.py", "word = 'rain in Oslo'\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", f"tiny.py,,\n{info}METADATA,,\n{info}WHEEL,,\n{info}RECORD,,\n")
"#;
    python.args(["-c", program]).current_dir(folder);
    Run::of(python).ended_with(0);
}

#[test]
fn rust() {
    let world = World::new(&[("Cargo.toml", CARGO), ("src/main.rs", RUST)]);
    installs_and_answers(&world, &[], &[]);
}

/// A compiled server is compiled again after a save.
#[test]
fn go_and_a_save_of_what_was_installed() {
    let world = World::new(&[("go.mod", GO_MOD), ("main.go", GO)]);
    installs_and_answers(&world, &["go"], &[]);
    install(&world, &["go"], &[], 0);
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    let source = Path::new(installed["folder"].as_str().unwrap()).join("main.go");
    // On a busy machine the compiler takes longer than a call waits by default.
    let mut dev = world.command(&["dev", "--hold-timeout", "5m"]);
    // Its build names the tool by its place.
    find(&mut dev, &world, &["go"]);
    let client = Peer::spawn_command(dev).with_deadline(PATIENCE);
    client.initialize(&initialize_params());
    client.notify("notifications/initialized", &json!({}));
    let call = || {
        client
            .call("weather__forecast", &json!({ "city": "Oslo" }))
            .tool_text()
    };
    assert_eq!(call(), "rain in Oslo");
    fs::write(&source, GO.replace("rain", "sun")).unwrap();
    assert_eq!(call(), "sun in Oslo");
}
