//! Rehearsed calls: which candidates answer them, and the answers of the code that is live.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::connection::Connection;
use super::super::lists::Lists;
use super::super::recent_calls::{CallRecorder, admits_asked, is_repeatable};
use super::super::rehearsing::{Learning, Rehearsal, RehearsalResult, unknown_tool};
use super::super::state::{StartCause, State, Succession};
use super::{Supervisor, rules};
use crate::config::RehearsedCall;
use crate::event::{Event, RehearsalReport};
use crate::lock::locked;
use crate::mcp::{List, ListKind};

/// Maximum number of calls that a client asks to rehearse.
const MAX_ASKED: usize = 16;

impl Supervisor {
    /// Adds `call` to the rehearsed calls, or removes it if it is not `wanted`. Of too many, the oldest ends.
    pub(super) fn on_rehearse(&mut self, call: RehearsedCall, wanted: bool) {
        self.asked_rehearsals.retain(|it| *it != call);
        if wanted {
            self.asked_rehearsals.push(call);
        }
        if self.asked_rehearsals.len() > MAX_ASKED {
            self.asked_rehearsals.remove(0);
        }
        let asked = self.asked_rehearsals.clone();
        self.shared.describe(|it| it.asked_rehearsals = asked);
        if !wanted {
            return;
        }
        if let Some(active) = self.active() {
            let connection = active.running.connection.clone();
            self.learn_answers(connection, active.ended.clone());
        }
    }

    /// Returns the calls of the user, and after them those that the client asks for and the live code may get.
    fn rehearsed_calls(&self) -> Vec<RehearsedCall> {
        let spec = &self.context.spec;
        let mut calls = spec.rehearsed_calls();
        let snapshot = self.shared.snapshot.borrow().clone();
        let tools = snapshot.list(ListKind::Tools);
        let asked = self
            .asked_rehearsals
            .iter()
            .filter(|it| !calls.contains(it) && admits_asked(tools, it, &spec.rehearse_tools));
        let asked: Vec<_> = asked.cloned().collect();
        calls.extend(asked);
        calls
    }

    /// Returns the rehearsal of the candidate that starts, if it is for new code: after a save or a request for a
    /// reload, or as long as a candidate was held back.
    pub(super) fn rehearsal(&self) -> Option<Rehearsal> {
        let is_held = self.failure.as_ref().is_some_and(|it| it.held);
        let is_new = matches!(
            self.machine.state(),
            State::Starting(StartCause::Save | StartCause::Asked)
        );
        let has_predecessor = self.shared.snapshot.borrow().generation > 0;
        if !self.rehearses() || !has_predecessor || !is_new && !is_held {
            return None;
        }
        let spec = &self.context.spec;
        Some(Rehearsal {
            calls: self.rehearsed_calls(),
            user_calls: spec.rehearsed_calls().len(),
            repeatable_tools: spec.rehearse_tools.clone(),
            with_recorded: spec.rehearses_recorded(),
            limit: spec.timeouts.rehearsal,
            live: self.active().map(|it| it.running.connection.clone()),
        })
    }

    /// Returns true if candidates answer calls. A remote server may be the same process after a reconnection.
    fn rehearses(&self) -> bool {
        let spec = &self.context.spec;
        let is_wanted = !spec.rehearse.is_empty() || !self.asked_rehearsals.is_empty();
        is_wanted && spec.remote.is_none()
    }

    /// Remembers the answers of the candidate that goes live; returns the report about them, if there was any call.
    pub(super) fn take_rehearsal(
        &self,
        result: Option<RehearsalResult>,
    ) -> Option<RehearsalReport> {
        let RehearsalResult {
            mut report,
            answers,
            ..
        } = result?;
        let named = self.rehearsed_calls();
        locked(&self.shared.remembered_answers).add(answers, &named);
        if report.calls.is_empty() {
            return None;
        }
        report.hide(&locked(&self.context.resources.events.hidden()));
        Some(report)
    }

    /// Begins to learn the answers of the code that has gone live on `connection`, until it is `ended`.
    pub(super) fn learn_answers(&self, connection: Arc<Connection>, ended: CancellationToken) {
        let (spec, calls) = (&self.context.spec, self.rehearsed_calls());
        let is_needed = self.rehearses() && self.context.resources.watches_files;
        if !is_needed || calls.is_empty() {
            return;
        }
        let learning = Learning {
            server: self.name(),
            calls,
            limit: spec.timeouts.rehearsal,
            is_twice: rules(spec).succession != Succession::Overlap,
            connection,
            shared: self.shared.clone(),
            events: self.context.resources.events.clone(),
        };
        self.tasks
            .spawn(ended.run_until_cancelled_owned(learning.run()));
    }

    /// Records the calls of clients to the tools in `lists` on `connection`, if new code rehearses such calls.
    pub(super) fn record_calls(&self, lists: &Lists, connection: &Connection) {
        let spec = &self.context.spec;
        let tools = &lists[ListKind::Tools.index()];
        let recorder = match tools {
            Ok(tools) if self.rehearses() && spec.rehearses_recorded() => Some(CallRecorder::new(
                tools,
                &spec.rehearse_tools,
                self.context.resources.has_other_sessions,
                connection.generation,
                self.shared.recent_calls.clone(),
            )),
            _ => {
                locked(&self.shared.recent_calls).clear();
                None
            }
        };
        connection.set_call_recorder(recorder.map(Arc::new));
    }

    /// Warns of settings by which no recorded call of a tool is rehearsed, unless a generation `before` was live, and its
    /// start has warned already; 0 stands for none.
    pub(super) fn warn_of_unrehearsed_tools(&self, before: u64, lists: &Lists) {
        let spec = &self.context.spec;
        let is_meant = before == 0 && self.rehearses();
        let (Ok(tools), true) = (&lists[ListKind::Tools.index()], is_meant) else {
            return;
        };
        let warn = |message: String| {
            self.context.resources.events.send(Event::RehearsalWarning {
                server: self.name(),
                message,
            });
        };
        let unknown = spec.rehearse_tools.iter();
        for name in unknown.filter(|it| tools.find(it).is_none()) {
            warn(format!(
                "`rehearse_tools`: {}",
                unknown_tool(name, Some(tools))
            ));
        }
        if spec.rehearses_recorded() && !offers_repeatable(tools, &spec.rehearse_tools) {
            let message = "no recorded call is rehearsed: no tool declares `readOnlyHint` or `idempotentHint`, and \
                           none is named in `rehearse_tools`";
            warn(message.to_owned());
        }
    }
}

fn offers_repeatable(tools: &List, named: &[String]) -> bool {
    tools.all().any(|it| is_repeatable(it, named))
}
