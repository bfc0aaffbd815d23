//! Handles messages to the client: servers' requests and notifications.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::batches::AddedResponse;
use super::requests_to_client::ServerRequest;
use super::stand_in::ClientStandIn;
use super::subscriptions::untagged;
use super::{RelatedRequest, Session, Undelivered};
use crate::bridge::RequiredUrls;
use crate::fleet::FleetClient;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, Members, OwnedJson, RawId, Reply, RequestId,
    notification, request, splice,
};
use crate::mcp::{Era, ListKind, tasks};
use crate::recorder::ConnectionRecorder;
use crate::server::{Client, Connection, InputRound, ParkedRound, ResponseSink};
use crate::transport::stream::Outbox;

/// Reason why requests do not reach a client over HTTP, and the remedy.
pub(super) const NO_STREAM: &str = "it accepts only application/json as the response and has no other stream open; let \
    it accept text/event-stream, or open a stream by GET";

impl ResponseSink for Session {
    fn pipe(&self) -> Option<&Outbox> {
        self.delivery.pipe()
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        if let Some(recorder) = &self.recorder {
            reply.with_id(id, |parts| recorder.sent(parts));
        }
        match self.batches.add(id, &reply) {
            AddedResponse::Single => self.delivery.answer(id, reply),
            AddedResponse::Kept => {}
            AddedResponse::Complete(array) => self.send_batch(&array),
        }
    }

    fn pause(&self, id: RawId<'_>) {
        self.delivery.pause(id);
    }

    fn subscription_refused(&self, uri: &str) {
        self.state().subscriptions.set(uri, false);
        self.send_subscriptions();
    }
}

impl Client for Session {
    fn recorder(&self, server: &Arc<str>, generation: u64) -> Option<ConnectionRecorder> {
        let recorder = self.recorder.as_ref()?;
        Some(recorder.connection(server.clone(), generation))
    }

    fn has_stand_in(&self) -> bool {
        self.stand_in.as_ref().is_some_and(ClientStandIn::is_on)
    }

    fn deliver_request(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        if self.ask_stand_in(from, line, envelope, related_number) {
            return;
        }
        if !self.is_legacy() {
            return self.take_input_request(from, line, envelope, related_number);
        }
        let id = envelope.id.unwrap_or(RawId::NULL);
        // Several servers may use the same token at the same time.
        let token = envelope
            .params
            .meta
            .progress_token
            .filter(|_| !self.fleet.is_transparent());
        let related_id = self.related(from, envelope, related_number);
        let server_request = ServerRequest {
            connection: from.clone(),
            id: id.into(),
            progress_token: token.map(OwnedJson::from),
            related_id: related_id.clone(),
        };
        let number = self.state().requests_to_client.add(server_request);
        let number = number.as_raw();
        let mut parts = vec![(id.as_str(), number.as_str())];
        parts.extend(token.map(|token| (token.as_str(), number.as_str())));
        let line = splice(line, &mut parts);
        let line = self.tag_tasks(from, &line).unwrap_or(line);
        let sent = self.send_when_initialized(line, RelatedRequest::of(related_id.as_ref()));
        if sent.is_err() && self.state().requests_to_client.take(number).is_some() {
            let message = format!("the client cannot be asked: {NO_STREAM}");
            from.refuse(id, &ErrorObject::new(INTERNAL_ERROR, message));
        }
    }

