//! Watches the servers' sources and says which server's content really changed.
//!
//! One thread owns nearly everything: events (`source`; by `inotify`, elsewhere `debounced` by notify) mark
//! paths, `matcher` and `ignores` say which of them are wanted, `tree` walks and remembers what each file
//! held, `settle` waits until a save is over, `run` ties them together, `joining` lets listeners come and go: those
//! with the same directory and globs share one tree, which is walked, hashed and compared once.
//! Event kinds decide nothing: a path is looked at and compared. Only the `lookout` is shared, so that a
//! call does not depend on when that thread runs. The watcher never touches a server or a session; it
//! sends [`Notice`]s to a function, and what a person should know to [`Events`].

mod baseline;
#[cfg_attr(
    all(target_os = "linux", not(test)),
    expect(dead_code, reason = "for the other systems; tested here as well")
)]
mod debounced;
mod ignores;
mod infer;
#[cfg(target_os = "linux")]
mod inotify;
mod joining;
mod linked;
mod links;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only Linux has a queue that can be read")
)]
mod lookout;
mod matcher;
mod modules;
mod run;
mod settle;
mod source;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

#[cfg(not(target_os = "linux"))]
use self::debounced::feed;
#[cfg(target_os = "linux")]
use self::inotify::feed;
use self::lookout::Lookout;
use self::matcher::Matcher;
use self::run::Run;
use self::source::{MakeFeed, Signal};
use crate::event::Events;

/// How often files are looked at where no events can be had.
const POLL: Duration = Duration::from_millis(500);

/// What to watch under one id.
#[derive(Debug, Clone)]
pub(crate) enum WatchRequest {
    /// The sources of a server.
    Sources {
        /// The server's name, for events.
        server: String,
        /// Globs are relative to it.
        cwd: PathBuf,
        /// The command, from which globs are inferred if none is given.
        program: OsString,
        args: Vec<OsString>,
        /// A build runs before each start.
        builds: bool,
        /// Ordered, `!` excludes, the last match wins. Without an including one they are inferred.
        globs: Vec<String>,
        /// Tells what the server writes itself, where that can be known.
        own_writes: Option<OwnWrites>,
        /// Tells how its next start is, where they differ.
        one_start: Option<OneStart>,
        /// The server may have been started since then: a newer file that was not watched before counts as changed.
        since: Option<SystemTime>,
    },
    /// Exactly these files, wherever they lie and whatever ignore files say; they need not exist
    /// yet. Where one is a symbolic link, what it leads to counts and where it leads. A notice
    /// names them as they are spelled here.
    Files {
        /// What they are, for warnings.
        name: String,
        files: Vec<PathBuf>,
    },
}

impl WatchRequest {
    /// Returns since when the server may have run, unless it is to be started afterwards.
    fn since(&self) -> Option<SystemTime> {
        match self {
            Self::Files { .. } => None,
            Self::Sources { since, .. } => *since,
        }
    }

    /// Returns the error for which [`Watcher::add`] would refuse the request, without walking any directory.
    pub(crate) fn check(&self) -> Result<(), WatchError> {
        match self {
            Self::Files { .. } => Ok(()),
            Self::Sources {
                server, cwd, globs, ..
            } => Matcher::new(canonical_cwd(server, cwd)?, globs.clone()).map(drop),
        }
    }
}

/// The directory that the globs of `server` are relative to, without symbolic links.
fn canonical_cwd(server: &str, cwd: &Path) -> Result<PathBuf, WatchError> {
    cwd.canonicalize().map_err(|source| WatchError::Cwd {
        server: server.to_owned(),
        cwd: cwd.to_owned(),
        source,
    })
}

/// What happened to a server's files. Each `Suspect` is followed by exactly one `Unchanged` or `Changed`
/// before the next `Suspect` of that server, with at most one `Saved` in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A wanted path was touched; its content is not compared yet.
    Suspect,
    /// The content of these files changed, and their writers are done with them. Others may follow: nothing was
    /// quiet yet. Sent of sources only, and not where the system does not tell so much.
    Saved(Vec<PathBuf>),
    /// Nothing really changed, besides what `Saved` named.
    Unchanged,
    /// The content of these files changed (since `Saved`, if that was sent); relative to cwd where they lie below it.
    Changed(Vec<PathBuf>),
}

/// Tells whether a server's process has written a file itself.
#[derive(Clone)]
pub(crate) struct OwnWrites(Arc<dyn Fn(&Path) -> bool + Send + Sync>);

impl OwnWrites {
    /// `includes` is called on the watcher's thread, with a path whose directory is canonical, when a file has
    /// changed. It may read files.
    pub(crate) fn new(includes: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(includes))
    }

    fn include(&self, path: &Path) -> bool {
        (self.0)(path)
    }
}

impl fmt::Debug for OwnWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnWrites").finish_non_exhaustive()
    }
}

/// Tells whether a server's next start is one that can be had only once, so that it must not be begun too early.
#[derive(Clone)]
pub(crate) struct OneStart(Arc<dyn Fn() -> bool + Send + Sync>);

impl OneStart {
    /// `is_next` is called on the watcher's thread when a file is touched. It must not block.
    pub(crate) fn new(is_next: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_next))
    }

    fn is_next(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for OneStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneStart").finish_non_exhaustive()
    }
}

