//! Report of a check: tables for people, JSON, `JUnit` XML and SARIF for programs.

mod junit;
mod sarif;

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::config::faults_json;
use super::super::result_text::{message, ms, raw, shorten, succeeded, unfinished};
use super::super::table::TextTable;
use super::baseline::{self, FoundChange};
use super::lint::{self, LintReport};
use crate::app::visit::{CallResult, VisitOutcome};
use crate::config::Fault;
use crate::event::Failure;
use crate::jsonrpc::{METHOD_NOT_FOUND, Members, elements};
use crate::mcp::{Era, ListKind};
use crate::output::palette::{BAD, DIM, GOOD, HEAD};
use crate::output::{clean, duration};
use crate::server::{Handshake, RawResponse, Snapshot};
pub(super) use junit::junit;
pub(super) use sarif::sarif;

/// Report about one server, as a JSON object whose members are always present. Members of MCP keep their MCP names.
#[derive(Debug, Default, Serialize)]
pub(super) struct ServerReport<'a> {
    name: &'a str,
    ok: bool,
    era: Option<&'static str>,
    #[serde(rename = "protocolVersion")]
    protocol_version: Option<String>,
    #[serde(rename = "serverInfo")]
    server_info: Option<Box<RawValue>>,
    start_ms: Option<u64>,
    tools: Vec<&'a str>,
    prompts: Vec<&'a str>,
    resources: Vec<&'a str>,
    resource_templates: Vec<&'a str>,
    list_errors: Vec<ListError>,
    calls: Vec<CallReport<'a>>,
    /// `None` without `--lint` and for a server that did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    lint: Option<Vec<LintReport>>,
    /// `None` without `--against` and for a server that did not start.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<FoundChange>>,
    failure: Option<FailureReport<'a>>,
    /// True if only the saved lists have the server.
    #[serde(skip)]
    is_gone: bool,
}

#[derive(Debug, Serialize)]
struct ListError {
    method: &'static str,
    error: Option<Box<RawValue>>,
}

/// Call with either a result, an error of the server, or a reason why there is neither.
#[derive(Debug, Default, Serialize)]
struct CallReport<'a> {
    tool: &'a str,
    ok: bool,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Methods of the server's requests to the client, which a check refuses.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    requested: &'a [String],
}

#[derive(Debug, Serialize)]
struct FailureReport<'a> {
    reason: &'a str,
    advice: Option<&'a str>,
    stderr: &'a [String],
}

impl<'a> ServerReport<'a> {
    /// Creates the report about the server `name`.
    pub(super) fn new(name: &'a str, findings: &'a VisitOutcome) -> Self {
        let report = Self {
            name,
            ..Self::default()
        };
        match findings {
            VisitOutcome::Interrupted => report,
            VisitOutcome::Broken(failure) => Self {
                failure: Some(broken(failure)),
                ..report
            },
            VisitOutcome::Started {
                handshake,
                snapshot,
                calls,
            } => report.started(handshake, snapshot, calls),
        }
    }

    /// Creates the report about the server `name` in `era`, which a server that does not start cannot tell. A call
    /// counts as successful if it `works` in that era.
    pub(super) fn in_era(
        name: &'a str,
        findings: &'a VisitOutcome,
        era: Era,
        works: fn(&CallResult) -> bool,
    ) -> Self {
        let mut report = Self::new(name, findings);
        report.era = Some(era.name());
        if let VisitOutcome::Started { calls, .. } = findings {
            for (call, found) in report.calls.iter_mut().zip(calls) {
                call.ok = works(found);
            }
            report.ok = report.list_errors.is_empty() && report.calls.iter().all(|call| call.ok);
        }
        report
    }

    /// Creates the report about a server that only the saved lists have.
    pub(super) fn gone(name: &'a str, changes: Vec<FoundChange>) -> Self {
        Self {
            name,
            changes: Some(changes),
            is_gone: true,
            ..Self::default()
        }
    }

    fn started(
        self,
        handshake: &Handshake,
        snapshot: &'a Snapshot,
        calls: &'a [CallResult],
    ) -> Self {
        let names = |kind| {
            let list = snapshot.list(kind).into_iter();
            list.flat_map(|list| &list.entries)
                .map(|entry| entry.name.as_str())
                .collect()
        };
        let list_errors = list_errors(snapshot);
        let calls: Vec<_> = calls.iter().map(CallReport::new).collect();
        Self {
            ok: list_errors.is_empty() && calls.iter().all(|call| call.ok),
            era: Some(handshake.era.name()),
            protocol_version: handshake.protocol_version(),
            server_info: handshake.introduces_itself_as().as_deref().and_then(raw),
            start_ms: Some(ms(snapshot.took)),
            tools: names(ListKind::Tools),
            prompts: names(ListKind::Prompts),
            resources: names(ListKind::Resources),
            resource_templates: names(ListKind::Templates),
            list_errors,
            calls,
            ..self
        }
    }

