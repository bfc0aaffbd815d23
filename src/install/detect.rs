//! Detects how a cloned server is started. One module per language proposes starts from the files of the clone; `hints`
//! reads files that describe a start otherwise. This module selects one proposal, or none: a person decides ambiguous
//! cases. Files are only read; no program is run and no other place is inspected.

mod clone_folder;
mod compiled;
mod deno;
mod examples;
mod hints;
mod node;
mod python;

#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::path::Path;

use thiserror::Error;

use super::plan::{Argument, Plan, PrepareStep};
use super::store::StartSettings;
use crate::quoting;
use clone_folder::{CloneFolder, joined};
pub(super) use examples::is_literal;
use hints::Hints;

/// Maximum depth of a server's folder below the folder that is inspected.
const DEPTH: usize = 3;
/// Maximum number of folders to inspect.
const MOST_FOLDERS: usize = 300;

/// One of several starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartChoice {
    /// Folder in the repository; empty for the inspected folder.
    pub(crate) folder: String,
    pub(crate) plan: Plan,
}

/// Reason why the start of the server is unknown.
#[derive(Debug, Error)]
pub(crate) enum DetectError {
    #[error("cannot detect how the server is started; name its file or its command{}", list(.considered))]
    Nothing { considered: Vec<String> },
    #[error("the server can be started in several ways; name its file or its command{}", list(&lines(.choices)))]
    Ambiguous {
        choices: Vec<StartChoice>,
        considered: Vec<String>,
    },
    #[error("the repository has servers in subfolders; add a subfolder to the address{}", list(&lines(.choices)))]
    Elsewhere {
        choices: Vec<StartChoice>,
        considered: Vec<String>,
    },
    #[error("{} is not a file in the server's folder that can be started or installed", quoting::value(.0))]
    File(String),
}

fn list(lines: &[String]) -> String {
    let whole = String::new();
    lines.iter().fold(whole, |whole, line| {
        whole + "\n  " + &quoting::sentence(line)
    })
}

fn lines(choices: &[StartChoice]) -> Vec<String> {
    let line = |choice: &StartChoice| {
        let folder = match choice.folder.as_str() {
            "" => String::new(),
            folder => format!("#{folder}: "),
        };
        let plan = &choice.plan;
        format!("{folder}`{}` ({})", plan.line(), plan.reason)
    };
    choices.iter().map(line).collect()
}

impl Plan {
    /// Returns the command as a person would write it in the server's folder.
    pub(crate) fn line(&self) -> String {
        let args = self.args.iter().map(|argument| match argument {
            Argument::Text(text) => text.clone(),
            Argument::File(path) => path.display().to_string(),
        });
        let words: Vec<String> = std::iter::once(self.command.clone()).chain(args).collect();
        let line = shlex::try_join(words.iter().map(String::as_str));
        line.unwrap_or_else(|_| words.join(" "))
    }
}

/// Confidence in a proposal; the least value is the most certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConfidenceLevel {
    /// The caller named it.
    Named,
    /// A file declares the command.
    Declared,
    /// A usual convention.
    Usual,
    /// A guess.
    Guessed,
}

/// One way to start a program of the clone.
#[derive(Debug)]
struct StartProposal {
    /// Registry that publishes such packages, as named in `server.json`.
    registry: &'static str,
    /// Name of the program or file that is started.
    name: String,
    /// Package that contains it.
    package: String,
    trust: ConfidenceLevel,
    /// True if it uses an MCP library.
    speaks_mcp: bool,
    plan: Plan,
}

/// All findings in one folder.
#[derive(Debug, Default)]
struct FolderFindings {
    proposals: Vec<StartProposal>,
    considered: Vec<String>,
}

impl FolderFindings {
    fn consider(&mut self, what: impl Into<String>) {
        self.considered.push(what.into());
    }

    /// Returns the content of a manifest; notes one that cannot be read.
    fn read<T>(&mut self, file: &str, read: Result<Option<T>, ()>) -> Option<T> {
        read.unwrap_or_else(|()| {
            self.consider(format!("{file}: cannot be read"));
            None
        })
    }
}

/// Detects how the server in `folder` of the clone at `root` is started, with the files that `said` names.
pub(crate) fn detect(root: &Path, folder: &str, said: &StartSettings) -> Result<Plan, DetectError> {
    let Some(tree) = CloneFolder::new(root, folder) else {
        return Err(DetectError::File(folder.to_owned()));
    };
    for file in said.server_file.iter().chain(&said.requirements_file) {
        if !tree.has(file) {
            return Err(DetectError::File(file.clone()));
        }
    }
    let (mut findings, hints) = look(&tree, said)?;
    hints::add_last(&tree, &hints, &mut findings);
    if said.server_file.is_none() && !findings.proposals.iter().any(|it| it.speaks_mcp) {
        // A certain start here has priority over a less certain one in a folder below.
        let trust = findings.proposals.iter().map(|it| it.trust).min();
        let choices = elsewhere(&tree, trust.unwrap_or(ConfidenceLevel::Usual));
        if !choices.is_empty() {
            for proposal in &findings.proposals {
                let plan = &proposal.plan;
                let line = format!("`{}`: {}; does not speak MCP", plan.line(), plan.reason);
                findings.considered.push(line);
            }
            let considered = findings.considered;
            return Err(DetectError::Elsewhere {
                choices,
                considered,
            });
        }
    }
    choose(findings, &hints)
}

