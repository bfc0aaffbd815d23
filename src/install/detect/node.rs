//! Detects servers for Node.js: `package.json`, its lock file, and the build.

use serde_json::Value;

use super::super::plan::{Argument, PackageManager, Plan, PrepareStep};
use super::clone_folder::{CloneFolder, cleaned, joined};
use super::{ConfidenceLevel, FolderFindings, StartProposal, plan};

const MANIFEST: &str = "package.json";
/// Packages that implement MCP.
#[rustfmt::skip] // A table.
const LIBRARIES: [&str; 7] = [
    "@modelcontextprotocol/", "fastmcp", "mcp-framework", "@mastra/mcp", "xmcp", "mcp-handler",
    "@vercel/mcp-adapter",
];
/// Lock files and their package managers.
const LOCKS: [(&str, PackageManager); 6] = [
    ("package-lock.json", PackageManager::Npm),
    ("npm-shrinkwrap.json", PackageManager::Npm),
    ("pnpm-lock.yaml", PackageManager::Pnpm),
    ("yarn.lock", PackageManager::Yarn),
    ("bun.lock", PackageManager::Bun),
    ("bun.lockb", PackageManager::Bun),
];

/// Proposes a file that the caller named. Returns `false` if it is no file of a Node.js server.
pub(super) fn named(tree: &CloneFolder, file: &str, findings: &mut FolderFindings) -> bool {
    let manifest = findings.read(MANIFEST, tree.json(MANIFEST));
    let manifest = manifest.unwrap_or_default();
    let package = NodePackage::new(tree, &manifest);
    let Some(start) = package.start_of(file) else {
        return false;
    };
    let reason = format!("{file}: named as the server's file");
    let prepare = package.install(None, findings);
    let plan = Plan {
        prepare,
        ..start.plan(reason)
    };
    findings
        .proposals
        .push(package.proposal(file, ConfidenceLevel::Named, plan));
    true
}

/// Proposes the programs, the start script and the main file of `package.json`.
pub(super) fn propose(tree: &CloneFolder, findings: &mut FolderFindings) {
    let Some(manifest) = findings.read(MANIFEST, tree.json(MANIFEST)) else {
        return;
    };
    let package = NodePackage::new(tree, &manifest);
    if manifest.get("workspaces").is_some() || tree.has("pnpm-workspace.yaml") {
        findings.consider("package.json: a workspace; its packages have folders of their own");
    }
    let bins = package.bins();
    for (name, file) in &bins {
        let what = format!("package.json: `bin` has `{name}`");
        package.propose(name, file, ConfidenceLevel::Declared, &what, findings);
    }
    let script = |name: &str| {
        manifest
            .pointer(&format!("/scripts/{name}"))
            .and_then(Value::as_str)
    };
    if let Some(line) = ["start:stdio", "start"].into_iter().find_map(script) {
        package.propose_script(line, findings);
    }
    if let Some(main) = manifest.get("main").and_then(Value::as_str) {
        package.propose(
            main,
            main,
            ConfidenceLevel::Guessed,
            "package.json: `main`",
            findings,
        );
    }
}

#[derive(Debug)]
struct NodePackage<'a> {
    tree: &'a CloneFolder,
    manifest: &'a Value,
    /// Name without scope.
    name: String,
    speaks_mcp: bool,
}

/// Command that starts a file.
#[derive(Debug)]
struct StartCommand {
    command: &'static str,
    args: Vec<Argument>,
    watch: Vec<String>,
}

impl StartCommand {
    fn plan(self, reason: String) -> Plan {
        let watch: Vec<&str> = self.watch.iter().map(String::as_str).collect();
        plan(Vec::new(), self.command, self.args, &watch, reason)
    }
}

impl<'a> NodePackage<'a> {
    fn new(tree: &'a CloneFolder, manifest: &'a Value) -> Self {
        let name = manifest
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let dependencies = ["dependencies", "devDependencies", "peerDependencies"];
        let mut names = dependencies
            .into_iter()
            .filter_map(|key| manifest.get(key)?.as_object())
            .flat_map(serde_json::Map::keys);
        Self {
            tree,
            manifest,
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            speaks_mcp: names.any(|name| LIBRARIES.iter().any(|it| name.starts_with(it))),
        }
    }

