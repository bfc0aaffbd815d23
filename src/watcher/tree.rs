//! Watched tree, shared by listeners with equal requests: matcher, walked directories, files and their last content.
//! Walks the disk; the watch itself belongs to [`DirectoryWatches`].

mod contents;
mod description;
mod disk_state;
mod extra_files;
mod idle;
mod listener;
mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::SystemTime;

use super::baseline::{FileStamp, FileState};
use super::file_events::{DirectoryWatches, Reach};
use super::matcher::Matcher;
use super::messages::LimitReached;
use super::paths::{EVERYTHING, at_or_below, canonical_parent, repository};
use super::settle::Settle;
use super::symlink_steps;
use super::symlinks::TreeSymlinks;
use crate::file_identity::DirectoryIdentity;
use disk_state::git_lock;
use extra_files::JsonImports;
pub(super) use extra_files::is_newer;
pub(super) use listener::TreeListener;

/// Watched files and directories of its listeners.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// Unique number of the tree.
    pub(super) number: u64,
    /// Not empty once the tree is watched.
    pub(super) listeners: Vec<TreeListener>,
    pub(super) matcher: Matcher,
    pub(super) settle: Settle,
    /// Whether the tree is walked at intervals, without file events.
    pub(super) polled: bool,
    files: BTreeMap<PathBuf, FileState>,
    /// Number of `files`, shared with [`Coverage`](super::Coverage).
    count: Arc<AtomicUsize>,
    directories: BTreeSet<PathBuf>,
    /// Identity of the working directory of the listeners' processes.
    cwd_identity: Option<DirectoryIdentity>,
    /// `index.lock` of the surrounding repository.
    git_lock: Option<PathBuf>,
    /// Named files in their original spelling; `None` for globs. With named files, the matcher selects the directory
    /// entries on the path to each content.
    named_files: Option<BTreeSet<PathBuf>>,
    /// Those entries.
    steps: BTreeSet<PathBuf>,
    /// Symlinks in the tree and their targets.
    symlinks: TreeSymlinks,
    /// Files in use beyond the globs; present if the globs were inferred.
    json_imports: Option<JsonImports>,
}

impl Tree {
    pub(super) fn new(matcher: Matcher, settle: Settle) -> Self {
        let git_lock = repository(matcher.cwd()).map(git_lock);
        let cwd_identity = DirectoryIdentity::of(matcher.cwd());
        Self {
            number: 0,
            listeners: Vec::new(),
            matcher,
            settle,
            polled: false,
            files: BTreeMap::new(),
            count: Arc::default(),
            directories: BTreeSet::new(),
            cwd_identity,
            git_lock,
            named_files: None,
            steps: BTreeSet::new(),
            symlinks: TreeSymlinks::default(),
            json_imports: None,
        }
    }

    /// Creates a tree of exactly these files.
    pub(super) fn exact(files: &[PathBuf], settle: Settle) -> Self {
        let cwd = files.first().map(|file| canonical_parent(file));
        let cwd = cwd.unwrap_or_default();
        let matcher = Matcher::exact(cwd, &BTreeSet::new());
        Self {
            named_files: Some(files.iter().cloned().collect()),
            ..Self::new(matcher, settle)
        }
    }

    pub(super) fn is_exact(&self) -> bool {
        self.named_files.is_some()
    }

    /// Takes over the state of `old`, so that no unreported save is lost. Returns the files that differ from this
    /// state; files created meanwhile move from `found` to the result.
    pub(super) fn inherit(&mut self, old: &Self, found: &mut Vec<PathBuf>) -> Vec<PathBuf> {
        let mut missed = Vec::new();
        found.retain(|path| {
            let is_new = old.compares_content(path) && !old.files.contains_key(path);
            if is_new {
                missed.push(path.clone());
            }
            !is_new
        });
        let known = old
            .files
            .iter()
            .filter(|(path, _)| self.compares_content(path));
        self.files = known.map(|(path, entry)| (path.clone(), *entry)).collect();
        self.settle = old.settle.clone();
        if self.matcher.cwd() == old.matcher.cwd() {
            self.cwd_identity = old.cwd_identity;
        }
        missed.extend(self.files.keys().cloned());
        // A named file that still does not exist was not created.
        missed.retain(|path| self.has_new_stamp(path));
        missed
    }