    fn deliver_notification(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        let tagged_line = self.tag_tasks(from, line);
        let line = tagged_line.as_deref().unwrap_or(line);
        match envelope.method.as_deref().unwrap_or_default() {
            "notifications/cancelled" => self.withdraw(from, line, envelope),
            "notifications/message" if !self.is_legacy() => {
                // In the modern era, log messages belong to a request that asked for them.
                self.log(from, line, envelope, related_number);
            }
            // Progress that arrives after the response has a token of the proxy, which the client does not know.
            "notifications/progress"
                if related_number.is_none()
                    && (self.delivery.pipe().is_none() || self.is_translated(from)) => {}
            // The modern era has no such notifications.
            "notifications/elicitation/complete" if self.is_translated(from) => {
                self.take_completed_url(from, line);
            }
            "notifications/tasks/status" if self.is_translated(from) => {}
            "notifications/progress" | "notifications/message" => {
                let related_id = self.related(from, envelope, related_number);
                let _ = self.send(line, RelatedRequest::of(related_id.as_ref()));
            }
            "notifications/resources/updated"
                if from.era() == Era::Legacy && self.is_only_legacy() =>
            {
                self.send_notification(line.to_owned(), RelatedRequest::Nothing);
            }
            "notifications/resources/updated" => {
                self.resource_updated(Members::of(line).get("params").unwrap_or("{}"));
            }
            method if envelope.params.meta.subscription_id.is_some() => {
                let params = Members::of(line).get("params").unwrap_or("{}").to_owned();
                let lines = self.state().subscriptions.of_extension(method, &params);
                self.send_tagged(&lines);
                if self.is_legacy() {
                    let line = notification(method, Some(&untagged(&params)));
                    self.send_notification(line, RelatedRequest::Nothing);
                }
            }
            method => {
                if method == "notifications/elicitation/complete" && !self.is_legacy() {
                    self.take_completed_url(from, line);
                }
                let related_id = self.related(from, envelope, related_number);
                self.send_notification(line.to_owned(), RelatedRequest::of(related_id.as_ref()));
            }
        }
    }

    fn request_input(&self, from: &Arc<Connection>, round: InputRound) {
        self.ask_for_input(from.clone(), round);
    }

    fn request_urls(&self, from: &Connection, round: ParkedRound, urls: RequiredUrls, error: &str) {
        self.ask_for_urls(from, round, urls, error);
    }

    fn withdraw_requests(&self, from: &Connection) {
        let mut state = self.state();
        state.early_roots.withdraw(from, None);
        let withdrawn: Vec<_> = state.requests_to_client.withdraw(from, None).collect();
        drop(state);
        for (number, request) in withdrawn {
            let params = format!(r#"{{"requestId":{number},"reason":"the server was restarted"}}"#);
            let line = notification("notifications/cancelled", Some(&params));
            self.send_notification(line, RelatedRequest::of(request.related_id.as_ref()));
        }
    }
}

impl FleetClient for Session {
    fn lists_changed(&self, kinds: &[ListKind], first: bool) {
        self.resend_subscriptions();
        let state = self.state();
        if first && !state.is_answered_early {
            return;
        }
        let legacy = state.hello.initialize.is_some();
        let lines = |kind: &ListKind| state.subscriptions.list_changed(*kind);
        let lines: Vec<_> = kinds.iter().flat_map(lines).collect();
        drop(state);
        for kind in kinds.iter().filter(|_| legacy) {
            self.send_notification(
                notification(kind.notification(), None),
                RelatedRequest::Nothing,
            );
        }
        self.send_tagged(&lines);
    }

    fn resources_renewed(&self, server: &str) {
        self.resources_updated_of(server);
    }
}

impl Session {
    /// Returns true if a server's messages are those of the legacy era and the client knows only the modern one.
    fn is_translated(&self, from: &Connection) -> bool {
        from.era() == Era::Legacy && !self.is_legacy()
    }

    /// Returns true if the client speaks the legacy era, and listens to nothing in the modern one.
    fn is_only_legacy(&self) -> bool {
        let state = self.state();
        state.hello.initialize.is_some() && !state.subscriptions.has_listens()
    }

