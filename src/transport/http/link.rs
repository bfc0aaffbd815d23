//! Connects to a remote server: accepts lines to send, reports messages and failures. Notifications and responses are
//! delivered in order, one at a time; requests run concurrently and may overtake them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::{OutgoingMessage, Peer};
use super::{HttpClients, exchange, get_stream, response};
use crate::config::Remote;
use crate::jsonrpc::MessageKind;
use crate::lock::locked;
use crate::mcp::Entry;

/// Maximum number of concurrent requests, each on its own connection; further requests wait.
const MAX_CONCURRENT: usize = 100;
/// Capacity of the channel of incoming messages; while it is full, the streams are not read.
const INCOMING_CAPACITY: usize = 8;
/// Number of unsent bytes above which a sender waits.
const HIGH_WATER: usize = 1024 * 1024;
/// Time limit for a server to accept a notification or a response.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a legacy server to end a cancelled request.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for a legacy server to end the session.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// Fate of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server did not receive or did not process it.
    Unsent,
    /// The server rejected it.
    Refused,
    /// The server may have executed it.
    Unknown,
}

/// Reason why a remote server does not answer, as a sentence fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct LinkError {
    pub(crate) reason: String,
    /// Status of the HTTP response that is no answer, if there was a response.
    pub(crate) status: Option<StatusCode>,
}

impl LinkError {
    /// Returns the error of a legacy server that has lost the session.
    pub(super) fn session_lost() -> Self {
        "no longer knows the session".to_owned().into()
    }
}

impl From<String> for LinkError {
    fn from(reason: String) -> Self {
        let status = None;
        Self { reason, status }
    }
}

/// Message or report from a remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// A message, or an array of messages, on one line. It arrived in the response to the request `related_number`.
    Message {
        line: String,
        related_number: Option<u64>,
    },
    /// The request `number` gets no answer; `how` is a sentence fragment with the reason.
    Failed {
        number: u64,
        fate: Fate,
        how: String,
    },
    /// The server ended the stream of this request and will continue it when the stream is resumed.
    Paused(u64),
    /// A message over the size limit, described for a report.
    TooLong(String),
    /// The server's own stream was interrupted and reopened; messages sent in between are lost.
    Resumed,
}

/// Link to a remote server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpLink(Arc<LinkInner>);

pub(super) struct LinkInner {
    pub(super) peer: Peer,
    /// Maximum length of a message in bytes.
    pub(super) max_message: usize,
    /// Unbounded: senders check `backlog` first.
    outgoing: UnboundedSender<String>,
    /// Notifications and responses to send; unbounded, since they also count towards `backlog`.
    unnumbered: UnboundedSender<(OutgoingMessage, Option<BacklogGuard>)>,
    /// While this channel is full, the streams are not read.
    incoming: mpsc::Sender<LinkEvent>,
    /// Number of bytes waiting to be sent.
    backlog: AtomicUsize,
    /// Wakes tasks that wait until most bytes are sent.
    drained: Notify,
    /// Running requests by number.
    running: Mutex<HashMap<u64, AbortHandle>>,
    pub(super) permits: Semaphore,
    /// Reason why the link was lost; `None` while it works.
    lost: watch::Sender<Option<LinkError>>,
    /// Most recent error.
    last_error: Mutex<Option<LinkError>>,
    /// Number of consecutive failed `subscriptions/listen` streams.
    pub(super) failed_listens: AtomicUsize,
    /// True once a `subscriptions/listen` stream has been opened.
    pub(super) has_listened: AtomicBool,
    stopped: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for HttpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLink")
            .field(&self.0.peer.shown())
            .finish()
    }
}

/// Number of bytes counted as waiting to be sent until this is dropped.
pub(super) struct BacklogGuard(Arc<LinkInner>, usize);

