//! `mcp-proxy setup`: wraps servers in the files of clients.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use anstyle::Style;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::selection::{not_started, run_visit, unknown};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, config, print};
use crate::app::visit::{ServerVisit, Visit, VisitOutcome};
use crate::config::{Config, ServerSpec, shown_words};
use crate::output;
use crate::output::palette::{BAD, DIM, GOOD};
use crate::quoting;
use crate::setup::{self, CLIENTS, Plan, Proposal, Scope, Selection};
use crate::state::{StateDirectory, StateFolder};

/// The options of `setup`.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Servers to wrap [default: all in the clients' files]
    #[arg(value_name = "SERVER")]
    servers: Vec<String>,
    /// Client whose files to edit; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = client_names())]
    client: Vec<String>,
    /// Edit only the files of the user, or only those of the current project
    #[arg(long, value_enum)]
    scope: Option<Scope>,
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

/// Returns the parser of clients' names.
pub(super) fn client_names() -> PossibleValuesParser {
    PossibleValuesParser::new(CLIENTS.iter().map(|client| client.id))
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

/// Shows the difference, asks, proves the wrapped servers by a handshake, and edits the files.
pub(crate) fn run(args: &SetupArgs, global: &Global) -> Result<u8, CliError> {
    let around = config::surroundings(None)?;
    let selection = Selection {
        servers: args.servers.clone(),
        clients: args.client.clone(),
        scope: args.scope,
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
        return finish(args, &plan, &[]);
    }
    if !args.yes && !confirm("Start these servers once as a check, and edit the files?")? {
        return Err(CliError::Failure("nothing was changed".to_owned()));
    }
    // The folder is opened first, so that no server starts in vain.
    let folder = records_folder()?;
    if !prove(&plan.proposals, global)? {
        return Ok(EXIT_INTERRUPTED);
    }
    let (done, written) = setup::wrap(&plan.proposals, &folder);
    let code = finish(args, &plan, &done);
    written.map_err(|error| CliError::Failure(error.to_string()))?;
    code
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

/// Starts each server as it is and wrapped, and compares the tools. Returns false if a signal interrupted it.
fn prove(proposals: &[Proposal], global: &Global) -> Result<bool, CliError> {
    let started = |specs: Vec<ServerSpec>, global: &Global| -> Result<_, CliError> {
        let visit = Visit {
            servers: specs,
            max_message: Config::default().max_message,
            era: None,
            calls: Vec::new(),
            listed_only: false,
            call_timeout: None,
        };
        let Some(visited) = run_visit(visit, global)? else {
            return Ok(None);
        };
        match not_started(&visited) {
            Some(error) => Err(CliError::Start(format!("{error}; nothing was changed"))),
            None => Ok(Some(visited)),
        }
    };
    let plain = proposals.iter().map(|it| it.spec.clone()).collect();
    let Some(plain) = started(plain, global)? else {
        return Ok(false);
    };
    let quiet = Global {
        verbose: 0,
        quiet: true,
        color: global.color,
        log: global.log.clone(),
        log_format: global.log_format,
    };
    let Some(wrapped) = started(proposals.iter().map(wrapped_spec).collect(), &quiet)? else {
        return Ok(false);
    };
    for (plain, wrapped) in plain.iter().zip(&wrapped) {
        let (expected, found) = (tools(plain), tools(wrapped));
        if let Some(missing) = expected.iter().find(|tool| !found.contains(tool)) {
            let (server, tool) = (output::clean(&plain.server), output::clean(missing));
            return Err(CliError::Start(format!(
                "`{server}` lists the tool `{tool}`, but not through mcp-proxy; nothing was changed"
            )));
        }
    }
    Ok(true)
}

fn tools(visit: &ServerVisit) -> Vec<&str> {
    match &visit.outcome {
        VisitOutcome::Started { snapshot, .. } => snapshot.tool_names(),
        _ => Vec::new(),
    }
}

/// Returns the settings with which the client starts the wrapped server. The proxy waits for the server as long as the
/// check of the server itself.
fn wrapped_spec(proposal: &Proposal) -> ServerSpec {
    let Proposal { spec, words, .. } = proposal;
    let wait = format!("{}s", spec.timeouts.start.as_secs());
    let (options, dashes) = words[1..].split_at(words.len() - 2);
    let options = options.iter().map(OsString::from);
    let args = options
        .chain(["--startup-wait".into(), wait.into()])
        .chain(dashes.iter().map(OsString::from))
        .chain([spec.program.clone()])
        .chain(spec.args.iter().cloned());
    let mut wrapped = ServerSpec::new(
        spec.name.clone(),
        words[0].clone().into(),
        args.collect(),
        spec.cwd.clone(),
    );
    wrapped.env.clone_from(&spec.env);
    wrapped.hidden = spec.hidden.clone();
    // The proxy itself needs a moment beyond the start of its server.
    wrapped.timeouts.start = spec.timeouts.start * 2;
    wrapped
}

/// Prints the outcome; returns the exit code.
fn finish(args: &SetupArgs, plan: &Plan, done: &[&Proposal]) -> Result<u8, CliError> {
    if args.json {
        print(&format!("{}\n", report(args, plan, done)))?;
    } else if args.dry_run || done.is_empty() {
        let text = if plan.proposals.is_empty() {
            "nothing to wrap\n"
        } else {
            "nothing was changed\n"
        };
        print(text)?;
    } else {
        print(&restarts(done))?;
    }
    match plan.faults.len() {
        0 => Ok(EXIT_OK),
        count => Err(config::fault_count_error(count)),
    }
}

/// Returns the lines that say what to do after the edit.
fn restarts(done: &[&Proposal]) -> String {
    let mut titles: Vec<&str> = Vec::new();
    for proposal in done {
        if !titles.contains(&proposal.client.title) {
            titles.push(proposal.client.title);
        }
    }
    let servers = if done.len() == 1 { "server" } else { "servers" };
    format!(
        "wrapped {} {servers}; restart {}, or reconnect the servers there\n\
         `mcp-proxy undo` restores the files\n",
        done.len(),
        titles.join(" and ")
    )
}

/// Returns the words of a command for people, without secrets.
pub(super) fn shown(words: &[String]) -> String {
    let words = shown_words(words.iter().map(String::as_str));
    quoting::command(words.iter().map(String::as_str))
}

/// Returns the difference, per file and server, and the servers that are left as they are.
fn difference(plan: &Plan) -> String {
    let mut text = String::new();
    let mut last = None;
    for proposal in &plan.proposals {
        let Proposal {
            client,
            scope,
            file,
            ..
        } = proposal;
        if last != Some((client.id, file)) {
            last = Some((client.id, file));
            let (title, scope, file) = (client.title, scope.name(), file.display().to_string());
            let _ = writeln!(text, "{title} ({scope}): {}", output::clean(&file));
        }
        let line = |style: Style, sign: char, words: &[String]| {
            format!("{style}    {sign} {}{style:#}\n", shown(words))
        };
        let _ = writeln!(text, "  {}", output::clean(&proposal.entry.name));
        text.push_str(&line(BAD, '-', &proposal.before));
        text.push_str(&line(GOOD, '+', &proposal.after()));
    }
    for skipped in &plan.skipped {
        let (name, file) = (output::clean(&skipped.name), skipped.file.display());
        let style = if skipped.is_fault { BAD } else { DIM };
        let _ = writeln!(
            text,
            "{style}left as it is:{style:#} `{name}` in {file}: {}",
            skipped.why
        );
    }
    text
}

fn report(args: &SetupArgs, plan: &Plan, done: &[&Proposal]) -> Value {
    let masked = |words: &[String]| shown_words(words.iter().map(String::as_str));
    let proposal = |it: &Proposal| {
        json!({
            "client": it.client.id, "scope": it.scope.name(), "file": it.file, "server": it.entry.name,
            "before": masked(&it.before), "after": masked(&it.after()),
            "wrapped": done.iter().any(|done| std::ptr::eq(*done, it)),
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
