//! Detects servers in Rust and Go: programs from the manifest and in the usual folders.

use serde_json::Value;

use super::super::plan::{Plan, PrepareStep};
use super::clone_folder::{CloneFolder, joined};
use super::{ConfidenceLevel, FolderFindings, StartProposal, is_plain, plan};

const CARGO: &str = "Cargo.toml";
const GO: &str = "go.mod";
/// Sources of a Rust program, except files that its build script reads.
const RUST_SOURCES: [&str; 4] = ["src/**", "build.rs", "Cargo.toml", "Cargo.lock"];
/// Sources of a Go program, except embedded files: the program may write files next to those.
const GO_SOURCES: [&str; 4] = ["**/*.go", "!**/*_test.go", "go.mod", "go.sum"];
/// Crates that implement MCP.
#[rustfmt::skip] // A table.
const CRATES: [&str; 6] = [
    "rmcp", "rust-mcp-sdk", "mcp-server", "mcp-sdk", "mcpr", "turbomcp",
];
/// Modules that implement MCP.
const MODULES: [&str; 4] = [
    "github.com/modelcontextprotocol/go-sdk",
    "github.com/mark3labs/mcp-go",
    "github.com/metoro-io/mcp-golang",
    "trpc.group/trpc-go/trpc-mcp-go",
];

pub(super) fn propose(tree: &CloneFolder, findings: &mut FolderFindings) {
    cargo(tree, findings);
    go(tree, findings);
}

fn cargo(tree: &CloneFolder, findings: &mut FolderFindings) {
    let Some(manifest) = findings.read(CARGO, tree.toml(CARGO)) else {
        return;
    };
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let Some(package) = text("/package/name") else {
        findings.consider("Cargo.toml: a workspace; its packages have folders of their own");
        return;
    };
    let dependencies = manifest.get("dependencies").and_then(Value::as_object);
    let speaks_mcp =
        dependencies.is_some_and(|it| it.keys().any(|name| CRATES.contains(&name.as_str())));
    let bins = bins(tree, &manifest, package);
    let default =
        text("/package/default-run").filter(|name| bins.iter().any(|(bin, _)| bin == name));
    if bins.is_empty() {
        findings.consider("Cargo.toml: the package has no program");
    }
    for (name, says) in &bins {
        if !is_plain(name) || default.is_some_and(|it| it != name) {
            findings.consider(format!("Cargo.toml: {says}"));
            continue;
        }
        let says = if default.is_some() {
            "default program"
        } else {
            says
        };
        let prepare = vec![PrepareStep::Cargo {
            bin: Some(name.clone()),
        }];
        let program = format!("target/release/{name}");
        let reason = format!("Cargo.toml: {says}");
        let plan = Plan {
            compiled: true,
            ..plan(prepare, &program, Vec::new(), &RUST_SOURCES, reason)
        };
        findings.proposals.push(StartProposal {
            registry: "cargo",
            name: name.clone(),
            package: package.to_owned(),
            trust: ConfidenceLevel::Declared,
            speaks_mcp,
            plan,
        });
    }
}

/// Returns the names of the programs, each with the reason for it.
fn bins(tree: &CloneFolder, manifest: &Value, package: &str) -> Vec<(String, String)> {
    let listed = || {
        let bins = manifest.get("bin").and_then(Value::as_array);
        bins.into_iter().flatten()
    };
    let mut bins: Vec<(String, String)> = listed()
        .filter_map(|bin| bin.get("name")?.as_str())
        .map(|name| (name.to_owned(), format!("`bin` has `{name}`")))
        .collect();
    let taken = |path: &str| {
        let mut paths = listed().filter_map(|bin| bin.get("path")?.as_str());
        paths.any(|it| it == path)
    };
    let mut add = |name: &str, path: &str| {
        if tree.has(path) && !taken(path) && !bins.iter().any(|(it, _)| it == name) {
            bins.push((name.to_owned(), format!("{path} is a program")));
        }
    };
    if manifest.pointer("/package/autobins") != Some(&Value::Bool(false)) {
        add(package, "src/main.rs");
        for file in tree.files("src/bin") {
            if let Some(name) = file.strip_suffix(".rs") {
                add(name, &format!("src/bin/{file}"));
            }
        }
        for name in tree.folders("src/bin") {
            add(&name, &format!("src/bin/{name}/main.rs"));
        }
    }
    bins
}

fn go(tree: &CloneFolder, findings: &mut FolderFindings) {
    let Some(text) = tree.text(GO) else { return };
    let module = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "));
    let parts = module.unwrap_or_default().trim().split('/').rev();
    let is_version = |part: &&str| {
        part.strip_prefix('v')
            .is_some_and(|it| it.parse::<u32>().is_ok())
    };
    let package = parts
        .into_iter()
        .find(|part| !is_version(part))
        .unwrap_or_default();
    let commands = tree
        .folders("cmd")
        .into_iter()
        .map(|name| (joined("cmd", &name), name));
    let places = std::iter::once((String::new(), package.to_owned())).chain(commands);
    let before = findings.proposals.len();
    for (folder, name) in places {
        if !is_plain(&name) || !is_program(tree, &folder) {
            continue;
        }
        let output = format!("bin/{name}");
        let prepare = PrepareStep::Go {
            package: if folder.is_empty() {
                ".".to_owned()
            } else {
                format!("./{folder}")
            },
            output: output.clone().into(),
        };
        let place = if folder.is_empty() {
            "the module"
        } else {
            &folder
        };
        let reason = format!("go.mod: {place} is a program");
        let plan = Plan {
            compiled: true,
            ..plan(vec![prepare], &output, Vec::new(), &GO_SOURCES, reason)
        };
        findings.proposals.push(StartProposal {
            registry: "go",
            name,
            package: package.to_owned(),
            trust: ConfidenceLevel::Declared,
            speaks_mcp: MODULES.iter().any(|module| text.contains(module)),
            plan,
        });
    }
    if findings.proposals.len() == before {
        findings.consider("go.mod: neither the module nor a folder in cmd is a program");
    }
}

fn is_program(tree: &CloneFolder, folder: &str) -> bool {
    let files = tree.files(folder).into_iter();
    let mut files = files.filter(|name| {
        let stem = name.strip_suffix(".go");
        stem.is_some_and(|stem| !stem.ends_with("_test"))
    });
    files.any(|name| {
        let text = tree.text(&joined(folder, &name)).unwrap_or_default();
        text.contains("package main") && text.contains("func main(")
    })
}
