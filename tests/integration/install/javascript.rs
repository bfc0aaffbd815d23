//! Servers in JavaScript and TypeScript, by each of their package managers.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::World;
use super::languages::{install, installs_and_answers, written_by};
use crate::harness::{Project, Run, require};

/// A server on an official SDK, which has to be compiled.
const PACKAGE: &str = r#"{
  "name": "weather-mcp", "version": "1.0.0", "type": "module", "bin": { "weather-mcp": "dist/index.js" },
  "scripts": { "build": "tsc", "postinstall": "node -e \"process.exit(1)\"" },
  "dependencies": { "@modelcontextprotocol/sdk": "1.32.2", "zod": "4.2.0" },
  "devDependencies": { "typescript": "5.9.3" }
}"#;

const TSCONFIG: &str = r#"{ "compilerOptions": { "module": "nodenext", "target": "es2022", "outDir": "dist",
  "rootDir": "src", "skipLibCheck": true, "types": [] }, "include": ["src"] }"#;

const WITH_SDK: &str = r"#!/usr/bin/env node
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server: McpServer = new McpServer({ name: 'weather', version: '1.0.0' });
server.registerTool('forecast', { inputSchema: { city: z.string() } }, async ({ city }: { city: string }) => ({
    content: [{ type: 'text' as const, text: `rain in ${city}` }],
}));
await server.connect(new StdioServerTransport());
";

/// A package with one dependency: an SDK has a hundred, which show no more of the package manager.
const SMALL_PACKAGE: &str = r#"{
  "name": "weather-mcp", "version": "1.0.0", "type": "module", "bin": { "weather-mcp": "MAIN" },
  "scripts": { "postinstall": "node -e \"process.exit(1)\"" },
  "dependencies": { "zod": "4.2.0" }
}"#;

pub(super) const TYPESCRIPT: &str = r"#!/usr/bin/env node
import process from 'node:process';
import { createInterface } from 'node:readline';
import { z } from 'zod';

const Arguments = z.object({ city: z.string() });

function forecast(given: unknown) {
    return { content: [{ type: 'text', text: `rain in ${Arguments.parse(given).city}` }] };
}

for await (const line of createInterface({ input: process.stdin })) {
    const { id, method, params } = JSON.parse(line);
    if (id === undefined) continue;
    const serverInfo = { name: 'weather', version: '1.0.0' };
    const result =
        method === 'initialize' ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo }
        : method === 'tools/list' ? { tools: [{ name: 'forecast', inputSchema: { type: 'object' } }] }
        : method === 'tools/call' ? forecast(params.arguments)
        : {};
    console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
}
";

pub(super) const DENO: &str = r#"{
  // The first task that starts one file is it.
  "tasks": { "start": "deno run --allow-env --allow-read --allow-sys index.ts" },
  "imports": { "zod": "npm:zod@4.2.0" }
}"#;

/// A server in TypeScript and JavaScript at once, which needs no build.
fn javascript(main: &'static str) -> Vec<(&'static str, String)> {
    let package = SMALL_PACKAGE.replace("MAIN", main);
    let text = TYPESCRIPT.replace(": unknown", "");
    vec![("package.json", package), (main, text)]
}

/// Installs by a packager, from its lock file; then from one that does not fit, which it refuses.
#[track_caller]
fn follows_its_lock(packager: &str, write: &[&str], lock: &str, more: &[(&str, &str)]) {
    let main = if packager == "bun" {
        "index.ts"
    } else {
        "index.js"
    };
    let own = javascript(main);
    let mut files: Vec<(&str, &str)> = own.iter().map(|(path, text)| (*path, &**text)).collect();
    files.extend(more);
    let text = written_by(packager, write, &files, lock);
    files.push((lock, &text));
    let world = World::new(&files);
    let said = installs_and_answers(&world, &[packager], &[]);
    assert!(
        said.contains(&format!("running {packager} install")),
        "{said}"
    );

    let package = files[0].1.replace("4.2.0", "4.1.0");
    world.repository.commit(&[("package.json", &package)]);
    let said = install(&world, &[packager], &[], 5);
    assert!(
        said.contains("--ignore-lock") && said.contains("4.1.0"),
        "{said}"
    );
    assert!(!said.contains("--scripts"), "{said}");
    world.assert_untouched();
    installs_and_answers(&world, &[packager], &["--ignore-lock"]);
}

