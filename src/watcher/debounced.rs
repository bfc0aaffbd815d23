//! notify backend with its debouncer, plus an early look at the raw events: the debouncer reports nothing about a file
//! that is written repeatedly until the writes pause.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};
use notify_debouncer_full::file_id::FileId;
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, FileIdCache, new_debouncer_opt,
};

use super::dispatcher::NoticeDispatcher;
use super::file_events::{BackendTraits, Reach, WatchBackend};
use super::messages::{LimitReached, Touch, WatcherMessage, WriteState};
use super::paths::canonical;

const DEBOUNCE: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(5);

/// Differences of this system's events from those of inotify.
const TRAITS: BackendTraits = BackendTraits {
    is_recursive: cfg!(any(target_os = "macos", windows)),
    // notify replaces the stream of FSEvents, which covers all watches.
    is_interrupted: cfg!(target_os = "macos"),
    canonical: if cfg!(any(target_os = "macos", windows)) {
        Some(canonical)
    } else {
        None
    },
};

/// notify backend.
#[derive(Debug)]
struct DebouncedBackend<W: Watcher> {
    debouncer: Debouncer<W, RawEventForwarder>,
    traits: BackendTraits,
}

/// Starts the debouncer.
pub(super) fn start_backend(
    dispatcher: &Arc<NoticeDispatcher>,
) -> io::Result<Box<dyn WatchBackend>> {
    start_on::<RecommendedWatcher>(dispatcher, TRAITS)
}

/// Starts the debouncer on a watcher of notify with the given traits.
pub(super) fn start_on<W>(
    dispatcher: &Arc<NoticeDispatcher>,
    traits: BackendTraits,
) -> io::Result<Box<dyn WatchBackend>>
where
    W: Watcher + std::fmt::Debug + 'static,
{
    let messages = dispatcher.messages.clone();
    let raw_events = RawEventForwarder(messages.clone());
    let debouncer = new_debouncer_opt::<_, W, _>(
        DEBOUNCE,
        Some(TICK),
        move |result| forward(result, &messages),
        raw_events,
        Config::default(),
    );
    let debouncer = debouncer.map_err(|error| match error.kind {
        ErrorKind::Io(error) => error,
        _ => io::Error::other(error),
    })?;
    Ok(Box::new(DebouncedBackend { debouncer, traits }))
}

impl<W: Watcher + std::fmt::Debug> WatchBackend for DebouncedBackend<W> {
    fn traits(&self) -> BackendTraits {
        self.traits
    }

    fn watch(&mut self, directory: &Path, reach: Reach) -> Result<bool, LimitReached> {
        // An attempt would interrupt the other watches.
        if !directory.is_dir() {
            return Ok(false);
        }
        let mode = match reach {
            Reach::Entries => RecursiveMode::NonRecursive,
            Reach::Below => RecursiveMode::Recursive,
        };
        match self.debouncer.watch(directory, mode) {
            Ok(()) => Ok(true),
            Err(error) if is_limit(&error) => Err(LimitReached),
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "directory not watched");
                Ok(false)
            }
        }
    }

    fn unwatch(&mut self, directory: &Path) {
        // Fails for a watch that the system has ended together with its directory.
        let _ = self.debouncer.unwatch(directory);
    }
}

fn is_limit(error: &notify::Error) -> bool {
    matches!(error.kind, ErrorKind::MaxFilesWatch)
}

/// Converts debounced events to a signal. Runs on the debouncer's thread and never blocks.
fn forward(result: DebounceEventResult, messages: &Sender<WatcherMessage>) {
    let message = match result {
        Ok(events) if events.iter().any(|event| event.need_rescan()) => WatcherMessage::Rescan,
        Ok(events) => WatcherMessage::Touched(events.into_iter().flat_map(touches).collect()),
        Err(errors) if errors.iter().any(is_limit) => WatcherMessage::LimitReached,
        Err(errors) => {
            tracing::debug!(?errors, "watch error");
            WatcherMessage::Rescan
        }
    };
    if !matches!(&message, WatcherMessage::Touched(touches) if touches.is_empty()) {
        // The receiver is gone once the watcher is dropped.
        let _ = messages.send(message);
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
        .map(move |path| Touch {
            path,
            moved,
            is_dir: false,
            write_state: WriteState::Unknown,
        })
}

/// Forwards raw events: the debouncer queries its file id cache for each incoming event. The cache stores no ids, since
/// the previous name of a file is irrelevant here.
#[derive(Debug)]
struct RawEventForwarder(Sender<WatcherMessage>);

impl FileIdCache for RawEventForwarder {
    fn cached_file_id(&self, _path: &Path) -> Option<impl AsRef<FileId>> {
        None::<Cow<'_, FileId>>
    }

    /// Called for each event with an uncached path, and for each rename to this path.
    fn add_path(&mut self, path: &Path, _mode: RecursiveMode) {
        let _ = self.0.send(WatcherMessage::RawEvent(path.to_owned()));
    }

    fn remove_path(&mut self, path: &Path) {
        let _ = self.0.send(WatcherMessage::RawEvent(path.to_owned()));
    }
}
