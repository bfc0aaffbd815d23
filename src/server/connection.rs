//! JSON-RPC connection to one generation, with the table of pending requests.
//!
//! Responses go straight from the reading task to the client that sent the request. Requests and notifications of the
//! server go to the session, except those that the proxy handles itself (`ping`, changed lists, acknowledged
//! subscriptions).

mod answers;
mod input;
mod own_call;
mod parked;
mod questions;
mod related;
mod sending;
mod site_exchange;
mod unanswered;
mod waiting;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::call::ResponseSink;
use super::former_tools::FormerTools;
use super::link::Link;
use super::pending_requests::{CallEnd, PendingRequest, PendingRequests, RawResponse};
use super::result_checks::{ResultChecks, ResultFault};
use crate::bridge::{self, Identity, InputError, RequiredUrls};
use crate::event::StrayKind;
use crate::jsonrpc::{
    Envelope, ErrorObject, InvalidMessage, Members, MessageKind, RawId, RequestId, elements,
    error_response, notification, request, result_response,
};
use crate::lock::locked;
use crate::mcp::{Era, ListKind};
use crate::recorder::ConnectionRecorder;
pub(crate) use input::{InputOrigin, InputRound};
pub(crate) use parked::ParkedRound;
pub(in crate::server) use questions::OpenQuestion;
pub(crate) use site_exchange::SiteExchange;

/// Error: the generation ended before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLost;

/// Notice from a connection to its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConnectionNotice {
    /// The server reports a change of one of its lists.
    ListChanged(u64, ListKind),
    /// A result of the named tool has this fault; the second string is the reason.
    ResultFault(String, ResultFault, String),
    /// The named tool cannot be offered over HTTP; the second string is the reason.
    LeftOut(String, String),
    /// The list was not read to its end, for this reason.
    ListCut(ListKind, &'static str),
    /// The list contains this name twice.
    ListedTwice(ListKind, String),
    /// The server has this list but does not declare its capability.
    ListUndeclared(ListKind),
    /// The server failed to send its client a request that exists only in the legacy era.
    EraUnsuitable,
    /// The generation did not answer the request for this list within the time limit, and goes live without it.
    ListSilent(u64, ListKind, Duration),
}

/// Connection to one generation.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Name of the server.
    pub(crate) server: Arc<str>,
    /// Number of the generation.
    pub(crate) generation: u64,
    link: Link,
    client: Arc<dyn Client>,
    /// `None` if messages are not recorded.
    recorder: Option<ConnectionRecorder>,
    notices: mpsc::UnboundedSender<ConnectionNotice>,
    /// Result of the handshake.
    negotiated: OnceLock<NegotiatedEra>,
    /// True once the generation is live.
    live: AtomicBool,
    identity: Mutex<Identity>,
    pending: Mutex<PendingRequests>,
    /// Signalled when no client's call is pending any more, when the tasks of clients change, and when an exchange with
    /// the server's site ends.
    idle: Notify,
    /// Cancelled when the exchanges with the server's site must end.
    cut: CancellationToken,
}

/// Client side of a session.
pub(crate) trait Client: ResponseSink {
    /// Returns the recorder of a new connection to a generation of `server`; `None` if messages are not recorded.
    fn recorder(&self, _server: &Arc<str>, _generation: u64) -> Option<ConnectionRecorder> {
        None
    }

    /// Returns true if a person on the page answers requests for input that the client cannot answer.
    fn has_stand_in(&self) -> bool {
        false
    }

    /// Takes a request from the server. `related_number` is the number of the client's request to which it belongs.
    fn deliver_request(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    );

    /// Takes a notification from the server, except about its lists; `related_number` as in [`Self::deliver_request`].
    fn deliver_notification(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    );

    /// Asks the client for the input that the server behind `from` requests. `from` gets the input or the reason why
    /// there is none.
    fn request_input(&self, from: &Arc<Connection>, round: InputRound);

    /// Asks the client of a call to let its user open `urls`, which the server behind `from` requires first. If the client
    /// cannot be asked, the call ends with `error`, which is raw.
    fn request_urls(&self, from: &Connection, round: ParkedRound, urls: RequiredUrls, error: &str);

    /// Withdraws the open requests of the server behind `from`, which has ended.
    fn withdraw_requests(&self, from: &Connection);
}

/// Result of the handshake.
#[derive(Debug)]
struct NegotiatedEra {
    era: Era,
    /// Object with the name and version of a legacy server.
    server_info: Option<String>,
}

