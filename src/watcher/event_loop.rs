//! Event loop of the watcher thread: owns the trees and the event source, turns signals and time into notices.

mod imprecise;
mod registration;

use std::collections::BTreeSet;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::dispatcher::NoticeDispatcher;
use super::file_events::{DirectoryWatches, MakeBackend};
use super::messages::{LimitReached, Touch, WatcherMessage, WriteState};
use super::paths::EVERYTHING;
use super::settle::DiskState;
use super::tree::Tree;
use super::{POLL, WatchNotice, WatchOptions};
use crate::event::EventSender;
use registration::source_failure;

/// Maximum number of signals per iteration before the time is checked.
const SIGNALS_PER_TURN: usize = 10_000;
/// Sleep time when nothing is due.
const FOREVER: Duration = Duration::from_secs(3600);

/// State of the watcher thread.
pub(super) struct WatcherThread {
    options: WatchOptions,
    trees: Vec<Tree>,
    /// Number of the newest tree.
    last_tree: u64,
    /// Event source; present while a tree needs it.
    watches: Option<DirectoryWatches>,
    /// Constructor of the event source's backend.
    make_backend: MakeBackend,
    /// Delivers notices.
    dispatcher: Arc<NoticeDispatcher>,
    messages: Receiver<WatcherMessage>,
    events: EventSender,
    poll_every: Duration,
    next_poll: Instant,
    /// Whether the system provides no file events; the user was warned.
    no_events: bool,
    /// Whether the user was warned about a polled mount.
    is_mount_reported: bool,
    /// Unread files of initial baselines, each with its tree number.
    unread: Vec<(u64, PathBuf)>,
    /// Directories to examine, since an event may concern any of their entries.
    marked: BTreeSet<PathBuf>,
}

impl WatcherThread {
    /// Creates the state without any watch.
    pub(super) fn new(
        make_backend: MakeBackend,
        options: WatchOptions,
        dispatcher: Arc<NoticeDispatcher>,
        messages: Receiver<WatcherMessage>,
        events: EventSender,
    ) -> Self {
        let poll_every = options.poll.unwrap_or(POLL);
        Self {
            options,
            trees: Vec::new(),
            last_tree: 0,
            watches: None,
            make_backend,
            dispatcher,
            messages,
            events,
            poll_every,
            next_poll: Instant::now() + poll_every,
            no_events: false,
            is_mount_reported: false,
            unread: Vec::new(),
            marked: BTreeSet::new(),
        }
    }

