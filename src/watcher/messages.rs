//! Messages to the watcher thread.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::{Coverage, FilesInUse, WatchDescription, WatchError, WatchRequest};

/// Message to the watcher thread.
#[derive(Debug)]
pub(super) enum WatcherMessage {
    /// Adds a watch. `result` receives the coverage once the watch is complete.
    Add {
        id: u64,
        request: WatchRequest,
        result: oneshot::Sender<Result<Coverage, WatchError>>,
    },
    /// Replaces the files in use by the process of the id.
    InUse(u64, FilesInUse),
    /// Describes the watch of the id, see [`Watcher::describe`](super::Watcher::describe).
    Describe {
        id: u64,
        path: Option<PathBuf>,
        most: usize,
        result: oneshot::Sender<Option<WatchDescription>>,
    },
    /// Ends the watch of the id.
    Remove(u64),
    /// Touched paths.
    Touched(Vec<Touch>),
    /// End of a batch of touches for which these ids are suspected.
    BatchEnd(BTreeSet<u64>),
    /// Raw event for this path, possibly only a read.
    RawEvent(PathBuf),
    /// Events were lost: everything must be examined.
    Rescan,
    /// Limit of watches reached.
    LimitReached,
    /// The source of events failed and reports nothing more.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has a queue that can be read")
    )]
    EventsFailed(io::Error),
    Stop,
}

/// Touched path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Touch {
    pub(super) path: PathBuf,
    /// Whether the path may have been created, removed or replaced.
    pub(super) moved: bool,
    /// Whether the system reports that the path is or was a directory.
    pub(super) is_dir: bool,
    pub(super) write_state: WriteState,
}

/// Write state of a file according to a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only inotify reports open and closed files")
)]
pub(super) enum WriteState {
    /// Opened for writing and not closed yet.
    Open,
    /// Closed after writing, or renamed into place: its writer is done.
    Done,
    /// No information.
    Unknown,
}

/// Error: the system grants this user no more watches.
#[derive(Debug)]
pub(super) struct LimitReached;
