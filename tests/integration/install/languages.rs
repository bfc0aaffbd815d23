//! Servers as people write them, in three languages: fetched, made ready with what the registries have, and called.
//! Nothing says how they are started but their own files.

use std::fs::File;
use std::time::Duration;

use super::World;
use crate::harness::{Run, eventually, require};

/// Registries and compilers take their time, and two cores may be shared by many tests.
const PATIENCE: Duration = Duration::from_secs(400);

const PYPROJECT: &str = r#"
[project]
name = "weather"
version = "1.0.0"
requires-python = ">=3.10"
dependencies = ["mcp>=1.9"]
[project.scripts]
weather-mcp = "weather:main"
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["weather"]
"#;

const PYTHON: &str = r#"
try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server

mcp = Server("weather")

@mcp.tool()
def forecast(city: str) -> str:
    return f"rain in {city}"

def main():
    mcp.run()
"#;

const PACKAGE: &str = r#"{
  "name": "weather-mcp", "version": "1.0.0", "type": "module", "bin": { "weather-mcp": "dist/index.js" },
  "scripts": { "build": "tsc", "postinstall": "node -e \"process.exit(1)\"" },
  "dependencies": { "@modelcontextprotocol/sdk": "1.32.2", "zod": "4.2.0" },
  "devDependencies": { "typescript": "5.9.3" }
}"#;

const TSCONFIG: &str = r#"{ "compilerOptions": { "module": "nodenext", "target": "es2022", "outDir": "dist",
  "rootDir": "src", "skipLibCheck": true, "types": [] }, "include": ["src"] }"#;

const TYPESCRIPT: &str = r"#!/usr/bin/env node
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server: McpServer = new McpServer({ name: 'weather', version: '1.0.0' });
server.registerTool('forecast', { inputSchema: { city: z.string() } }, async ({ city }: { city: string }) => ({
    content: [{ type: 'text' as const, text: `rain in ${city}` }],
}));
await server.connect(new StdioServerTransport());
";

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

/// Installs the repository of `world`, calls its tool and removes it; nothing is left.
#[track_caller]
fn installs_and_answers(world: &World) {
    let folder = world.repository.folder.display().to_string();
    let files = ["out", "err"].map(|it| File::create(world.project.path(it)).unwrap());
    let [out, err] = files;
    // The registries are reached with the certificates of the machine.
    let mut install = world.command(&["install", &folder, "--json"]);
    install.env_remove("SSL_CERT_FILE").stdout(out).stderr(err);
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        install.env("SSL_CERT_FILE", file);
    }
    let mut child = install.spawn().unwrap();
    let mut status = None;
    eventually(PATIENCE, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{}", world.project.read("err"));
    let call = world.command(&["call", "weather", "forecast", r#"{"city": "Oslo"}"#]);
    assert_eq!(Run::of(call).ended_with(0).stdout.trim(), "rain in Oslo");
    world.run(&["uninstall", "weather", "--delete-files"], 0);
    world.assert_untouched();
}

#[test]
fn python_with_a_dependency() {
    require(
        "python3",
        "install Python 3.10 or newer with the venv module",
    );
    let world = World::new(&[("pyproject.toml", PYPROJECT), ("weather.py", PYTHON)]);
    installs_and_answers(&world);
}

#[test]
fn typescript_with_a_build_step() {
    require("npm", "install Node.js 20 or newer with npm");
    let files = [
        ("package.json", PACKAGE),
        ("tsconfig.json", TSCONFIG),
        ("src/index.ts", TYPESCRIPT),
    ];
    installs_and_answers(&World::new(&files));
}

#[test]
fn rust() {
    let world = World::new(&[("Cargo.toml", CARGO), ("src/main.rs", RUST)]);
    installs_and_answers(&world);
}
