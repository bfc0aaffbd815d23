//! Event loop of the watcher thread: owns the trees and the event source, turns signals and time into notices.

use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::dispatcher::NoticeDispatcher;
use super::file_events::{
    DirectoryWatches, LimitReached, MakeBackend, Touch, WatcherMessage, WriteState,
};
use super::settle::DiskState;
use super::tree::Tree;
use super::{POLL, WatchNotice, WatchOptions};
use crate::event::EventSender;

/// Maximum number of signals per iteration before the time is checked.
const SIGNALS_PER_TURN: usize = 10_000;
/// Sleep time when nothing is due.
const FOREVER: Duration = Duration::from_secs(3600);

/// State of the watcher thread.
pub(super) struct WatcherThread {
    pub(super) options: WatchOptions,
    pub(super) trees: Vec<Tree>,
    /// Number of the newest tree.
    pub(super) last_tree: u64,
    /// Event source; present while a tree needs it.
    pub(super) source: Option<DirectoryWatches>,
    /// Constructor of the event source's backend.
    pub(super) make: MakeBackend,
    /// Delivers notices.
    pub(super) lookout: Arc<NoticeDispatcher>,
    signals: Receiver<WatcherMessage>,
    pub(super) events: EventSender,
    pub(super) poll_every: Duration,
    pub(super) next_poll: Instant,
    /// Whether the system provides no file events; the user was warned.
    pub(super) no_events: bool,
    /// Whether the user was warned about a polled mount.
    pub(super) told_of_mount: bool,
    /// Unread files of initial baselines, each with its tree number.
    pub(super) unread: Vec<(u64, PathBuf)>,
}

impl WatcherThread {
    /// Creates the state without any watch.
    pub(super) fn new(
        make: MakeBackend,
        options: WatchOptions,
        lookout: Arc<NoticeDispatcher>,
        signals: Receiver<WatcherMessage>,
        events: EventSender,
    ) -> Self {
        let poll_every = options.poll.unwrap_or(POLL);
        Self {
            options,
            trees: Vec::new(),
            last_tree: 0,
            source: None,
            make,
            lookout,
            signals,
            events,
            poll_every,
            next_poll: Instant::now() + poll_every,
            no_events: false,
            told_of_mount: false,
            unread: Vec::new(),
        }
    }

