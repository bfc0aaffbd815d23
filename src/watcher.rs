//! Watches server sources and reports real content changes per server.
//!
//! One thread, the `event_loop`, owns nearly everything. File events (`file_events`; from `inotify_backend`, on other
//! systems `debounced`) mark paths, `matcher` and `ignores` select the watched ones, `tree` walks directories and
//! stores file hashes, `settle` detects the end of a save, `event_loop::registration` adds and removes listeners.
//! Listeners with the same directory and globs share one tree, which is walked, hashed and compared once.
//! `event_loop::imprecise` compares whole directories where events do not name each changed entry as the disk spells it.
//!
//! Event kinds decide nothing: each touched path is examined and compared. Only `dispatcher` is shared between threads,
//! so that a call does not depend on the scheduling of the watcher thread. The watcher never touches a server or a
//! session; it passes [`WatchNotice`]s to a callback and warnings for the user to [`EventSender`].

mod baseline;
#[cfg_attr(
    all(target_os = "linux", not(test)),
    expect(dead_code, reason = "for the other systems; tested here as well")
)]
mod debounced;
mod dispatcher;
mod event_loop;
mod file_events;
mod ignores;
mod infer;
#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "linux")]
mod inotify_backend;
mod json_imports;
mod matcher;
mod messages;
mod paths;
mod remote_mount;
mod settle;
mod symlink_steps;
mod symlinks;
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
use self::debounced::start_backend;
use self::dispatcher::NoticeDispatcher;
use self::event_loop::WatcherThread;
use self::file_events::MakeBackend;
#[cfg(target_os = "linux")]
use self::inotify_backend::start_backend;
use self::matcher::Matcher;
use self::messages::WatcherMessage;
use crate::event::EventSender;

/// Polling interval where file events are unavailable.
const POLL: Duration = Duration::from_millis(500);

/// Request to watch files under one id.
#[derive(Debug, Clone)]
pub(crate) enum WatchRequest {
    /// Sources of a server.
    Sources {
        /// Server name, for events.
        server: String,
        /// Number of the server's session, for events.
        session: Option<u64>,
        /// Base directory of relative globs.
        cwd: PathBuf,
        /// Server command; globs are inferred from it if none is given.
        program: OsString,
        args: Vec<OsString>,
        /// Whether a build runs before each start.
        builds: bool,
        /// Whether the server may reload itself; otherwise a watcher within the command is warned of.
        may_reload: bool,
        /// Ordered globs: `!` excludes, the last match wins. Globs are inferred if none of them includes.
        globs: Vec<String>,
        /// Files that inferred globs do not cover.
        left_out: Vec<PathBuf>,
        /// Detects files that the server writes itself; `None` if unknown.
        own_writes: Option<OwnWrites>,
        /// Reports whether the next start uses up a standby; `None` if the server never has one.
        uses_standby: Option<UsesStandby>,
        /// Earliest possible start of the server. A previously unwatched file that is newer counts as changed.
        since: Option<SystemTime>,
    },
    /// Exactly these files, in any location and regardless of ignore files. The files need not exist yet. For a
    /// symlink, both its target path and the content there count. Notices use the spelling of `files`.
    Files {
        /// Description of the files, for warnings.
        name: String,
        files: Vec<PathBuf>,
    },
}

impl WatchRequest {
    /// Returns the earliest possible start of the server; `None` if the server starts after the request.
    fn since(&self) -> Option<SystemTime> {
        match self {
            Self::Files { .. } => None,
            Self::Sources { since, .. } => *since,
        }
    }

    /// Returns the error with which [`Watcher::add`] would reject the request. Walks no directory.
    pub(crate) fn check(&self) -> Result<(), WatchError> {
        match self {
            Self::Files { .. } => Ok(()),
            Self::Sources {
                server, cwd, globs, ..
            } => Matcher::check(&canonical_cwd(server, cwd)?, globs),
        }
    }
}