impl Drop for BacklogGuard {
    fn drop(&mut self) {
        let Self(inner, bytes) = self;
        let before = inner.backlog.fetch_sub(*bytes, Ordering::Relaxed);
        if before > HIGH_WATER && before - *bytes <= HIGH_WATER {
            inner.drained.notify_waiters();
        }
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
        let inner = Arc::new(LinkInner {
            peer: Peer::new(remote.clone(), clients.client(&remote.url)?),
            max_message,
            outgoing,
            unnumbered,
            incoming,
            backlog: AtomicUsize::new(0),
            drained: Notify::new(),
            running: Mutex::default(),
            permits: Semaphore::new(MAX_CONCURRENT),
            lost: watch::Sender::new(None),
            last_error: Mutex::default(),
            failed_listens: AtomicUsize::new(0),
            has_listened: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        inner.spawn(inner.clone().send_all(lines));
        inner.spawn(inner.clone().send_unnumbered(queue));
        Ok((Self(inner), received))
    }

    /// Sends one message made of `parts`. Never blocks.
    pub(crate) fn send(&self, parts: [&[u8]; 3]) {
        let line = String::from_utf8(parts.concat());
        let line = line.unwrap_or_else(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
        self.0.backlog.fetch_add(line.len(), Ordering::Relaxed);
        let _ = self.0.outgoing.send(line);
    }

    /// Returns the number of bytes waiting to be sent.
    pub(crate) fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }

    /// Waits until most bytes are sent or the link is lost.
    pub(crate) async fn ready(&self) {
        loop {
            let drained = self.0.drained.notified();
            if self.backlog() <= HIGH_WATER || self.0.is_lost() {
                return;
            }
            drained.await;
        }
    }

    /// Returns true if all messages of the server arrive on one stream, so that none arrive once the link is lost.
    pub(crate) fn has_one_stream(&self) -> bool {
        self.0.peer.has_one_stream()
    }

    /// Returns true if the configuration declares the transport of revision 2024-11-05.
    pub(crate) fn is_configured_as_2024(&self) -> bool {
        self.0.peer.is_configured_as_2024()
    }

    /// Records that the server speaks the modern era.
    pub(crate) fn set_modern(&self) {
        self.0.peer.set_modern();
    }

    /// Records the tools of a server; returns the tools that no client may offer over HTTP, with the reason.
    pub(crate) fn set_tools(&self, tools: &[Entry]) -> Vec<(String, String)> {
        if self.0.peer.is_modern() {
            self.0.peer.set_tools(tools)
        } else {
            Vec::new()
        }
    }

    /// Waits until the link is lost; returns the reason.
    pub(crate) async fn lost(&self) -> LinkError {
        let mut lost = self.0.lost.subscribe();
        let how = lost.wait_for(Option::is_some).await;
        let how = how.ok().and_then(|how| how.clone());
        how.unwrap_or_else(|| String::new().into())
    }

    /// Returns the most recent error, if any.
    pub(crate) fn last_error(&self) -> Option<LinkError> {
        locked(&self.0.last_error).clone()
    }

    /// Resolves when the link has been stopped.
    pub(crate) async fn stopped(&self) {
        self.0.stopped.cancelled().await;
    }

    /// Aborts all running tasks; reports nothing afterwards.
    pub(crate) fn abort(&self) {
        self.0.stopped.cancel();
    }

    /// Aborts all running tasks and ends the session.
    pub(crate) async fn stop(&self) {
        self.abort();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let end = self.0.peer.delete().filter(|_| !self.0.is_lost());
        if let Some(end) = end {
            let _ = timeout(DELETE_TIMEOUT, end.send()).await;
        }
    }
}

impl LinkInner {
    /// Runs `task` until it finishes or the link is stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stopped = self.stopped.clone();
        let task = async move {
            let _ = stopped.run_until_cancelled(task).await;
        };
        self.tasks.spawn(task).abort_handle()
    }

    async fn send_all(self: Arc<Self>, mut lines: UnboundedReceiver<String>) {
        while let Some(line) = lines.recv().await {
            let backlog = BacklogGuard(self.clone(), line.len());
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
        let task = self.spawn(async move {
            exchange::run(&inner, number, &message, backlog).await;
            locked(&inner.running).remove(&number);
        });
        running.insert(number, task);
    }

    /// Cancels a request for the client: closes the stream of a modern server, notifies a legacy server.
    async fn cancel(self: &Arc<Self>, message: OutgoingMessage) {
        let Some(number) = message.related_number else {
            return;
        };
        if self.peer.is_modern() {
            return self.abort_request(number).await;
        }
        let _ = self.unnumbered.send((message, None));
        let inner = self.clone();
        self.spawn(async move {
            tokio::time::sleep(CANCEL_TIMEOUT).await;
            inner.abort_request(number).await;
        });
    }

    async fn abort_request(&self, number: u64) {
        let running = locked(&self.running).remove(&number);
        if let Some(running) = running {
            running.abort();
            let how = "was no longer asked".to_owned();
            self.report_failed(number, Fate::Unknown, how.into()).await;
        }
    }

    /// Delivers a notification or a response and waits until the server has accepted it.
    async fn deliver(self: &Arc<Self>, message: &OutgoingMessage) {
        if self.is_lost() && message.kind == MessageKind::Notification {
            return;
        }
        let sent = timeout(ACCEPT_TIMEOUT, self.peer.post(message).send()).await;
        match sent {
            Ok(Ok(response)) if response.status().is_success() => {
                let has_more = !self.peer.is_modern() && !self.peer.has_one_stream();
                if message.method == "notifications/initialized" && has_more {
                    self.spawn(get_stream::run(self.clone()));
                }
            }
            Ok(Ok(response)) => {
                let status = response.status();
                if response::is_session_lost(self, status, "") {
                    return self.mark_lost(&LinkError::session_lost());
                }
                let how = self.peer.answered(status, "").reason;
                tracing::debug!(method = message.method, how, "message not accepted");
            }
            Ok(Err(error)) if error.is_connect() => self.mark_lost(&self.peer.unreachable(&error)),
            Ok(Err(error)) => {
                let how = self.peer.unreachable(&error).reason;
                tracing::debug!(method = message.method, how, "message may be lost");
            }
            Err(_) => tracing::debug!(method = message.method, "message not accepted in time"),
        }
    }

    /// Passes on a message or report; waits while the channel is full.
    pub(super) async fn report(&self, incoming: LinkEvent) {
        let _ = self.incoming.send(incoming).await;
    }

    /// Reports that a message on the server's own stream exceeds the size limit.
    pub(super) async fn report_too_long(&self) {
        let limit = self.max_message;
        let text = format!("message longer than {limit} bytes (`--max-message`)");
        self.report(LinkEvent::TooLong(text)).await;
    }

    /// Reports that the request `number` gets no answer.
    pub(super) async fn report_failed(&self, number: u64, fate: Fate, how: LinkError) {
        *locked(&self.last_error) = Some(how.clone());
        let how = how.reason;
        self.report(LinkEvent::Failed { number, fate, how }).await;
    }

    /// Marks the link as lost.
    pub(super) fn mark_lost(&self, how: &LinkError) {
        *locked(&self.last_error) = Some(how.clone());
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert_with(|| how.clone());
            first
        });
        self.drained.notify_waiters();
    }

    /// Returns the reason why the link was lost, if it was.
    pub(super) fn loss_reason(&self) -> Option<LinkError> {
        self.lost.borrow().clone()
    }

    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}
