//! Proof of a setup: each server is started as it is and through the proxy, which must list the same tools.

use std::ffi::OsString;

use super::super::selection::run_visit;
use super::super::{CliError, Global};
use crate::app::visit::{ServerVisit, Visit, VisitOutcome};
use crate::config::{Config, ServerSpec};
use crate::output;
use crate::setup::Proposal;

/// Number of servers that are started at once.
const AT_ONCE: usize = 4;

/// Reason against wrapping a server, as a clause about the server.
type Verdict = Result<(), String>;

/// Names of a server's tools, or the reason why it does not start.
type Listed = Result<Vec<String>, String>;

/// Starts each server as it is, and through the proxy if it starts. Returns a verdict for each, in the given order;
/// `None` if a signal interrupted the proof.
pub(super) fn prove(
    proposals: &[Proposal],
    global: &Global,
) -> Result<Option<Vec<Verdict>>, CliError> {
    let mut verdicts = Vec::new();
    for some in proposals.chunks(AT_ONCE) {
        match prove_some(some, global)? {
            Some(found) => verdicts.extend(found),
            None => return Ok(None),
        }
    }
    Ok(Some(verdicts))
}

fn prove_some(proposals: &[Proposal], global: &Global) -> Result<Option<Vec<Verdict>>, CliError> {
    let plain = proposals.iter().map(|it| it.spec.clone());
    let Some(plain) = tools(plain.collect(), global)? else {
        return Ok(None);
    };
    let starting = proposals.iter().zip(&plain).filter(|(_, it)| it.is_ok());
    let quiet = Global {
        verbose: 0,
        quiet: true,
        color: global.color,
        log: global.log.clone(),
        log_format: global.log_format,
    };
    let wrapped = starting.map(|(proposal, _)| wrapped_spec(proposal));
    let Some(wrapped) = tools(wrapped.collect(), &quiet)? else {
        return Ok(None);
    };
    let mut wrapped = wrapped.into_iter();
    let verdicts = plain.into_iter().map(|plain| {
        let expected = plain.map_err(|reason| format!("does not start: {reason}"))?;
        let found = wrapped.next().unwrap_or_else(|| Ok(Vec::new()));
        let found =
            found.map_err(|reason| format!("does not start through mcp-proxy: {reason}"))?;
        match expected.iter().find(|tool| !found.contains(tool)) {
            Some(missing) => Err(format!(
                "lists the tool `{}`, but not through mcp-proxy",
                output::clean(missing)
            )),
            None => Ok(()),
        }
    });
    Ok(Some(verdicts.collect()))
}

/// Starts the servers. Returns `None` if a signal interrupted the starts.
fn tools(servers: Vec<ServerSpec>, global: &Global) -> Result<Option<Vec<Listed>>, CliError> {
    let visit = Visit {
        servers,
        max_message: Config::default().max_message,
        era: None,
        calls: Vec::new(),
        listed_only: false,
        call_timeout: None,
    };
    let listed = |visit: ServerVisit| match visit.outcome {
        VisitOutcome::Started { snapshot, .. } => {
            let names = snapshot.tool_names().into_iter();
            Ok(names.map(str::to_owned).collect())
        }
        VisitOutcome::Broken(failure) => Err(failure.reason.clone()),
        VisitOutcome::Interrupted => Err("was interrupted".to_owned()),
    };
    let visited = run_visit(visit, global)?;
    Ok(visited.map(|visited| visited.into_iter().map(listed).collect()))
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
