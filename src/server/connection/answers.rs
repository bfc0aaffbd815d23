//! Responses of a server on their way to the senders of the requests.

use std::sync::Arc;
use std::time::Instant;

use super::super::call::Call;
use super::super::former_tools::FormerTools;
use super::super::pending_requests::PendingRequest;
use super::{Connection, ConnectionNotice, RawResponse};
use crate::bridge;
use crate::event::StrayKind;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, Members, RawId,
    Reply, splice,
};
use crate::lock::locked;
use crate::mcp::{Era, tasks};

impl Connection {
    /// Takes the two ends of an unreadable message. If it was a request, the server gets an error; if it was a
    /// response, the sender of the request does. `why` ("is ...") is part of the error.
    pub(crate) fn answer_unreadable(&self, head: &str, tail: &str, why: &str) {
        let (id, method) = Envelope::of_ends(head, tail);
        let Some(id) = &id else { return };
        let id = id.as_raw();
        if let Some(method) = method {
            let message = format!("the request `{method}` {why}");
            return self.refuse(id, &ErrorObject::new(INVALID_REQUEST, message));
        }
        if let Some(number) = id.lenient_number() {
            let error = ErrorObject::new(INTERNAL_ERROR, format!("the server's response {why}"));
            self.answer_with_error(number, &error.to_string());
        }
    }

    /// Answers the request `number` with an error. Returns false if there is no such request.
    fn answer_with_error(&self, number: u64, error: &str) -> bool {
        let taken = locked(&self.pending).take(number);
        let Some((request, end)) = taken else {
            return false;
        };
        match request {
            PendingRequest::Client(call)
            | PendingRequest::AwaitsInput { call, .. }
            | PendingRequest::Cancelled(call) => {
                if let Some(id) = &call.fetched_task {
                    locked(&self.pending).tasks.forget(id);
                }
                call.reply(Reply::Error(error));
                self.settled(end);
            }
            PendingRequest::Own(sender) => drop(sender.send(RawResponse::Error(error.to_owned()))),
        }
        true
    }

    /// Answers the request to which an error without an id belongs: the one whose response carried it or, during the
    /// handshake, the oldest one, which the server did not understand. Returns false if there is none.
    fn take_error_without_id(&self, error: &str, related_number: Option<u64>) -> bool {
        let number = match self.known_era() {
            None => related_number.or_else(|| locked(&self.pending).oldest()),
            Some(_) => related_number,
        };
        number.is_some_and(|number| self.answer_with_error(number, error))
    }

