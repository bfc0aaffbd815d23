//! Proof of a setup: each server is started as it is and through the proxy, which must list the same tools.

use std::ffi::OsString;

use serde_json::{Value, json};

use super::super::selection::run_visit;
use super::super::{CliError, Global};
use crate::app::visit::{CallError, ServerVisit, Visit, VisitOutcome};
use crate::config::{Config, ServerSpec};
use crate::meta_tools::{LOAD, UNLOAD};
use crate::output;
use crate::server::RawResponse;
use crate::setup::{Proposal, ServersFile};

/// Number of servers that are started at once.
const AT_ONCE: usize = 4;

/// Reason against wrapping a server, as a clause about the server.
type Verdict = Result<(), String>;

/// Names of a server's tools, or the reason why it does not start.
type Listed = Result<Vec<String>, String>;

/// Outcome of a proof.
#[derive(Default)]
pub(super) struct Proof {
    /// A verdict for each server, in the given order.
    pub(super) verdicts: Vec<Verdict>,
    /// Files that proved servers with a combined entry move to.
    pub(super) files: Vec<ServersFile>,
}

/// Starts each server as it is, and through the proxy if it starts. Returns `None` if a signal interrupted the proof.
pub(super) fn prove(proposals: &[Proposal], global: &Global) -> Result<Option<Proof>, CliError> {
    let quiet = Global {
        verbose: 0,
        quiet: true,
        color: global.color,
        log: global.log.clone(),
        log_format: global.log_format,
    };
    let mut proof = Proof::default();
    for table in proposals.chunk_by(|one, other| one.combined == other.combined) {
        let specs: Vec<ServerSpec> = table.iter().map(|it| it.spec.clone()).collect();
        let Some(mut plain) = tools(&specs, global, |_, listed| listed.is_ok())? else {
            return Ok(None);
        };
        for (listed, spec) in plain.iter_mut().zip(&specs) {
            let filter = spec.tools.compile();
            if let Ok(tools) = listed {
                tools.retain(|tool| filter.admits(tool));
            }
        }
        let started = table.iter().zip(&plain);
        let started = started.filter_map(|(it, plain)| Some((it, plain.as_ref().ok()?)));
        let (started, expected): (Vec<&Proposal>, Vec<&Vec<String>>) = started.unzip();
        // It removes itself when the proof fails.
        let file = written(&started)?;
        let found = if file.is_some() {
            tools_through_serve(&started, &quiet)?
        } else {
            let specs: Vec<ServerSpec> = started.iter().map(|it| wrapped_spec(it)).collect();
            let is_proved = |at: usize, listed: &Listed| compare(expected[at], listed).is_ok();
            tools(&specs, &quiet, is_proved)?
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let mut found = found.into_iter();
        let of_table = plain.into_iter().map(|plain| verdict(plain, &mut found));
        let of_table: Vec<Verdict> = of_table.collect();
        let proved = table.iter().zip(&of_table).filter(|(_, it)| it.is_ok());
        let proved: Vec<&Proposal> = proved.map(|(proposal, _)| proposal).collect();
        if proved.len() == started.len() {
            proof.files.extend(file);
        } else {
            drop(file);
            proof.files.extend(written(&proved)?);
        }
        proof.verdicts.extend(of_table);
    }
    Ok(Some(proof))
}

fn written(proposals: &[&Proposal]) -> Result<Option<ServersFile>, CliError> {
    ServersFile::write(proposals).map_err(|error| CliError::Failure(error.to_string()))
}

/// Compares the tools of a server as it is with those through the proxy, which are the next of `found` if it starts.
fn verdict(plain: Listed, found: &mut impl Iterator<Item = Listed>) -> Verdict {
    let expected = plain.map_err(|reason| format!("does not start: {reason}"))?;
    let found = found.next().unwrap_or_else(|| Ok(Vec::new()));
    compare(&expected, &found)
}

/// Returns an error unless the tools through the proxy include all those `expected`.
fn compare(expected: &[String], found: &Listed) -> Verdict {
    let found = found.as_ref();
    let found = found.map_err(|reason| format!("does not start through mcp-proxy: {reason}"))?;
    match expected.iter().find(|tool| !found.contains(tool)) {
        Some(missing) => Err(format!(
            "lists the tool `{}`, but not through mcp-proxy",
            output::clean(missing)
        )),
        None => Ok(()),
    }
}

/// Starts the combined entry, and loads the servers one after the other.
fn tools_through_serve(
    proposals: &[&Proposal],
    global: &Global,
) -> Result<Option<Vec<Listed>>, CliError> {
    let Some(first) = proposals.first() else {
        return Ok(Some(Vec::new()));
    };
    let (program, args) = first.words.split_at(1);
    let args = args.iter().map(OsString::from);
    let name = first.entry_after().name.clone();
    let cwd = first.spec.cwd.clone();
    let entry = ServerSpec::new(name, program[0].clone().into(), args.collect(), cwd);
    let calls = proposals.iter().flat_map(|proposal| {
        let server = json!({ "server_name": proposal.entry.name }).to_string();
        [(LOAD, server.clone()), (UNLOAD, server)]
    });
    let timeouts = proposals.iter().map(|it| it.spec.timeouts.start * 2);
    let visit = Visit {
        calls: calls
            .map(|(tool, server)| (tool.to_owned(), server))
            .collect(),
        call_timeout: timeouts.max(),
        ..visit_of(vec![entry])
    };
    let Some(mut visited) = run_visit(visit, global)? else {
        return Ok(None);
    };
    let outcome = visited.pop().map(|visit| visit.outcome);
    Ok(Some(match outcome {
        Some(VisitOutcome::Started { calls, .. }) => {
            let loads = calls.into_iter().step_by(2);
            loads.map(|call| tools_of_load(call.response)).collect()
        }
        Some(VisitOutcome::Broken(failure)) => {
            vec![Err(failure.reason.clone()); proposals.len()]
        }
        Some(VisitOutcome::Interrupted) | None => Vec::new(),
    }))
}

/// Returns the tools in the result of a load, or the reason why the server does not start.
fn tools_of_load(response: Result<RawResponse, CallError>) -> Listed {
    let result = match response {
        Ok(RawResponse::Result(result)) => result,
        Ok(RawResponse::Error(error)) => return Err(error),
        Err(error) => return Err(error.to_string()),
    };
    let result: Value = serde_json::from_str(&result).unwrap_or_default();
    let content = &result["structuredContent"];
    if let Some(error) = content["error"].as_str() {
        return Err(error.to_owned());
    }
    let tools = content["tools"].as_array().into_iter().flatten();
    Ok(tools
        .filter_map(|it| it.as_str().map(str::to_owned))
        .collect())
}

/// Starts the servers, a few at once. Starts a server whose tools, at its index, are not `is_good` once more, alone: some
/// servers cannot run at the same time, such as two that need one port. Returns `None` if a signal interrupted the starts.
fn tools(
    servers: &[ServerSpec],
    global: &Global,
    is_good: impl Fn(usize, &Listed) -> bool,
) -> Result<Option<Vec<Listed>>, CliError> {
    let mut listed = Vec::new();
    for some in servers.chunks(AT_ONCE) {
        let Some(mut found) = tools_at_once(some.to_vec(), global)? else {
            return Ok(None);
        };
        let first = listed.len();
        for (at, spec) in some.iter().enumerate() {
            if some.len() > 1 && !is_good(first + at, &found[at]) {
                let Some(alone) = tools_at_once(vec![spec.clone()], global)? else {
                    return Ok(None);
                };
                found.splice(at..=at, alone);
            }
        }
        listed.extend(found);
    }
    Ok(Some(listed))
}

/// Starts the servers at once. Returns `None` if a signal interrupted the starts.
fn tools_at_once(
    servers: Vec<ServerSpec>,
    global: &Global,
) -> Result<Option<Vec<Listed>>, CliError> {
    let listed = |visit: ServerVisit| match visit.outcome {
        VisitOutcome::Started { snapshot, .. } => {
            let names = snapshot.tool_names().into_iter();
            Ok(names.map(str::to_owned).collect())
        }
        VisitOutcome::Broken(failure) => Err(failure.reason.clone()),
        VisitOutcome::Interrupted => Err("was interrupted".to_owned()),
    };
    let visited = run_visit(visit_of(servers), global)?;
    Ok(visited.map(|visited| visited.into_iter().map(listed).collect()))
}

fn visit_of(servers: Vec<ServerSpec>) -> Visit {
    Visit {
        servers,
        max_message: Config::default().max_message,
        era: None,
        calls: Vec::new(),
        declares_input: false,
        listed_only: false,
        call_timeout: None,
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
