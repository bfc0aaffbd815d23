//! `mcp-proxy setup`: wraps servers in the files of clients.

mod proof;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anstyle::Style;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::selection::{listed, unknown};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, config, print};
use crate::config::shown_words;
use crate::output;
use crate::output::palette::{BAD, DIM, GOOD};
use crate::quoting;
use crate::setup::{self, CLIENTS, Plan, Proposal, Scope, Selection, ServersFile};
use crate::state::{StateDirectory, StateFolder};
use proof::Proof;

/// The options of `setup`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct SetupArgs {
    /// Servers to wrap [default: all in the clients' files]
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Client whose files to edit; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = client_names(), ignore_case = true)]
    pub(super) client: Vec<String>,
    /// Edit only the files of the user, or only those of the current project
    #[arg(long, value_enum, ignore_case = true)]
    scope: Option<Scope>,
    /// Put the servers of each file behind one entry, which runs `mcp-proxy serve`
    #[arg(long)]
    many: bool,
    /// Show the difference, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the servers are started once and the files are edited
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Returns the parser of clients' names, in capitals or not.
pub(super) fn client_names() -> impl TypedValueParser<Value = String> {
    let names = PossibleValuesParser::new(CLIENTS.iter().map(|client| client.id));
    names.map(|name| name.to_lowercase())
}

/// Opens the folder of records.
pub(super) fn records_folder() -> Result<StateFolder, CliError> {
    let directory = StateDirectory::of_user();
    let folder = directory.and_then(|directory| directory.folder(setup::RECORDS));
    folder.map_err(|error| CliError::Failure(error.to_string()))
}

/// Asks for consent on the terminal. Without a terminal, returns an error that says to pass `--yes`.
pub(super) fn confirm(question: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let text = "cannot ask without a terminal; pass --yes to agree";
        return Err(CliError::Usage(text.to_owned()));
    }
    output::ask(question).map_err(|error| CliError::Failure(format!("cannot ask: {error}")))
}

/// Entries after a setup.
#[derive(Default)]
struct SetupOutcome<'p> {
    wrapped: Vec<&'p Proposal>,
    /// Entries that the proof refused, each with the reason as a clause about the server.
    refused: Vec<(&'p Proposal, String)>,
}

impl SetupOutcome<'_> {
    /// Returns the files that servers moved to, each once.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let combined = self.wrapped.iter().filter_map(|it| it.combined.as_ref());
        let files: BTreeSet<&Path> = combined.map(|it| &*it.file).collect();
        files.into_iter()
    }
}

/// Shows the difference, asks, proves the wrapped servers by a handshake, and edits the files. A server that fails the
/// proof stays as it is, and the others are wrapped.
pub(crate) fn run(args: &SetupArgs, global: &Global) -> Result<u8, CliError> {
    let around = config::surroundings(None)?;
    let selection = Selection {
        servers: args.servers.clone(),
        clients: args.client.clone(),
        scope: args.scope,
        combines: args.many,
    };
    let plan = setup::plan(&around, &selection);
    for fault in &plan.faults {
        output::print_error(fault);
    }
    check_names(args, &plan)?;
    if !args.json {
        print(&difference(&plan))?;
    }
    if args.dry_run || plan.proposals.is_empty() {
        return finish(args, &plan, &SetupOutcome::default());
    }
    if !args.yes && !confirm("Start these servers once as a check, and edit the files?")? {
        return Err(CliError::Failure("nothing was changed".to_owned()));
    }
    // The folder is opened first, so that no server starts in vain.
    let folder = records_folder()?;
    let Some(Proof { verdicts, files }) = proof::prove(&plan.proposals, global)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let mut outcome = SetupOutcome::default();
    let mut proved = Vec::new();
    for (proposal, verdict) in plan.proposals.iter().zip(verdicts) {
        match verdict {
            Ok(()) => proved.push(proposal),
            Err(why) => outcome.refused.push((proposal, why)),
        }
    }
    let (wrapped, errors) = setup::wrap(proved, &folder);
    outcome.wrapped = wrapped;
    let is_used = |file: &ServersFile| outcome.files().any(|used| Some(used) == file.path());
    let used = files.into_iter().filter(is_used);
    used.for_each(ServersFile::keep);
    let code = finish(args, &plan, &outcome);
    let mut errors = errors.iter().map(ToString::to_string);
    match errors.next() {
        Some(first) => {
            errors.for_each(|error| output::print_error(&CliError::Failure(error)));
            Err(CliError::Failure(first))
        }
        None => code,
    }
}

/// Returns an error about a name that no file has, or about the first entry of a name that cannot be wrapped.
fn check_names(args: &SetupArgs, plan: &Plan) -> Result<(), CliError> {
    for name in &args.servers {
        if !plan.names.contains(name) {
            let names = plan.names.iter().map(String::as_str);
            let text = unknown("no file of a client has a server", name, names);
            return Err(CliError::Usage(text));
        }
        let is_named = |it: &&setup::Skipped| it.name == *name && it.is_fault;
        if let Some(skipped) = plan.skipped.iter().find(is_named) {
            let (name, why) = (output::clean(name), &skipped.why);
            let file = skipped.file.display();
            return Err(CliError::Config(format!("`{name}` in {file}: {why}")));
        }
    }
    Ok(())
}

/// Prints the outcome; returns the exit code.
fn finish(args: &SetupArgs, plan: &Plan, outcome: &SetupOutcome<'_>) -> Result<u8, CliError> {
    if args.json {
        print(&format!("{}\n", report(args, plan, outcome)))?;
    } else {
        print(&summary(plan, outcome))?;
    }
    if let Some(error) = refusal(outcome) {
        return Err(error);
    }
    match plan.faults.len() {
        0 => Ok(EXIT_OK),
        count => Err(config::fault_count_error(count)),
    }
}