    /// Returns the programs of the package and their files.
    fn bins(&self) -> Vec<(String, String)> {
        match self.manifest.get("bin") {
            Some(Value::String(file)) => vec![(self.name.clone(), file.clone())],
            Some(Value::Object(bins)) => bins
                .iter()
                .filter_map(|(name, file)| Some((name.clone(), file.as_str()?.to_owned())))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn propose(
        &self,
        name: &str,
        file: &str,
        trust: ConfidenceLevel,
        what: &str,
        findings: &mut FolderFindings,
    ) {
        let Some(mut start) = self.start_of(file) else {
            findings.consider(format!("{what}: `{file}` cannot be started"));
            return;
        };
        let needed = self.not_there(file);
        let (script, says) = match (needed, self.build_script()) {
            (None, _) => (None, String::new()),
            (Some(needed), Some(script)) => {
                start
                    .watch
                    .extend(needed.strip_suffix('/').map(|it| format!("{it}/**")));
                let says = if needed.ends_with('/') {
                    format!(", which loads {needed}, which `{script}` builds")
                } else {
                    format!(", which `{script}` builds")
                };
                (Some(script), says)
            }
            (Some(needed), None) => {
                findings.consider(format!(
                    "{what}: `{needed}` does not exist, and no script builds it"
                ));
                return;
            }
        };
        let reason = format!("{what}: {file}{says}");
        let prepare = self.install(script, findings);
        let plan = Plan {
            prepare,
            ..start.plan(reason)
        };
        findings.proposals.push(self.proposal(name, trust, plan));
    }

    /// Proposes the file that a script starts if it does nothing else; otherwise the package manager runs the script.
    fn propose_script(&self, line: &str, findings: &mut FolderFindings) {
        let what = format!("package.json: the start script is `{line}`");
        let words = shlex::split(line).unwrap_or_default();
        if let [runner, file, ..] = &words[..] {
            let runs = ["node", "tsx", "bun", "ts-node"].contains(&runner.as_str());
            if runs && words.len() == 2 && self.start_of(file).is_some() {
                self.propose(file, file, ConfidenceLevel::Usual, &what, findings);
                return;
            }
        }
        let prepare = self.install(self.build_script(), findings);
        let args = ["run", "--silent", "start"].map(|it| Argument::Text(it.to_owned()));
        let watch = ["src/**/*.ts", "**/*.js", "!node_modules/**"];
        let plan = plan(
            prepare,
            program(self.packager(findings).0),
            args.into(),
            &watch,
            what,
        );
        findings
            .proposals
            .push(self.proposal("start", ConfidenceLevel::Guessed, plan));
    }

    fn proposal(&self, name: &str, trust: ConfidenceLevel, plan: Plan) -> StartProposal {
        StartProposal {
            registry: "npm",
            name: name.to_owned(),
            package: self.name.clone(),
            trust,
            speaks_mcp: self.speaks_mcp,
            plan,
        }
    }

    fn start_of(&self, file: &str) -> Option<StartCommand> {
        let file = cleaned(file).filter(|file| !file.is_empty())?;
        let bun = LOCKS[4..]
            .iter()
            .any(|(lock, _)| self.tree.nearest(lock).is_some());
        let (_, extension) = file.rsplit_once('.').unwrap_or_default();
        let typescript = ["ts", "mts", "cts", "tsx"].contains(&extension);
        let file_argument = Argument::File(file.clone().into());
        let (command, args) = match extension {
            "js" | "mjs" | "cjs" => ("node", vec![file_argument]),
            _ if typescript && bun => ("bun", vec![file_argument]),
            _ if typescript && self.uses("tsx") => ("node_modules/.bin/tsx", vec![file_argument]),
            // Node.js strips types itself from 22.18 on.
            _ if typescript => ("node", vec![file_argument]),
            "" if !file.contains('.') => ("node", vec![file_argument]),
            _ => return None,
        };
        let top = file.split_once('/').map(|(top, _)| top);
        let own = ["src", "lib", "dist", "build", "out", "bin"];
        let watch = match top.filter(|top| own.contains(top)) {
            // A folder that is named is watched even if `.gitignore` lists it.
            Some(top) => vec![format!("{top}/**")],
            None => vec![
                "**/*.{js,mjs,cjs,ts,mts,json}".to_owned(),
                "!node_modules/**".to_owned(),
            ],
        };
        Some(StartCommand {
            command,
            args,
            watch,
        })
    }

    /// Returns the path that has to be built: the file, or a folder whose files it loads. `None` if all exist.
    fn not_there(&self, file: &str) -> Option<String> {
        let Some(text) = self.tree.text(file) else {
            return Some(file.to_owned());
        };
        let here = cleaned(file)?;
        let here = here.rsplit_once('/').map_or("", |(folder, _)| folder);
        let above = here.rsplit_once('/').map_or("", |(folder, _)| folder);
        let loads = |path: &str| {
            ['"', '\'']
                .iter()
                .any(|it| text.contains(&format!("{it}{path}")))
        };
        let is_there = |folder: &str| self.tree.at(&joined(&self.tree.folder, folder)).is_some();
        ["dist/", "build/", "lib/", "out/"]
            .into_iter()
            .flat_map(|name| [("./", here, name), ("../", above, name)])
            .filter(|(up, _, name)| loads(&format!("{up}{name}")))
            .map(|(_, folder, name)| joined(folder, name))
            .find(|folder| !is_there(folder))
    }

    fn uses(&self, package: &str) -> bool {
        ["dependencies", "devDependencies"].into_iter().any(|key| {
            self.manifest
                .get(key)
                .is_some_and(|it| it.get(package).is_some())
        })
    }

    fn build_script(&self) -> Option<String> {
        let scripts = self.manifest.get("scripts")?;
        let name = ["build", "prepare", "compile", "prepublishOnly"]
            .into_iter()
            .find(|name| scripts.get(name).is_some_and(Value::is_string))?;
        Some(name.to_owned())
    }

    fn install(&self, build: Option<String>, findings: &mut FolderFindings) -> Vec<PrepareStep> {
        let (packager, lock) = self.packager(findings);
        let depth = match &lock {
            Some(folder) => levels(&self.tree.folder) - levels(folder),
            None => 0,
        };
        if self.manifest.is_null() {
            return Vec::new();
        }
        let root = vec![".."; depth].join("/");
        vec![PrepareStep::Node {
            packager,
            locked: lock.is_some(),
            build,
            root: root.into(),
        }]
    }

    /// Returns the package manager and the folder of its lock file.
    fn packager(&self, findings: &mut FolderFindings) -> (PackageManager, Option<String>) {
        let said = self.manifest.get("packageManager").and_then(Value::as_str);
        let said = said.and_then(|it| it.split('@').next());
        let locks: Vec<(&str, PackageManager, String)> = LOCKS
            .iter()
            .filter_map(|(file, packager)| Some((*file, *packager, self.tree.nearest(file)?)))
            .collect();
        // Of two lock files in one folder, the first in LOCKS wins.
        let nearest = locks
            .iter()
            .rev()
            .max_by_key(|(_, _, folder)| levels(folder));
        let by_name = |name: &str| locks.iter().find(|(_, it, _)| program(*it) == name);
        let Some((lock, packager, folder)) = said.and_then(by_name).or(nearest) else {
            let known = [
                PackageManager::Pnpm,
                PackageManager::Yarn,
                PackageManager::Bun,
            ];
            let said = said.and_then(|said| known.into_iter().find(|it| program(*it) == said));
            return (said.unwrap_or(PackageManager::Npm), None);
        };
        for (other, ..) in locks.iter().filter(|(other, ..)| other != lock) {
            let note = format!("{other}: {lock} takes precedence");
            if !findings.considered.contains(&note) {
                findings.consider(note);
            }
        }
        (*packager, Some(folder.clone()))
    }
}

fn levels(folder: &str) -> usize {
    folder.split('/').filter(|part| !part.is_empty()).count()
}

fn program(packager: PackageManager) -> &'static str {
    match packager {
        PackageManager::Npm => "npm",
        PackageManager::Pnpm => "pnpm",
        PackageManager::Yarn => "yarn",
        PackageManager::Bun => "bun",
    }
}