    /// Returns the files to report to the listener `id`: files that differ from its previous tree `old`, and files
    /// outside of `old` changed after `since`.
    pub(super) fn unreported_changes(
        &self,
        id: u64,
        old: Option<&Self>,
        since: Option<SystemTime>,
    ) -> Vec<PathBuf> {
        let pending: BTreeSet<&Path> = old.iter().flat_map(|old| old.settle.paths()).collect();
        // Changes of files in use by other listeners only were not reported to this one.
        let was_reported = |old: &&Self, path: &Path| {
            let used = old.listener(id).map(|listener| &listener.extra_files);
            old.compares_content(path)
                && (old.is_exact() || used.is_some_and(|used| old.is_selected_with(used, path)))
        };
        let is_unreported = |path: &&PathBuf| match old.filter(|old| was_reported(old, path)) {
            Some(old) => pending.contains(&***path) || old.has_new_stamp(path),
            None => since.is_some_and(|since| is_newer(path, since)),
        };
        let known = old.iter().flat_map(|old| old.files.keys());
        let gone = known.filter(|path| {
            !self.files.contains_key(*path)
                && self.compares_content(path)
                && FileStamp::of(path).is_none()
        });
        let files = self.files.keys().filter(is_unreported);
        files.chain(gone).cloned().collect()
    }

    /// Whether the content of the file is compared.
    fn compares_content(&self, path: &Path) -> bool {
        match &self.named_files {
            Some(files) => files.contains(path),
            None => self.matcher.selects(path),
        }
    }

    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn directories(&self) -> usize {
        self.directories.len()
    }

    pub(super) fn knows_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    pub(super) fn knows_directory(&self, path: &Path) -> bool {
        self.directories.contains(path)
    }

    /// Whether the path is a known file, or a selected entry of a walked directory.
    pub(super) fn selects(&self, path: &Path) -> bool {
        self.files.contains_key(path)
            || (self.is_in_walked_directory(path) && self.matcher.selects(path))
    }

    pub(super) fn is_in_walked_directory(&self, path: &Path) -> bool {
        path.parent()
            .is_some_and(|parent| self.directories.contains(parent))
    }

    /// Watches and walks all roots; returns the selected files. For an absent root, watches its nearest existing
    /// ancestor to detect its creation.
    pub(super) fn adopt_roots(
        &mut self,
        watches: &mut Option<DirectoryWatches>,
    ) -> Result<Vec<PathBuf>, LimitReached> {
        self.follow_links();
        loop {
            let found = self.adopt_these_roots(watches)?;
            // The change of a symlink before its watch begins produces no event.
            if !self.follow_links() {
                return Ok(found);
            }
        }
    }

    fn adopt_these_roots(
        &mut self,
        watches: &mut Option<DirectoryWatches>,
    ) -> Result<Vec<PathBuf>, LimitReached> {
        if let (Some(watches), false) = (&watches, self.polled) {
            watches.set_matcher(self.number, self.matcher.clone());
        }
        let roots: BTreeSet<PathBuf> = self.matcher.roots().map(Path::to_owned).collect();
        let ancestors: BTreeSet<PathBuf> = self
            .matcher
            .ancestors_to_watch()
            .map(Path::to_owned)
            .collect();
        let mut found = Vec::new();
        for root in &roots {
            let existing = root.ancestors().find(|place| place.is_dir());
            if let (false, Some(existing)) = (root.is_dir(), existing) {
                self.watch(watches, existing, Reach::Entries)?;
                // The root may have been created before the watch began.
                if !root.is_dir() {
                    continue;
                }
            }
            self.adopt(root.clone(), watches, &mut found)?;
        }
        for ancestor in &ancestors {
            self.watch(watches, ancestor, Reach::Entries)?;
        }
        match &self.named_files {
            Some(files) => Ok(files.iter().cloned().collect()),
            None => Ok(found),
        }
    }

    /// Resolves the symlinks of the named files anew; returns whether a target path changed.
    fn follow_links(&mut self) -> bool {
        let Some(files) = &self.named_files else {
            return false;
        };
        let steps: BTreeSet<PathBuf> = files
            .iter()
            .flat_map(|file| symlink_steps::steps(canonical_parent(file), file))
            .collect();
        if steps == self.steps {
            return false;
        }
        self.matcher = Matcher::exact(self.matcher.cwd().to_owned(), &steps);
        self.steps = steps;
        true
    }