/// What the process of a server uses, as it names the files.
#[derive(Debug, Clone)]
pub(crate) struct InUse {
    /// Files of its code, wherever they lie.
    pub(crate) code: BTreeSet<PathBuf>,
    /// Files that it had read before it answered. They count if they lie in the project.
    pub(crate) read: BTreeSet<PathBuf>,
    /// What was changed later may not be as the process has it.
    pub(crate) since: SystemTime,
}

impl Default for InUse {
    fn default() -> Self {
        Self {
            code: BTreeSet::new(),
            read: BTreeSet::new(),
            since: SystemTime::UNIX_EPOCH,
        }
    }
}

/// What is watched under one id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    /// The globs in force, those that were inferred among them, kept up to date.
    pub(crate) globs: Arc<Mutex<Vec<String>>>,
    /// How many files its tree has, kept up to date while they come and go.
    pub(crate) files: Arc<AtomicUsize>,
}

/// How to watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchOptions {
    /// A save is over when nothing was touched for this long,
    pub(crate) quiet: Duration,
    /// or when this long has passed since the first touch.
    pub(crate) max_wait: Duration,
    /// Look at the files this often instead of waiting for events.
    pub(crate) poll: Option<Duration>,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(30),
            max_wait: Duration::from_secs(1),
            poll: None,
        }
    }
}

/// Why watching could not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("watch glob {glob:?} is not valid")]
    Glob {
        glob: String,
        #[source]
        source: globset::Error,
    },
    #[error("a watch glob is empty; remove it or name files, as in \"src/**/*.py\"")]
    EmptyGlob,
    #[error("{server}: cannot watch below {}; does the directory exist?", cwd.display())]
    Cwd {
        server: String,
        cwd: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the watcher's thread")]
    Thread(#[source] std::io::Error),
    #[error("the watcher has ended")]
    Ended,
}

/// Watches for the servers of a session, which may come and go. Dropping it ends the watch.
#[derive(Debug)]
#[must_use]
pub(crate) struct Watcher {
    /// Has the way to the thread. Unbounded: signals are small, and the thread takes them faster
    /// than the disk makes them unless it is walking a tree.
    lookout: Arc<Lookout>,
}

/// Tells of saves that the watcher's thread may not have come to yet. It keeps nothing alive: once the
/// watcher is dropped, it does nothing.
#[derive(Debug, Clone)]
pub(crate) struct Glance(Weak<Lookout>);

impl Glance {
    /// Sends a [`Notice::Suspect`], on this thread, for each id whose files were written before this call,
    /// unless one was sent. Only on Linux: on other systems, and for files that are polled, it does nothing.
    pub(crate) fn take(&self) {
        if let Some(lookout) = self.0.upgrade() {
            lookout.look();
        }
    }

    /// Watches for `id` also what its process uses, if globs were inferred for it. Replaces what was given before.
    pub(crate) fn attend(&self, id: u64, in_use: InUse) {
        if let Some(lookout) = self.0.upgrade() {
            // The thread may have ended by itself.
            let _ = lookout.signals.send(Signal::InUse(id, in_use));
        }
    }
}

impl Watcher {
    /// Starts the thread, which watches nothing yet. `tell` is called with the id of the request and
    /// each notice, on that thread and on those that take a [`Glance`]; it must not block.
    pub(crate) fn start(
        options: WatchOptions,
        tell: impl Fn(u64, Notice) + Send + Sync + 'static,
        events: Events,
    ) -> Result<Self, WatchError> {
        Self::start_on(feed, options, tell, events)
    }

    fn start_on(
        make: MakeFeed,
        options: WatchOptions,
        tell: impl Fn(u64, Notice) + Send + Sync + 'static,
        events: Events,
    ) -> Result<Self, WatchError> {
        let (sender, signals) = channel();
        let lookout = Arc::new(Lookout::new(sender, tell));
        let shared = lookout.clone();
        std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || Run::new(make, options, shared, signals, events).run())
            .map_err(WatchError::Thread)?;
        Ok(Self { lookout })
    }

    /// A handle for those who must know of a save before the watcher's thread may tell of it.
    pub(crate) fn glance(&self) -> Glance {
        Glance(Arc::downgrade(&self.lookout))
    }

    /// Watches for `id` as well. Resolves when no later save can go unnoticed, which takes one walk
    /// through what is watched; dropped before, it is added all the same. Returns what is watched.
    ///
    /// What was watched for `id` is replaced without losing a save: files that both want are
    /// compared with what they held before. After an error it is watched as before.
    pub(crate) async fn add(&self, id: u64, request: WatchRequest) -> Result<Coverage, WatchError> {
        let (armed, is_armed) = oneshot::channel();
        let signal = Signal::Add { id, request, armed };
        self.lookout
            .signals
            .send(signal)
            .map_err(|_| WatchError::Ended)?;
        is_armed.await.unwrap_or(Err(WatchError::Ended))
    }

    /// Watches no more for `id`: nothing further is said of it, not even what its last suspicion
    /// came to. A notice that is already in the channel stays there, so an id that may still be
    /// read from it is better not used again.
    pub(crate) fn remove(&self, id: u64) {
        // The thread may have ended by itself; then nothing is said either.
        let _ = self.lookout.signals.send(Signal::Remove(id));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The thread may have ended by itself.
        let _ = self.lookout.signals.send(Signal::Stop);
    }
}
