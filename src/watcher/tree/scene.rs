//! Whether a save may still be under way: git is at work, or a file is empty that was not.

use std::path::{Path, PathBuf};

use super::super::baseline::Stamp;
use super::super::settle::{LOCK_HOLD, Scene};
use super::Tree;

impl Tree {
    /// A git command rewrites the work tree at this moment.
    pub(in super::super) fn is_locked(&self) -> bool {
        self.git_lock.as_deref().is_some_and(is_live_lock)
    }

    /// What the disk looks like for the batch that is due.
    pub(in super::super) fn scene(&self) -> Scene {
        let locked = self.is_locked();
        // Not worth a look at thousands of files while git is at work.
        let hollow = !locked
            && self.settle.paths().any(|path| {
                self.files
                    .get(path)
                    .is_some_and(|entry| entry.stamp.len > 0)
                    && Stamp::of(path).is_none_or(|stamp| stamp.len == 0)
            });
        Scene { locked, hollow }
    }
}

/// The lock that git holds while it rewrites the work tree at `top`.
pub(super) fn git_lock(top: &Path) -> PathBuf {
    let dot_git = top.join(".git");
    // In a linked work tree `.git` is a file that names the directory.
    let directory = std::fs::read_to_string(&dot_git)
        .ok()
        .and_then(|text| Some(top.join(text.strip_prefix("gitdir:")?.trim())));
    directory.unwrap_or(dot_git).join("index.lock")
}

/// A lock older than any git command should take was left behind by a crash; one from the future will not age soon.
fn is_live_lock(lock: &Path) -> bool {
    std::fs::metadata(lock)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LOCK_HOLD))
}
