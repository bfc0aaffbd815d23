//! Generations of a server that have not ended, by number. The state machine decides which of them is active.

use std::sync::{Arc, Weak};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::client_settings::ClientSettings;
use super::super::connection::Connection;
use super::super::generation::{ProvenGeneration, RunningGeneration};
use super::super::serving_process::ServingProcess;
use super::super::state::{StartCause, State};
use super::Supervisor;
use crate::lock::locked;

/// Generation from its build or start to its end.
#[derive(Debug)]
pub(super) enum Generation {
    /// Is built, or starts as the candidate, until this is cancelled.
    Starting(CancellationToken),
    /// Has proved itself and is about to be committed.
    Proven(Box<ProvenGeneration>),
    Active(Box<ActiveGeneration>),
    /// Finishes its requests.
    Draining(Arc<Connection>),
}

/// Generation that answers requests.
#[derive(Debug)]
pub(super) struct ActiveGeneration {
    pub(super) running: RunningGeneration,
    pub(super) stream: Option<u64>,
    /// Client's settings that the generation was given.
    pub(super) sent_settings: ClientSettings,
    /// Cancelled when the generation is replaced or has ended.
    pub(super) ended: CancellationToken,
    pub(super) _ended: DropGuard,
}

impl Supervisor {
    /// Returns the active generation.
    pub(super) fn active(&self) -> Option<&ActiveGeneration> {
        match self.generations.get(&self.machine.active()?)? {
            Generation::Active(active) => Some(active),
            _ => None,
        }
    }

    /// Returns the active generation.
    pub(super) fn active_mut(&mut self) -> Option<&mut ActiveGeneration> {
        match self.generations.get_mut(&self.machine.active()?)? {
            Generation::Active(active) => Some(active),
            _ => None,
        }
    }

    /// Returns the process of an active generation to which the link was lost, if its successor starts.
    pub(super) fn lasting_process(&self) -> Option<Weak<ServingProcess>> {
        let follows = self.machine.state() == State::Starting(StartCause::Crash);
        let active = self.active().filter(|_| follows)?;
        let process = active.running.backend.http_process()?;
        Some(Arc::downgrade(&process.process))
    }

    /// Returns true if the process runs on at a save, because it reloads itself.
    pub(super) fn keeps_process(&self) -> bool {
        let kept = locked(&self.shared.kept_process);
        kept.as_ref()
            .is_some_and(|process| !process.child.has_exited())
    }

    /// Returns the connections of the draining generations.
    pub(super) fn draining(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.generations.values().filter_map(|it| match it {
            Generation::Draining(connection) => Some(connection),
            _ => None,
        })
    }

    /// Returns the reason for holding requests while an old generation must end first.
    pub(super) fn drain_reason(&self) -> &'static str {
        // The state machine may have given up a generation that does not drain yet.
        let has_parked = |generation: &Generation| match generation {
            Generation::Active(active) => active.running.connection.parked_calls() > 0,
            Generation::Draining(connection) => connection.parked_calls() > 0,
            Generation::Starting(_) | Generation::Proven(_) => false,
        };
        if self.generations.values().any(has_parked) {
            "the old generation to drain, which waits for input from the client"
        } else {
            "the old generation to drain"
        }
    }

    /// Returns the connections of all generations that may have requests in flight.
    pub(super) fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let active = self.active().map(|it| &it.running.connection);
        active.into_iter().chain(self.draining())
    }
}