    /// Runs until [`WatcherMessage::Stop`].
    pub(super) fn run(mut self) {
        loop {
            match self.signals.recv_timeout(self.sleep()) {
                Ok(WatcherMessage::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(signal) => self.on_signal(signal),
                Err(RecvTimeoutError::Timeout) => self.read_next(),
            }
            for _ in 1..SIGNALS_PER_TURN {
                match self.next_signal() {
                    None => break,
                    Some(WatcherMessage::Stop) => return,
                    Some(signal) => self.on_signal(signal),
                }
            }
            self.on_time(Instant::now());
        }
    }

    /// Reads one file of an initial baseline, if any is left.
    fn read_next(&mut self) {
        let Some((number, path)) = self.unread.pop() else {
            return;
        };
        let Some(index) = self.place(number) else {
            return;
        };
        self.trees[index].read(&path);
        // Applies all imports at once, since each update of the watched files examines all of them.
        let is_last = self.unread.last().is_none_or(|(of, _)| *of != number);
        if is_last && let Err(LimitReached) = self.take_up_imports(index) {
            self.fall_back(index);
        }
    }

    /// Returns the next signal, if any. Also reads the kernel queue: a save is not over while events are queued.
    fn next_signal(&self) -> Option<WatcherMessage> {
        let signal = self.signals.try_recv();
        let signal = signal.or_else(|_| {
            self.lookout.look();
            self.signals.try_recv()
        });
        signal.ok()
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

    fn on_signal(&mut self, signal: WatcherMessage) {
        let outcome = match signal {
            WatcherMessage::Touched(touches) => self.on_touches(&touches),
            WatcherMessage::Passed(ids) => {
                self.lookout.batch_processed(&ids);
                Ok(())
            }
            WatcherMessage::Stirred(path) => {
                self.on_stirred(&path);
                Ok(())
            }
            WatcherMessage::Add { id, request, armed } => {
                // The receiver may be gone; the watch is added anyway.
                let _ = armed.send(self.add(id, request));
                Ok(())
            }
            WatcherMessage::InUse(id, in_use) => self.watch_in_use(id, in_use),
            WatcherMessage::Remove(id) => {
                self.remove(id);
                Ok(())
            }
            WatcherMessage::Rescan => self.rescan_all(),
            WatcherMessage::LimitReached => Err(LimitReached),
            WatcherMessage::Stop => Ok(()),
        };
        if let Err(LimitReached) = outcome {
            self.fall_back(0);
        }
    }

    /// Raw events include reads: only a file with a changed `stat` counts.
    fn on_stirred(&mut self, path: &Path) {
        for index in 0..self.trees.len() {
            let tree = &self.trees[index];
            for path in tree.names(path).into_iter().chain([path.to_owned()]) {
                let tree = &self.trees[index];
                if tree.knows_file(&path) && tree.is_restamped(&path) {
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
            if all.any(|touch| tree.is_refounded_by(&touch.path)) {
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
            (0..self.trees.len()).try_for_each(|index| self.look(index, touch, kind))?;
        }
        for (index, touches) in named.iter().enumerate() {
            for touch in touches {
                self.look(index, touch, kind(&touch.path))?;
            }
        }
        Ok(())
    }

    /// Watches a new directory or marks a selected file for comparison.
    fn look(
        &mut self,
        index: usize,
        touch: &Touch,
        kind: Option<FileType>,
    ) -> Result<(), LimitReached> {
        let path = &*touch.path;
        let tree = &mut self.trees[index];
        let mut is_dir = kind.is_some_and(|kind| kind.is_dir());
        if kind.is_some_and(|kind| kind.is_symlink()) && tree.is_within_kept(path) {
            is_dir = tree.follow(path, &mut self.source)?;
        }
        let mut found = Vec::new();
        if tree.matcher.roots().any(|root| root.starts_with(path)) {
            found = tree.adopt_roots(&mut self.source)?;
            found.retain(|path| tree.is_restamped(path));
        } else if is_dir && tree.is_within_kept(path) && !tree.knows_directory(path) {
            tree.adopt(path.to_owned(), &mut self.source, &mut found)?;
        } else if !is_dir && tree.wants(path) {
            self.note(index, path.to_owned(), touch.writing);
        }
        for path in found {
            self.touch(index, path);
        }
        Ok(())
    }

    /// Forgets a removed or replaced directory; marks all known files below it for comparison.
    fn forget(&mut self, path: &Path) {
        if let Some(source) = &mut self.source {
            source.forget(path);
        }
        for index in 0..self.trees.len() {
            self.trees[index].forget(path);
            for file in self.trees[index].known_below(path) {
                self.touch(index, file);
            }
        }
    }

    /// Examines all trees again after lost events.
    fn rescan_all(&mut self) -> Result<(), LimitReached> {
        self.forget(Path::new("/"));
        (0..self.trees.len()).try_for_each(|index| self.readopt(index))
    }

    /// Examines one tree again after a change of ignore rules or of a symlink.
    fn rescan(&mut self, index: usize) -> Result<(), LimitReached> {
        let tree = &mut self.trees[index];
        if let Some(source) = &mut self.source {
            source.release(tree.number);
        }
        tree.forget(Path::new("/"));
        for file in tree.known_below(Path::new("/")) {
            self.touch(index, file);
        }
        self.readopt(index)
    }

    fn readopt(&mut self, index: usize) -> Result<(), LimitReached> {
        let tree = &mut self.trees[index];
        tree.matcher.reread_ignores();
        for path in tree.adopt_roots(&mut self.source)? {
            self.touch(index, path);
        }
        Ok(())
    }

    fn restamp(&mut self, index: usize) -> Vec<PathBuf> {
        let restamped = self.trees[index].restamp(&mut self.source);
        restamped.unwrap_or_else(|LimitReached| {
            // The first poll finds the remaining changes.
            self.fall_back(index);
            Vec::new()
        })
    }

    pub(super) fn touch(&mut self, index: usize, path: PathBuf) {
        self.note(index, path, WriteState::Unknown);
    }

    fn note(&mut self, index: usize, path: PathBuf, writing: WriteState) {
        let tree = &mut self.trees[index];
        if tree.settle.touch(path, writing, Instant::now()) {
            if tree.is_locked() {
                tree.settle.note_lock();
            }
            if tree.has_one_start() {
                tree.settle.await_calm();
            }
            for listener in &tree.listeners {
                self.lookout.gather(listener.id);
            }
        }
    }

    fn on_time(&mut self, now: Instant) {
        if now >= self.next_poll {
            for index in 0..self.trees.len() {
                if self.trees[index].polled {
                    for path in self.restamp(index) {
                        self.touch(index, path);
                    }
                }
            }
            self.next_poll = Instant::now() + self.poll_every;
        }
        for index in 0..self.trees.len() {
            self.tell_saved(index, now);
            self.settle(index, now);
        }
    }

    /// Sends the early notice of a save, at most once, as soon as all its files are closed.
    fn tell_saved(&mut self, index: usize, now: Instant) {
        let tree = &mut self.trees[index];
        if !tree.settle.take_written(now) || tree.is_exact() || tree.scene() != DiskState::default()
        {
            return;
        }
        let paths = tree.settle.paths().map(Path::to_owned).collect();
        let changed = tree.compare(paths);
        for listener in &tree.listeners {
            let told = tree.changes_for(listener, &changed);
            if !told.is_empty() {
                tree.settle.note_told();
                self.lookout.saved(listener.id, told);
            }
        }
    }

    fn settle(&mut self, index: usize, now: Instant) {
        let tree = &mut self.trees[index];
        if tree.settle.due().is_none_or(|due| now < due) {
            return;
        }
        let scene = tree.scene();
        let Some(mut settled) = tree.settle.resolve(now, scene) else {
            return;
        };
        if settled.was_locked {
            settled.paths.extend(self.restamp(index));
        }
        let changed = self.trees[index].compare(settled.paths);
        if let Err(LimitReached) = self.take_up_imports(index) {
            self.fall_back(index);
        }
        let tree = &self.trees[index];
        for listener in &tree.listeners {
            let told = tree.changes_for(listener, &changed);
            let notice = if told.is_empty() {
                WatchNotice::Unchanged
            } else {
                WatchNotice::Changed(told)
            };
            self.lookout.conclude(listener.id, notice);
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
fn kind(path: &Path) -> Option<FileType> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(found.file_type())
}