    /// Watches and walks `directory` and its subdirectories, except ignored ones. Each is watched before it is read, so
    /// that no new file is missed.
    pub(super) fn adopt(
        &mut self,
        directory: PathBuf,
        watches: &mut Option<DirectoryWatches>,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), LimitReached> {
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            if self.directories.contains(&directory) || !self.matcher.may_lead_to_files(&directory)
            {
                continue;
            }
            if !self.symlinks.count_directory(&directory) {
                continue;
            }
            let reach = self.matcher.reach(&directory);
            self.watch(watches, &self.symlinks.real(&directory), reach)?;
            let Ok(entries) = std::fs::read_dir(&directory) else {
                // Unreadable or removed meanwhile; a change of its mode triggers another visit.
                continue;
            };
            for entry in entries.filter_map(Result::ok) {
                let path = entry.path();
                let kind = entry.file_type();
                let is_dir = kind.as_ref().is_ok_and(FileType::is_dir);
                let is_link = kind.is_ok_and(|kind| kind.is_symlink());
                if is_dir || is_link && self.follow(&path, watches)? {
                    pending.push(path);
                } else if self.matcher.selects(&path) {
                    found.push(path);
                }
            }
            self.directories.insert(directory);
        }
        Ok(())
    }

    /// Watches the directory entries that determine the target of the symlink, if the tree may use it. Returns whether
    /// the target is a directory to walk.
    pub(super) fn follow(
        &mut self,
        link: &Path,
        watches: &mut Option<DirectoryWatches>,
    ) -> Result<bool, LimitReached> {
        let may_lead = self.matcher.may_lead_to_files(link);
        if self.is_exact() || !(may_lead || self.matcher.selects(link)) {
            return Ok(false);
        }
        let mut watched = BTreeSet::new();
        loop {
            let directories = self.symlinks.follow(link);
            // The change of a symlink before its watch begins produces no event.
            if directories.is_subset(&watched) {
                break;
            }
            for directory in &directories {
                self.watch(watches, directory, Reach::Entries)?;
            }
            watched.extend(directories);
        }
        let enters = may_lead && link.is_dir() && self.symlinks.enter(link, self.matcher.cwd());
        if let Some(watches) = watches {
            watches.set_symlinks(self.number, self.symlinks.clone());
        }
        Ok(enters)
    }

    /// Whether symlinks lead to more directories than the limit.
    pub(super) fn is_cut_off(&self) -> bool {
        self.symlinks.is_full()
    }

    /// Returns the other names of `path` in the tree, given by symlinks, that a change of `path` affects.
    pub(super) fn names(&self, path: &Path) -> BTreeSet<PathBuf> {
        self.symlinks.names(path)
    }

    fn watch(
        &self,
        watches: &mut Option<DirectoryWatches>,
        directory: &Path,
        reach: Reach,
    ) -> Result<(), LimitReached> {
        match watches {
            Some(watches) if !self.polled => watches.watch(directory, reach, self.number),
            _ => Ok(()),
        }
    }

    /// Whether creation, removal or renaming of `path` affects more than one file.
    pub(super) fn is_structural(&self, path: &Path) -> bool {
        self.directories.contains(path) || self.matcher.roots().any(|root| root.starts_with(path))
    }

    /// Whether a change of `path` may change the selection: `path` is an ignore file, or an entry on the path of a
    /// named file, which may be a symlink.
    pub(super) fn requires_rescan(&self, path: &Path) -> bool {
        let is_near = || {
            let mut ancestors = self.matcher.ancestors_to_watch();
            self.is_in_walked_directory(path)
                || ancestors.any(|passage| path.parent() == Some(passage))
        };
        (self.is_exact() && self.selects(path)) || (self.matcher.affects_rules(path) && is_near())
    }

    /// Forgets the directories at and below `path`. Known file contents stay, for comparison.
    pub(super) fn forget(&mut self, path: &Path) {
        self.directories
            .retain(|directory| !directory.starts_with(path));
        self.symlinks.forget(path);
    }

    pub(super) fn known_below(&self, path: &Path) -> Vec<PathBuf> {
        let files = at_or_below(&self.files, path);
        files.map(|(file, _)| file.clone()).collect()
    }

    /// Walks the tree anew; returns every file whose stamp differs from the known one, or whose content does although the
    /// stamp cannot show it.
    pub(super) fn rewalk(
        &mut self,
        watches: &mut Option<DirectoryWatches>,
    ) -> Result<Vec<PathBuf>, LimitReached> {
        self.matcher.reread_ignores();
        self.forget(EVERYTHING.as_ref());
        let found: BTreeSet<PathBuf> = self.adopt_roots(watches)?.into_iter().collect();
        let gone = self.files.keys().filter(|path| !found.contains(*path));
        let mut changed: Vec<PathBuf> = gone
            .chain(&found)
            .filter(|path| self.has_new_stamp(path))
            .cloned()
            .collect();
        let files = self.files.iter_mut();
        let unseen = files.filter_map(|(path, entry)| entry.changed_unseen(path).then_some(path));
        changed.extend(unseen.cloned());
        Ok(changed)
    }
}