    /// Returns the client's request that a server's message belongs to, where that matters.
    fn related(
        &self,
        from: &Connection,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> Option<RequestId> {
        match self.delivery.pipe() {
            Some(_) => None,
            None => from.related(envelope, related_number),
        }
    }

    /// Sends a log message to a modern client, if it belongs to a request that asked for messages of this severity. On a
    /// pipe, a message of a legacy server may belong to each request in flight there.
    fn log(
        &self,
        from: &Connection,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        if self.delivery.pipe().is_some() {
            // A modern server selects its messages itself.
            if from.era() == Era::Modern || from.wants_log(envelope) {
                let _ = self.send(line, RelatedRequest::Nothing);
            } else {
                self.keep_log(from, line, envelope, related_number);
            }
            return;
        }
        if let Some(id) = from.request_for_log(envelope, related_number) {
            let _ = self.send(line, RelatedRequest::Request(id.as_raw()));
        } else {
            self.keep_log(from, line, envelope, related_number);
        }
    }

    /// Sends a message other than a response.
    pub(super) fn send(&self, line: &str, related: RelatedRequest<'_>) -> Result<(), Undelivered> {
        self.delivery.send(line, related)?;
        if let Some(recorder) = &self.recorder {
            recorder.sent([line.as_bytes(), b"", b""]);
        }
        Ok(())
    }

    /// Sends the responses of a batch, each of which is recorded alone.
    pub(super) fn send_batch(&self, array: &str) {
        let _ = self.delivery.send(array, RelatedRequest::Nothing);
    }

    /// Sends a notification as [`Self::send_when_initialized`] does.
    pub(super) fn send_notification(&self, line: String, related: RelatedRequest<'_>) {
        let _ = self.send_when_initialized(line, related);
    }

    /// Sends a line, or holds it back until a legacy client's handshake is over.
    fn send_when_initialized(
        &self,
        line: String,
        related: RelatedRequest<'_>,
    ) -> Result<(), Undelivered> {
        let mut state = self.state();
        if let Err(line) = state.early_messages.hold(line, related) {
            drop(state);
            return self.send(&line, related);
        }
        if state.early_messages.is_full() {
            drop(state);
            self.finish_handshake();
        }
        Ok(())
    }

    /// Sends the client a request of the proxy's own during its request `id`. Returns the line of the response, or an
    /// error if the client cannot be reached. The request is cancelled if the caller stops waiting.
    pub(super) async fn ask_client(
        &self,
        method: &str,
        params: Option<&str>,
        id: RawId<'_>,
    ) -> Result<String, Undelivered> {
        let (sender, response) = oneshot::channel();
        let number = self.state().requests_to_client.add_own(sender);
        let line = request(number.as_raw(), method, params);
        let _guard = ProxyRequest {
            session: self.strong_self(),
            number,
            related_id: id.into(),
        };
        self.send_when_initialized(line, RelatedRequest::Request(id))?;
        response.await.map_err(|_| Undelivered)
    }

    /// Returns the line with task ids made unique across servers; None if it has no task ids.
    fn tag_tasks(&self, from: &Connection, line: &str) -> Option<String> {
        if self.fleet.is_transparent() {
            return None;
        }
        tasks::tag(line, &from.server)
    }

    /// Cancels a server's request that the server no longer wants answered.
    fn withdraw(&self, from: &Connection, line: &str, envelope: &Envelope<'_>) {
        let Some(id) = envelope.params.request_id else {
            return;
        };
        let mut state = self.state();
        state.early_roots.withdraw(from, Some(id));
        let withdrawn = state.requests_to_client.withdraw(from, Some(id)).next();
        drop(state);
        if let Some((number, request)) = withdrawn {
            let line = splice(line, &mut [(id.as_str(), &number.to_string())]);
            self.send_notification(line, RelatedRequest::of(request.related_id.as_ref()));
        } else {
            from.withdraw_input_request(id);
        }
    }
}

/// Request of the proxy's own to the client.
struct ProxyRequest {
    session: Arc<Session>,
    number: RequestId,
    /// The client's request that caused it.
    related_id: RequestId,
}

impl Drop for ProxyRequest {
    fn drop(&mut self) {
        let unanswered = self
            .session
            .state()
            .requests_to_client
            .take_own(self.number.as_raw());
        if unanswered.is_some() {
            let params = format!(r#"{{"requestId":{}}}"#, self.number.as_raw());
            let line = notification("notifications/cancelled", Some(&params));
            self.session
                .send_notification(line, RelatedRequest::Request(self.related_id.as_raw()));
        }
    }
}