    /// Adds the findings about the tools.
    pub(super) fn add_lint(&mut self, findings: Vec<LintReport>) {
        self.ok &= !findings.iter().any(LintReport::is_error);
        self.lint = Some(findings);
    }

    /// Adds the changes since a saved state.
    pub(super) fn add_changes(&mut self, changes: Vec<FoundChange>) {
        self.ok &= !changes.iter().any(FoundChange::is_breaking);
        self.changes = Some(changes);
    }

    /// Returns the name of the server.
    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the findings of the lint; `None` without a lint.
    pub(super) fn lint(&self) -> Option<&[LintReport]> {
        self.lint.as_deref()
    }

    /// Returns the changes since a saved state; `None` without a comparison.
    pub(super) fn changes(&self) -> Option<&[FoundChange]> {
        self.changes.as_deref()
    }

    /// Returns true if the server started, every list and call succeeded, no finding is an error, and no change breaks
    /// callers.
    pub(super) fn ok(&self) -> bool {
        self.ok
    }

    /// Returns the JSON object on one line.
    pub(super) fn json(&self) -> String {
        line(self)
    }

    /// Returns coloured lines about a server that started.
    pub(super) fn table(&self) -> String {
        let mut text = self.head();
        for (what, names) in [
            ("tools", &self.tools),
            ("prompts", &self.prompts),
            ("resources", &self.resources),
            ("templates", &self.resource_templates),
        ] {
            let joined = names.join(", ");
            let line = format!("  {what:<10}{:>4}  {}", names.len(), clean(&joined));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for list in &self.list_errors {
            let message = message(list.error.as_deref());
            let _ = writeln!(text, "  {BAD}✗{BAD:#} {}: {message}", list.method);
        }
        for call in &self.calls {
            let (style, mark) = if call.ok { (GOOD, '✓') } else { (BAD, '✗') };
            let time = duration(Duration::from_millis(call.ms));
            let (name, came) = (clean(call.tool), call.in_short());
            let _ = writeln!(
                text,
                "  {style}{mark}{style:#} {name}  {DIM}{time}{DIM:#}  {came}"
            );
        }
        text
    }

    /// Returns the failures as text, and the calls that ask the client.
    pub(super) fn warnings(&self) -> String {
        let failure = self.failure.iter().map(|it| it.reason.to_owned());
        let lists = self.list_errors.iter();
        let lists = lists.map(|it| format!("{}: {}", it.method, message(it.error.as_deref())));
        let calls = self.calls.iter().filter_map(CallReport::warning);
        let lint = lint::errors(self.lint.as_deref().unwrap_or_default());
        let breaking = baseline::breaking(self.changes.as_deref().unwrap_or_default());
        let all: Vec<_> = failure
            .chain(lists)
            .chain(calls)
            .chain(lint)
            .chain(breaking)
            .collect();
        all.join("; ")
    }

    fn row(&self) -> (Style, [String; 9]) {
        let (style, state) = match (&self.failure, self.ok) {
            _ if self.is_gone => (BAD, "gone"),
            (Some(_), _) => (BAD, "broken"),
            (None, true) => (Style::new(), "ok"),
            (None, false) => (BAD, "faulty"),
        };
        let time = |ms| duration(Duration::from_millis(ms));
        // Nothing is known about a server that did not start.
        let count = |names: usize| match self.failure {
            None if !self.is_gone => names.to_string(),
            _ => String::new(),
        };
        let cells = [
            self.name.to_owned(),
            state.to_owned(),
            self.era.unwrap_or_default().to_owned(),
            self.protocol_version.clone().unwrap_or_default(),
            self.start_ms.map(time).unwrap_or_default(),
            count(self.tools.len()),
            count(self.prompts.len()),
            count(self.resources.len() + self.resource_templates.len()),
            self.warnings(),
        ];
        (style, cells)
    }

    fn head(&self) -> String {
        let mut text = format!("{HEAD}{}{HEAD:#}", clean(self.name));
        if let Some(info) = &self.server_info {
            let info = Members::of(info.get());
            for member in ["name", "version"] {
                let _ = write!(text, "  {}", clean(&info.text(member).unwrap_or_default()));
            }
        }
        let era = self.era.unwrap_or_default();
        let version = clean(self.protocol_version.as_deref().unwrap_or_default());
        let time = duration(Duration::from_millis(self.start_ms.unwrap_or_default()));
        let _ = writeln!(text, "  {DIM}{era} {version} · started in {time}{DIM:#}");
        text
    }
}

/// Returns a table with one row per server.
pub(super) fn table(reports: &[&ServerReport<'_>]) -> String {
    let mut table = TextTable::new([
        "SERVER",
        "STATE",
        "ERA",
        "REVISION",
        ">START",
        ">TOOLS",
        ">PROMPTS",
        ">RESOURCES",
        "WARNINGS",
    ]);
    for (style, cells) in reports.iter().map(|report| report.row()) {
        table.row(style, cells);
    }
    table.text()
}

/// Report about the servers of a configuration, as a JSON object; includes the faults of the configuration.
#[derive(Debug, Serialize)]
pub(super) struct CheckReport<'a> {
    ok: bool,
    servers: Vec<ServerReport<'a>>,
    faults: Value,
}

impl<'a> CheckReport<'a> {
    pub(super) fn new(servers: Vec<ServerReport<'a>>, faults: &[Fault]) -> Self {
        Self {
            ok: faults.is_empty() && servers.iter().all(ServerReport::ok),
            servers,
            faults: faults_json(faults),
        }
    }

