//! Record of all lines on a peer's pipes, in order, with a condition to wait on.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::Message;

/// Transcript, shared by the peer and its reader threads.
#[derive(Debug)]
pub(super) struct Transcript {
    started: Instant,
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) received: Vec<Message>,
    pub(super) stderr: Vec<String>,
    /// Indices into `received` of the notifications and requests that an `expect_…` has already returned.
    pub(super) taken: HashSet<usize>,
    /// Record for people: time, direction, text.
    record: Vec<(Instant, &'static str, String)>,
    pub(super) stdout_closed: bool,
}

impl Transcript {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            lines: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lines(&self) -> MutexGuard<'_, Lines> {
        // After a failed assertion under the lock, a poison error in another thread would hide the assertion.
        self.lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn sent(&self, line: String) {
        self.lines().record.push((Instant::now(), "-->", line));
    }

    pub(super) fn received(&self, line: String) {
        let message = Message::new(line);
        let mut lines = self.lines();
        lines.record.push((message.at, "<--", message.line.clone()));
        lines.received.push(message);
        self.changed.notify_all();
    }

    pub(super) fn stderr(&self, line: String) {
        let mut lines = self.lines();
        lines.record.push((Instant::now(), "err", line.clone()));
        lines.stderr.push(line);
        self.changed.notify_all();
    }

    pub(super) fn stdout_closed(&self) {
        self.lines().stdout_closed = true;
        self.changed.notify_all();
    }

    /// Waits for the first value that `find` returns, until the deadline.
    #[track_caller]
    pub(super) fn wait_for<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut find: impl FnMut(&mut Lines) -> Option<T>,
    ) -> T {
        let started = Instant::now();
        let mut lines = self.lines();
        loop {
            if let Some(found) = find(&mut lines) {
                return found;
            }
            let left = deadline.saturating_sub(started.elapsed());
            if left.is_zero() {
                drop(lines);
                panic!("no {what} within {deadline:?}\n{}", self.render());
            }
            lines = match self.changed.wait_timeout(lines, left) {
                Ok((lines, _)) => lines,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Formats the transcript for a failing test. Long lines are cut for readability.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for (at, direction, line) in &self.lines().record {
            let millis = at.duration_since(self.started).as_millis();
            let shown: String = line.chars().take(2000).collect();
            let _ = writeln!(text, "{millis:>7} {direction} {shown}");
        }
        text
    }
}
