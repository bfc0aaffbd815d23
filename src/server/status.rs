//! What is told of a server to people and models that ask.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What people want to know of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// `running`, `starting`, `broken`, …
    pub(crate) state: &'static str,
    /// Why it did not work, if it does not.
    pub(crate) last_error: Option<String>,
    /// Why it may be reloaded more often than the user saves.
    pub(crate) hint: Option<String>,
    /// Commits after the first, and when the last was.
    pub(crate) reloads: u32,
    pub(crate) reloaded: Option<Instant>,
}

/// What of a server's files is watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchedFiles {
    /// The globs in force, relative to the working directory.
    pub(crate) globs: Arc<Mutex<Vec<String>>>,
    /// How many files are watched, kept up to date while they come and go.
    pub(crate) count: Arc<AtomicUsize>,
}