/// Collects the findings of one folder.
fn look(tree: &CloneFolder, said: &StartSettings) -> Result<(FolderFindings, Hints), DetectError> {
    let mut findings = FolderFindings::default();
    let hints = hints::read(tree, &mut findings);
    let requirements = said.requirements_file.as_deref();
    if let Some(file) = &said.server_file {
        let known = deno::named(tree, file, &mut findings)
            || node::named(tree, file, &mut findings)
            || python::named(tree, file, requirements, &mut findings);
        if !known {
            return Err(DetectError::File(file.clone()));
        }
    } else {
        node::propose(tree, &mut findings);
        deno::propose(tree, &mut findings);
        python::propose(tree, requirements, &mut findings);
        compiled::propose(tree, &mut findings);
    }
    for proposal in &mut findings.proposals {
        hints.apply(proposal);
    }
    Ok((findings, hints))
}

/// Returns the MCP servers in folders below, each with its start, if their confidence is at least `trust`.
fn elsewhere(tree: &CloneFolder, trust: ConfidenceLevel) -> Vec<StartChoice> {
    let mut choices = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    let mut at = 0;
    while let Some((folder, depth)) = folders.get(at).cloned() {
        at += 1;
        if depth < DEPTH && folders.len() < MOST_FOLDERS {
            let below = tree.folders(&folder).into_iter();
            folders.extend(below.map(|name| (joined(&folder, &name), depth + 1)));
        }
        let inner = tree.at(&joined(&tree.folder, &folder));
        let Some(inner) = inner.filter(|_| !folder.is_empty()) else {
            continue;
        };
        if let Ok((findings, hints)) = look(&inner, &StartSettings::default()) {
            let mut plans = best(findings.proposals, &hints).into_iter();
            if let Some(found) = plans
                .next()
                .filter(|it| it.speaks_mcp && it.trust <= trust.min(ConfidenceLevel::Usual))
            {
                let folder = inner.folder.clone();
                choices.push(StartChoice {
                    folder,
                    plan: found.plan,
                });
            }
        }
    }
    choices.sort_by(|a, b| a.folder.cmp(&b.folder));
    choices
}

fn choose(findings: FolderFindings, hints: &Hints) -> Result<Plan, DetectError> {
    let mut considered = findings.considered;
    let all: Vec<(String, String)> = findings
        .proposals
        .iter()
        .map(|it| (it.plan.line(), it.plan.reason.clone()))
        .collect();
    let mut best = best(findings.proposals, hints);
    let left = all
        .into_iter()
        .filter(|(line, _)| !best.iter().any(|it| it.plan.line() == *line));
    considered.extend(left.map(|(line, reason)| format!("`{line}`: {reason}")));
    match (best.pop(), best.len()) {
        (None, _) => Err(DetectError::Nothing { considered }),
        (Some(one), 0) => {
            let mut plan = one.plan;
            plan.considered.extend(considered);
            Ok(plan)
        }
        (Some(last), _) => {
            best.push(last);
            let folder = String::new();
            let choices = best.into_iter().map(|it| StartChoice {
                folder: folder.clone(),
                plan: it.plan,
            });
            Err(DetectError::Ambiguous {
                choices: choices.collect(),
                considered,
            })
        }
    }
}

/// Returns the proposals with the best rank.
fn best(mut proposals: Vec<StartProposal>, hints: &Hints) -> Vec<StartProposal> {
    let rank = |it: &StartProposal| (it.trust != ConfidenceLevel::Named, !it.speaks_mcp, it.trust);
    let Some(least) = proposals.iter().map(rank).min() else {
        return proposals;
    };
    proposals.retain(|it| rank(it) == least);
    // Two rules may propose the same start.
    let mut known: Vec<String> = Vec::new();
    proposals.retain(|it| {
        let line = it.plan.line();
        let is_new = !known.contains(&line);
        known.push(line);
        is_new
    });
    narrow(&mut proposals, "listed in server.json", |it| {
        hints.means(it)
    });
    narrow(&mut proposals, "named like the package", |it| {
        it.name == it.package
    });
    narrow(&mut proposals, "its name contains `mcp`", |it| {
        it.name.to_lowercase().contains("mcp")
    });
    narrow(&mut proposals, "its name contains `stdio`", |it| {
        it.name.contains("stdio")
    });
    proposals
}

/// Keeps the proposals that satisfy `good`, if some do and others do not.
fn narrow(proposals: &mut Vec<StartProposal>, why: &str, good: impl Fn(&StartProposal) -> bool) {
    let count = proposals.iter().filter(|it| good(it)).count();
    if count == 0 || count == proposals.len() {
        return;
    }
    proposals.retain(good);
    for proposal in proposals {
        let reason = &mut proposal.plan.reason;
        *reason = format!("{reason}; chosen among several: {why}");
    }
}

/// Returns true if a name is a single path component and no option.
fn is_plain(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(good)
}

fn plan(
    prepare: Vec<PrepareStep>,
    command: &str,
    args: Vec<Argument>,
    watch: &[&str],
    reason: String,
) -> Plan {
    Plan {
        prepare,
        command: command.to_owned(),
        args,
        watch: watch.iter().map(|&it| it.to_owned()).collect(),
        reason,
        ..Plan::default()
    }
}
