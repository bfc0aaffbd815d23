//! Status of a server, for users and models.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::gate::GateStatus;
use super::state::State;
use crate::config::RehearsedCall;
use crate::event::RehearsalReport;

/// Snapshot of a server's status.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// State in words: `running`, `starting`, `broken`, …
    pub(crate) state: &'static str,
    /// Latest failure, until a generation goes live.
    pub(crate) last_error: Option<String>,
    /// Suspected reason for reloads without saves by the user.
    pub(crate) hint: Option<String>,
    /// Number of commits after the first, and the time of the last of them.
    pub(crate) reloads: u32,
    pub(crate) reloaded: Option<Instant>,
    /// Answers of the last reload to rehearsed calls, if there were any.
    pub(crate) rehearsal: Option<RehearsalReport>,
    /// Rehearsed calls that a client or the page asks for.
    pub(crate) asked_rehearsals: Vec<RehearsedCall>,
}

/// Description of a server's watched files.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchedFiles {
    /// Globs in force, relative to the working directory, each with its reason.
    pub(crate) globs: Arc<Mutex<Vec<(String, &'static str)>>>,
    /// Number of watched files, updated as files come and go.
    pub(crate) count: Arc<AtomicUsize>,
}

/// Returns the state in the words of [`Status::state`].
pub(super) fn state_in_words(state: State, gate_status: GateStatus) -> &'static str {
    match state {
        State::Idle => "not started",
        State::Building(_) => "building",
        State::MakingRoom(_) | State::Starting(_) => "starting",
        State::Live if gate_status == GateStatus::Held => "checking a touched file",
        State::Live => "running",
        State::Broken { retry_at: Some(_) } => "unreachable",
        State::Broken { .. } => "broken",
        State::Restarting { .. } => "restarting after a crash",
        State::Stopped => "stopped",
    }
}
