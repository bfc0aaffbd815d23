//! The watcher's thread: owns the trees and the source, turns signals and the clock into notices.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Notice;
use super::ignores::Ignores;
use super::source::{LimitReached, Signal, Source, Touch};
use super::tree::Tree;
use crate::event::{Event, Events};

/// Signals taken at one go before the clock is looked at.
const SIGNALS_PER_TURN: usize = 10_000;
/// How long to sleep when nothing is due.
const FOREVER: Duration = Duration::from_secs(3600);

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) trees: Vec<Tree>,
    pub(super) source: Option<Source>,
    pub(super) signals: Receiver<Signal>,
    /// Unbounded: a notice is small and each is taken at once.
    pub(super) notices: UnboundedSender<(usize, Notice)>,
    pub(super) events: Events,
    pub(super) poll_every: Duration,
    pub(super) next_poll: Instant,
    /// Files of the first baseline that are still to be read.
    pub(super) unread: Vec<(usize, PathBuf)>,
}

impl Run {
    /// Watches and takes the baseline; afterwards no save goes unnoticed.
    pub(super) fn arm(&mut self, inferred: &[bool]) {
        for index in 0..self.trees.len() {
            let found = self.trees[index].adopt_roots(&mut self.source);
            let found = found.unwrap_or_else(|LimitReached| {
                self.fall_back();
                self.trees[index].forget(Path::new("/"));
                // Polled now: nothing is watched, so nothing can fail.
                let found = self.trees[index].adopt_roots(&mut None);
                found.unwrap_or_default()
            });
            let tree = &mut self.trees[index];
            tree.take_baseline(found);
            self.unread
                .extend(tree.unread().map(|path| (index, path.clone())));
        }
        for (tree, inferred) in self.trees.iter().zip(inferred) {
            self.events.send(Event::Watching {
                server: tree.server.clone(),
                files: tree.files(),
                directories: tree.directories(),
                globs: tree.matcher.globs().to_vec(),
            });
            for message in tree.idle_globs(*inferred) {
                self.warn(&tree.server, message);
            }
        }
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self) {
        loop {
            match self.signals.recv_timeout(self.sleep()) {
                Ok(first) => {
                    let mut signal = Some(first);
                    for _ in 0..SIGNALS_PER_TURN {
                        match signal {
                            None => break,
                            Some(Signal::Stop) => return,
                            Some(other) => self.on_signal(other),
                        }
                        signal = self.signals.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((index, path)) = self.unread.pop() {
                        self.trees[index].read(&path);
                    }
                }
            }
            self.on_time(Instant::now());
        }
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

    fn on_signal(&mut self, signal: Signal) {
        let outcome = match signal {
            Signal::Touched(touches) => self.on_touches(&touches),
            Signal::Stirred(path) => {
                self.on_stirred(&path);
                Ok(())
            }
            Signal::Rescan => self.rescan(),
            Signal::LimitReached => Err(LimitReached),
            Signal::Stop => Ok(()),
        };
        if let Err(LimitReached) = outcome {
            self.fall_back();
        }
    }

    /// Reads stir too: only what a `stat` shows to differ counts.
    fn on_stirred(&mut self, path: &Path) {
        for index in 0..self.trees.len() {
            let tree = &self.trees[index];
            if tree.knows_file(path) && tree.is_restamped(path) {
                self.touch(index, path.to_owned());
            }
        }
    }

    fn on_touches(&mut self, touches: &[Touch]) -> Result<(), LimitReached> {
        if touches.iter().any(|touch| self.changes_rules(&touch.path)) {
            return self.rescan();
        }
        // All that went is forgotten before anything is adopted: a directory that was renamed is
        // the same one to the system, and ending its old watch would end the new one.
        for Touch { path, moved } in touches {
            if *moved && self.trees.iter().any(|tree| tree.is_structural(path)) {
                self.forget(path);
            }
        }
        for Touch { path, .. } in touches {
            let is_dir = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
            for index in 0..self.trees.len() {
                let tree = &mut self.trees[index];
                let mut found = Vec::new();
                if tree.matcher.roots().any(|root| root.starts_with(path)) {
                    found = tree.adopt_roots(&mut self.source)?;
                    found.retain(|path| tree.is_restamped(path));
                } else if is_dir && tree.is_within_kept(path) && !tree.knows_directory(path) {
                    tree.adopt(path.clone(), &mut self.source, &mut found)?;
                } else if !is_dir && tree.wants(path) {
                    found.push(path.clone());
                }
                for path in found {
                    self.touch(index, path);
                }
            }
        }
        Ok(())
    }

    fn changes_rules(&self, path: &Path) -> bool {
        Ignores::is_rule_file(path)
            && self.trees.iter().any(|tree| {
                tree.is_within_kept(path)
                    || tree
                        .matcher
                        .passages()
                        .any(|passage| path.parent() == Some(passage))
            })
    }

    /// Forgets a directory that went or was replaced; all that was known below is to be compared.
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

    /// Looks at everything anew: events were lost, or what is ignored changed.
    fn rescan(&mut self) -> Result<(), LimitReached> {
        self.forget(Path::new("/"));
        for index in 0..self.trees.len() {
            let tree = &mut self.trees[index];
            tree.matcher.reread_ignores();
            for path in tree.adopt_roots(&mut self.source)? {
                self.touch(index, path);
            }
        }
        Ok(())
    }

    fn restamp(&mut self, index: usize) -> Vec<PathBuf> {
        let restamped = self.trees[index].restamp(&mut self.source);
        restamped.unwrap_or_else(|LimitReached| {
            // The first poll finds what this walk did not.
            self.fall_back();
            Vec::new()
        })
    }

    fn touch(&mut self, index: usize, path: PathBuf) {
        let tree = &mut self.trees[index];
        if tree.settle.touch(path, Instant::now()) {
            if tree.is_locked() {
                tree.settle.note_lock();
            }
            self.notify(index, Notice::Suspect);
        }
    }

    fn notify(&self, index: usize, notice: Notice) {
        // The receiver is gone when the program ends.
        let _ = self.notices.send((index, notice));
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
            self.settle(index, now);
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
        let notice = if changed.is_empty() {
            Notice::Unchanged
        } else {
            Notice::Changed(changed)
        };
        self.notify(index, notice);
    }

    /// The system gives no more watches: polls from now on.
    fn fall_back(&mut self) {
        if self.source.take().is_none() {
            return;
        }
        for tree in &mut self.trees {
            tree.polled = true;
        }
        self.next_poll = Instant::now();
        if let Some(tree) = self.trees.first() {
            self.warn(
                &tree.server,
                format!(
                    "the system's limit of watched directories is reached: looking at the files every {} ms instead; \
                     narrow --watch, or raise it: sudo sysctl fs.inotify.max_user_watches=524288",
                    self.poll_every.as_millis()
                ),
            );
        }
    }

    pub(super) fn warn(&self, server: &str, message: String) {
        self.events.send(Event::WatchWarning {
            server: server.to_owned(),
            message,
        });
    }
}
