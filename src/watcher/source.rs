//! Where events come from: notify behind its debouncer, plus an early look at the raw events,
//! because the debouncer says nothing about a file for as long as it is written again and again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::file_id::FileId;
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, FileIdCache, new_debouncer_opt,
};
use tokio::sync::oneshot;

use super::{WatchError, WatchRequest};

const DEBOUNCE: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(5);

/// One system-wide recursive watch per root elsewhere; on Linux a recursive watch is a watch per
/// directory, ignored ones included, so each kept directory is watched by itself.
const RECURSIVE: bool = cfg!(any(target_os = "macos", windows));

/// What the watcher's thread is told.
#[derive(Debug)]
pub(super) enum Signal {
    /// Watch this as well; `armed` learns when it is.
    Add {
        id: u64,
        request: WatchRequest,
        armed: oneshot::Sender<Result<(), WatchError>>,
    },
    /// Watch no more for this id.
    Remove(u64),
    /// Debounced: these paths were touched.
    Touched(Vec<Touch>),
    /// Raw: something happened to this path, perhaps only a read.
    Stirred(PathBuf),
    /// Events were lost: look at everything.
    Rescan,
    /// Directories can no longer be watched.
    LimitReached,
    Stop,
}

/// A touched path.
#[derive(Debug)]
pub(super) struct Touch {
    pub(super) path: PathBuf,
    /// It may have come, gone or been replaced by something else of that name.
    pub(super) moved: bool,
}

/// The system allows no more watches to this user.
#[derive(Debug)]
pub(super) struct LimitReached;

/// The live watch. Dropping it ends the watch.
#[derive(Debug)]
pub(super) struct Source {
    debouncer: Debouncer<RecommendedWatcher, Stirrings>,
    /// The watches that the system keeps.
    watched: BTreeSet<PathBuf>,
    /// The directories that are needed, and by which trees.
    needed: BTreeMap<PathBuf, BTreeSet<u64>>,
}

impl Source {
    pub(super) fn new(signals: Sender<Signal>) -> notify::Result<Self> {
        probe()?;
        let stirrings = Stirrings(signals.clone());
        let debouncer = new_debouncer_opt::<_, RecommendedWatcher, _>(
            DEBOUNCE,
            Some(TICK),
            move |result| forward(result, &signals),
            stirrings,
            Config::default(),
        )?;
        Ok(Self {
            debouncer,
            watched: BTreeSet::new(),
            needed: BTreeMap::new(),
        })
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
        let mode = if RECURSIVE {
            RecursiveMode::Recursive
        } else {
            RecursiveMode::NonRecursive
        };
        match self.debouncer.watch(directory, mode) {
            Ok(()) => {
                self.watched.insert(directory.to_owned());
                Ok(())
            }
            Err(error) if is_limit(&error) => Err(LimitReached),
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "directory not watched");
                Ok(())
            }
        }
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
            // A watch that the system ended together with its directory is not found.
            let _ = self.debouncer.unwatch(&directory);
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
            let _ = self.debouncer.unwatch(&path);
            self.watched.remove(&path);
        }
    }
}

pub(super) fn is_limit(error: &notify::Error) -> bool {
    matches!(error.kind, ErrorKind::MaxFilesWatch)
}

/// Fails if a watcher cannot be had; the debouncer would leave its ticking thread behind.
fn probe() -> notify::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC)
        .map_err(|error| notify::Error::io(error.into()))?;
    Ok(())
}

/// Runs on the debouncer's thread: never blocks.
fn forward(result: DebounceEventResult, signals: &Sender<Signal>) {
    let signal = match result {
        Ok(events) if events.iter().any(|event| event.need_rescan()) => Signal::Rescan,
        Ok(events) => Signal::Touched(events.into_iter().flat_map(touches).collect()),
        Err(errors) if errors.iter().any(is_limit) => Signal::LimitReached,
        Err(errors) => {
            tracing::debug!(?errors, "watch error");
            Signal::Rescan
        }
    };
    if !matches!(&signal, Signal::Touched(touches) if touches.is_empty()) {
        // Nobody listens any more once the watcher is dropped.
        let _ = signals.send(signal);
    }
}

fn touches(event: DebouncedEvent) -> impl Iterator<Item = Touch> {
    let moved = matches!(
        event.kind,
        EventKind::Any
            | EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Any | ModifyKind::Name(_))
    );
    let is_read = matches!(event.kind, EventKind::Access(_));
    event
        .event
        .paths
        .into_iter()
        .filter(move |_| !is_read)
        .map(move |path| Touch { path, moved })
}

/// Passes raw events on: the debouncer asks its file-id cache about each one as it comes in.
/// It keeps no ids, since what a file was called before does not matter here.
#[derive(Debug)]
struct Stirrings(Sender<Signal>);

impl FileIdCache for Stirrings {
    fn cached_file_id(&self, _path: &Path) -> Option<impl AsRef<FileId>> {
        None::<Cow<'_, FileId>>
    }

    /// What is not in the cache is added with each event, what was renamed to this path in any case.
    fn add_path(&mut self, path: &Path, _mode: RecursiveMode) {
        let _ = self.0.send(Signal::Stirred(path.to_owned()));
    }

    fn remove_path(&mut self, path: &Path) {
        let _ = self.0.send(Signal::Stirred(path.to_owned()));
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
