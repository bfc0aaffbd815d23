//! Responses of a server on their way to the senders of the requests.

use std::sync::Arc;
use std::time::Instant;

use super::super::call::Call;
use super::super::pending_requests::PendingRequest;
use super::{Connection, RawResponse};
use crate::bridge;
use crate::event::StrayKind;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Members, Reply,
    request_number, splice,
};
use crate::lock::locked;
use crate::mcp::{Era, tasks};

impl Connection {
    /// Takes the two ends of an unreadable message. If it was a request, the server gets an error; if it was a
    /// response, the sender of the request does. `why` ("is ...") is part of the error.
    pub(crate) fn answer_unreadable(&self, head: &str, tail: &str, why: &str) {
        let (id, method) = Envelope::of_ends(head, tail);
        let Some(id) = id else { return };
        if let Some(method) = method {
            let message = format!("the request `{method}` {why}");
            return self.refuse(&id, &ErrorObject::new(INVALID_REQUEST, message));
        }
        let Some((waiting, last)) =
            request_number(&id).and_then(|number| locked(&self.table).take(number))
        else {
            return;
        };
        let error = ErrorObject::new(INTERNAL_ERROR, format!("the server's response {why}"));
        match waiting {
            PendingRequest::Client(call) | PendingRequest::Cancelled(call) => {
                if let Some(id) = &call.fetches {
                    locked(&self.table).tasks.forget(id);
                }
                call.reply(Reply::Error(&error.to_string()));
                self.settle(last);
            }
            PendingRequest::Own(answer) => drop(answer.send(RawResponse::Error(error.to_string()))),
        }
    }

    pub(super) fn take_answer(
        self: &Arc<Self>,
        line: &str,
        envelope: &Envelope<'_>,
    ) -> Result<(), StrayKind> {
        let Some(id) = envelope.id.filter(|id| *id != "null") else {
            // An error about an unreadable message belongs to no request, but the client should get it.
            self.client.notify(self, line, envelope, None);
            return Ok(());
        };
        let number = request_number(id);
        let (waiting, asked) = {
            let mut table = locked(&self.table);
            let asked = number.is_some_and(|number| (1..=table.next).contains(&number));
            (number.and_then(|number| table.take(number)), asked)
        };
        match waiting {
            Some((PendingRequest::Client(call) | PendingRequest::Cancelled(call), last)) => {
                self.note_task(&call, envelope);
                let tagged = call
                    .tag_tasks
                    .then(|| tasks::tag(line, &self.server))
                    .flatten();
                match tagged.as_deref().map(|line| (line, Envelope::parse(line))) {
                    Some((line, Ok(envelope))) => {
                        self.deliver(&call, line, &envelope, envelope.id.unwrap_or(id));
                    }
                    _ => self.deliver(&call, line, envelope, id),
                }
                self.settle(last);
                Ok(())
            }
            Some((PendingRequest::Own(answer), _)) => {
                let raw = |text: &str| text.to_owned();
                let answer_value = envelope.result.map_or_else(
                    || RawResponse::Error(envelope.error.map(raw).unwrap_or_default()),
                    |result| RawResponse::Result(raw(result)),
                );
                let _ = answer.send(answer_value);
                Ok(())
            }
            // The end of an abandoned stream, or a second response.
            None if asked => {
                tracing::debug!(id, "response to a finished request");
                Ok(())
            }
            None => Err(StrayKind::Answer),
        }
    }

    /// Records tasks, which keep a process running. A remote server keeps its tasks without the link.
    fn note_task(&self, call: &Call, envelope: &Envelope<'_>) {
        let is_kept = call.era == Era::Legacy && self.era() == Era::Legacy && !self.is_remote();
        if !is_kept {
            return;
        }
        if let Some(id) = &call.fetches {
            locked(&self.table).tasks.forget(id);
        } else if let Some(result) = envelope.result.filter(|it| tasks::may_describe_task(it)) {
            let mut table = locked(&self.table);
            table
                .tasks
                .record_result(call.method, result, Instant::now());
        } else {
            return;
        }
        self.idle.notify_waiters();
    }

    /// Delivers a response to the client that sent the request.
    fn deliver(&self, call: &Call, line: &str, envelope: &Envelope<'_>, id: &str) {
        if let (Some(substitute), Some(error)) = (call.method.answer_if_missing(), envelope.error)
            && Members::of(error).get("code") == Some(&METHOD_NOT_FOUND.to_string())
        {
            return call.reply(Reply::Result(&bridge::own_result(substitute, call.era)));
        }
        if let Some(result) = envelope.result.filter(|_| call.perishable)
            && let Some(time) = bridge::cache_lifetime(result)
        {
            let line = splice(line, &mut [(time, "0")]);
            if let Ok(Envelope { id: Some(id), .. }) = Envelope::parse(&line) {
                return call.reply(Reply::of_line(&line, id, None));
            }
        }
        if call.era == self.era() {
            return call.reply(Reply::of_line(line, id, envelope.error));
        }
        let info = self
            .agreed
            .get()
            .and_then(|agreed| agreed.server_info.as_deref());
        call.reply(bridge::response(call.method, envelope, call.era, info).reply());
    }
}
