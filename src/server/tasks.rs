//! Tasks that a server runs for its client (2025-11-25, utilities, tasks). A task keeps its generation running, as a
//! call does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::jsonrpc::Members;
use crate::mcp::Method;

/// Maximum number of remembered tasks for each generation, and of lost tasks. The oldest is dropped first.
pub(super) const MAX_TASKS: usize = 256;

/// Task whose result the client has not fetched.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: Box<str>,
    /// Object that describes the task, as the server first wrote it.
    pub(super) raw: Box<str>,
    /// Time from which on the server may forget the task.
    expires: Option<Instant>,
}

/// Tasks of one generation.
#[derive(Debug, Default)]
pub(super) struct Tasks(VecDeque<Task>);

impl Tasks {
    /// Records tasks from the result of a client's request.
    pub(super) fn record_result(&mut self, method: Method, result: &str, now: Instant) {
        let result = Members::of(result);
        if method == Method::CallTool {
            if let Some(raw) = result.get("task") {
                self.add(raw, now);
            }
            return;
        }
        self.apply_status(&result);
    }

    fn add(&mut self, raw: &str, now: Instant) {
        let task = Members::of(raw);
        let Some(id) = task.text("taskId") else {
            return;
        };
        let lifetime = task.get("ttl").and_then(|ttl| ttl.parse().ok());
        self.forget(&id);
        if self.0.len() == MAX_TASKS {
            self.0.pop_front();
        }
        self.0.push_back(Task {
            id: (*id).into(),
            raw: raw.into(),
            expires: lifetime.and_then(|ms| now.checked_add(Duration::from_millis(ms))),
        });
        self.apply_status(&task);
    }

    /// Drops a task that its description reports as cancelled. Other finished tasks stay until their result is fetched.
    pub(super) fn apply_status(&mut self, task: &Members<'_>) {
        if let (Some(id), Some("cancelled")) = (task.text("taskId"), task.text("status").as_deref())
        {
            self.forget(&id);
        }
    }

    /// Drops a task, for example once the client has fetched its result.
    pub(super) fn forget(&mut self, id: &str) {
        self.0.retain(|task| *task.id != *id);
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.iter().any(|task| *task.id == *id)
    }

    fn prune(&mut self, now: Instant) {
        self.0
            .retain(|task| task.expires.is_none_or(|until| now < until));
    }

    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.prune(now);
        self.0.is_empty()
    }

    /// Returns the earliest time from which on a task may be forgotten.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.iter().filter_map(|task| task.expires).min()
    }

    pub(super) fn take(&mut self, now: Instant) -> VecDeque<Task> {
        self.prune(now);
        std::mem::take(&mut self.0)
    }
}