/// Returns the base directory of the globs of `server`, without symlinks.
fn canonical_cwd(server: &str, cwd: &Path) -> Result<PathBuf, WatchError> {
    dunce::canonicalize(cwd).map_err(|source| WatchError::Cwd {
        server: server.to_owned(),
        cwd: cwd.to_owned(),
        source,
    })
}

/// Change of a server's files. Each `Suspect` is followed by exactly one `Unchanged` or `Changed` before the next
/// `Suspect` of the same server, with at most one `Saved` in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WatchNotice {
    /// A watched path was touched; its content is not compared yet.
    Suspect,
    /// The content of these files changed, and every file written so far is closed. Further files may follow, since the
    /// quiet time has not passed. Sent for sources only, and only where the system reports closed files (Linux).
    Saved(Vec<PathBuf>),
    /// No content changed, apart from the files in `Saved`.
    Unchanged,
    /// The content of these files changed (since `Saved`, if sent). Paths below cwd are relative to it, except for
    /// [`WatchRequest::Files`].
    Changed(Vec<PathBuf>),
}

/// Predicate: whether the server's own process has written a file.
#[derive(Clone)]
pub(crate) struct OwnWrites(Arc<dyn Fn(&Path) -> bool + Send + Sync>);

impl OwnWrites {
    /// The watcher thread calls `includes` for each changed file, with a path whose directory is canonical. `includes`
    /// may read files.
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

/// Predicate: whether the server's next start uses up a standby. Such a start must not begin too early.
#[derive(Clone)]
pub(crate) struct UsesStandby(Arc<dyn Fn() -> bool + Send + Sync>);

impl UsesStandby {
    /// The watcher thread calls `is_next` when a file is touched. `is_next` must not block.
    pub(crate) fn new(is_next: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_next))
    }

    fn is_next(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for UsesStandby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsesStandby").finish_non_exhaustive()
    }
}

/// Files in use by a server process, as the process spells them.
#[derive(Debug, Clone)]
pub(crate) struct FilesInUse {
    /// Code files, in any location.
    pub(crate) code: BTreeSet<PathBuf>,
    /// Files read before the first response; watched only inside the project.
    pub(crate) read: BTreeSet<PathBuf>,
    /// Start of the process. A file changed later may differ from the content that the process has loaded.
    pub(crate) since: SystemTime,
}

impl Default for FilesInUse {
    fn default() -> Self {
        Self {
            code: BTreeSet::new(),
            read: BTreeSet::new(),
            since: SystemTime::UNIX_EPOCH,
        }
    }
}

/// Globs and file count of one id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    /// Effective globs, inferred ones included, each with its reason; kept up to date.
    pub(crate) globs: Arc<Mutex<Vec<(String, &'static str)>>>,
    /// Number of files in the tree; kept up to date.
    pub(crate) files: Arc<AtomicUsize>,
}

/// Answer to the question whether a file is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WatchAnswer {
    pub(crate) is_watched: bool,
    /// Reason, in words.
    pub(crate) reason: String,
    /// True if no glob selects the file.
    pub(crate) lacks_glob: bool,
}

/// Watched files of one id.
#[derive(Debug, Clone)]
pub(crate) struct WatchDescription {
    /// Answer for the file that was asked for.
    pub(crate) answer: Option<WatchAnswer>,
    /// The first files, each with its reason. Paths below cwd are relative to it.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// Number of all files.
    pub(crate) count: usize,
}

/// Timing of the watcher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchOptions {
    /// Duration without touches that ends a save.
    pub(crate) quiet: Duration,
    /// Maximum duration of a save, counted from its first touch.
    pub(crate) max_wait: Duration,
    /// Polling interval; `None` uses file events.
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

/// Error that prevents watching.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("invalid watch glob {glob:?}")]
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
    #[error("the watcher has stopped")]
    Ended,
}

/// Handle to the watcher of a session, whose servers may come and go. Dropping it ends the watch.
#[derive(Debug)]
#[must_use]
pub(crate) struct Watcher {
    /// Holds the channel to the watcher thread. The channel is unbounded: signals are small, and the thread receives
    /// them faster than the disk produces them, except while it walks a tree.
    dispatcher: Arc<NoticeDispatcher>,
}

