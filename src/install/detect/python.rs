//! Detects servers in Python: `pyproject.toml`, `fastmcp.json`, `requirements.txt`, and files by their names and
//! imports.

use std::path::PathBuf;

use serde_json::Value;

use super::super::plan::{Argument, Plan, PrepareStep, UvSources, Venv};
use super::clone_folder::{CloneFolder, cleaned, joined, toml_value};
use super::{ConfidenceLevel, FolderFindings, StartProposal, is_plain, plan};

const PROJECT: &str = "pyproject.toml";
const FASTMCP: &str = "fastmcp.json";
const REQUIREMENTS: &str = "requirements.txt";
/// File names that suggest a server.
const USUAL: [&str; 3] = ["server.py", "main.py", "app.py"];
const WATCH: [&str; 2] = ["**/*.py", "!.venv/**"];

/// Proposes a file that the caller named. Returns `false` if it is not Python.
pub(super) fn named(
    tree: &CloneFolder,
    file: &str,
    requirements: Option<&str>,
    findings: &mut FolderFindings,
) -> bool {
    let Some(file) = cleaned(file).filter(|file| has_ending(file)) else {
        return false;
    };
    let project = PythonProject::read(tree, requirements, findings);
    let what = format!("{file}: named as the server's file");
    project.propose_file(&file, ConfidenceLevel::Named, &what, findings);
    true
}

/// Proposes the starts found in the folder.
pub(super) fn propose(
    tree: &CloneFolder,
    requirements: Option<&str>,
    findings: &mut FolderFindings,
) {
    let project = PythonProject::read(tree, requirements, findings);
    for name in project.scripts() {
        if !is_plain(&name) {
            findings.consider(format!("{PROJECT}: `{name}` is not a valid program name"));
            continue;
        }
        let reason = format!("{PROJECT}: `scripts` has `{name}`");
        let prepare = vec![PrepareStep::Venv(project.install(&[], true))];
        let command = format!(".venv/bin/{name}");
        let plan = plan(prepare, &command, Vec::new(), &WATCH, reason);
        findings
            .proposals
            .push(project.proposal(&name, ConfidenceLevel::Declared, plan));
    }
    project.propose_fastmcp(findings);
    project.propose_modules(findings);
    project.propose_files(findings);
    let is_bare = findings.proposals.iter().all(|it| it.registry != "pypi");
    for file in [PROJECT, REQUIREMENTS, "setup.py"] {
        if is_bare && tree.has(file) {
            findings.consider(format!("{file}: does not define a start command"));
        }
    }
}

#[derive(Debug)]
struct PythonProject<'a> {
    tree: &'a CloneFolder,
    manifest: Value,
    requirements: Option<PathBuf>,
    /// True if the caller named the requirements file.
    told: bool,
    speaks_mcp: bool,
}

impl<'a> PythonProject<'a> {
    fn read(
        tree: &'a CloneFolder,
        requirements: Option<&str>,
        findings: &mut FolderFindings,
    ) -> Self {
        let manifest = findings.read(PROJECT, tree.toml(PROJECT));
        let manifest = manifest.unwrap_or_default();
        let told = requirements.is_some();
        let requirements = requirements
            .and_then(cleaned)
            .or_else(|| tree.has(REQUIREMENTS).then(|| REQUIREMENTS.to_owned()));
        let listed = requirements.as_deref().and_then(|file| tree.text(file));
        let mut names: Vec<String> = listed
            .iter()
            .flat_map(|it| it.lines())
            .map(name_of)
            .collect();
        names.extend(strings(&manifest, "/project/dependencies").map(name_of));
        let poetry = manifest
            .pointer("/tool/poetry/dependencies")
            .and_then(Value::as_object);
        names.extend(
            poetry
                .into_iter()
                .flat_map(|it| it.keys().map(|it| name_of(it))),
        );
        let speaks = |name: &String| ["mcp", "fastmcp", "mcp-server"].contains(&name.as_str());
        Self {
            tree,
            speaks_mcp: names.iter().any(speaks),
            told,
            manifest,
            requirements: requirements.map(PathBuf::from),
        }
    }

    fn name(&self) -> String {
        let places = ["/project/name", "/tool/poetry/name"];
        let mut names = places
            .into_iter()
            .filter_map(|it| self.manifest.pointer(it)?.as_str());
        names.next().unwrap_or_default().to_owned()
    }

    fn scripts(&self) -> Vec<String> {
        ["/project/scripts", "/tool/poetry/scripts"]
            .into_iter()
            .filter_map(|it| self.manifest.pointer(it)?.as_object())
            .flat_map(|it| it.keys().cloned())
            .collect()
    }

