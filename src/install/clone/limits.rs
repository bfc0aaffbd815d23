//! Limits on the cost of a repository, and the resources used so far. Pure.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CloneError;

/// Limits on the cost of a repository.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Time limit for a server that sends no data.
    pub(crate) silence: Duration,
    /// Time limit for the whole clone, since a server could send small pieces for ever.
    pub(crate) whole: Duration,
    /// Bytes to fetch.
    pub(crate) download: u64,
    /// Total bytes of the files.
    pub(crate) unpacked: u64,
    /// Number of files, folders, links and submodules.
    pub(crate) entries: u64,
    /// Nesting depth of folders. Removing a folder opens one file per level.
    pub(crate) depth: usize,
    /// Bytes of memory of the worker process.
    pub(crate) memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            whole: Duration::from_secs(900),
            download: 512 << 20,
            unpacked: 2 << 30,
            entries: 200_000,
            depth: 256,
            memory: 2 << 30,
        }
    }
}

impl Limits {
    /// Returns the limits that remain after one repository.
    pub(super) fn without(mut self, taken: ResourceUsage) -> Self {
        self.download = self.download.saturating_sub(taken.download);
        self.unpacked = self.unpacked.saturating_sub(taken.unpacked);
        self.entries = self.entries.saturating_sub(taken.entries);
        self
    }

    pub(super) fn check_download(&self, bytes: u64) -> Result<(), CloneError> {
        if bytes > self.download {
            return Err(CloneError::TooLarge(format!(
                "more than {} MiB to fetch",
                self.download >> 20
            )));
        }
        Ok(())
    }
}

/// Share of the [`Limits`] that a repository and its submodules used.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResourceUsage {
    pub(super) download: u64,
    pub(super) unpacked: u64,
    pub(super) entries: u64,
}

impl AddAssign for ResourceUsage {
    fn add_assign(&mut self, other: Self) {
        self.download += other.download;
        self.unpacked += other.unpacked;
        self.entries += other.entries;
    }
}
