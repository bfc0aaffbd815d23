//! Rehearsed calls: which candidates answer them, and the answers of the code that is live.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::connection::Connection;
use super::super::rehearsing::{Learning, Rehearsal, RehearsalResult};
use super::super::state::{StartCause, State, Succession};
use super::{Supervisor, rules};
use crate::event::RehearsalReport;
use crate::lock::locked;

impl Supervisor {
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
        Some(Rehearsal {
            calls: self.context.spec.rehearse.clone(),
            limit: self.context.spec.timeouts.rehearsal,
            live: self.active().map(|it| it.running.connection.clone()),
        })
    }

    /// Returns true if candidates answer calls. A remote server may be the same process after a reconnection.
    fn rehearses(&self) -> bool {
        !self.context.spec.rehearse.is_empty() && self.context.spec.remote.is_none()
    }

    /// Remembers the answers of the candidate that goes live; returns the report about them.
    pub(super) fn take_rehearsal(
        &self,
        result: Option<RehearsalResult>,
    ) -> Option<RehearsalReport> {
        let RehearsalResult {
            mut report,
            answers,
            ..
        } = result?;
        locked(&self.shared.remembered_answers).add(answers);
        report.hide(&locked(&self.context.resources.events.hidden()));
        Some(report)
    }

    /// Begins to learn the answers of the code that has gone live on `connection`, until it is `ended`.
    pub(super) fn learn_answers(&self, connection: Arc<Connection>, ended: CancellationToken) {
        if !self.rehearses() || !self.context.resources.watches_files {
            return;
        }
        let spec = &self.context.spec;
        let learning = Learning {
            server: self.name(),
            calls: spec.rehearse.clone(),
            limit: spec.timeouts.rehearsal,
            is_twice: rules(spec).succession != Succession::Overlap,
            connection,
            shared: self.shared.clone(),
            events: self.context.resources.events.clone(),
        };
        self.tasks
            .spawn(ended.run_until_cancelled_owned(learning.run()));
    }
}
