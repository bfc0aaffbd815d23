//! Tasks that a server runs for its client (2025-11-25, utilities, tasks). A task keeps its generation running, as a
//! call does. A request about a task goes to the generation that runs it; the proxy answers once that has ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::Call;
use super::connection::Connection;
use crate::bridge;
use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS, Members, RawJson, Reply, quoted};
use crate::mcp::{Era, Method, meta, tasks};

/// Maximum number of remembered tasks for each generation, and of lost tasks. The oldest is dropped first.
const MAX_TASKS: usize = 256;

/// Task whose result the client has not fetched.
#[derive(Debug)]
pub(super) struct Task {
    id: Box<str>,
    /// Object that describes the task, as the server first wrote it.
    raw: Box<str>,
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

/// Tasks of earlier generations, which drain or have ended.
#[derive(Debug, Default)]
pub(super) struct FormerTasks {
    /// Generations that finish their calls and tasks.
    draining: Vec<Arc<Connection>>,
    lost: VecDeque<LostTask>,
}

/// Task that ended with its generation.
#[derive(Debug)]
struct LostTask {
    server: Arc<str>,
    id: Box<str>,
    /// Object that describes the task as failed.
    raw: String,
    reason: String,
}

impl FormerTasks {
    /// Adds a draining generation.
    pub(super) fn add_draining(&mut self, connection: Arc<Connection>) {
        self.draining.push(connection);
    }

    /// Removes a generation that has ended for the reason `how`. Returns the descriptions of its lost tasks.
    pub(super) fn remove_ended(&mut self, connection: &Arc<Connection>, how: &str) -> Vec<String> {
        self.draining
            .retain(|other| !Arc::ptr_eq(other, connection));
        let mut descriptions = Vec::new();
        for task in connection.take_tasks() {
            let reason = format!("`{}` {how} before this task ended", connection.server);
            let mut raw = Members::of(&task.raw);
            raw.set("status", r#""failed""#);
            raw.set("statusMessage", quoted(&reason));
            let raw = raw.to_string();
            descriptions.push(raw.clone());
            if self.lost.len() == MAX_TASKS {
                self.lost.pop_front();
            }
            self.lost.push_back(LostTask {
                server: connection.server.clone(),
                id: task.id,
                raw,
                reason,
            });
        }
        descriptions
    }

    /// Sends a request about one of these tasks to its generation, or answers it. Returns any other call, also one
    /// about a task of the `active` generation, which may reuse an id.
    pub(super) fn submit(
        &self,
        call: Call,
        active: Option<&Connection>,
        line: &str,
        envelope: &Envelope<'_>,
    ) -> Result<(), Call> {
        if self.draining.is_empty() && self.lost.is_empty() || call.method != Method::Other {
            return Err(call);
        }
        let Some(id) = envelope.params.task_id.and_then(RawJson::text) else {
            return Err(call);
        };
        if active.is_some_and(|it| it.has_task(&id)) {
            return Err(call);
        }
        if let Some(connection) = self.draining.iter().find(|it| it.has_task(&id)) {
            return connection.call(call, line, envelope);
        }
        let method = envelope.method.as_deref().unwrap_or_default();
        match self.lost.iter().find(|task| *task.id == *id) {
            Some(task) if task.answer(&call, method) => Ok(()),
            _ => Err(call),
        }
    }
}

impl LostTask {
    /// Answers a request about the task; returns false if the method is unknown.
    fn answer(&self, call: &Call, method: &str) -> bool {
        match method {
            "tasks/get" => self.reply(call, &self.raw),
            "tasks/result" => {
                let result = bridge::tool_error(&self.reason, Era::Legacy);
                let mut result = Members::of(&result);
                let related = format!(
                    r#"{{"{}":{{"taskId":{}}}}}"#,
                    meta::RELATED_TASK,
                    quoted(&self.id)
                );
                result.set("_meta", related);
                self.reply(call, &result.to_string());
            }
            "tasks/cancel" => {
                let message = format!("the task has already failed: {}", self.reason);
                let error = ErrorObject::new(INVALID_PARAMS, message);
                call.reply(Reply::Error(&error.to_string()));
            }
            _ => return false,
        }
        true
    }

    fn reply(&self, call: &Call, result: &str) {
        let line = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#);
        let tagged = call
            .tag_tasks
            .then(|| tasks::tag(&line, &self.server))
            .flatten();
        let line = tagged.unwrap_or(line);
        if let Ok(Envelope {
            result: Some(result),
            ..
        }) = Envelope::parse(&line)
        {
            call.reply(Reply::Result(result));
        }
    }
}
