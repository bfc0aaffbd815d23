//! Detection of file changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::file_identity::FileIdentity;

/// Identity, size and modification time of each file, ordered by path; `None` for a missing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(FileIdentity, u64, SystemTime)>>);

impl Stamp {
    pub(super) fn of(files: &BTreeSet<PathBuf>) -> Self {
        let stamp = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some((
                FileIdentity::of(&found),
                found.len(),
                found.modified().ok()?,
            ))
        };
        Self(files.iter().map(stamp).collect())
    }
}
