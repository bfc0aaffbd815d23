//! Source of file events, and the directories watched for each tree.
//!
//! On Linux the events come from inotify directly, whose queue any thread can read for an immediate answer. Other
//! systems use notify with its debouncer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dispatcher::NoticeDispatcher;
use super::matcher::Matcher;
use super::messages::LimitReached;
use super::symlinks::TreeSymlinks;

/// Whether one watch covers a whole directory tree. On Linux a recursive watch would be one watch per directory,
/// ignored ones included, so each walked directory is watched separately.
pub(super) const RECURSIVE: bool = cfg!(any(target_os = "macos", windows));

/// Backend for file events. Dropping it ends the events.
pub(super) trait WatchBackend: std::fmt::Debug {
    /// Watches the entries of a directory; on macOS and Windows everything below it. Returns false for a missing or
    /// unreadable directory.
    fn watch(&mut self, directory: &Path) -> Result<bool, LimitReached>;

    /// Ends a watch, which the system may have ended already.
    fn unwatch(&mut self, directory: &Path);
}

/// Constructor of a backend.
pub(super) type MakeBackend = fn(&Arc<NoticeDispatcher>) -> io::Result<Box<dyn WatchBackend>>;

/// Active watch. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct DirectoryWatches {
    backend: Box<dyn WatchBackend>,
    dispatcher: Arc<NoticeDispatcher>,
    /// Directories with a watch in the system.
    watched: BTreeSet<PathBuf>,
    /// Required directories and the trees that require them.
    needed: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl DirectoryWatches {
    pub(super) fn new(
        make_backend: MakeBackend,
        dispatcher: &Arc<NoticeDispatcher>,
    ) -> io::Result<Self> {
        Ok(Self {
            backend: make_backend(dispatcher)?,
            dispatcher: dispatcher.clone(),
            watched: BTreeSet::new(),
            needed: BTreeMap::new(),
        })
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

    /// Watches the entries of one directory for the tree `id`; on macOS and Windows everything below it. Skips a
    /// missing or unreadable directory.
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
        if self.backend.watch(directory)? {
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
            // Directories covered by a removed parent watch get their own watch before the parent watch ends.
            for directory in self.needed.keys().cloned().collect::<Vec<_>>() {
                // Recursive watches have no limit.
                let _ = self.cover(&directory);
            }
        }
        for directory in unneeded {
            self.backend.unwatch(&directory);
        }
    }

    /// Ends the watches at and below a moved or removed directory.
    pub(super) fn forget(&mut self, directory: &Path) {
        self.needed.retain(|path, _| !path.starts_with(directory));
        let gone: Vec<PathBuf> = self
            .watched
            .range::<Path, _>((Bound::Included(directory), Bound::Unbounded))
            .take_while(|path| path.starts_with(directory))
            .cloned()
            .collect();
        for path in gone {
            self.backend.unwatch(&path);
            self.watched.remove(&path);
        }
    }
}

/// Returns the kind of a mount that may not report changes made by other machines or by another system on this one.
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
    // The type has 32 bits; the C type is wider or signed on some machines.
    KINDS
        .iter()
        .find(|(kind, _)| i128::from(found) & 0xFFFF_FFFF == i128::from(*kind))
        .map(|(_, name)| *name)
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

#[cfg(not(target_os = "linux"))]
pub(super) fn remote_mount(_path: &Path) -> Option<&'static str> {
    None
}
