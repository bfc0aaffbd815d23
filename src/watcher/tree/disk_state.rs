//! Signs of an unfinished save: a running git command, or a file that became empty or is locked.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::baseline::FileStamp;
use super::super::settle::{DiskState, LOCK_HOLD};
use super::Tree;

impl Tree {
    /// Whether a git command is rewriting the work tree. The lock of a long one is as old as the command: it is in use
    /// if it was new when the batch began.
    pub(in super::super) fn is_locked(&self) -> bool {
        let Some(lock) = &self.git_lock else {
            return false;
        };
        if self.settle.was_locked() {
            lock.exists()
        } else {
            is_new(lock)
        }
    }

    /// Returns the disk state for the due batch.
    pub(in super::super) fn disk_state(&self) -> DiskState {
        let locked = self.is_locked();
        // Skips the `stat` of possibly thousands of files while git is running.
        let hollow = !locked
            && self.settle.paths().any(|path| {
                self.files
                    .get(path)
                    .is_some_and(|entry| entry.stamp.len > 0)
                    && FileStamp::of(path).is_none_or(|stamp| stamp.len == 0 || is_closed(path))
            });
        DiskState { locked, hollow }
    }
}

/// Whether the file cannot be opened for the moment, for example since another program has locked it.
fn is_closed(path: &Path) -> bool {
    File::open(path).is_err()
}

/// Returns the path of the lock that git holds while it rewrites the work tree at `top`.
pub(super) fn git_lock(top: &Path) -> PathBuf {
    let dot_git = top.join(".git");
    // In a linked work tree, `.git` is a file with the path of the git directory.
    let directory = std::fs::read_to_string(&dot_git)
        .ok()
        .and_then(|text| Some(top.join(text.strip_prefix("gitdir:")?.trim())));
    directory.unwrap_or(dot_git).join("index.lock")
}

/// Whether the lock was made a short time ago. A lock older than that is a leftover of a crash; one with a time in the
/// future would hold batches too long.
fn is_new(lock: &Path) -> bool {
    std::fs::metadata(lock)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LOCK_HOLD))
}
