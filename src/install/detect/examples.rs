//! Reads examples of a server's start: the client configuration in its README, the image's command in its `Dockerfile`.
//! Words after the program's name become arguments if they mean the same on every machine.

use serde_json::Value;

use super::super::plan::{Argument, Plan};
use super::clone_folder::CloneFolder;
use super::{FolderFindings, StartProposal};
use crate::config::is_variable_name;

pub(super) const README: &str = "README.md";
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// Words of a start over HTTP.
const REMOTE: [&str; 2] = ["http", "sse"];
/// Options whose value is a package or a path, not the program to run.
#[rustfmt::skip] // A table.
const BEFORE_VALUE: [&str; 13] = [
    "--from", "--with", "--with-editable", "--package", "-p", "--directory", "--project", "--prefix", "--cwd",
    "--dir", "-C", "--python", "--manifest-path",
];
/// Programs that take their own options after the name of their target, and pass on arguments after `--`.
const RUNNERS: [&str; 5] = ["cargo", "npm", "pnpm", "yarn", "go"];
/// Subcommands that usually start a server over stdio.
#[rustfmt::skip] // A table.
const SUBCOMMANDS: [&str; 9] = [
    "serve", "stdio", "mcp", "start", "run", "server", "mcp-server", "launch", "local",
];

/// One example of a start.
#[derive(Debug)]
pub(super) struct Example {
    /// File that contains the example.
    pub(super) from: &'static str,
    /// Program and its arguments.
    pub(super) command: Vec<String>,
    /// Names of environment variables.
    pub(super) env: Vec<String>,
}

impl Example {
    /// Returns the first server of each JSON block for clients in the README.
    pub(super) fn of_readme(tree: &CloneFolder) -> Vec<Self> {
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
                env: names
                    .filter(|name| is_variable_name(name))
                    .cloned()
                    .collect(),
            })
        };
        blocks.filter_map(read).collect()
    }

    /// Returns the command of the image, if the `Dockerfile` writes it as a list.
    pub(super) fn of_image(text: &str, findings: &mut FolderFindings) -> Option<Self> {
        // Only the last stage decides the command.
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

    /// Appends the words after the program's name to the plan's arguments. If a person has to fill in a word, only
    /// notes them.
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
            .push(format!("{from}: starts the server with `{line}`"));
    }

    /// Returns the words after the first that matches one of `names`, ignoring folder and version.
    pub(super) fn behind(&self, names: &[String]) -> Option<&[String]> {
        let words = &self.command;
        let program = bare(words.first()?);
        if ["docker", "podman"].contains(&program.as_str()) {
            return None;
        }
        let is_name = |at: &usize| {
            let word = &words[*at];
            // The name may first appear as a package to fetch or as a path, before it appears as the program.
            let is_value = *at > 0 && BEFORE_VALUE.contains(&words[*at - 1].as_str());
            !is_value && !word.starts_with('-') && names.contains(&bare(word))
        };
        let rest = &words[(0..words.len()).find(is_name)? + 1..];
        if RUNNERS.contains(&program.as_str()) {
            // Arguments before `--` are for the runner.
            let end = rest.iter().position(|word| word == "--");
            return Some(end.map_or(&[], |end| &rest[end + 1..]));
        }
        Some(rest)
    }
}

/// Returns the names by which an example may refer to this proposal.
pub(super) fn names_of(proposal: &StartProposal) -> Vec<String> {
    let StartProposal {
        registry,
        name,
        package,
        plan,
        ..
    } = proposal;
    // A script of `package.json` receives its arguments in another way.
    if name == "start" {
        return Vec::new();
    }
    let files = plan.args.iter().filter_map(|argument| match argument {
        Argument::File(file) => file.to_str(),
        Argument::Text(_) => None,
    });
    // In other registries a package may have several programs, so that only the program's name identifies one.
    let package = Some(package.as_str()).filter(|_| ["npm", "pypi"].contains(registry));
    let names = package.into_iter().chain([name.as_str()]).chain(files);
    names.filter(|it| !it.is_empty()).map(bare).collect()
}

/// Returns a name without folder, scope and version.
fn bare(word: &str) -> String {
    let word = word.rsplit(['/', '\\']).next().unwrap_or_default();
    let end = word.find(['@', '=', '[', '<', '>']).unwrap_or(word.len());
    word[..end].replace('_', "-")
}

/// Returns true if a word means the same on every machine: an option or a usual subcommand, and not one for HTTP.
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