/// Returns the error about entries that the proof refused.
fn refusal(outcome: &SetupOutcome<'_>) -> Option<CliError> {
    let (first, why) = outcome.refused.first()?;
    let rest = match outcome.wrapped.len() {
        0 => "nothing was changed".to_owned(),
        count => format!("{} wrapped", servers(count)),
    };
    let text = if outcome.refused.len() == 1 {
        format!("`{}` {why}", output::clean(&first.entry.name))
    } else {
        let names = outcome.refused.iter().map(|(it, _)| &it.entry.name);
        let names: Vec<&String> = names.collect();
        format!(
            "{} servers are left as they are: {}",
            names.len(),
            listed(&names)
        )
    };
    Some(CliError::Start(format!("{text}; {rest}")))
}

fn servers(count: usize) -> String {
    output::count(count, "server", "servers")
}

/// Returns the lines that say which entries were refused and what to do after the edit.
fn summary(plan: &Plan, outcome: &SetupOutcome<'_>) -> String {
    let mut text = String::new();
    for (proposal, why) in &outcome.refused {
        left(&mut text, BAD, &proposal.entry.name, &proposal.file, why);
    }
    let mut titles: Vec<&str> = Vec::new();
    for proposal in &outcome.wrapped {
        if !titles.contains(&proposal.client.title) {
            titles.push(proposal.client.title);
        }
    }
    match titles[..] {
        [] if plan.proposals.is_empty() => text.push_str("nothing to wrap\n"),
        [] => text.push_str("nothing was changed\n"),
        _ => {
            let (count, titles) = (servers(outcome.wrapped.len()), enumerated(&titles));
            let _ = writeln!(
                text,
                "wrapped {count}; restart {titles}, or reconnect the servers there\n\
                 `mcp-proxy undo` restores the files"
            );
        }
    }
    for file in outcome.files() {
        let file = file.display().to_string();
        let _ = writeln!(
            text,
            "edit the servers in {} from now on",
            output::clean(&file)
        );
    }
    text
}

/// Joins names as in a sentence: `A`, `A and B`, `A, B and C`.
fn enumerated(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Appends the line about an entry that is left as it is.
fn left(text: &mut String, style: Style, name: &str, file: &Path, why: &str) {
    let (name, file) = (output::clean(name), file.display());
    let _ = writeln!(
        text,
        "{style}left as it is:{style:#} `{name}` in {file}: {why}"
    );
}

/// Returns the words of a command for people, without secrets.
pub(super) fn shown(words: &[String]) -> String {
    quoting::command(shown_words(words))
}

/// Returns the difference, per file and server, and the servers that are left as they are.
fn difference(plan: &Plan) -> String {
    let mut text = String::new();
    let mut last = None;
    let line = |style: Style, sign: char, words: &[String]| {
        format!("{style}    {sign} {}{style:#}\n", shown(words))
    };
    let is_together = |a: &Proposal, b: &Proposal| a.combined.is_some() && a.combined == b.combined;
    for together in plan.proposals.chunk_by(is_together) {
        for proposal in together {
            let (client, file) = (proposal.client, &proposal.file);
            if last != Some((client.id, file)) {
                last = Some((client.id, file));
                let (scope, file) = (proposal.scope.name(), file.display().to_string());
                let _ = writeln!(text, "{} ({scope}): {}", client.title, output::clean(&file));
            }
            let _ = writeln!(text, "  {}", output::clean(&proposal.entry.name));
            text.push_str(&line(BAD, '-', &proposal.before));
        }
        if together[0].combined.is_some() {
            let name = &together[0].entry_after().name;
            let _ = writeln!(text, "  {}", output::clean(name));
        }
        text.push_str(&line(GOOD, '+', &together[0].after()));
    }
    for skipped in &plan.skipped {
        let style = if skipped.is_fault { BAD } else { DIM };
        left(&mut text, style, &skipped.name, &skipped.file, &skipped.why);
    }
    text
}

fn report(args: &SetupArgs, plan: &Plan, outcome: &SetupOutcome<'_>) -> Value {
    let proposal = |it: &Proposal| {
        let is_same = |other: &Proposal| std::ptr::eq(other, it);
        let mut refused = outcome.refused.iter();
        json!({
            "client": it.client.id, "scope": it.scope.name(), "file": it.file, "server": it.entry.name,
            "before": shown_words(&it.before), "entry": it.entry_after().name, "after": shown_words(it.after()),
            "wrapped": outcome.wrapped.iter().any(|it| is_same(it)),
            "reason": refused.find(|(it, _)| is_same(it)).map(|(_, why)| why),
        })
    };
    let skipped = |it: &setup::Skipped| {
        json!({
            "client": it.client.id, "scope": it.scope.name(), "file": it.file, "server": it.name, "reason": it.why,
        })
    };
    let servers: Vec<Value> = plan.proposals.iter().map(proposal).collect();
    let skipped: Vec<Value> = plan.skipped.iter().map(skipped).collect();
    let faults: Vec<String> = plan.faults.iter().map(ToString::to_string).collect();
    json!({ "dry_run": args.dry_run, "servers": servers, "skipped": skipped, "faults": faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_as_in_a_sentence() {
        for (names, expected) in [
            (&["A"][..], "A"),
            (&["A", "B"], "A and B"),
            (&["A", "B", "C"], "A, B and C"),
        ] {
            assert_eq!(enumerated(names), expected);
        }
    }
}