    /// Describes the environment. `whole`: the project itself must be installed in it.
    fn install(&self, guessed: &[&str], whole: bool) -> Venv {
        let builds = self.manifest.get("build-system").is_some();
        let venv = Venv {
            // uv skips the project itself if it has no `build-system`.
            locked: self.tree.has("uv.lock") && !self.told && (builds || !whole),
            python: self.python(),
            ..Venv::default()
        };
        let project = whole || (builds && self.requirements.is_none()) || self.tree.has("setup.py");
        if project {
            return Venv {
                requirements: self.requirements.clone().filter(|_| !builds || self.told),
                project,
                sources: sources(&self.manifest, PROJECT, "/project/dependencies"),
                ..venv
            };
        }
        if self.requirements.is_some() {
            return Venv {
                requirements: self.requirements.clone(),
                ..venv
            };
        }
        let listed: Vec<String> = strings(&self.manifest, "/project/dependencies")
            .filter(|it| !it.trim().starts_with('-'))
            .map(str::to_owned)
            .collect();
        match &listed[..] {
            [] => Venv {
                packages: guessed.iter().map(|&it| it.to_owned()).collect(),
                ..venv
            },
            _ => Venv {
                packages: listed,
                sources: sources(&self.manifest, PROJECT, "/project/dependencies"),
                ..venv
            },
        }
    }

    /// Returns the supported versions of Python.
    fn python(&self) -> Option<String> {
        let versions = self.manifest.pointer("/project/requires-python")?;
        versions.as_str().map(str::to_owned)
    }

    fn proposal(&self, name: &str, trust: ConfidenceLevel, plan: Plan) -> StartProposal {
        StartProposal {
            registry: "pypi",
            name: name.to_owned(),
            package: self.name(),
            trust,
            speaks_mcp: self.speaks_mcp,
            plan,
        }
    }

    fn propose_fastmcp(&self, findings: &mut FolderFindings) {
        let Some(manifest) = findings.read(FASTMCP, self.tree.json(FASTMCP)) else {
            return;
        };
        let path = manifest.pointer("/source/path").and_then(Value::as_str);
        let Some(file) = path.and_then(cleaned).filter(|it| self.tree.has(it)) else {
            findings.consider(format!("{FASTMCP}: `source` is not a file of the server"));
            return;
        };
        let mut packages: Vec<&str> = strings(&manifest, "/environment/dependencies")
            .filter(|it| !it.starts_with('-'))
            .collect();
        if !packages.iter().any(|it| name_of(it) == "fastmcp") {
            packages.push("fastmcp");
        }
        let args = vec![
            Argument::Text("run".to_owned()),
            Argument::File(FASTMCP.into()),
        ];
        let reason = format!("{FASTMCP}: `source` is {file}");
        let prepare = vec![PrepareStep::Venv(self.install(&packages, false))];
        let plan = plan(prepare, ".venv/bin/fastmcp", args, &WATCH, reason);
        let proposal = self.proposal(&file, ConfidenceLevel::Declared, plan);
        findings.proposals.push(StartProposal {
            speaks_mcp: true,
            ..proposal
        });
    }

    /// Proposes packages that `python -m` starts.
    fn propose_modules(&self, findings: &mut FolderFindings) {
        if self.manifest.is_null() || !self.scripts().is_empty() {
            return;
        }
        for base in ["src", ""] {
            for name in self.tree.folders(base) {
                let file = joined(&joined(base, &name), "__main__.py");
                if !is_plain(&name) || !self.tree.has(&file) {
                    continue;
                }
                let args = ["-m", &name].map(|it| Argument::Text(it.to_owned()));
                let reason = format!("{file}: the package can be started");
                let prepare = vec![PrepareStep::Venv(self.install(&[], true))];
                let plan = plan(prepare, ".venv/bin/python", args.into(), &WATCH, reason);
                findings
                    .proposals
                    .push(self.proposal(&name, ConfidenceLevel::Usual, plan));
            }
        }
    }

    /// Proposes single files: files with a usual name, and files that import MCP.
    fn propose_files(&self, findings: &mut FolderFindings) {
        for folder in ["", "src"] {
            let mut files = self.tree.files(folder);
            files.retain(|name| {
                has_ending(name) && !name.starts_with("test_") && name != "setup.py"
            });
            let path = |name: &str| joined(folder, name);
            let mentions = |name: &String| {
                self.tree
                    .text(&path(name))
                    .is_some_and(|it| speaks_mcp(&it))
            };
            let speaking: Vec<String> = files
                .iter()
                .filter(|name| mentions(name))
                .cloned()
                .collect();
            let usual = |files: &[String]| {
                USUAL
                    .into_iter()
                    .find(|name| files.iter().any(|it| it == name))
            };
            let ending: Vec<&String> = speaking
                .iter()
                .filter(|it| it.ends_with("_server.py"))
                .collect();
            if let Some(name) = usual(&speaking) {
                let what = format!("{}: usual name of a server, imports MCP", path(name));
                self.propose_file(&path(name), ConfidenceLevel::Usual, &what, findings);
                let others = speaking.iter().filter(|it| *it != name);
                for other in others {
                    findings.consider(format!("{}: imports MCP too", path(other)));
                }
            } else if !ending.is_empty() {
                for name in ending {
                    let what = format!("{}: usual name of a server, imports MCP", path(name));
                    self.propose_file(&path(name), ConfidenceLevel::Usual, &what, findings);
                }
            } else if !speaking.is_empty() {
                for name in &speaking {
                    let what = format!("{}: imports MCP", path(name));
                    self.propose_file(&path(name), ConfidenceLevel::Usual, &what, findings);
                }
            } else if let Some(name) = usual(&files).or_else(|| only_server(&files)) {
                let what = format!("{}: usual name of a server", path(name));
                self.propose_file(&path(name), ConfidenceLevel::Guessed, &what, findings);
            }
            if findings.proposals.iter().any(|it| it.registry == "pypi") {
                return;
            }
        }
    }

