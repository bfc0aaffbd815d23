//! Judges the tools of a server by the rules of its client.

use std::collections::HashSet;

use super::super::connection::Connection;
use super::super::lists::Lists;
use super::super::result_checks::{ResultChecks, ResultFault};
use super::Supervisor;
use crate::config::OnBadTool;
use crate::contract::{ClientVersion, LintLevel, ResultLimit, lint};
use crate::event::Event;
use crate::jsonrpc::Members;
use crate::mcp::ListKind;

/// Faults that were reported.
#[derive(Debug, Default)]
pub(super) struct ReportedFaults {
    /// Errors in the newest definitions.
    errors: HashSet<String>,
    /// Tools with faulty results.
    results: HashSet<(String, ResultFault)>,
}

impl Supervisor {
    /// Returns the connected client; `None` if its rules are unknown.
    pub(super) fn known_client(&self) -> Option<ClientVersion> {
        let info = Members::of(self.hello.identity.client_info.as_deref()?);
        let [name, version] = ["name", "version"].map(|it| info.text(it).unwrap_or_default());
        ClientVersion::of_info(&name, &version)
    }

    /// Judges the tools in `lists`, which were just read. Withholds those that would cost the client others, if the
    /// configuration says so. Returns the events about errors that were not found at the last time.
    pub(super) fn judge_tools(&mut self, lists: &mut Lists) -> Vec<Event> {
        let (Ok(tools), Some(client)) = (&mut lists[ListKind::Tools.index()], self.known_client())
        else {
            return Vec::new();
        };
        let mut errors = lint(&self.context.spec.name, tools, &[client]);
        let is_renamed = self.context.resources.renames_tools;
        errors.retain(|it| {
            let is_mended = it.is_of_page() || is_renamed && it.pointer == "/name";
            it.level == LintLevel::Error && !is_mended
        });
        let leaves_out = self.context.spec.on_bad_tool == OnBadTool::LeaveOut;
        for finding in errors.iter().filter(|_| leaves_out) {
            if let Some(effect) = finding.effect_on_other_tools() {
                let reason = format!("{}; {client} {effect}", finding.place());
                tools.withhold(&finding.tool, &reason);
            }
        }
        let mut found = HashSet::new();
        let mut is_new = |text: String| {
            let is_known = self.tool_faults.errors.contains(&text);
            found.insert(text) && !is_known
        };
        let mut events = Vec::new();
        for withheld in tools.withheld() {
            let (tool, reason) = (withheld.entry.name.clone(), withheld.reason.clone());
            if is_new(format!("{tool} is left out: {reason}")) {
                let server = self.name();
                events.push(Event::ToolLeftOut {
                    server,
                    tool,
                    reason,
                });
            }
        }
        errors.retain(|it| {
            tools.entries.iter().any(|tool| tool.name == it.tool) || it.tool.is_empty()
        });
        let places = errors
            .iter()
            .map(|it| format!("{} {}", it.tool, it.place()));
        let places: Vec<String> = places.filter(|it| is_new(it.clone())).collect();
        if !places.is_empty() {
            events.push(Event::ToolsRejected {
                server: self.name(),
                client: client.to_string(),
                places,
            });
        }
        self.tool_faults.errors = found;
        events
    }

    /// Checks the results of calls on `connection` against the tools in `lists` and the limit of the client.
    pub(super) fn check_results(&self, lists: &Lists, connection: &Connection) {
        let Ok(tools) = &lists[ListKind::Tools.index()] else {
            return;
        };
        let limit = self.known_client().and_then(|client| {
            let mut limit = ResultLimit::of(client)?;
            // A client passes its own variables on to the proxy.
            let changed = std::env::var(limit.variable).ok();
            limit.tokens = changed
                .and_then(|it| it.parse().ok())
                .unwrap_or(limit.tokens);
            Some((client, limit))
        });
        let checks = ResultChecks::new(tools, &self.tool_faults.results, limit);
        connection.set_result_checks(checks);
    }

    /// Reports a fault of a tool's results once.
    pub(super) fn report_result_fault(&mut self, tool: &str, fault: ResultFault, reason: &str) {
        let is_new = self.tool_faults.results.insert((tool.to_owned(), fault));
        if is_new {
            let (tool, reason) = (tool.to_owned(), reason.to_owned());
            let server = self.name();
            self.send_events(vec![Event::ResultFaulty {
                server,
                tool,
                reason,
            }]);
        }
    }

    /// Sends events.
    pub(super) fn send_events(&self, events: Vec<Event>) {
        for event in events {
            self.context.resources.events.send(event);
        }
    }
}
