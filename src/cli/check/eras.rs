//! `check --both-eras`: visits each server in both eras and reports which one serves it better.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::super::config::faults_json;
use super::super::result_text::{message, raw, shorten};
use super::super::selection::{ServerSelection, run_visit};
use super::super::{CliError, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, Global, print, print_exact};
use super::report::{ServerReport, line, table};
use super::{CheckArgs, visit};
use crate::app::visit::{CallResult, ServerVisit, VisitOutcome};
use crate::config::EraChoice;
use crate::jsonrpc::{Members, elements};
use crate::mcp::{Era, ListKind};
use crate::output::clean;
use crate::server::{RawResponse, Snapshot};

/// Era that serves a server better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Legacy,
    Modern,
    /// No difference was found.
    Either,
    /// The server starts in none.
    Neither,
}

impl Better {
    fn of(era: Era) -> Self {
        match era {
            Era::Legacy => Self::Legacy,
            Era::Modern => Self::Modern,
        }
    }
}

/// Reports about one server in both eras, as a JSON object.
#[derive(Debug, Serialize)]
struct EraComparison<'a> {
    name: &'a str,
    ok: bool,
    better: Better,
    /// Sentence about the difference.
    reason: String,
    legacy: ServerReport<'a>,
    modern: ServerReport<'a>,
}

/// Comparisons of the servers of a configuration, as a JSON object.
#[derive(Debug, Serialize)]
struct ComparisonReport<'a> {
    ok: bool,
    servers: Vec<EraComparison<'a>>,
    faults: Value,
}

/// Visits the servers in one era after the other, and prints the comparison.
pub(super) fn run(
    args: &CheckArgs,
    calls: &[(String, String)],
    chosen: &ServerSelection,
    global: &Global,
) -> Result<u8, CliError> {
    let visited = |era| {
        let era = Some(era);
        run_visit(visit(args, chosen, calls.to_vec(), era), global)
    };
    let Some(legacy) = visited(EraChoice::Legacy)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let Some(modern) = visited(EraChoice::Modern)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let pairs = legacy.iter().zip(&modern);
    let compared: Vec<_> = pairs
        .map(|(old, new)| EraComparison::new(old, new))
        .collect();
    let all_ok = compared.iter().all(|it| it.ok);
    let is_unusable = |it: &&EraComparison<'_>| it.better == Better::Neither;
    let unusable = compared.iter().find(is_unusable);
    let unusable = unusable.map(|it| CliError::Start(format!("`{}`: {}", it.name, it.reason)));
    let failure = chosen.fault().or(unusable);
    print_comparison(args, chosen, compared)?;
    match failure {
        Some(error) => Err(error),
        None => Ok(if all_ok { EXIT_OK } else { EXIT_FAILURE }),
    }
}

fn print_comparison(
    args: &CheckArgs,
    chosen: &ServerSelection,
    servers: Vec<EraComparison<'_>>,
) -> Result<(), CliError> {
    if !args.json {
        return print(&text(&servers));
    }
    if !args.server.command.is_empty()
        && let [one] = &servers[..]
    {
        return print_exact(&line(one));
    }
    print_exact(&line(&ComparisonReport {
        ok: chosen.faults.is_empty() && servers.iter().all(|it| it.ok),
        servers,
        faults: faults_json(&chosen.faults),
    }))
}

/// Returns a table with two rows per server, and a line about each server.
fn text(servers: &[EraComparison<'_>]) -> String {
    let rows: Vec<_> = servers
        .iter()
        .flat_map(|it| [&it.legacy, &it.modern])
        .collect();
    let mut text = table(&rows);
    for it in servers {
        let key = match it.better {
            Better::Legacy => "set `era = \"legacy\"`: ",
            Better::Modern => "set `era = \"modern\"`: ",
            Better::Either | Better::Neither => "",
        };
        let _ = writeln!(text, "{}: {key}{}", clean(it.name), it.reason);
    }
    text
}

impl<'a> EraComparison<'a> {
    fn new(legacy: &'a ServerVisit, modern: &'a ServerVisit) -> Self {
        let report = |visit: &'a ServerVisit, era| {
            ServerReport::in_era(&visit.server, &visit.outcome, era, works)
        };
        let (legacy_report, modern_report) =
            (report(legacy, Era::Legacy), report(modern, Era::Modern));
        let (better, reason) = compare(
            &legacy.outcome,
            &modern.outcome,
            [&legacy_report, &modern_report],
        );
        Self {
            name: &legacy.server,
            ok: legacy_report.ok() || modern_report.ok(),
            better,
            reason,
            legacy: legacy_report,
            modern: modern_report,
        }
    }
}

/// Returns true if a call succeeds, or would succeed with the client's input.
fn works(call: &CallResult) -> bool {
    match &call.response {
        // The client of a visit refuses to be asked, so the call fails later.
        _ if call.asks() => true,
        Ok(RawResponse::Result(result)) => {
            let result = Members::of(result);
            result.get("isError") != Some("true")
        }
        Ok(RawResponse::Error(_)) | Err(_) => false,
    }
}

