//! How others start a server: clients, by its README, and its image, by its `Dockerfile`. What they write behind the name of
//! the program belongs to its start.

use serde_json::Value;

use super::super::plan::{Argument, Plan};
use super::hints::is_variable;
use super::tree::Tree;
use super::{Findings, Proposal};

pub(super) const README: &str = "README.md";
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// Words of a start that speaks HTTP.
const REMOTE: [&str; 4] = ["http", "sse", "port", "host"];
/// Options whose value names a package, and not what is run of it.
const BEFORE_PACKAGE: [&str; 6] = [
    "--from",
    "--with",
    "--package",
    "-p",
    "--directory",
    "--project",
];

/// How somebody starts it.
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

    /// What an image starts, unless that is known to speak HTTP there.
    pub(super) fn of_image(text: &str, findings: &mut Findings) -> Option<Self> {
        let last = |keyword: &str| {
            let mut lines = text.lines().rev();
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
        let is_remote = |word: &String| REMOTE.iter().any(|it| word.contains(it));
        (!command.iter().any(is_remote)).then_some(Self {
            from: DOCKERFILE,
            command,
            env: Vec::new(),
        })
    }

    /// What stands behind the name of the program belongs to its start; what is an example only is told.
    pub(super) fn add_arguments(&self, names: &[String], plan: &mut Plan) {
        let rest = self.behind(names).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        if rest.iter().all(|word| is_literal(word)) {
            plan.args.extend(rest.iter().cloned().map(Argument::Text));
            return;
        }
        let line = shlex::try_join(rest.iter().map(String::as_str)).unwrap_or_default();
        let from = self.from;
        plan.considered
            .push(format!("{from}: it is started with `{line}`"));
    }

    /// The words behind the first that is one of `names`, wherever that lies and whatever its version.
    pub(super) fn behind(&self, names: &[String]) -> Option<&[String]> {
        let words = &self.command;
        let is_name = |at: &usize| {
            // It may be named as what is fetched, before it is named as what is run.
            let is_value = *at > 0 && BEFORE_PACKAGE.contains(&words[*at - 1].as_str());
            !is_value && names.contains(&bare(&words[*at]))
        };
        let in_image = ["docker", "podman"].contains(&words.first()?.as_str());
        let at = (0..words.len()).find(|at| !in_image && is_name(at))?;
        Some(&words[at + 1..])
    }
}

/// What a README may call that which is started.
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
    // Those of the other registries may have programs of any name.
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

/// Whether a word means the same on every machine, and is no place or name that a person has to fill in.
fn is_literal(word: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | '.' | ',' | ':');
    let lower = word.to_lowercase();
    let is_example = ["your", "path", "example", "..."]
        .iter()
        .any(|it| lower.contains(it));
    let is_capital = word.contains('_') && !word.contains(|c: char| c.is_ascii_lowercase());
    !word.is_empty() && word.chars().all(plain) && !is_example && !is_capital
}