impl Connection {
    /// Creates a connection that writes to `link` and passes requests of the server to `client`.
    pub(crate) fn new(
        server: Arc<str>,
        generation: u64,
        link: Link,
        client: Arc<dyn Client>,
        identity: Identity,
        notices: mpsc::UnboundedSender<ConnectionNotice>,
    ) -> Self {
        Self {
            recorder: client.recorder(&server, generation),
            server,
            generation,
            link,
            client,
            notices,
            negotiated: OnceLock::new(),
            live: AtomicBool::new(false),
            identity: Mutex::new(identity),
            pending: Mutex::default(),
            idle: Notify::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Returns the era that the handshake settled; legacy before it.
    pub(crate) fn era(&self) -> Era {
        self.known_era().unwrap_or(Era::Legacy)
    }

    /// Returns true if the handshake has settled the era.
    pub(crate) fn has_era(&self) -> bool {
        self.known_era().is_some()
    }

    fn known_era(&self) -> Option<Era> {
        self.negotiated.get().map(|negotiated| negotiated.era)
    }

    /// Sets the era and the object with the name and version of a legacy server, once.
    pub(crate) fn set_era(&self, era: Era, server_info: Option<String>) {
        if let (Some(link), Era::Modern) = (self.link.http(), era) {
            link.set_modern();
        }
        let _ = self.negotiated.set(NegotiatedEra { era, server_info });
    }

    /// Returns the object with the name and version of a legacy server.
    pub(crate) fn server_info(&self) -> Option<String> {
        self.negotiated.get()?.server_info.clone()
    }

    /// Returns the link for messages to the server.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Changes the identity of the client that accompanies requests to a modern server.
    pub(crate) fn change_identity(&self, change: impl FnOnce(&mut Identity)) {
        change(&mut locked(&self.identity));
    }

    /// Sets the tools whose arguments changed incompatibly, to explain calls that fail.
    pub(in crate::server) fn set_former_tools(&self, tools: FormerTools) {
        locked(&self.pending).former_tools = tools;
    }

    /// Sets the checks of results of tools.
    pub(in crate::server) fn set_result_checks(&self, checks: ResultChecks) {
        locked(&self.pending).result_checks = checks;
    }

    /// Sends a request of the proxy itself. In the modern era, a `_meta` with the client's identity is added.
    pub(crate) async fn request(
        &self,
        method: &str,
        params: Option<&str>,
    ) -> Result<RawResponse, ConnectionLost> {
        let (sender, receiver) = oneshot::channel();
        self.send_own(method, params, sender)?;
        receiver.await.map_err(|_| ConnectionLost)
    }

    /// Like [`Self::request`] without waiting; returns the id. For responses that take long or do not matter.
    pub(crate) fn send_own(
        &self,
        method: &str,
        params: Option<&str>,
        sender: oneshot::Sender<RawResponse>,
    ) -> Result<u64, ConnectionLost> {
        let number = {
            let mut pending = locked(&self.pending);
            if pending.closed {
                return Err(ConnectionLost);
            }
            if method != "subscriptions/listen" {
                pending.newest_own_method = Some(method.into());
            }
            pending.insert(PendingRequest::Own(sender))
        };
        let identified;
        let params = match self.era() {
            Era::Modern => {
                identified = locked(&self.identity).identify(params.unwrap_or("{}"), None);
                Some(identified.as_str())
            }
            Era::Legacy => params,
        };
        self.write(&request(RequestId::from(number).as_raw(), method, params));
        Ok(number)
    }

    /// Sends a notification of the proxy itself.
    pub(crate) fn send_notification(&self, method: &str, params: Option<&str>) {
        self.write(&notification(method, params));
    }

    /// Forwards a client's notification. A modern server gets no notification of changed roots.
    pub(crate) fn forward(&self, line: &str) {
        let Ok(envelope) = Envelope::parse(line) else {
            return;
        };
        let is_modern = envelope.params.meta.protocol_version.is_some();
        match self.era() {
            Era::Legacy if is_modern => self.write(&bridge::legacy_notification(line)),
            // A modern server requests the roots whenever it needs them.
            Era::Modern
                if envelope.method.as_deref() == Some("notifications/roots/list_changed") => {}
            Era::Legacy | Era::Modern => self.write(line),
        }
    }

    /// Answers a request of the server; `parts` together are the response under the server's own id.
    pub(crate) fn reply(&self, parts: [&[u8]; 3]) {
        self.send(parts, None);
    }

    /// Answers the server's request `id` with an error.
    pub(crate) fn refuse(&self, id: RawId<'_>, error: &ErrorObject) {
        self.write(&error_response(id, error));
    }

    /// Cancels the client's request `id` and notifies the server. Returns false if no such request is in flight here.
    pub(crate) fn cancel(&self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>, params: &str) -> bool {
        let (number, end) = {
            let mut pending = locked(&self.pending);
            let found = pending
                .requests
                .iter()
                .find_map(|(number, request)| match request {
                    PendingRequest::Client(call) | PendingRequest::AwaitsInput { call, .. }
                        if call.id == id && Arc::ptr_eq(&call.sink, sink) =>
                    {
                        Some(*number)
                    }
                    _ => None,
                });
            if let Some((_, end)) = found.and_then(|number| pending.take_awaiting(number)) {
                // The server has nothing to cancel.
                drop(pending);
                self.settled(end);
                return true;
            }
            let removed = found.and_then(|number| Some((number, pending.take(number)?)));
            let Some((number, (PendingRequest::Client(mut call), end))) = removed else {
                return false;
            };
            call.line = None;
            // Nobody would repeat the request with the input.
            call.input = None;
            // Only a client on a pipe can still receive a late response.
            if call.sink.pipe().is_some() {
                pending.keep_cancelled(number, call);
            }
            (number, end)
        };
        self.settled(end);
        let params = match self.era() {
            Era::Legacy => bridge::without_modern_meta(params),
            Era::Modern => params.into(),
        };
        let mut params = Members::of(&params);
        params.set("requestId", number.to_string());
        self.send_notification("notifications/cancelled", Some(&params.to_string()));
        true
    }

    /// Handles the end of the stream of the request `number`, which the server will resume later: the client's stream
    /// may end as well.
    pub(crate) fn pause(&self, number: u64) {
        let call = locked(&self.pending)
            .call(number)
            .map(|call| (call.sink.clone(), call.id.clone()));
        if let Some((sink, id)) = call {
            sink.pause(id.as_raw());
        }
    }

    /// Returns true if the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        locked(&self.pending).closed
    }

    /// Handles a message of the server, or several in an array, as revision 2025-03-26 allows. `related_number` is the
    /// number of the request whose response carried it, if known. An error says why the message is unusable.
    pub(crate) fn receive(
        self: &Arc<Self>,
        line: &str,
        related_number: Option<u64>,
    ) -> Result<(), StrayKind> {
        let batch = match Envelope::parse(line) {
            Ok(envelope) => return self.take(line, &envelope, related_number),
            Err(InvalidMessage::Batch) => elements(line).filter(|messages| !messages.is_empty()),
            Err(_) => None,
        };
        let text = if self.is_http() {
            StrayKind::Text
        } else {
            StrayKind::Line
        };
        for message in batch.ok_or(text)? {
            let envelope = Envelope::parse(message).map_err(|_| text)?;
            self.take(message, &envelope, related_number)?;
        }
        Ok(())
    }

    /// Handles one message, as [`receive`](Self::receive) does.
    pub(super) fn take(
        self: &Arc<Self>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> Result<(), StrayKind> {
        self.record(line);
        match envelope.kind() {
            MessageKind::Response => self.take_response(line, envelope, related_number)?,
            MessageKind::Request if envelope.method.as_deref() == Some("ping") => {
                self.write(&result_response(envelope.id.unwrap_or(RawId::NULL), "{}"));
            }
            MessageKind::Request if self.refuses_input(envelope) => {
                self.refuse(envelope.id.unwrap_or(RawId::NULL), &own_call::no_input());
            }
            MessageKind::Request => {
                self.client
                    .deliver_request(self, line, envelope, related_number);
            }
            MessageKind::Notification => {
                let method = envelope.method.as_deref().unwrap_or_default();
                if let Some(kind) = ListKind::of_notification(method) {
                    let _ = self
                        .notices
                        .send(ConnectionNotice::ListChanged(self.generation, kind));
                } else if method == "notifications/progress" {
                    self.take_progress(line, envelope, related_number);
                } else if method != "notifications/subscriptions/acknowledged" {
                    if method == "notifications/tasks/status" {
                        self.update_task(line);
                    }
                    self.client
                        .deliver_notification(self, line, envelope, related_number);
                }
            }
        }
        Ok(())
    }

    /// Handles the end of a client's request: refuses the server's requests for input during it, and wakes the tasks
    /// that wait in [`Self::idle`] or [`Self::finished`] if it was the last one.
    fn settled(&self, end: CallEnd) {
        for id in end.input_requests {
            let error = InputError::RequestEnded(self.server.to_string());
            self.refuse(id.as_raw(), &error.object());
        }
        if end.is_last {
            self.idle.notify_waiters();
        }
    }

    fn write(&self, line: &str) {
        self.send([line.as_bytes(), b"", b""], None);
    }

    /// Sends one message, made of `parts`; `number` is that of the client's request in it.
    fn send(&self, parts: [&[u8]; 3], number: Option<u64>) {
        if let Some(recorder) = &self.recorder {
            let id_of = |number| Some(locked(&self.pending).call(number)?.id.clone());
            recorder.sent(self.known_era(), number.and_then(id_of), parts);
        }
        self.link.send(parts);
    }

    /// Records a message of the server.
    fn record(&self, line: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.received(self.known_era(), line);
        }
    }
}
