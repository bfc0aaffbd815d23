//! Listeners of a tree, with the state that is not shared: a tree watches the union of the files of its listeners.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::super::matcher::ExtraFiles;
use super::super::{Coverage, FilesInUse, OwnWrites, UsesStandby};
use super::Tree;
use crate::lock::locked;

/// Recipient of a tree's notices.
#[derive(Debug, Clone)]
pub(in super::super) struct TreeListener {
    pub(in super::super) id: u64,
    /// Server name, for events.
    pub(in super::super) server: String,
    /// Number of the server's session, for events.
    pub(in super::super) session: Option<u64>,
    /// Predicate: whether the next start uses up a standby.
    pub(in super::super) uses_standby: Option<UsesStandby>,
    /// Predicate: whether the server has written a file itself.
    pub(in super::super) own_writes: Option<OwnWrites>,
    /// Whether a build runs before each start: loaded code in the project that no glob finds is build output, not a
    /// source.
    pub(in super::super) builds: bool,
    /// Files in use by the process.
    pub(super) in_use: FilesInUse,
    /// Subset of `in_use` to watch, plus JSON imports of the sources; no glob finds them.
    pub(super) extra_files: ExtraFiles,
    /// Effective globs with their reasons, shared with [`Coverage`].
    globs: Arc<Mutex<Vec<(String, &'static str)>>>,
}

impl TreeListener {
    pub(in super::super) fn new(id: u64, server: String) -> Self {
        Self {
            id,
            server,
            session: None,
            uses_standby: None,
            own_writes: None,
            builds: false,
            in_use: FilesInUse::default(),
            extra_files: ExtraFiles::default(),
            globs: Arc::default(),
        }
    }
}

impl Tree {
    /// Adds the listener. Returns its id.
    pub(in super::super) fn add_listener(&mut self, listener: TreeListener) -> u64 {
        let id = listener.id;
        self.listeners.push(listener);
        id
    }

    pub(in super::super) fn listener(&self, id: u64) -> Option<&TreeListener> {
        self.listeners.iter().find(|it| it.id == id)
    }

    /// Whether a walk for `other` would find the same files, so that both can share one tree.
    pub(in super::super) fn is_like(&self, other: &Self) -> bool {
        match (&self.named_files, &other.named_files) {
            (None, None) => {
                self.matcher.is_like(&other.matcher) && self.imports_json() == other.imports_json()
            }
            (exact, others) => exact == others,
        }
    }

    /// Whether the next start of any listener uses up a standby.
    pub(in super::super) fn next_start_uses_standby(&self) -> bool {
        let starts = self
            .listeners
            .iter()
            .filter_map(|it| it.uses_standby.as_ref());
        starts.into_iter().any(UsesStandby::is_next)
    }

    /// Returns the changed files to report to the listener: named files in their original spelling, others relative to
    /// the base directory if below it.
    pub(in super::super) fn changes_for(
        &self,
        listener: &TreeListener,
        changed: &[PathBuf],
    ) -> Vec<PathBuf> {
        let concern = |path: &&PathBuf| {
            let is_wanted = self.is_exact() || self.is_selected_with(&listener.extra_files, path);
            is_wanted && !self.is_own_write(listener, path)
        };
        let reported = changed.iter().filter(concern).map(|path| {
            let relative = path.strip_prefix(self.matcher.cwd());
            match relative {
                Ok(short) if !self.is_exact() => short,
                _ => path,
            }
        });
        reported.map(Path::to_owned).collect()
    }

    /// Returns the globs of the listener and the file count.
    pub(in super::super) fn coverage(&self, id: u64) -> Coverage {
        self.publish_coverage();
        Coverage {
            globs: self
                .listener(id)
                .map(|it| it.globs.clone())
                .unwrap_or_default(),
            files: self.count.clone(),
        }
    }

    /// Updates the shared file count and globs.
    pub(in super::super) fn publish_coverage(&self) {
        self.count.store(self.files.len(), Ordering::Relaxed);
        for listener in &self.listeners {
            *locked(&listener.globs) = self.matcher.all_globs(&listener.extra_files);
        }
    }
}
