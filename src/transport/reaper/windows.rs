//! Nothing to reap on Windows: the processes of a job end with the proxy. Directories of a killed proxy stay in the
//! folder for temporary files.

use std::path::Path;

/// Guards nothing.
#[derive(Debug, Clone)]
pub(crate) struct Reaper;

impl Reaper {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Returns a reaper that guards nothing.
    #[cfg(test)]
    pub(crate) fn absent() -> Self {
        Self
    }

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "other systems use it")]
    pub(crate) fn start(&self) {}

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "other systems use it")]
    pub(crate) fn remove(&self, _directory: &Path) {}
}

/// Does nothing: no process starts the hidden subcommand.
pub(crate) fn main(_mark: &str) {}
