//! Where events come from, and which directories they are wanted of.
//!
//! On Linux that is inotify itself: everyone who must know of a save at once can read its queue. Elsewhere it
//! is notify behind its debouncer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::linked::Linked;
use super::lookout::Lookout;
use super::matcher::Matcher;
use super::{Coverage, InUse, WatchError, WatchRequest};

/// One system-wide recursive watch per root elsewhere; on Linux a recursive watch is a watch per
/// directory, ignored ones included, so each kept directory is watched by itself.
pub(super) const RECURSIVE: bool = cfg!(any(target_os = "macos", windows));

/// What the watcher's thread is told.
#[derive(Debug)]
pub(super) enum Signal {
    /// Watch this as well; `armed` learns when it is.
    Add {
        id: u64,
        request: WatchRequest,
        armed: oneshot::Sender<Result<Coverage, WatchError>>,
    },
    /// This is what the process of the id uses.
    InUse(u64, InUse),
    /// Watch no more for this id.
    Remove(u64),
    /// These paths were touched.
    Touched(Vec<Touch>),
    /// All touches were sent that these ids are suspected for.
    Passed(BTreeSet<u64>),
    /// Raw: something happened to this path, perhaps only a read.
    Stirred(PathBuf),
    /// Events were lost: look at everything.
    Rescan,
    /// Directories can no longer be watched.
    LimitReached,
    Stop,
}

/// A touched path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) path: PathBuf,
    /// It may have come, gone or been replaced by something else of that name.
    pub(super) moved: bool,
    /// The system says that it is a directory, or was.
    pub(super) is_dir: bool,
    pub(super) writing: Writing,
}

/// What a touch says about the writing of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// It was opened for writing, and not closed since.
    Open,
    /// It was closed, or renamed to its name: its writer is done with it.
    Done,
    /// Nothing.
    Unknown,
}

/// The system allows no more watches to this user.
#[derive(Debug)]
pub(super) struct LimitReached;

/// What gives the events. Dropping it ends them.
pub(super) trait Feed: std::fmt::Debug {
    /// Watches the entries of a directory, on macOS and Windows all that is below it. False if it
    /// cannot be watched, because it is gone or unreadable.
    fn watch(&mut self, directory: &Path) -> Result<bool, LimitReached>;

    /// Ends a watch, which the system may have ended already.
    fn unwatch(&mut self, directory: &Path);
}

/// How a feed comes to be.
pub(super) type MakeFeed = fn(&Arc<Lookout>) -> io::Result<Box<dyn Feed>>;

/// The live watch. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Source {
    feed: Box<dyn Feed>,
    lookout: Arc<Lookout>,
    /// The watches that the system keeps.
    watched: BTreeSet<PathBuf>,
    /// The directories that are needed, and by which trees.
    needed: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl Source {
    pub(super) fn new(make: MakeFeed, lookout: &Arc<Lookout>) -> io::Result<Self> {
        Ok(Self {
            feed: make(lookout)?,
            lookout: lookout.clone(),
            watched: BTreeSet::new(),
            needed: BTreeMap::new(),
        })
    }

    /// Takes only those events for ones of the tree `id` that concern `matcher`. What it judges by must
    /// be newer than the directories that are read afterwards: nothing else finds what it leaves out.
    pub(super) fn sift(&self, tree: u64, matcher: Matcher) {
        self.lookout.sift(tree, matcher);
    }

    /// Takes events at the places that these links lead to for ones of `tree` as well.
    pub(super) fn link(&self, tree: u64, linked: Linked) {
        self.lookout.link(tree, linked);
    }

    /// Watches the entries of one directory (on macOS and Windows: all that is below it) for the
    /// tree `id`. A directory that cannot be watched, because it is gone or unreadable, is passed over.
    pub(super) fn watch(&mut self, directory: &Path, id: u64) -> Result<(), LimitReached> {
        if let Some(ids) = self.needed.get_mut(directory) {
            ids.insert(id);
        } else {
            self.needed.insert(directory.to_owned(), [id].into());
        }
        self.cover(directory)
    }

    fn cover(&mut self, directory: &Path) -> Result<(), LimitReached> {
        let covered = if RECURSIVE {
            directory
                .ancestors()
                .any(|above| self.watched.contains(above))
        } else {
            self.watched.contains(directory)
        };
        if covered {
            return Ok(());
        }
        if self.feed.watch(directory)? {
            self.watched.insert(directory.to_owned());
        }
        Ok(())
    }

    /// Ends the watches that only the tree `id` needed.
    pub(super) fn release(&mut self, id: u64) {
        let mut unneeded = Vec::new();
        self.needed.retain(|directory, ids| {
            if ids.remove(&id) && ids.is_empty() {
                unneeded.push(directory.clone());
            }
            !ids.is_empty()
        });
        unneeded.retain(|directory| self.watched.remove(directory));
        if RECURSIVE && !unneeded.is_empty() {
            // What a watch from above covered for others is watched by itself before that one ends.
            for directory in self.needed.keys().cloned().collect::<Vec<_>>() {
                // There is no limit where watches are recursive.
                let _ = self.cover(&directory);
            }
        }
        for directory in unneeded {
            self.feed.unwatch(&directory);
        }
    }

    /// Ends the watches of a directory that was moved or removed, and of those that were below it.
    pub(super) fn forget(&mut self, directory: &Path) {
        self.needed.retain(|path, _| !path.starts_with(directory));
        let gone: Vec<PathBuf> = self
            .watched
            .range::<Path, _>((Bound::Included(directory), Bound::Unbounded))
            .take_while(|path| path.starts_with(directory))
            .cloned()
            .collect();
        for path in gone {
            self.feed.unwatch(&path);
            self.watched.remove(&path);
        }
    }
}

/// The kind of mount whose changes other machines (or another system on this one) make unseen.
#[cfg(target_os = "linux")]
pub(super) fn remote_mount(path: &Path) -> Option<&'static str> {
    const KINDS: [(u32, &str); 6] = [
        (0x0102_1997, "9p"),
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x786F_4256, "vboxsf"),
    ];
    let found = rustix::fs::statfs(path).ok()?.f_type;
    // The type is 32 bits wide wherever it came from; the C type is wider or signed on some machines.
    KINDS
        .iter()
        .find(|(kind, _)| i128::from(found) & 0xFFFF_FFFF == i128::from(*kind))
        .map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn remote_mount(_path: &Path) -> Option<&'static str> {
    None
}