    /// Returns the JSON object on one line.
    pub(super) fn json(&self) -> String {
        line(self)
    }
}

/// Returns `object` as JSON on one line.
pub(super) fn line(object: &impl Serialize) -> String {
    let text = serde_json::to_string(object).expect("all map keys of a report are strings");
    text + "\n"
}

impl<'a> CallReport<'a> {
    fn new(called: &'a CallResult) -> Self {
        let call = Self {
            tool: &called.tool,
            ms: ms(called.took),
            requested: &called.requested,
            ..Self::default()
        };
        match &called.response {
            Ok(RawResponse::Result(result)) => Self {
                ok: succeeded(result),
                result: raw(result),
                ..call
            },
            Ok(RawResponse::Error(error)) => Self {
                error: raw(error),
                ..call
            },
            Err(error) => Self {
                reason: Some(error.to_string()),
                ..call
            },
        }
    }

    /// Returns the failure on one line, or the reason why a call that failed counts as successful.
    fn warning(&self) -> Option<String> {
        let tool = self.tool;
        if !self.ok {
            return Some(format!("`{tool}`: {}", self.in_short()));
        }
        let method = self.requested.first()?;
        Some(format!(
            "`{tool}` asks the client (`{method}`), which a check does not answer"
        ))
    }

    /// Returns the first line of the first content, or the failure.
    fn in_short(&self) -> String {
        if let Some(reason) = &self.reason {
            return reason.clone();
        }
        let Some(result) = &self.result else {
            return message(self.error.as_deref());
        };
        let result = Members::of(result.get());
        if let Some(kind) = unfinished(&result) {
            return format!("result type is `{kind}`, not `complete`");
        }
        let content = result.get("content").and_then(elements).unwrap_or_default();
        let text = content.first().map(|first| {
            Members::of(first)
                .text("text")
                .unwrap_or_default()
                .into_owned()
        });
        shorten(text.as_deref().unwrap_or_default())
    }
}

fn list_errors(snapshot: &Snapshot) -> Vec<ListError> {
    let failed = failed_lists(snapshot).map(|(kind, error)| ListError {
        method: kind.method(),
        error: raw(error),
    });
    failed.collect()
}

/// Returns the lists that the server declared and did not give, with its errors. An unknown method for templates is no
/// error: many servers with resources do not implement templates.
pub(super) fn failed_lists(snapshot: &Snapshot) -> impl Iterator<Item = (ListKind, &str)> {
    let lists = ListKind::ALL.into_iter().zip(&snapshot.lists);
    lists
        .filter_map(|(kind, list)| Some((kind, &**list.as_ref().err()?)))
        .filter(|(kind, error)| {
            let unknown = Members::of(error).get("code") == Some(&METHOD_NOT_FOUND.to_string());
            *kind != ListKind::Templates || !unknown
        })
}

fn broken(failure: &Failure) -> FailureReport<'_> {
    FailureReport {
        reason: &failure.reason,
        advice: failure.advice.as_deref(),
        stderr: &failure.stderr,
    }
}

#[cfg(test)]
mod tests;
