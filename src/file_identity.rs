//! Identity of a file or directory, which tells it from another one that has taken its name.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::path::Path;
use std::time::SystemTime;

#[cfg(unix)]
pub(crate) use unix::FileIdentity;
#[cfg(windows)]
pub(crate) use windows::FileIdentity;

/// Identity of a directory. The system may give a new directory the number of a removed one, so the time at which it was
/// created belongs to it, where the system tells that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryIdentity {
    file: FileIdentity,
    created: Option<SystemTime>,
}

impl DirectoryIdentity {
    /// Returns the identity of the directory at `path`; None if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        metadata.is_dir().then(|| Self {
            file: FileIdentity::of(&metadata),
            created: metadata.created().ok(),
        })
    }
}
