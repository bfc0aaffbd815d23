//! Source of file events, and the directories watched for each tree.
//!
//! On Linux the events come from inotify directly, whose queue any thread can read for an immediate answer. Other
//! systems use notify with its debouncer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dispatcher::NoticeDispatcher;
use super::matcher::Matcher;
use super::messages::LimitReached;
use super::paths::at_or_below;
use super::symlinks::TreeSymlinks;

/// Extent of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// The entries of the directory.
    Entries,
    /// Everything below the directory, if the backend can watch that at once.
    Below,
}

/// Differences of a backend from inotify.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackendTraits {
    /// Whether one watch covers a whole directory tree. On Linux such a watch would be one per directory, ignored ones
    /// included, so each walked directory is watched separately.
    pub(super) is_recursive: bool,
    /// Whether events are lost while a watch is added or ended.
    pub(super) is_interrupted: bool,
    /// Returns the canonical path of a directory that events may spell in another way, for example in other case.
    /// `None` if events carry canonical paths, and a path for each changed entry.
    pub(super) canonical: Option<fn(&Path) -> PathBuf>,
}

/// Backend for file events. Dropping it ends the events.
pub(super) trait WatchBackend: std::fmt::Debug {
    /// Returns the differences from inotify; none by default.
    fn traits(&self) -> BackendTraits {
        BackendTraits::default()
    }

    /// Watches the entries of a directory, or with [`Reach::Below`] everything below it. Returns false for a missing or
    /// unreadable directory.
    fn watch(&mut self, directory: &Path, reach: Reach) -> Result<bool, LimitReached>;

    /// Ends a watch, which the system may have ended already.
    fn unwatch(&mut self, directory: &Path);
}

/// Constructor of a backend.
pub(super) type MakeBackend = fn(&Arc<NoticeDispatcher>) -> io::Result<Box<dyn WatchBackend>>;

/// Active watch. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct DirectoryWatches {
    backend: Box<dyn WatchBackend>,
    traits: BackendTraits,
    dispatcher: Arc<NoticeDispatcher>,
    /// Directories with a watch in the system.
    watched: BTreeMap<PathBuf, Reach>,
    /// Required directories and the trees that require them.
    needed: BTreeMap<PathBuf, Need>,
    /// Whether events may have been lost.
    has_gap: bool,
}

/// Requirement of a watch.
#[derive(Debug)]
struct Need {
    reach: Reach,
    trees: BTreeSet<u64>,
}

impl DirectoryWatches {
    pub(super) fn new(
        make_backend: MakeBackend,
        dispatcher: &Arc<NoticeDispatcher>,
    ) -> io::Result<Self> {
        let backend = make_backend(dispatcher)?;
        Ok(Self {
            traits: backend.traits(),
            backend,
            dispatcher: dispatcher.clone(),
            watched: BTreeMap::new(),
            needed: BTreeMap::new(),
            has_gap: false,
        })
    }

    pub(super) fn traits(&self) -> BackendTraits {
        self.traits
    }

    /// Whether events may have been lost since the last call, so that all trees must be walked again.
    pub(super) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// Limits the events of `tree` to those relevant for `matcher`. The ignore rules of `matcher` must be read before
    /// the directories: nothing else finds an entry that it leaves out.
    pub(super) fn set_matcher(&self, tree: u64, matcher: Matcher) {
        self.dispatcher.set_matcher(tree, matcher);
    }

    /// Also assigns events at the targets of these symlinks to `tree`.
    pub(super) fn set_symlinks(&self, tree: u64, symlinks: TreeSymlinks) {
        self.dispatcher.set_symlinks(tree, symlinks);
    }

    /// Watches a directory for the tree `id`. Skips a missing or unreadable directory.
    pub(super) fn watch(
        &mut self,
        directory: &Path,
        reach: Reach,
        id: u64,
    ) -> Result<(), LimitReached> {
        let reach = if self.traits.is_recursive {
            reach
        } else {
            Reach::Entries
        };
        if let Some(need) = self.needed.get_mut(directory) {
            need.reach = need.reach.max(reach);
            need.trees.insert(id);
        } else {
            let trees = [id].into();
            self.needed
                .insert(directory.to_owned(), Need { reach, trees });
        }
        self.cover(directory, reach)
    }

    fn cover(&mut self, directory: &Path, reach: Reach) -> Result<(), LimitReached> {
        let own = self.watched.get(directory).copied();
        let is_below = |above: &Path| self.watched.get(above) == Some(&Reach::Below);
        let is_covered = own.is_some_and(|own| own >= reach)
            || self.traits.is_recursive && directory.ancestors().any(is_below);
        if is_covered {
            return Ok(());
        }
        if own.is_some() {
            self.unwatch(directory);
        }
        if self.backend.watch(directory, reach)? {
            self.note_gap();
            self.watched.insert(directory.to_owned(), reach);
        }
        Ok(())
    }

    /// Ends the watches that only the tree `id` needed.
    pub(super) fn release(&mut self, id: u64) {
        let mut unneeded = Vec::new();
        self.needed.retain(|directory, need| {
            if need.trees.remove(&id) && need.trees.is_empty() {
                unneeded.push(directory.clone());
            }
            !need.trees.is_empty()
        });
        let ended: Vec<&PathBuf> = unneeded
            .iter()
            .filter(|directory| self.watched.remove(*directory).is_some())
            .collect();
        if self.traits.is_recursive && !ended.is_empty() {
            // Directories covered by a removed parent watch get their own watch before the parent watch ends.
            let needed = self
                .needed
                .iter()
                .map(|(it, need)| (it.clone(), need.reach));
            for (directory, reach) in needed.collect::<Vec<_>>() {
                // Recursive watches have no limit.
                let _ = self.cover(&directory, reach);
            }
        }
        for directory in ended {
            self.unwatch(directory);
        }
    }

    /// Ends the watches at and below a moved or removed directory.
    pub(super) fn forget(&mut self, directory: &Path) {
        self.needed.retain(|path, _| !path.starts_with(directory));
        let gone = at_or_below(&self.watched, directory);
        let gone: Vec<PathBuf> = gone.map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.unwatch(&path);
        }
    }

    fn unwatch(&mut self, directory: &Path) {
        self.backend.unwatch(directory);
        self.watched.remove(directory);
        self.note_gap();
    }

    /// Notes that the other watches may have missed events.
    fn note_gap(&mut self) {
        self.has_gap |= self.traits.is_interrupted && !self.watched.is_empty();
    }
}

/// Returns advice about a backend that does not start, to be appended to the error; empty if there is none.
#[cfg(target_os = "linux")]
pub(super) fn start_advice(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        "; close other watching programs, or raise the limit: sudo sysctl fs.inotify.max_user_instances=512"
    } else {
        ""
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn start_advice(_error: &io::Error) -> &'static str {
    ""
}
