//! Status of a server, for users and models.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

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
}

/// Description of a server's watched files.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchedFiles {
    /// Globs in force, relative to the working directory.
    pub(crate) globs: Arc<Mutex<Vec<String>>>,
    /// Number of watched files, updated as files come and go.
    pub(crate) count: Arc<AtomicUsize>,
}
