//! Detection of file changes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Device, inode, size and modification time of each file, ordered by path; `None` for a missing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 5]>>);

impl Stamp {
    pub(super) fn of(files: &BTreeSet<PathBuf>) -> Self {
        let stamp = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some([
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
            ])
        };
        Self(files.iter().map(stamp).collect())
    }
}