    fn propose_file(
        &self,
        file: &str,
        trust: ConfidenceLevel,
        what: &str,
        findings: &mut FolderFindings,
    ) {
        let text = self.tree.text(file).unwrap_or_default();
        let runs =
            text.contains("__main__") || text.contains(".run(") || text.contains("asyncio.run");
        let fastmcp = imports(&text, "fastmcp");
        let official = text.contains("mcp.server");
        let argument = Argument::File(file.into());
        let run = |program: &'static str| {
            (
                program,
                vec![Argument::Text("run".to_owned()), argument.clone()],
            )
        };
        let (command, args) = match (runs, fastmcp, official) {
            (false, true, _) => run(".venv/bin/fastmcp"),
            (false, false, true) => run(".venv/bin/mcp"),
            _ => (".venv/bin/python", vec![argument.clone()]),
        };
        let head = head_of(&text);
        let guessed = match &head {
            Some(head) => dependencies(head),
            None if fastmcp => vec!["fastmcp"],
            None if official => vec!["mcp[cli]"],
            None => Vec::new(),
        };
        let of = if head.is_some() {
            "; its head lists the dependencies"
        } else {
            ""
        };
        let mut venv = self.install(&guessed, false);
        if let Some(head) = head.as_ref().filter(|_| self.manifest.is_null()) {
            let python = head.get("requires-python").and_then(Value::as_str);
            venv.python = python.map(str::to_owned);
            venv.is_script = true;
            if venv.requirements.is_none() {
                venv.sources = sources(head, file, "/dependencies");
            }
        }
        let idle = if command == ".venv/bin/python" {
            ""
        } else {
            "; has no start code"
        };
        let reason = format!("{what}{of}{idle}");
        if head.is_none() && !venv.packages.is_empty() && self.manifest.is_null() {
            findings.consider(format!(
                "{file}: no file lists the dependencies; guessed: {}",
                guessed.join(", ")
            ));
        }
        let plan = plan(vec![PrepareStep::Venv(venv)], command, args, &WATCH, reason);
        let speaks_mcp = self.speaks_mcp || speaks_mcp(&text);
        let proposal = self.proposal(file, trust, plan);
        findings.proposals.push(StartProposal {
            speaks_mcp,
            ..proposal
        });
    }
}

/// Parses the metadata in the head of a script (PEP 723).
fn head_of(text: &str) -> Option<Value> {
    let (_, block) = text.split_once("# /// script\n")?;
    let (block, _) = block.split_once("# ///")?;
    let lines: Vec<&str> = block
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .unwrap_or(line.trim_start_matches('#'))
        })
        .collect();
    toml_value(&lines.join("\n"))
}

fn dependencies(head: &Value) -> Vec<&str> {
    let packages = strings(head, "/dependencies");
    packages.filter(|it| !it.starts_with('-')).collect()
}

/// Returns the packages under `dependencies` for which `file` has a source that only uv reads.
fn sources(manifest: &Value, file: &str, dependencies: &str) -> Option<UvSources> {
    let known = manifest.pointer("/tool/uv/sources")?.as_object()?;
    let known: Vec<String> = known.keys().map(|it| name_of(it)).collect();
    let names = strings(manifest, dependencies).map(name_of);
    let packages: Vec<String> = names.filter(|name| known.contains(name)).collect();
    (!packages.is_empty()).then(|| UvSources {
        file: file.to_owned(),
        packages,
    })
}

fn strings<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v str> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str)
}

/// Returns the file named `*_server.py` if there is only one, regardless of its imports.
fn only_server(files: &[String]) -> Option<&str> {
    let mut servers = files.iter().filter(|name| name.ends_with("_server.py"));
    let only = servers.next()?;
    servers.next().is_none().then_some(only.as_str())
}

/// Returns the package name at the beginning of a requirement.
fn name_of(requirement: &str) -> String {
    let name = requirement.trim();
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    name[..end.unwrap_or(name.len())]
        .to_lowercase()
        .replace('_', "-")
}

fn speaks_mcp(text: &str) -> bool {
    imports(text, "mcp") || imports(text, "fastmcp")
}

/// Returns true if a Python text imports a package or a part of it.
fn imports(text: &str, package: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_start();
        let rest = ["from ", "import "]
            .into_iter()
            .find_map(|it| line.strip_prefix(it));
        let rest = rest.and_then(|rest| rest.trim_start().strip_prefix(package));
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

fn has_ending(file: &str) -> bool {
    file.strip_suffix(".py")
        .is_some_and(|stem| !stem.is_empty())
}
