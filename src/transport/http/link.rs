//! Connects to a remote server: accepts lines to send, reports messages and failures. Notifications and responses are
//! delivered in order, one at a time; requests run concurrently and may overtake them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::link_event::{Fate, LinkError, LinkEvent};
use super::link_state::{BacklogGuard, LinkState};
use super::peer::{OutgoingMessage, Peer};
use super::{HttpClients, exchange, get_stream, response};
use crate::config::Remote;
use crate::jsonrpc::MessageKind;
use crate::lock::locked;
use crate::mcp::Entry;

/// Capacity of the channel of incoming messages; while it is full, the streams are not read.
const INCOMING_CAPACITY: usize = 8;
/// Time limit for a server to accept a notification or a response.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a legacy server to end a cancelled request.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for a legacy server to end the session.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// Link to a remote server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpLink(Arc<LinkInner>);

struct LinkInner {
    state: Arc<LinkState>,
    /// Unbounded: senders check the backlog first.
    outgoing: UnboundedSender<String>,
    /// Notifications and responses to send; unbounded, since they also count towards the backlog.
    unnumbered: UnboundedSender<(OutgoingMessage, Option<BacklogGuard>)>,
    /// Running requests by number.
    running: Mutex<HashMap<u64, AbortHandle>>,
}

impl fmt::Debug for HttpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLink")
            .field(&self.0.state.peer.shown())
            .finish()
    }
}

impl HttpLink {
    /// Returns a link to `remote` and its receiver; sends nothing yet. `max_message` is the maximum length of a message
    /// in bytes.
    pub(crate) fn open(
        remote: &Remote,
        clients: &HttpClients,
        max_message: usize,
    ) -> Result<(Self, Receiver<LinkEvent>), LinkError> {
        let (outgoing, lines) = mpsc::unbounded_channel();
        let (unnumbered, queue) = mpsc::unbounded_channel();
        let (incoming, received) = mpsc::channel(INCOMING_CAPACITY);
        let peer = Peer::new(remote.clone(), clients.clients(&remote.url)?);
        let inner = Arc::new(LinkInner {
            state: Arc::new(LinkState::new(peer, max_message, incoming)),
            outgoing,
            unnumbered,
            running: Mutex::default(),
        });
        inner.state.spawn(inner.clone().send_all(lines));
        inner.state.spawn(inner.clone().send_unnumbered(queue));
        Ok((Self(inner), received))
    }

    /// Sends one message made of `parts`. Never blocks.
    pub(crate) fn send(&self, parts: [&[u8]; 3]) {
        let line = String::from_utf8(parts.concat());
        let line = line.unwrap_or_else(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        self.0.state.count(line.len());
        let _ = self.0.outgoing.send(line);
    }

    /// Returns the number of bytes waiting to be sent.
    pub(crate) fn backlog(&self) -> usize {
        self.0.state.backlog()
    }

    /// Waits until most bytes are sent or the link is lost.
    pub(crate) async fn ready(&self) {
        self.0.state.ready().await;
    }

    /// Returns true if all messages of the server arrive on one stream, so that none arrive once the link is lost.
    pub(crate) fn has_one_stream(&self) -> bool {
        self.0.state.peer.has_one_stream()
    }

    /// Returns the address of the server.
    pub(crate) fn url(&self) -> Url {
        self.0.state.peer.url()
    }

    /// Returns the address and the configured headers.
    pub(crate) fn remote(&self) -> Arc<Remote> {
        self.0.state.peer.remote()
    }

    /// Returns the headers that repeat fields of a modern message's body; `None` for a legacy one.
    pub(crate) fn body_headers(&self, line: String) -> Option<HeaderMap> {
        let message = OutgoingMessage::parse(line)?;
        let mut headers = HeaderMap::new();
        let is_modern = self.0.state.peer.describe(&message, &mut headers);
        is_modern.then_some(headers)
    }

    /// Returns true if the configuration declares the transport of revision 2024-11-05.
    pub(crate) fn is_configured_as_2024(&self) -> bool {
        self.0.state.peer.is_configured_as_2024()
    }

    /// Sends later requests to another address; for the time before the handshake.
    pub(crate) fn move_to(&self, remote: Remote) {
        self.0.state.move_to(remote);
    }

    /// Forgets the refusal of an earlier handshake request, before another one.
    pub(crate) fn forget_refusal(&self) {
        self.0.state.forget_refusal();
    }

    /// Returns the most recent refusal of a handshake request at the present address, if any.
    pub(crate) fn refusal(&self) -> Option<LinkError> {
        self.0.state.refusal()
    }

    /// Returns the address for display.
    pub(crate) fn shown(&self) -> String {
        self.0.state.peer.shown()
    }

    /// Records that the server speaks the modern era.
    pub(crate) fn set_modern(&self) {
        self.0.state.peer.set_modern();
    }

    /// Records the tools of a server; returns the tools that no client may offer over HTTP, with the reason.
    pub(crate) fn set_tools(&self, tools: &[Entry]) -> Vec<(String, String)> {
        if self.0.state.peer.is_modern() {
            self.0.state.peer.set_tools(tools)
        } else {
            Vec::new()
        }
    }

    /// Waits until the link is lost; returns the reason.
    pub(crate) async fn lost(&self) -> LinkError {
        self.0.state.lost().await
    }

    /// Returns the most recent error, if any.
    pub(crate) fn last_error(&self) -> Option<LinkError> {
        self.0.state.last_error()
    }

    /// Closes the streams that stay open for the server's own messages, for good: a server that is about to exit may wait
    /// for their end. Requests in flight are not affected.
    pub(crate) fn end_streams(&self) {
        self.0.state.end_streams();
    }

    /// Returns requests that the server does not receive because it is busy with others as [`Fate::Superseded`], also
    /// later ones; except requests that continue work of its process.
    pub(crate) fn return_queue(&self) {
        self.0.state.return_queue();
    }

    /// Resolves when the link has been stopped.
    pub(crate) async fn stopped(&self) {
        self.0.state.stopped().await;
    }

    /// Aborts all running tasks; reports nothing afterwards.
    pub(crate) fn abort(&self) {
        self.0.state.abort();
    }

    /// Aborts all running tasks and ends the session.
    pub(crate) async fn stop(&self) {
        let state = &self.0.state;
        state.stop().await;
        let end = state.peer.delete().filter(|_| !state.is_lost());
        if let Some(end) = end {
            let _ = timeout(DELETE_TIMEOUT, end.send()).await;
        }
    }
}

impl LinkInner {
    async fn send_all(self: Arc<Self>, mut lines: UnboundedReceiver<String>) {
        while let Some(line) = lines.recv().await {
            let backlog = BacklogGuard::new(&self.state, line.len());
            let Some(message) = OutgoingMessage::parse(line) else {
                continue;
            };
            match (message.kind, message.number) {
                (MessageKind::Request, Some(number)) => self.begin(number, message, backlog),
                (MessageKind::Notification, _) if message.method == "notifications/cancelled" => {
                    drop(backlog);
                    self.cancel(message).await;
                }
                // No request may reach the server before this notification.
                (MessageKind::Notification, _) if message.method == "notifications/initialized" => {
                    drop(backlog);
                    self.deliver(&message).await;
                }
                _ => drop(self.unnumbered.send((message, Some(backlog)))),
            }
        }
    }

