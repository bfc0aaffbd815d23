//! Servers for Deno: a `deno.json`, and the file that its tasks, or custom, name.

use serde_json::Value;

use super::super::plan::{Argument, Plan, Prepare};
use super::tree::{Tree, cleaned};
use super::{Findings, Proposal, Trust, plan};

const MANIFESTS: [&str; 2] = ["deno.json", "deno.jsonc"];
/// Tasks that may start a server.
const TASKS: [&str; 4] = ["start:stdio", "mcp", "start", "server"];
/// What may start a server by its name alone.
const USUAL: [&str; 8] = [
    "main.ts",
    "server.ts",
    "mod.ts",
    "index.ts",
    "src/main.ts",
    "src/server.ts",
    "src/mod.ts",
    "src/index.ts",
];
const WATCH: [&str; 2] = ["**/*.{ts,tsx,mts,js,mjs,json,jsonc}", "!node_modules/**"];
/// It may do what servers for other programs may.
const ALLOW: &str = "--allow-all";

/// A file that a caller named; `false` if this is no project of Deno, or it is not one of its files.
pub(super) fn named(tree: &Tree, file: &str, findings: &mut Findings) -> bool {
    if manifest(tree, findings).is_none() || !is_script(tree, file) {
        return false;
    }
    let what = format!("{file}: it was named");
    propose_file(
        tree,
        file,
        vec![ALLOW.to_owned()],
        Trust::Named,
        what,
        findings,
    );
    true
}

/// What the tasks start, or a file that is called as those are that start servers.
pub(super) fn propose(tree: &Tree, findings: &mut Findings) {
    // A package of Node.js may use Deno for its tests.
    if tree.has("package.json") {
        return;
    }
    let Some((name, manifest)) = manifest(tree, findings) else {
        return;
    };
    for task in TASKS {
        let pointer = format!("/tasks/{task}");
        let Some(line) = manifest.pointer(&pointer).and_then(|task| {
            let line = task.get("command").unwrap_or(task);
            line.as_str()
        }) else {
            continue;
        };
        let what = format!("{name}: its task `{task}` is `{line}`");
        match started(tree, line) {
            Some((options, file)) => {
                return propose_file(tree, &file, options, Trust::Declared, what, findings);
            }
            None => findings.consider(what),
        }
    }
    let usual = USUAL.into_iter().find(|file| tree.has(file));
    if let Some(file) = usual {
        let what = format!("{file}: it is called as servers are");
        propose_file(
            tree,
            file,
            vec![ALLOW.to_owned()],
            Trust::Usual,
            what,
            findings,
        );
    } else {
        findings.consider(format!("{name}: does not say what is started"));
    }
}

fn manifest(tree: &Tree, findings: &mut Findings) -> Option<(&'static str, Value)> {
    let name = MANIFESTS.into_iter().find(|name| tree.has(name))?;
    let manifest = tree.jsonc(name);
    Some((name, findings.read(name, manifest)?))
}

/// The options and the file of `deno run OPTIONS FILE`.
fn started(tree: &Tree, line: &str) -> Option<(Vec<String>, String)> {
    let words = shlex::split(line)?;
    let [deno, run, rest @ ..] = &words[..] else {
        return None;
    };
    let (file, options) = rest.split_last()?;
    let starts = deno == "deno" && run == "run" && is_script(tree, file);
    // What watches the files restarts it under a client that does not know.
    let mut options: Vec<String> = options.to_vec();
    options.retain(|option| !option.starts_with("--watch"));
    let plain = options.iter().all(|option| option.starts_with('-'));
    (starts && plain).then(|| (options, file.clone()))
}

fn is_script(tree: &Tree, file: &str) -> bool {
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    tree.has(file) && ["ts", "tsx", "mts", "js", "mjs"].contains(&ending)
}

fn propose_file(
    tree: &Tree,
    file: &str,
    options: Vec<String>,
    trust: Trust,
    reason: String,
    findings: &mut Findings,
) {
    let Some(file) = cleaned(file) else { return };
    let prepare = vec![Prepare::Deno {
        entry: file.clone().into(),
        locked: tree.has("deno.lock"),
    }];
    let mut args = vec![Argument::Text("run".to_owned())];
    args.extend(options.into_iter().map(Argument::Text));
    args.push(Argument::File(file.clone().into()));
    let plan: Plan = plan(prepare, "deno", args, &WATCH, reason);
    let texts = [Some(file.as_str()), Some(MANIFESTS[0]), Some(MANIFESTS[1])];
    let speaks = |file: &str| {
        let text = tree.text(file).unwrap_or_default();
        text.contains("@modelcontextprotocol/") || text.contains("npm:fastmcp")
    };
    findings.proposals.push(Proposal {
        registry: "jsr",
        name: file.clone(),
        package: String::new(),
        trust,
        speaks_mcp: texts.into_iter().flatten().any(speaks),
        plan,
    });
}
