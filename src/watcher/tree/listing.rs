//! Comparison of one directory with its known entries.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::super::paths::at_or_below;
use super::Tree;

impl Tree {
    /// Returns the changed named files that an entry of `directory` determines.
    pub(in super::super) fn changed_named_files(&self, directory: &Path) -> Vec<PathBuf> {
        let determines = |step: &PathBuf| step.parent() == Some(directory);
        let files = self.named_files.iter().flatten();
        let files = files.filter(|_| self.steps.iter().any(determines));
        files
            .filter(|file| self.has_new_stamp(file))
            .cloned()
            .collect()
    }

    /// Returns the walked directories in `directory` that no longer exist.
    pub(in super::super) fn missing_directories(&self, directory: &Path) -> Vec<PathBuf> {
        let below = (Bound::Excluded(directory), Bound::Unbounded);
        let known = self.directories.range::<Path, _>(below);
        known
            .take_while(|path| path.starts_with(directory))
            .filter(|path| path.parent() == Some(directory) && !path.is_dir())
            .cloned()
            .collect()
    }

    /// Returns the known files in `directory` that were written or removed.
    pub(in super::super) fn changed_files(&self, directory: &Path) -> Vec<PathBuf> {
        let known = at_or_below(&self.files, directory).map(|(path, _)| path);
        known
            .filter(|path| path.parent() == Some(directory) && self.has_new_stamp(path))
            .cloned()
            .collect()
    }

    /// Returns the entries of a walked directory that may have to be walked or compared for the first time. Also returns
    /// `directory` itself if it leads to a root that has appeared.
    pub(in super::super) fn unknown_entries(&self, directory: &Path) -> Vec<PathBuf> {
        let is_new = |root: &Path| !self.knows_directory(root) && root.is_dir();
        let mut below = self.matcher.roots().filter(|it| it.starts_with(directory));
        let mut found = Vec::new();
        if below.any(is_new) {
            found.push(directory.to_owned());
        }
        if !self.knows_directory(directory) {
            return found;
        }
        let is_known = |path: &Path| {
            self.knows_file(path) || self.knows_directory(path) || self.symlinks.knows(path)
        };
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| {
            let path = entry.path();
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let may_count = !is_known(&path) && (!is_file || self.matcher.selects(&path));
            may_count.then_some(path)
        }));
        found
    }
}