/// Handle that reports saves before the watcher thread processes them. Holds a weak reference: does nothing once the
/// watcher is dropped.
#[derive(Debug, Clone)]
pub(crate) struct WeakWatcher(Weak<NoticeDispatcher>);

impl WeakWatcher {
    /// Sends a pending [`WatchNotice::Suspect`], on the calling thread, for each id whose files were written before
    /// this call. Linux only; does nothing on other systems or for polled files.
    pub(crate) fn report_pending(&self) {
        if let Some(dispatcher) = self.0.upgrade() {
            dispatcher.report_queued();
        }
    }

    /// Also watches the files in use by the process of `id`, if globs were inferred for it. Replaces the previous
    /// files.
    pub(crate) fn watch_in_use(&self, id: u64, in_use: FilesInUse) {
        if let Some(dispatcher) = self.0.upgrade() {
            // The thread may have ended.
            let _ = dispatcher.messages.send(WatcherMessage::InUse(id, in_use));
        }
    }
}

impl Watcher {
    /// Starts the watcher thread, without any watch. `notify` receives the id of the request and each notice, on the
    /// watcher thread or on a thread that calls [`WeakWatcher::report_pending`]; it must not block.
    pub(crate) fn start(
        options: WatchOptions,
        notify: impl Fn(u64, WatchNotice) + Send + Sync + 'static,
        events: EventSender,
    ) -> Result<Self, WatchError> {
        Self::start_on(start_backend, options, notify, events)
    }

    fn start_on(
        make_backend: MakeBackend,
        options: WatchOptions,
        notify: impl Fn(u64, WatchNotice) + Send + Sync + 'static,
        events: EventSender,
    ) -> Result<Self, WatchError> {
        let (sender, messages) = channel();
        let dispatcher = Arc::new(NoticeDispatcher::new(sender, notify));
        let shared = dispatcher.clone();
        std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || {
                WatcherThread::new(make_backend, options, shared, messages, events).run();
            })
            .map_err(WatchError::Thread)?;
        Ok(Self { dispatcher })
    }

    /// Returns a handle that reports saves ahead of the watcher thread.
    pub(crate) fn downgrade(&self) -> WeakWatcher {
        WeakWatcher(Arc::downgrade(&self.dispatcher))
    }

    /// Adds the watch of `id`. Resolves after one walk of its files, when no later save can be missed. Dropping the
    /// future does not cancel the addition.
    ///
    /// Replaces a previous watch of `id` without losing a save: files in both watches are compared with their previous
    /// content. After an error the previous watch stays in place.
    pub(crate) async fn add(&self, id: u64, request: WatchRequest) -> Result<Coverage, WatchError> {
        let (sender, result) = oneshot::channel();
        let message = WatcherMessage::Add {
            id,
            request,
            result: sender,
        };
        self.dispatcher
            .messages
            .send(message)
            .map_err(|_| WatchError::Ended)?;
        result.await.unwrap_or(Err(WatchError::Ended))
    }

    /// Returns the first `most` files in the watch of `id`, and the answer for `path`, if given. `None` if there is no such
    /// watch.
    pub(crate) async fn describe(
        &self,
        id: u64,
        path: Option<PathBuf>,
        most: usize,
    ) -> Option<WatchDescription> {
        let (result, description) = oneshot::channel();
        let message = WatcherMessage::Describe {
            id,
            path,
            most,
            result,
        };
        self.dispatcher.messages.send(message).ok()?;
        description.await.ok()?
    }

    /// Ends the watch of `id`. No further notice follows, not even the result of its last `Suspect`. A notice that is
    /// already in the channel stays there, so an id whose notices may still be received should not be reused.
    pub(crate) fn remove(&self, id: u64) {
        // The thread may have ended; then it sends no notice either.
        let _ = self.dispatcher.messages.send(WatcherMessage::Remove(id));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // The thread may have ended.
        let _ = self.dispatcher.messages.send(WatcherMessage::Stop);
    }
}
