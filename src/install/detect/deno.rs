//! Detects servers for Deno: the file that a task of `deno.json` starts, or a file with a usual name.

use std::path::Path;

use serde_json::Value;

use super::super::plan::{Argument, Prepare};
use super::tree::{Tree, cleaned, joined};
use super::{Findings, Proposal, Trust, plan};

const MANIFESTS: [&str; 2] = ["deno.json", "deno.jsonc"];
/// Tasks that may start a server.
const TASKS: [&str; 4] = ["start:stdio", "mcp", "start", "server"];
/// File names that suggest a server.
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
/// Grants all permissions, since servers in other languages have them, too.
const ALLOW: &str = "--allow-all";

/// Proposes a file that the caller named. Returns `false` if it is not a script of a Deno project.
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

/// Proposes the file that a task starts, or a file with a usual name for servers.
pub(super) fn propose(tree: &Tree, findings: &mut Findings) {
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

/// Reads the manifest of a Deno project. A Node.js package may have one too, for tests or publishing.
fn manifest(tree: &Tree, findings: &mut Findings) -> Option<(&'static str, Value)> {
    let mut names = MANIFESTS.into_iter().filter(|_| !tree.has("package.json"));
    let name = names.find(|name| tree.has(name))?;
    let manifest = tree.jsonc(name);
    Some((name, findings.read(name, manifest)?))
}

/// Parses `deno run OPTIONS FILE` into its options and file.
fn started(tree: &Tree, line: &str) -> Option<(Vec<String>, String)> {
    let words = shlex::split(line)?;
    let [deno, run, rest @ ..] = &words[..] else {
        return None;
    };
    let (file, options) = rest.split_last()?;
    let starts = deno == "deno" && run == "run" && is_script(tree, file);
    // The proxy watches the files itself.
    let mut options: Vec<String> = options.to_vec();
    options.retain(|option| !option.starts_with("--watch"));
    let known = options.iter().all(|option| is_permission(option));
    (starts && known).then(|| (options, file.clone()))
}

/// Returns true if an option only sets permissions and does not select code to run.
fn is_permission(option: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/*@".contains(c);
    let known = [
        "--allow-",
        "--deny-",
        "--unstable-",
        "--no-prompt",
        "--quiet",
    ];
    let short = ["-A", "-R", "-W", "-N", "-E", "-S", "-q"];
    option.chars().all(plain)
        && (short.contains(&option) || known.iter().any(|it| option.starts_with(it)))
}

/// Returns the nearest manifest, here or above, that lets packages run install scripts.
fn allows_scripts(tree: &Tree) -> Option<String> {
    let folders = Path::new(&tree.folder).ancestors().filter_map(Path::to_str);
    let trees = folders.filter_map(|folder| tree.at(folder));
    let allows = |tree: &Tree, name: &str| {
        let manifest = tree.jsonc(name).ok().flatten().unwrap_or_default();
        manifest
            .get("allowScripts")
            .is_some_and(|it| *it != Value::Bool(false))
    };
    trees.into_iter().find_map(|tree| {
        let name = MANIFESTS.into_iter().find(|name| allows(&tree, name))?;
        Some(joined(&tree.folder, name))
    })
}

fn is_script(tree: &Tree, file: &str) -> bool {
    // A name with a leading `-` would be an option.
    if cleaned(file).is_none_or(|file| file.starts_with('-')) {
        return false;
    }
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
        scripts: allows_scripts(tree),
    }];
    let mut args = vec![Argument::Text("run".to_owned())];
    args.extend(options.into_iter().map(Argument::Text));
    args.push(Argument::File(file.clone().into()));
    let plan = plan(prepare, "deno", args, &WATCH, reason);
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
