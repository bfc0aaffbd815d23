//! How much a repository may cost, and how much it did. Pure.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CloneError;

/// What a repository may cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// A server that says nothing for so long has failed.
    pub(crate) silence: Duration,
    /// For all of it, since a server could say a little for ever.
    pub(crate) whole: Duration,
    /// Bytes that are fetched.
    pub(crate) download: u64,
    /// Bytes of the files together.
    pub(crate) unpacked: u64,
    /// Files, folders, links and submodules.
    pub(crate) entries: u64,
    /// Folders in each other. A folder is removed with one open file for each.
    pub(crate) depth: usize,
    /// Bytes of memory of the process that reads the repository.
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
    /// What remains for others after one repository.
    pub(super) fn without(mut self, taken: Taken) -> Self {
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

/// What a repository, with its submodules, has taken of the [`Limits`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    pub(super) download: u64,
    pub(super) unpacked: u64,
    pub(super) entries: u64,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.download += other.download;
        self.unpacked += other.unpacked;
        self.entries += other.entries;
    }
}
