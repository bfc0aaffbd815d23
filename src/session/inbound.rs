//! Handles messages from the client: requests, notifications, and responses to servers' requests.

use serde_json::json;

use super::early_messages::EarlyMessage;
use super::route::Request;
use super::{RelatedRequest, Session};
use crate::jsonrpc::{
    Envelope, ErrorObject, INVALID_PARAMS, INVALID_REQUEST, InvalidMessage, METHOD_NOT_FOUND,
    Members, MessageKind, PARSE_ERROR, RawId, RawJson, RequestId, ambiguity, elements,
    error_response, splice, text,
};
use crate::mcp::{Era, ListKind, MODERN, UNSUPPORTED_REVISION, WITH_BATCHES, tasks};
use crate::server::ServerHandle;

impl Session {
    /// Handles one line from the client.
    pub(crate) fn receive(&self, line: &[u8]) {
        let text = text(line);
        match Envelope::parse(&text) {
            Ok(envelope) => self.take(&text, &envelope),
            Err(InvalidMessage::Batch) => self.take_batch(&text),
            Err(InvalidMessage::Shape) => {
                self.record(&text);
                let id = Envelope::id_in(&text).unwrap_or(RawId::NULL);
                let message = "the message has no `method`, `result` or `error`";
                self.answer_error(id, &ErrorObject::new(INVALID_REQUEST, message));
            }
            Err(InvalidMessage::Json(error)) => {
                self.record(&text);
                self.answer_error(
                    RawId::NULL,
                    &ErrorObject::new(PARSE_ERROR, format!("the line is not valid JSON: {error}")),
                );
            }
        }
    }

    /// Handles the ends of a message that exceeded the limit and was skipped: the client or server that waits for a
    /// result of the message gets an error.
    pub(crate) fn receive_too_long(&self, head: &[u8], tail: &[u8], limit: usize) {
        let [head, tail] = [head, tail].map(String::from_utf8_lossy);
        let message =
            format!("the message is longer than {limit} bytes, the limit set by `--max-message`");
        let error = ErrorObject::new(INVALID_REQUEST, message);
        match Envelope::of_ends(&head, &tail) {
            (Some(id), None) => {
                let server_request = self.state().requests_to_client.take(id.as_raw());
                if let Some(server_request) = server_request {
                    let id = server_request.id.as_raw();
                    server_request.connection.refuse(id, &error);
                }
            }
            (id, _) => {
                let id = id.as_ref().map_or(RawId::NULL, RequestId::as_raw);
                self.answer_error(id, &error);
            }
        }
    }