/// Returns the era that serves a server better, and the reason; `reports` are those of the two visits.
fn compare(
    legacy: &VisitOutcome,
    modern: &VisitOutcome,
    reports: [&ServerReport<'_>; 2],
) -> (Better, String) {
    let (old, new) = match (legacy, modern) {
        (VisitOutcome::Broken(old), VisitOutcome::Broken(_)) => {
            let reason = format!("it starts in neither era: {}", clean(&old.reason));
            return (Better::Neither, reason);
        }
        (VisitOutcome::Broken(failure), _) => return starts_only_in(Era::Modern, &failure.reason),
        (_, VisitOutcome::Broken(failure)) => return starts_only_in(Era::Legacy, &failure.reason),
        (
            VisitOutcome::Started {
                snapshot: old_lists,
                calls: old,
                ..
            },
            VisitOutcome::Started {
                snapshot: new_lists,
                calls: new,
                ..
            },
        ) => ((old_lists, old), (new_lists, new)),
        _ => return (Better::Neither, "the check was interrupted".to_owned()),
    };
    by_calls(old.1, new.1)
        .or_else(|| by_tools(old.0, new.0))
        .or_else(|| by_failures(reports))
        .unwrap_or_else(|| {
            let hint = if old.1.is_empty() {
                "; `--call` also compares tools that ask the client"
            } else {
                ""
            };
            let reason = format!("both eras serve it equally, `era = \"auto\"` fits{hint}");
            (Better::Either, reason)
        })
}

fn starts_only_in(era: Era, failure: &str) -> (Better, String) {
    let reason = format!("in the other era it {}", clean(failure));
    (Better::of(era), reason)
}

/// Returns the era in which more calls work; None if there is no difference.
fn by_calls(old: &[CallResult], new: &[CallResult]) -> Option<(Better, String)> {
    let count = |calls: &[CallResult]| calls.iter().filter(|call| works(call)).count();
    let (era, better, worse) = match (count(old), count(new)) {
        (old_count, new_count) if old_count > new_count => (Era::Legacy, old, new),
        (old_count, new_count) if old_count < new_count => (Era::Modern, new, old),
        _ => return None,
    };
    let mut pairs = better.iter().zip(worse);
    let (_, failed) = pairs.find(|(better, worse)| works(better) && !works(worse))?;
    let tool = clean(&failed.tool);
    let reason = format!(
        "in the other era the call of `{tool}` fails: {}",
        failure(failed)
    );
    Some((Better::of(era), reason))
}

/// Returns the failure of a call on one line.
fn failure(call: &CallResult) -> String {
    match &call.response {
        Ok(RawResponse::Error(error)) => message(raw(error).as_deref()),
        Ok(RawResponse::Result(result)) => {
            let result = Members::of(result);
            let content = result.get("content").and_then(elements).unwrap_or_default();
            let first = content.first().map(|first| Members::of(first));
            let text = first.as_ref().and_then(|first| first.text("text"));
            shorten(&text.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

/// Returns the era in which nothing fails; [`Better::Either`] if something fails in both, None if nothing does.
fn by_failures([old, new]: [&ServerReport<'_>; 2]) -> Option<(Better, String)> {
    let other = |report: &ServerReport<'_>| {
        format!("in the other era it fails: {}", clean(&report.warnings()))
    };
    match (old.ok(), new.ok()) {
        (true, true) => None,
        (true, false) => Some((Better::Legacy, other(new))),
        (false, true) => Some((Better::Modern, other(old))),
        (false, false) => {
            let reason = format!("it fails in both eras alike: {}", clean(&new.warnings()));
            Some((Better::Either, reason))
        }
    }
}

/// Returns the era in which the server offers tools that it does not offer in the other; None if that holds for both
/// or for none.
fn by_tools(old: &Snapshot, new: &Snapshot) -> Option<(Better, String)> {
    let names = |snapshot: &Snapshot| -> Vec<String> {
        let list = snapshot.list(ListKind::Tools).into_iter();
        list.flat_map(|list| &list.entries)
            .map(|tool| tool.name.clone())
            .collect()
    };
    let (old, new) = (names(old), names(new));
    let missing = |from: &[String], there: &[String]| -> Vec<String> {
        let absent = |name: &&String| !from.contains(name);
        there
            .iter()
            .filter(absent)
            .map(|name| format!("`{}`", clean(name)))
            .collect()
    };
    let (era, missing) = match (missing(&old, &new), missing(&new, &old)) {
        (lacks_old, lacks_new) if lacks_old.is_empty() && !lacks_new.is_empty() => {
            (Era::Legacy, lacks_new)
        }
        (lacks_old, lacks_new) if lacks_new.is_empty() && !lacks_old.is_empty() => {
            (Era::Modern, lacks_old)
        }
        _ => return None,
    };
    let reason = format!("the other era lacks the tools {}", missing.join(", "));
    Some((Better::of(era), reason))
}