#[test]
fn typescript_with_a_build_step() {
    require("npm", "install Node.js 20 or newer with npm");
    let files = [
        ("package.json", PACKAGE),
        ("tsconfig.json", TSCONFIG),
        ("src/index.ts", WITH_SDK),
    ];
    installs_and_answers(&World::new(&files), &[], &[]);
}

#[test]
fn javascript_by_npm_with_a_lock() {
    require("npm", "install Node.js 20 or newer with npm");
    let own = javascript("index.js");
    let files: Vec<(&str, &str)> = own.iter().map(|(path, text)| (*path, &**text)).collect();
    let project = Project::new();
    project.write("package.json", files[0].1);
    let mut npm = Command::new("npm");
    npm.args(["install", "--package-lock-only", "--ignore-scripts"]);
    npm.current_dir(project.path("."));
    Run::of(npm).ended_with(0);
    let lock = project.read("package-lock.json");
    let world = World::new(&[&files[..], &[("package-lock.json", &*lock)]].concat());
    installs_and_answers(&world, &[], &[]);

    let package = files[0].1.replace("4.2.0", "4.1.0");
    world.repository.commit(&[("package.json", &package)]);
    let said = install(&world, &[], &[], 5);
    assert!(said.contains("does not satisfy zod@4.1.0"), "{said}");
    assert!(
        said.contains("--ignore-lock") && !said.contains("Usage:"),
        "{said}"
    );
    installs_and_answers(&world, &[], &["--ignore-lock"]);
}

#[test]
fn javascript_by_pnpm() {
    let write = ["install", "--lockfile-only", "--ignore-scripts"];
    follows_its_lock("pnpm", &write, "pnpm-lock.yaml", &[]);
}

#[test]
fn javascript_by_yarn() {
    let write = ["install", "--mode=update-lockfile"];
    follows_its_lock("yarn", &write, "yarn.lock", &[(".yarnrc.yml", "# newer\n")]);
}

/// Programs that the repository would run in place of yarn, or by npm.
#[test]
fn no_settings_of_javascript_run_a_program() {
    let planted = "require('fs').writeFileSync(__filename + '.ran', '')";
    let own = javascript("index.js");
    let mut files: Vec<(&str, &str)> = own.iter().map(|(path, text)| (*path, &**text)).collect();
    let write = ["install", "--mode=update-lockfile"];
    files.push((".yarnrc.yml", "# newer\n"));
    let lock = written_by("yarn", &write, &files, "yarn.lock");
    files.pop();
    files.extend([
        ("yarn.lock", &*lock),
        (".yarnrc.yml", "yarnPath: ./planted.cjs\n"),
        ("planted.cjs", planted),
    ]);
    let world = World::new(&files);
    install(&world, &["yarn"], &["--no-check"], 0);
    let installed: Value = serde_json::from_str(&world.project.read("out")).unwrap();
    let folder = Path::new(installed["folder"].as_str().unwrap());
    assert!(folder.join("planted.cjs").exists());
    assert!(!folder.join("planted.cjs.ran").exists());

    let world = World::new(&[
        ("package.json", &own[0].1),
        ("index.js", &own[1].1),
        (".npmrc", "git = ./planted.sh\n"),
    ]);
    let said = install(&world, &[], &[], 5);
    assert!(said.contains(".npmrc sets `git`"), "{said}");
    world.assert_untouched();
}

#[test]
fn typescript_by_bun() {
    let write = ["install", "--lockfile-only", "--ignore-scripts"];
    follows_its_lock("bun", &write, "bun.lock", &[]);
}

#[test]
fn typescript_for_deno() {
    let files = [("deno.json", DENO), ("index.ts", TYPESCRIPT)];
    let lock = written_by(
        "deno",
        &["install", "--entrypoint", "index.ts"],
        &files,
        "deno.lock",
    );
    let world = World::new(&[&files[..], &[("deno.lock", &*lock)]].concat());
    installs_and_answers(&world, &["deno"], &[]);
    let other = DENO.replace("4.2.0", "4.1.0");
    world.repository.commit(&[("deno.json", &other)]);
    let said = install(&world, &["deno"], &[], 5);
    assert!(said.contains("--ignore-lock"), "{said}");
    installs_and_answers(&world, &["deno"], &["--ignore-lock"]);
}