    /// Handles a batch, which revision 2025-03-26 allows. A client of that revision gets the responses as one array,
    /// any other client each response on a line of its own.
    fn take_batch(&self, text: &str) {
        let Some(messages) = elements(text).filter(|messages| !messages.is_empty()) else {
            return self.answer_error(
                RawId::NULL,
                &ErrorObject::new(INVALID_REQUEST, "the batch is empty or not valid JSON"),
            );
        };
        let invalid = |error: InvalidMessage| ErrorObject::new(INVALID_REQUEST, error.to_string());
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| (message, Envelope::parse(message).map_err(invalid)))
            .collect();
        let has_batches = self.has_batches();
        if has_batches {
            // A request of the modern era stands alone, also in an array.
            let is_counted = |it: &&Envelope<'_>| {
                it.kind() == MessageKind::Request && it.params.meta.protocol_version.is_none()
            };
            let requests = messages.iter().filter_map(|(_, it)| it.as_ref().ok());
            let ids = requests
                .filter(is_counted)
                .filter_map(|it| it.id.map(RequestId::from));
            let errors = messages.iter().filter_map(|(_, it)| it.as_ref().err());
            let errors = errors.map(|error| error_response(RawId::NULL, error));
            if let Some(array) = self.batches.open(ids.collect(), errors.collect()) {
                self.send_batch(&array);
            }
        }
        for (message, envelope) in &messages {
            match envelope {
                Ok(envelope) => self.take(message, envelope),
                Err(_) if has_batches => {}
                Err(error) => self.answer_error(RawId::NULL, error),
            }
        }
    }

    /// Returns true if the client has introduced itself with the revision that has batches.
    fn has_batches(&self) -> bool {
        let state = self.state();
        let introduction = Members::of(state.hello.initialize.as_deref().unwrap_or("{}"));
        introduction.text("protocolVersion").as_deref() == Some(WITH_BATCHES)
    }

    /// Handles one message from the client.
    pub(crate) fn take(&self, line: &str, envelope: &Envelope<'_>) {
        match (envelope.kind(), envelope.id) {
            (MessageKind::Request, Some(id)) => self.take_request(line, envelope, id),
            (MessageKind::Notification, _) => {
                self.record(line);
                self.take_notification(line, envelope);
            }
            (_, id) => {
                self.record(line);
                self.take_response(line, id);
            }
        }
    }

    /// Records a message of the client that is not a request.
    fn record(&self, line: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.received(line);
        }
    }

    /// Handles a request and answers it under `id`: its own id, or the id that the delivery uses for it.
    pub(crate) fn take_request(&self, line: &str, envelope: &Envelope<'_>, id: RawId<'_>) {
        let method = envelope.method.as_deref().unwrap_or_default();
        let meta_version = envelope.params.meta.protocol_version;
        let era = if meta_version.is_some() {
            Era::Modern
        } else {
            Era::Legacy
        };
        if let (Some(recorder), Some(own_id)) = (&self.recorder, envelope.id) {
            recorder.request(era, own_id.replaced(line, id));
        }
        if let Some(requested) =
            meta_version.filter(|version| version.text().as_deref() != Some(MODERN))
        {
            return self.answer_error(id, &unsupported(requested));
        }
        match (method, era) {
            ("ping", Era::Legacy) => return self.answer_result(id, "{}"),
            ("initialize", Era::Legacy) => return self.initialize(line, id),
            ("initialize" | "ping", Era::Modern) => {
                let message = format!("revision 2026-07-28 has no `{method}`");
                return self.answer_error(id, &ErrorObject::new(METHOD_NOT_FOUND, message));
            }
            ("server/discover", Era::Legacy) => {
                let message = "`server/discover` needs `params._meta` with `io.modelcontextprotocol/protocolVersion`";
                return self.answer_error(id, &ErrorObject::new(INVALID_PARAMS, message));
            }
            (_, Era::Modern) => self.register_modern_client(envelope),
            (_, Era::Legacy) => {
                let (is_introduced, is_answered, is_held) = {
                    let mut state = self.state();
                    let is_introduced = state.hello_number > 0;
                    let is_held = is_introduced && state.early_requests.hold(id, line);
                    (is_introduced, state.early_messages.is_answered(), is_held)
                };
                if !is_introduced {
                    let message = "the first message must be `initialize`, or name its revision in `params._meta`";
                    return self.answer_error(id, &ErrorObject::new(INVALID_REQUEST, message));
                }
                // A client that continues without `notifications/initialized` is ready all the same.
                if is_answered {
                    self.finish_handshake();
                }
                if is_held {
                    return;
                }
            }
        }
        self.handle_request(line, envelope, id, era);
    }

    /// Handles a request of an introduced client.
    pub(super) fn handle_request(
        &self,
        line: &str,
        envelope: &Envelope<'_>,
        id: RawId<'_>,
        era: Era,
    ) {
        let method = envelope.method.as_deref().unwrap_or_default();
        let request = Request::new(line, envelope, id, era);
        match method {
            "server/discover" => self.discover(id),
            "subscriptions/listen" if era == Era::Modern => self.listen(request),
            _ => match ListKind::of_method(method) {
                Some(kind) => self.list(kind, request),
                None => self.forward(request),
            },
        }
    }

    fn take_notification(&self, line: &str, envelope: &Envelope<'_>) {
        let method = envelope.method.as_deref().unwrap_or_default();
        if self.has_filtered() && (method == "tools/call" || ambiguity(line).is_some()) {
            return tracing::debug!(method, "a server could read this notification as a call");
        }
        match method {
            "notifications/initialized" => self.finish_handshake(),
            "notifications/cancelled" => {
                if let Some(id) = envelope.params.request_id {
                    let params = Members::of(line).original("params");
                    self.cancel(id, params.unwrap_or("{}"));
                }
            }
            // Dropped if the server's request is finished: other servers may use the same token.
            "notifications/progress"
                if self.forward_progress(line) || self.fleet.catalog().sole().is_none() => {}
            _ => {
                if method == "notifications/roots/list_changed" {
                    self.state().early_roots.forget();
                }
                for server in &self.fleet.catalog().servers {
                    server.notify(line);
                }
            }
        }
    }

    /// Cancels the request `id`, whose response the client no longer wants; `params` are those of the client's
    /// notification.
    pub(crate) fn cancel(&self, id: RawId<'_>, params: &str) {
        if let Some(array) = self.batches.forget(id) {
            self.send_batch(&array);
        }
        if self.state().early_requests.cancel(id) {
            return;
        }
        let is_running = self.state().running_calls.cancel(id);
        if !is_running && !self.end_listen(id) {
            self.fleet.cancel(&self.as_sink(), id, params);
        }
    }

    /// Marks the client as ready and sends the messages that were held back for it.
    pub(super) fn finish_handshake(&self) {
        if !self.state().early_messages.finish() {
            return;
        }
        // Not `while let`: its condition would hold the lock.
        loop {
            let Some(messages) = self.state().early_messages.release() else {
                return;
            };
            for EarlyMessage { line, related_id } in messages {
                let related = RelatedRequest::of(related_id.as_ref());
                let _ = self.send(&line, related);
            }
        }
    }

    /// Passes the client's response to the server that sent the request.
    fn take_response(&self, line: &str, id: Option<RawId<'_>>) {
        let Some(id) = id else { return };
        let sender = self.state().requests_to_client.take_own(id);
        if let Some(sender) = sender {
            let _ = sender.send(line.to_owned());
            return;
        }
        let server_request = self.state().requests_to_client.take(id);
        let Some(server_request) = server_request else {
            return tracing::debug!(id = id.as_str(), "response without a request");
        };
        let own_id = server_request.id.as_raw();
        if self.has_filtered()
            && let Some(why) = ambiguity(line)
        {
            let error = ErrorObject::new(INVALID_REQUEST, format!("the client's response {why}"));
            return server_request.connection.refuse(own_id, &error);
        }
        let untagged = (!self.fleet.is_transparent())
            .then(|| tasks::untag(line, &server_request.connection.server))
            .flatten();
        if let Some(line) = untagged {
            let id = Envelope::parse(&line).ok().and_then(|envelope| envelope.id);
            let line = id.map(|id| splice(&line, &mut [(id.as_str(), own_id.as_str())]));
            return server_request.connection.reply([
                line.unwrap_or_default().as_bytes(),
                b"",
                b"",
            ]);
        }
        server_request.connection.reply(id.replaced(line, own_id));
    }

    /// Returns true if the configuration leaves out tools of a server.
    fn has_filtered(&self) -> bool {
        let catalog = self.fleet.catalog();
        catalog.servers.iter().any(ServerHandle::is_filtered)
    }

    /// Passes progress on a server's request to that server, under its own token; false if no such request is open.
    fn forward_progress(&self, line: &str) -> bool {
        let message = Members::of(line);
        let mut params = message.object("params");
        let token = params.get("progressToken");
        let target = token.and_then(|token| self.state().requests_to_client.progress_target(token));
        let Some((connection, token)) = target else {
            return false;
        };
        params.set("progressToken", token.as_raw().as_str());
        connection.send_notification("notifications/progress", Some(&params.to_string()));
        true
    }
}

/// Returns the error for an unsupported revision; it names the supported one.
fn unsupported(requested: RawJson<'_>) -> ErrorObject {
    let requested = requested.text().unwrap_or_default();
    let data = json!({ "supported": [MODERN], "requested": requested });
    ErrorObject {
        code: UNSUPPORTED_REVISION,
        message: format!("the revision `{requested}` is not supported"),
        data: Some(data),
    }
}