    /// Delivers notifications and responses to the server in order, while requests overtake them: a server that is slow
    /// to accept one must not delay the calls behind it.
    async fn send_unnumbered(
        self: Arc<Self>,
        mut unnumbered: UnboundedReceiver<(OutgoingMessage, Option<BacklogGuard>)>,
    ) {
        while let Some((message, backlog)) = unnumbered.recv().await {
            drop(backlog);
            self.deliver(&message).await;
        }
    }

    fn begin(self: &Arc<Self>, number: u64, message: OutgoingMessage, backlog: BacklogGuard) {
        // Locked before the task is spawned, so that the task cannot remove its entry before it is inserted.
        let mut running = locked(&self.running);
        let inner = self.clone();
        let is_listen = message.is_listen();
        let task = async move {
            exchange::run(&inner.state, number, &message, backlog).await;
            locked(&inner.running).remove(&number);
        };
        let task = if is_listen {
            self.state.spawn_stream(task)
        } else {
            self.state.spawn(task)
        };
        running.insert(number, task);
    }

    /// Cancels a request for the client: closes the stream of a modern server, notifies a legacy server.
    async fn cancel(self: &Arc<Self>, message: OutgoingMessage) {
        let Some(number) = message.related_number else {
            return;
        };
        if self.state.peer.is_modern() {
            return self.abort_request(number).await;
        }
        let _ = self.unnumbered.send((message, None));
        let inner = self.clone();
        self.state.spawn(async move {
            tokio::time::sleep(CANCEL_TIMEOUT).await;
            inner.abort_request(number).await;
        });
    }

    async fn abort_request(&self, number: u64) {
        let running = locked(&self.running).remove(&number);
        if let Some(running) = running {
            running.abort();
            let how = "was no longer asked".to_owned();
            self.state
                .report_failed(number, Fate::Unknown, how.into())
                .await;
        }
    }

    /// Delivers a notification or a response and waits until the server has accepted it.
    async fn deliver(self: &Arc<Self>, message: &OutgoingMessage) {
        if self.state.is_lost() && message.kind == MessageKind::Notification {
            return;
        }
        let peer = &self.state.peer;
        let post = peer.post(message, self.state.is_busy(0));
        let sent = timeout(ACCEPT_TIMEOUT, peer.send(post)).await;
        match sent {
            Ok(Ok(response)) if response.status().is_success() => {
                let has_more = !self.state.peer.is_modern() && !self.state.peer.has_one_stream();
                if message.method == "notifications/initialized" && has_more {
                    self.state.spawn_stream(get_stream::run(self.state.clone()));
                }
            }
            Ok(Ok(response)) => {
                let status = response.status();
                if response::is_session_lost(&self.state.peer, status, "", None) {
                    return self.state.mark_lost(&LinkError::session_lost());
                }
                let how = self.state.peer.answered(status, "").reason;
                tracing::debug!(method = message.method, how, "message not accepted");
            }
            Ok(Err(error)) if error.is_connect() => {
                self.state.mark_lost(&self.state.peer.unreachable(&error));
            }
            Ok(Err(error)) => {
                let how = self.state.peer.unreachable(&error).reason;
                tracing::debug!(method = message.method, how, "message may be lost");
            }
            Err(_) => tracing::debug!(method = message.method, "message not accepted in time"),
        }
    }
}