    pub(super) fn take_response(
        self: &Arc<Self>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> Result<(), StrayKind> {
        let Some(id) = envelope.id.filter(|id| !id.is_null()) else {
            let is_taken = envelope
                .error
                .is_some_and(|error| self.take_error_without_id(error, related_number));
            if !is_taken {
                // An error about an unreadable message belongs to no request, but the client should get it.
                self.client.deliver_notification(self, line, envelope, None);
            }
            return Ok(());
        };
        let number = id.lenient_number();
        let (request, is_known, former_tools, recorded) = {
            let mut pending = locked(&self.pending);
            let is_known = number.is_some_and(|number| (1..=pending.newest).contains(&number));
            if let Some(round) =
                number.and_then(|number| self.input_round(&mut pending, number, envelope))
            {
                drop(pending);
                self.client.request_input(self, round);
                return Ok(());
            }
            let former_tools =
                (!pending.former_tools.is_empty()).then(|| pending.former_tools.clone());
            let recorded = number.and_then(|number| pending.recorded_calls.remove(&number));
            let request = number.and_then(|number| pending.take(number));
            (request, is_known, former_tools, recorded)
        };
        match request {
            Some((
                PendingRequest::Client(call)
                | PendingRequest::AwaitsInput { call, .. }
                | PendingRequest::Cancelled(call),
                end,
            )) => {
                self.answer_call(call, line, envelope, id, former_tools);
                if let (Some(recorded), Some(outcome)) = (recorded, envelope.outcome()) {
                    recorded.answered(outcome);
                }
                self.settled(end);
                Ok(())
            }
            Some((PendingRequest::Own(sender), _)) => {
                let raw = |text: &str| text.to_owned();
                let response = match envelope.outcome() {
                    Some(Ok(result)) => RawResponse::Result(raw(result)),
                    Some(Err(error)) => RawResponse::Error(raw(error)),
                    None => RawResponse::Error(String::new()),
                };
                let _ = sender.send(response);
                Ok(())
            }
            // The end of an abandoned stream, or a second response.
            None if is_known => {
                tracing::debug!(id = id.as_str(), "response to a finished request");
                Ok(())
            }
            None => Err(StrayKind::Answer),
        }
    }

    /// Delivers a response, whose id is `id`, to the client that sent the call. `former_tools` explain errors by arguments
    /// of older definitions.
    fn answer_call(
        &self,
        call: Call,
        line: &str,
        envelope: &Envelope<'_>,
        id: RawId<'_>,
        former_tools: Option<FormerTools>,
    ) {
        if let Some(urls) = self.required_urls(&call, envelope) {
            return self.ask_for_urls(call, urls, envelope);
        }
        self.record_task(&call, envelope);
        let explained =
            former_tools.and_then(|tools| tools.explained(&call, line, envelope, Instant::now()));
        let text = explained.as_deref().unwrap_or(line);
        let tagged = call
            .tag_tasks
            .then(|| tasks::tag(text, &self.server))
            .flatten()
            .or(explained);
        match tagged.as_deref().map(|line| (line, Envelope::parse(line))) {
            Some((line, Ok(envelope))) => {
                self.deliver(&call, line, &envelope, envelope.id.unwrap_or(id));
            }
            _ => self.deliver(&call, line, envelope, id),
        }
        if let (Some(check), Some(result)) = (&call.result_check, envelope.result) {
            check.run(result, &self.notices);
        }
    }

    /// Records tasks, which keep a process running. A remote server keeps its tasks without the link.
    fn record_task(&self, call: &Call, envelope: &Envelope<'_>) {
        let is_kept = call.era == Era::Legacy && self.era() == Era::Legacy && !self.is_remote();
        if !is_kept {
            return;
        }
        if let Some(id) = &call.fetched_task {
            locked(&self.pending).tasks.forget(id);
        } else if let Some(result) = envelope.result.filter(|it| tasks::may_describe_task(it)) {
            let mut pending = locked(&self.pending);
            pending
                .tasks
                .record_result(call.method, result, Instant::now());
        } else {
            return;
        }
        self.idle.notify_waiters();
    }

    /// Delivers a response to the client that sent the request.
    fn deliver(&self, call: &Call, line: &str, envelope: &Envelope<'_>, id: RawId<'_>) {
        if let (Some(substitute), Some(error)) = (call.method.answer_if_missing(), envelope.error)
            && Members::of(error).get("code") == Some(&METHOD_NOT_FOUND.to_string())
        {
            return call.reply(Reply::Result(&bridge::own_result(substitute, call.era)));
        }
        if self.era() == Era::Modern
            && call.method.may_request_input()
            && let Some(advised) = bridge::with_era_advice(envelope, &self.server)
        {
            let _ = self.notices.send(ConnectionNotice::EraUnsuitable);
            return call.reply(advised.for_era(call.method, call.era).reply());
        }
        if let Some(result) = envelope.result.filter(|_| call.no_cache)
            && let Some(time) = bridge::cache_lifetime(result)
        {
            let line = splice(line, &mut [(time, "0")]);
            if let Ok(Envelope { id: Some(id), .. }) = Envelope::parse(&line) {
                return call.reply(Reply::of_line(&line, id, None));
            }
        }
        if call.era == self.era() {
            let has_both = envelope.result.is_some() && envelope.error.is_some();
            return call.reply(match envelope.outcome().filter(|_| has_both) {
                // Clients drop a response with both, and wait for their timeout.
                Some(Ok(result)) => Reply::Result(result),
                Some(Err(error)) => Reply::Error(error),
                None => Reply::of_line(line, id, envelope.error),
            });
        }
        let info = self
            .negotiated
            .get()
            .and_then(|negotiated| negotiated.server_info.as_deref());
        call.reply(bridge::response(call.method, envelope, call.era, info).reply());
    }
}
