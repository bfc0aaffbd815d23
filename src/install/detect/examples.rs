//! Examples of how a server is started: for clients in its README, for its image in its `Dockerfile`. The words behind the
//! program's name become its arguments where they mean the same on every machine.

use serde_json::Value;

use super::super::plan::{Argument, Plan};
use super::hints::is_variable;
use super::tree::Tree;
use super::{Findings, Proposal};

pub(super) const README: &str = "README.md";
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// Words of a start that speaks HTTP.
const REMOTE: [&str; 2] = ["http", "sse"];
/// Options whose value is a package or a place, and not what is run of it.
const BEFORE_VALUE: [&str; 13] = [
    "--from",
    "--with",
    "--with-editable",
    "--package",
    "-p",
    "--directory",
    "--project",
    "--prefix",
    "--cwd",
    "--dir",
    "-C",
    "--python",
    "--manifest-path",
];
/// Programs that take options of their own behind the name of what they run, and pass on what stands behind `--`.
const RUNNERS: [&str; 5] = ["cargo", "npm", "pnpm", "yarn", "go"];
/// Subcommands by which servers are usually started over stdio.
const SUBCOMMANDS: [&str; 9] = [
    "serve",
    "stdio",
    "mcp",
    "start",
    "run",
    "server",
    "mcp-server",
    "launch",
    "local",
];

/// One example of a start.
#[derive(Debug)]
pub(super) struct Example {
    /// The file that has it.
    pub(super) from: &'static str,
    /// A program and its arguments.
    pub(super) command: Vec<String>,
    /// Names of variables.
    pub(super) env: Vec<String>,
}

impl Example {
    /// The first server of each block of JSON for clients.
    pub(super) fn of_readme(tree: &Tree) -> Vec<Self> {
        let text = [README, "readme.md", "Readme.md"];
        let text = text.into_iter().find_map(|name| tree.text(name));
        let text = text.unwrap_or_default();
        let blocks = text.split("```").skip(1).step_by(2);
        let read = |block: &str| {
            let (_, json) = block.split_once('\n')?;
            let json: Value = serde_json::from_str(json).ok()?;
            let servers = ["/mcpServers", "/servers", "/mcp/servers"]
                .into_iter()
                .find_map(|it| json.pointer(it))?;
            let server = servers.as_object()?.values().next()?;
            let mut command = vec![server.get("command")?.as_str()?.to_owned()];
            let args = server.get("args").and_then(Value::as_array);
            let args = args.into_iter().flatten().filter_map(Value::as_str);
            command.extend(args.map(str::to_owned));
            let env = server.get("env").and_then(Value::as_object);
            let names = env.into_iter().flat_map(serde_json::Map::keys);
            Some(Self {
                from: README,
                command,
                env: names.filter(|name| is_variable(name)).cloned().collect(),
            })
        };
        blocks.filter_map(read).collect()
    }

    /// What the image starts, if the `Dockerfile` has it as a list.
    pub(super) fn of_image(text: &str, findings: &mut Findings) -> Option<Self> {
        // Stages before the last are not what is started.
        let stage = |line: &&str| !line.trim_start().starts_with("FROM ");
        let stage: Vec<&str> = text.lines().rev().take_while(stage).collect();
        let last = |keyword: &str| {
            let mut lines = stage.iter();
            let line = lines.find_map(|line| line.trim().strip_prefix(keyword))?;
            Some(line.trim().to_owned())
        };
        let parts = ["ENTRYPOINT ", "CMD "].into_iter().filter_map(last);
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() {
            return None;
        }
        findings.consider(format!("{DOCKERFILE}: starts with {}", parts.join(" ")));
        let words = parts.iter().map(|part| serde_json::from_str(part).ok());
        let command = words.collect::<Option<Vec<Vec<String>>>>()?.concat();
        Some(Self {
            from: DOCKERFILE,
            command,
            env: Vec::new(),
        })
    }

    /// Adds the words behind the name of the program to its arguments, or only tells them if a person has to fill in
    /// something.
    pub(super) fn add_arguments(&self, names: &[String], plan: &mut Plan) {
        let rest = self.behind(names).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        if rest.iter().all(|word| is_literal(word)) {
            plan.args.extend(rest.iter().cloned().map(Argument::Text));
            plan.examples = rest.len();
            return;
        }
        let line = shlex::try_join(rest.iter().map(String::as_str)).unwrap_or_default();
        let from = self.from;
        plan.considered
            .push(format!("{from}: it is started with `{line}`"));
    }

    /// Returns the words behind the first that is one of `names`, in whatever folder or version.
    pub(super) fn behind(&self, names: &[String]) -> Option<&[String]> {
        let words = &self.command;
        let program = bare(words.first()?);
        if ["docker", "podman"].contains(&program.as_str()) {
            return None;
        }
        let is_name = |at: &usize| {
            let word = &words[*at];
            // It may be named as what is fetched, or as a place, before it is named as what is run.
            let is_value = *at > 0 && BEFORE_VALUE.contains(&words[*at - 1].as_str());
            !is_value && !word.starts_with('-') && names.contains(&bare(word))
        };
        let rest = &words[(0..words.len()).find(is_name)? + 1..];
        if RUNNERS.contains(&program.as_str()) {
            // What stands before that is for the runner.
            let end = rest.iter().position(|word| word == "--");
            return Some(end.map_or(&[], |end| &rest[end + 1..]));
        }
        Some(rest)
    }
}

/// The names under which an example may start this.
pub(super) fn names_of(proposal: &Proposal) -> Vec<String> {
    let Proposal {
        registry,
        name,
        package,
        plan,
        ..
    } = proposal;
    // A script of `package.json` takes its arguments in another way.
    if name == "start" {
        return Vec::new();
    }
    let files = plan.args.iter().filter_map(|argument| match argument {
        Argument::File(file) => file.to_str(),
        Argument::Text(_) => None,
    });
    // Elsewhere a package may have several programs, whose names tell them apart.
    let package = Some(package.as_str()).filter(|_| ["npm", "pypi"].contains(registry));
    let names = package.into_iter().chain([name.as_str()]).chain(files);
    names.filter(|it| !it.is_empty()).map(bare).collect()
}

/// A name without its folder or scope and without its version.
fn bare(word: &str) -> String {
    let word = word.rsplit(['/', '\\']).next().unwrap_or_default();
    let end = word.find(['@', '=', '[', '<', '>']).unwrap_or(word.len());
    word[..end].replace('_', "-")
}

/// Whether a word means the same on every machine: an option or a usual subcommand. A person may have to fill in others.
pub(in crate::install) fn is_literal(word: &str) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_option = name.starts_with('-') && name.len() > 1 && name != "--";
    let is_known = if is_option {
        name.chars().all(plain) && (value.is_empty() || SUBCOMMANDS.contains(&value))
    } else {
        SUBCOMMANDS.contains(&word)
    };
    is_known && !REMOTE.iter().any(|it| word.contains(it))
}