    /// Runs until [`WatcherMessage::Stop`].
    pub(super) fn run(mut self) {
        loop {
            match self.messages.recv_timeout(self.sleep()) {
                Ok(WatcherMessage::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.on_message(message),
                Err(RecvTimeoutError::Timeout) => self.read_next(),
            }
            for _ in 1..SIGNALS_PER_TURN {
                match self.next_message() {
                    None => break,
                    Some(WatcherMessage::Stop) => return,
                    Some(message) => self.on_message(message),
                }
            }
            if let Err(LimitReached) = self.examine_marked() {
                self.fall_back(0);
            }
            self.on_time(Instant::now());
        }
    }

    /// Reads one file of an initial baseline, if any is left.
    fn read_next(&mut self) {
        let Some((number, path)) = self.unread.pop() else {
            return;
        };
        let Some(index) = self.tree_index(number) else {
            return;
        };
        self.trees[index].read(&path);
        // Applies all imports at once, since each update of the watched files examines all of them.
        let is_last = self.unread.last().is_none_or(|(of, _)| *of != number);
        if is_last && let Err(LimitReached) = self.watch_imports(index) {
            self.fall_back(index);
        }
    }

    /// Returns the next signal, if any. Also reads the kernel queue: a save is not over while events are queued.
    fn next_message(&self) -> Option<WatcherMessage> {
        let message = self.messages.try_recv();
        let message = message.or_else(|_| {
            self.dispatcher.report_queued();
            self.messages.try_recv()
        });
        message.ok()
    }

    fn sleep(&self) -> Duration {
        if !self.unread.is_empty() {
            return Duration::ZERO;
        }
        let polled = self.trees.iter().any(|tree| tree.polled);
        self.trees
            .iter()
            .filter_map(|tree| tree.settle.due())
            .chain(polled.then_some(self.next_poll))
            .min()
            .map_or(FOREVER, |due| due.saturating_duration_since(Instant::now()))
    }

    fn on_message(&mut self, message: WatcherMessage) {
        let outcome = match message {
            WatcherMessage::Touched(mut touches) => {
                for touch in &mut touches {
                    touch.path = self.on_disk(std::mem::take(&mut touch.path));
                }
                self.on_touches(&touches)
            }
            WatcherMessage::BatchEnd(ids) => {
                self.dispatcher.batch_processed(&ids);
                Ok(())
            }
            WatcherMessage::RawEvent(path) => {
                let path = self.on_disk(path);
                self.on_raw_event(&path);
                self.mark_directory(&path);
                Ok(())
            }
            WatcherMessage::Add {
                id,
                request,
                result: sender,
            } => {
                // The receiver may be gone; the watch is added anyway.
                let _ = sender.send(self.add(id, request));
                Ok(())
            }
            WatcherMessage::Describe {
                id,
                path,
                most,
                result,
            } => {
                let tree = self.position(id).map(|index| &self.trees[index]);
                let _ = result.send(tree.and_then(|it| it.describe(id, path.as_deref(), most)));
                Ok(())
            }
            WatcherMessage::InUse(id, in_use) => self.watch_in_use(id, in_use),
            WatcherMessage::Remove(id) => {
                self.remove(id);
                Ok(())
            }
            WatcherMessage::Rescan => self.rescan_all(),
            WatcherMessage::LimitReached => Err(LimitReached),
            WatcherMessage::EventsFailed(error) => {
                let every = self.poll_every.as_millis();
                self.poll_all(0, source_failure(&error, every));
                Ok(())
            }
            WatcherMessage::Stop => Ok(()),
        };
        if let Err(LimitReached) = outcome {
            self.fall_back(0);
        }
    }

    /// Raw events include reads: only a file with a changed `stat` counts.
    fn on_raw_event(&mut self, path: &Path) {
        for index in 0..self.trees.len() {
            let tree = &self.trees[index];
            for path in tree.names(path).into_iter().chain([path.to_owned()]) {
                let tree = &self.trees[index];
                if tree.knows_file(&path) && tree.has_new_stamp(&path) {
                    self.touch(index, path);
                }
            }
        }
    }

    fn on_touches(&mut self, touches: &[Touch]) -> Result<(), LimitReached> {
        let named: Vec<Vec<Touch>> = self.trees.iter().map(|tree| named(tree, touches)).collect();
        for (index, named) in named.iter().enumerate() {
            let tree = &self.trees[index];
            let mut all = touches.iter().chain(named);
            if all.any(|touch| tree.requires_rescan(&touch.path)) {
                self.rescan(index)?;
            }
        }
        // Forgets all removed directories before it adopts new ones: a renamed directory is the same one to the system,
        // so that a later end of the old watch could end the new one.
        for Touch { path, moved, .. } in touches.iter().chain(named.iter().flatten()) {
            if *moved && self.trees.iter().any(|tree| tree.is_structural(path)) {
                self.forget(path);
            }
        }
        for touch in touches {
            let kind = kind(&touch.path);
            (0..self.trees.len()).try_for_each(|index| self.examine(index, touch, kind))?;
        }
        for (index, touches) in named.iter().enumerate() {
            for touch in touches {
                self.examine(index, touch, kind(&touch.path))?;
            }
        }
        Ok(())
    }

    /// Watches a new directory or marks a selected file for comparison.
    pub(super) fn examine(
        &mut self,
        index: usize,
        touch: &Touch,
        kind: Option<FileType>,
    ) -> Result<(), LimitReached> {
        let path = &*touch.path;
        let tree = &mut self.trees[index];
        let mut is_dir = kind.is_some_and(|kind| kind.is_dir());
        if kind.is_some_and(|kind| kind.is_symlink()) && tree.is_in_walked_directory(path) {
            is_dir = tree.follow(path, &mut self.watches)?;
        }
        // A directory in the place of a known file: the file is gone.
        let mut gone = Vec::new();
        if is_dir && tree.knows_file(path) {
            gone.push(path.to_owned());
        }
        let mut found = Vec::new();
        if tree.matcher.roots().any(|root| root.starts_with(path)) {
            found = tree.adopt_roots(&mut self.watches)?;
            found.retain(|path| tree.has_new_stamp(path));
        } else if is_dir && tree.is_in_walked_directory(path) && !tree.knows_directory(path) {
            tree.adopt(path.to_owned(), &mut self.watches, &mut found)?;
        } else if !is_dir && tree.selects(path) {
            self.record_touch(index, path.to_owned(), touch.write_state);
        }
        self.touch_all(index, gone);
        self.touch_all(index, found);
        Ok(())
    }

    /// Forgets a removed or replaced directory; marks all known files below it for comparison.
    pub(super) fn forget(&mut self, path: &Path) {
        if let Some(watches) = &mut self.watches {
            watches.forget(path);
        }
        for index in 0..self.trees.len() {
            self.trees[index].forget(path);
            self.touch_all(index, self.trees[index].known_below(path));
        }
    }

    /// Examines all trees again after lost events.
    fn rescan_all(&mut self) -> Result<(), LimitReached> {
        self.forget(EVERYTHING.as_ref());
        (0..self.trees.len()).try_for_each(|index| self.readopt(index))
    }

    /// Examines one tree again after a change of ignore rules or of a symlink.
    pub(super) fn rescan(&mut self, index: usize) -> Result<(), LimitReached> {
        let tree = &mut self.trees[index];
        if let Some(watches) = &mut self.watches {
            watches.release(tree.number);
        }
        tree.forget(EVERYTHING.as_ref());
        let files = tree.known_below(EVERYTHING.as_ref());
        self.touch_all(index, files);
        self.readopt(index)
    }

    fn readopt(&mut self, index: usize) -> Result<(), LimitReached> {
        let tree = &mut self.trees[index];
        tree.matcher.reread_ignores();
        let found = tree.adopt_roots(&mut self.watches)?;
        self.touch_all(index, found);
        Ok(())
    }

    pub(super) fn restamp(&mut self, index: usize) -> Vec<PathBuf> {
        let restamped = self.trees[index].rewalk(&mut self.watches);
        restamped.unwrap_or_else(|LimitReached| {
            // The first poll finds the remaining changes.
            self.fall_back(index);
            Vec::new()
        })
    }

    pub(super) fn touch_all(&mut self, index: usize, paths: Vec<PathBuf>) {
        for path in paths {
            self.touch(index, path);
        }
    }

    fn touch(&mut self, index: usize, path: PathBuf) {
        self.record_touch(index, path, WriteState::Unknown);
    }

    fn record_touch(&mut self, index: usize, path: PathBuf, write_state: WriteState) {
        let tree = &mut self.trees[index];
        if tree.settle.touch(path, write_state, Instant::now()) {
            if tree.is_locked() {
                tree.settle.note_lock();
            }
            if tree.next_start_uses_standby() {
                tree.settle.delay_early_notice();
            }
            for listener in &tree.listeners {
                self.dispatcher.begin_save(listener.id);
            }
        }
    }

    fn on_time(&mut self, now: Instant) {
        if now >= self.next_poll {
            for index in 0..self.trees.len() {
                if self.trees[index].polled {
                    let found = self.restamp(index);
                    self.touch_all(index, found);
                }
            }
            self.next_poll = Instant::now() + self.poll_every;
        }
        for index in 0..self.trees.len() {
            self.report_saved(index, now);
            self.settle(index, now);
        }
    }

    /// Sends the early notice of a save, at most once, as soon as all its files are closed.
    fn report_saved(&mut self, index: usize, now: Instant) {
        let tree = &mut self.trees[index];
        if !tree.settle.take_written(now)
            || tree.is_exact()
            || tree.disk_state() != DiskState::default()
        {
            return;
        }
        let paths = tree.settle.paths().map(Path::to_owned).collect();
        let changed = tree.compare(paths);
        for listener in &tree.listeners {
            let changes = tree.changes_for(listener, &changed);
            if !changes.is_empty() {
                tree.settle.note_early_notice();
                self.dispatcher.saved(listener.id, changes);
            }
        }
    }

    fn settle(&mut self, index: usize, now: Instant) {
        let tree = &mut self.trees[index];
        if tree.settle.due().is_none_or(|due| now < due) {
            return;
        }
        let disk_state = tree.disk_state();
        let Some(mut settled) = tree.settle.resolve(now, disk_state) else {
            return;
        };
        if settled.was_locked {
            settled.paths.extend(self.restamp(index));
        }
        let changed = self.trees[index].compare_saved(settled.paths);
        if let Err(LimitReached) = self.watch_imports(index) {
            self.fall_back(index);
        }
        let tree = &self.trees[index];
        for listener in &tree.listeners {
            let changes = tree.changes_for(listener, &changed);
            let notice = if changes.is_empty() {
                WatchNotice::Unchanged
            } else {
                WatchNotice::Changed(changes)
            };
            self.dispatcher.end_save(listener.id, notice);
        }
    }
}

/// Returns the touches under their other names in the tree, given by symlinks.
fn named(tree: &Tree, touches: &[Touch]) -> Vec<Touch> {
    let named = touches.iter().flat_map(|touch| {
        let names = tree.names(&touch.path).into_iter();
        names.map(move |path| Touch { path, ..*touch })
    });
    named.collect()
}

/// Returns the type of the entry itself, without following a symlink.
pub(super) fn kind(path: &Path) -> Option<FileType> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(found.file_type())
}
