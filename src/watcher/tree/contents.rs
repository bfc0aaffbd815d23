//! Known contents of a tree's files: their base, and the comparison with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::super::baseline::{self, Difference, FileStamp, FileState};
use super::{Tree, is_newer};
use crate::file_identity::DirectoryIdentity;

impl Tree {
    /// Whether the current `stat` of the file differs from the known one.
    pub(in super::super) fn has_new_stamp(&self, path: &Path) -> bool {
        FileStamp::of(path) != self.files.get(path).map(|entry| entry.stamp)
    }

    /// Adds unknown files with their current state, the base of later comparisons. Returns the files that changed after
    /// `since`; those stay unknown, so that their comparison finds a change.
    pub(in super::super) fn take_baseline(
        &mut self,
        found: Vec<PathBuf>,
        since: Option<SystemTime>,
    ) -> Vec<PathBuf> {
        let mut newer = Vec::new();
        for path in found {
            let state = (!self.files.contains_key(&path)).then(|| FileState::glance(&path));
            // After the state is taken: a save in between must not become the base that its own event is compared with.
            if since.is_some_and(|since| is_newer(&path, since)) {
                newer.push(path);
            } else if let Some(Some(state)) = state {
                self.files.insert(path, state);
            }
        }
        newer
    }

    /// Files of the baseline that are not read yet, or that may import JSON.
    pub(in super::super) fn unread(&self) -> impl Iterator<Item = &PathBuf> {
        self.files
            .iter()
            .filter(|(path, entry)| entry.is_unread() || self.may_import(path))
            .map(|(path, _)| path)
    }

    pub(in super::super) fn read(&mut self, path: &Path) {
        if let Some(entry) = self.files.get_mut(path)
            && entry.is_unread()
        {
            entry.complete(path);
        }
        self.look_for_imports(path);
    }

    /// Whether another directory has taken the name of the working directory since the last call. A process in the
    /// removed one finds no file any more.
    fn is_cwd_replaced(&mut self) -> bool {
        if self.is_exact() {
            return false;
        }
        let Some(identity) = DirectoryIdentity::of(self.matcher.cwd()) else {
            return false;
        };
        let before = self.cwd_identity.replace(identity);
        before.is_some_and(|before| before != identity)
    }

    /// Compares the paths of a completed save as [`Self::compare`] does. All of them count as changed if the working
    /// directory was replaced.
    pub(in super::super) fn compare_saved(&mut self, paths: BTreeSet<PathBuf>) -> Vec<PathBuf> {
        if !self.is_cwd_replaced() {
            return self.compare(paths);
        }
        let mut changed = self.compare(paths.clone());
        let known = paths.into_iter().filter(|path| self.knows_file(path));
        changed.extend(known);
        changed.sort();
        changed.dedup();
        changed
    }

    /// Compares the paths with their known content and stores the new content. Returns the changed paths.
    pub(in super::super) fn compare(&mut self, paths: BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for path in paths {
            // Now ignored, or inside another work tree.
            if !self.compares_content(&path) || self.matcher.lies_in_checkout(&path) {
                self.files.remove(&path);
                continue;
            }
            match baseline::compare(self.files.get(&path), &path) {
                Difference::None(None) => continue,
                Difference::None(Some(entry)) => {
                    self.files.insert(path, entry);
                    continue;
                }
                Difference::Changed(entry) => {
                    self.files.insert(path.clone(), entry);
                    self.look_for_imports(&path);
                }
                Difference::Gone => {
                    self.files.remove(&path);
                }
            }
            changed.push(path);
        }
        self.count.store(self.files.len(), Ordering::Relaxed);
        changed
    }
}
