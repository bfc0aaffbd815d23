//! Watched files of a listener with the reason for each, and the answer for any other file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::matcher::PathClass;
use super::super::paths::{canonical, with_canonical_parent};
use super::super::{WatchAnswer, WatchDescription};
use super::{Tree, TreeListener};

/// Files in use by a process, with canonical directories.
struct UsedFiles {
    code: BTreeSet<PathBuf>,
    read: BTreeSet<PathBuf>,
}

impl Tree {
    /// Returns the first `most` watched files of the listener `id`, and the answer for `path`, which is relative to the
    /// working directory. Reads the file system.
    pub(in super::super) fn describe(
        &self,
        id: u64,
        path: Option<&Path>,
        most: usize,
    ) -> Option<WatchDescription> {
        let listener = self.listener(id)?;
        let canonical_all = |files: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
            files.iter().map(|it| with_canonical_parent(it)).collect()
        };
        let used = UsedFiles {
            code: canonical_all(&listener.in_use.code),
            read: canonical_all(&listener.in_use.read),
        };
        let all = self.files.keys();
        let watched = all.filter(|file| self.is_selected_with(&listener.extra_files, file));
        let described = watched.clone().take(most).map(|file| {
            let shown = file.strip_prefix(self.matcher.cwd()).unwrap_or(file);
            (shown.to_owned(), self.reason(&used, file))
        });
        Some(WatchDescription {
            answer: path.map(|path| self.answer(listener, &used, path)),
            files: described.collect(),
            count: watched.count(),
        })
    }

    fn answer(&self, listener: &TreeListener, used: &UsedFiles, path: &Path) -> WatchAnswer {
        let path = self.matcher.cwd().join(path);
        let spellings = [with_canonical_parent(&path), canonical(&path)];
        let is_watched = |it: &&PathBuf| {
            self.files.contains_key(*it) && self.is_selected_with(&listener.extra_files, it)
        };
        let watched = spellings.iter().find(is_watched);
        let refusal = self.matcher.refusal(&spellings[0]);
        WatchAnswer {
            is_watched: watched.is_some(),
            lacks_glob: watched.is_none() && refusal.is_ok(),
            reason: match (watched, refusal) {
                (Some(file), _) => self.reason(used, file),
                (None, Ok(reason)) => reason,
                (None, Err(glob)) => format!(
                    "There is no such file. `{glob}` selects it, so its creation is noticed."
                ),
            },
        }
    }

    /// Returns the reason for a watched file.
    fn reason(&self, used: &UsedFiles, path: &Path) -> String {
        if let PathClass::Selected(index) = self.matcher.classify(path) {
            let glob = self.matcher.globs().get(index).map_or("", String::as_str);
            return format!("{}: `{glob}`", self.matcher.glob_reason(index));
        }
        let imports = self.json_imports.as_ref();
        let reason = if used.code.contains(path) {
            "loaded by the process"
        } else if imports.is_some_and(|it| it.imported.contains(path)) {
            "imported by a source"
        } else if used.read.contains(path) {
            "read by the process before its first response"
        } else {
            "beside code that the process has loaded"
        };
        reason.to_owned()
    }
}
