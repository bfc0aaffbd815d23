//! Events that are less precise than those of inotify, as `FSEvents` reports them on macOS.
//!
//! `FSEvents` merges events of the last seconds: a file that was created, removed and written has one event, whose parts
//! have no order, and a debouncer may take them for nothing. It spells a path as some process did, in other case or with
//! decomposed characters. And notify replaces its stream to add or end a watch, and so misses the events in between. So
//! each event only marks the directory of its path, whose entries are then compared with the known ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::file_events::DirectoryWatches;
use super::super::messages::{LimitReached, Touch, WriteState};
use super::{WatcherThread, kind};

impl WatcherThread {
    /// Returns the path of an event as a walk of the disk spells it, except for the name of a missing file or of a
    /// symlink.
    pub(super) fn on_disk(&self, path: PathBuf) -> PathBuf {
        let Some(canonical) = self.canonical() else {
            return path;
        };
        if self.trees.iter().any(|tree| tree.knows_file(&path)) {
            path
        } else if let (true, Some(parent), Some(name)) =
            (path.is_symlink(), path.parent(), path.file_name())
        {
            canonical(parent).join(name)
        } else {
            canonical(&path)
        }
    }

    /// Marks the directory of an event for examination, if events are imprecise. `path` is spelled as on the disk.
    pub(super) fn mark_directory(&mut self, path: &Path) {
        if self.canonical().is_none() {
            return;
        }
        let existing = path.ancestors().find(|place| place.is_dir());
        // The event may belong to the directory itself.
        let around = existing.filter(|it| *it == path).and_then(Path::parent);
        let marked = existing.into_iter().chain(around).map(Path::to_owned);
        self.marked.extend(marked);
    }

    fn canonical(&self) -> Option<fn(&Path) -> PathBuf> {
        self.watches.as_ref()?.traits().canonical
    }

    /// Examines the marked directories, and walks all trees after a gap in the events.
    pub(super) fn examine_marked(&mut self) -> Result<(), LimitReached> {
        for directory in std::mem::take(&mut self.marked) {
            for index in 0..self.trees.len() {
                self.examine_directory(index, &directory)?;
            }
        }
        if self
            .watches
            .as_mut()
            .is_some_and(DirectoryWatches::take_gap)
        {
            for index in 0..self.trees.len() {
                let found = self.restamp(index);
                self.touch_all(index, found);
            }
        }
        Ok(())
    }

    /// Compares the entries of a directory with the known ones, under each of its names in the tree.
    fn examine_directory(&mut self, index: usize, directory: &Path) -> Result<(), LimitReached> {
        self.touch_all(index, self.trees[index].changed_named_files(directory));
        let tree = &self.trees[index];
        if tree.is_exact() {
            return Ok(());
        }
        let entries = tree.names(&directory.join("_"));
        let mut names: BTreeSet<&Path> = entries.iter().filter_map(|it| it.parent()).collect();
        names.insert(directory);
        for directory in names {
            for gone in self.trees[index].missing_directories(directory) {
                self.forget(&gone);
            }
            for path in self.trees[index].unknown_entries(directory) {
                let kind = kind(&path);
                let touch = Touch {
                    path,
                    moved: true,
                    is_dir: false,
                    write_state: WriteState::Unknown,
                };
                self.examine(index, &touch, kind)?;
            }
            self.touch_all(index, self.trees[index].changed_files(directory));
        }
        Ok(())
    }
}
