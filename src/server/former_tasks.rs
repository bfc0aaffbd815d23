//! Tasks of earlier generations. A request about a task goes to the generation that runs it; the proxy answers once that
//! has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use super::call::Call;
use super::connection::Connection;
use super::tasks::MAX_TASKS;
use crate::bridge;
use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS, Members, RawJson, Reply, quoted};
use crate::mcp::{Era, Method, meta, tasks};

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
