//! Connects to a remote server: accepts lines to send, reports messages and failures. Notifications and responses are
//! delivered in order, one at a time; requests run concurrently and may overtake them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::{OutgoingMessage, Peer};
use super::{HttpClients, exchange, get_stream};
use crate::config::Remote;
use crate::jsonrpc::MessageKind;
use crate::lock::locked;
use crate::mcp::Entry;

/// Maximum number of concurrent requests, each on its own connection; further requests wait.
const CONCURRENT: usize = 100;
/// Capacity of the channel of incoming messages; while it is full, the streams are not read.
const WAITING: usize = 8;
/// Number of unsent bytes above which a sender waits.
const HIGH_WATER: usize = 1024 * 1024;
/// Time limit for a server to accept a notification or a response.
const TAKE_IN: Duration = Duration::from_secs(10);
/// Time limit for a legacy server to end a cancelled request.
const CANCELLED: Duration = Duration::from_secs(5);
/// Time limit for a legacy server to end the session.
const GOODBYE: Duration = Duration::from_secs(2);

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

/// Message or report from a remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// A message, or an array of messages, on one line; `on` is the number of the request whose response carried it.
    Message { line: String, on: Option<u64> },
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
    pub(super) limit: usize,
    /// Unbounded: senders check `backlog` first.
    outgoing: UnboundedSender<String>,
    /// Notifications and responses to send; unbounded, since they also count towards `backlog`.
    notices: UnboundedSender<(OutgoingMessage, Option<BacklogGuard>)>,
    /// While this channel is full, the streams are not read.
    incoming: mpsc::Sender<LinkEvent>,
    /// Number of bytes waiting to be sent.
    backlog: AtomicUsize,
    /// Wakes tasks that wait until most bytes are sent.
    drained: Notify,
    /// Running requests by number.
    running: Mutex<HashMap<u64, AbortHandle>>,
    pub(super) slots: Semaphore,
    /// Reason why the link was lost; `None` while it works.
    lost: watch::Sender<Option<String>>,
    /// Most recent error.
    trouble: Mutex<Option<String>>,
    /// Number of consecutive failed `subscriptions/listen` streams.
    pub(super) unheard: AtomicUsize,
    /// True once a `subscriptions/listen` stream has been opened.
    pub(super) heard: AtomicBool,
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
    /// Returns a link to `remote` and its receiver; sends nothing yet. `limit` is the maximum message length in bytes.
    pub(crate) fn open(
        remote: &Remote,
        sender: &HttpClients,
        limit: usize,
    ) -> Result<(Self, Receiver<LinkEvent>), String> {
        let (outgoing, lines) = mpsc::unbounded_channel();
        let (notices, said) = mpsc::unbounded_channel();
        let (incoming, received) = mpsc::channel(WAITING);
        let inner = Arc::new(LinkInner {
            peer: Peer::new(remote.clone(), sender.client(&remote.url)?),
            limit,
            outgoing,
            notices,
            incoming,
            backlog: AtomicUsize::new(0),
            drained: Notify::new(),
            running: Mutex::default(),
            slots: Semaphore::new(CONCURRENT),
            lost: watch::Sender::new(None),
            trouble: Mutex::default(),
            unheard: AtomicUsize::new(0),
            heard: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        inner.spawn(inner.clone().send_all(lines));
        inner.spawn(inner.clone().send_notices(said));
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
    pub(crate) fn is_said_to_be_old(&self) -> bool {
        self.0.peer.is_said_to_be_old()
    }

    /// Records that the server speaks the modern era.
    pub(crate) fn agree_on_modern(&self) {
        self.0.peer.agree_on_modern();
    }

    /// Records the tools of a server; returns the tools that no client may offer over HTTP, with the reason.
    pub(crate) fn learn(&self, tools: &[Entry]) -> Vec<(String, String)> {
        if self.0.peer.is_modern() {
            self.0.peer.learn(tools)
        } else {
            Vec::new()
        }
    }

    /// Waits until the link is lost; returns the reason as a sentence fragment.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.0.lost.subscribe();
        let how = lost.wait_for(Option::is_some).await;
        how.ok().and_then(|how| how.clone()).unwrap_or_default()
    }

    /// Returns the most recent error, if any.
    pub(crate) fn trouble(&self) -> Option<String> {
        locked(&self.0.trouble).clone()
    }

    /// Resolves when the link has been stopped.
    pub(crate) async fn stopped(&self) {
        self.0.stopped.cancelled().await;
    }

    /// Aborts all running tasks; reports nothing afterwards.
    pub(crate) fn cut(&self) {
        self.0.stopped.cancel();
    }

    /// Aborts all running tasks and ends the session.
    pub(crate) async fn stop(&self) {
        self.cut();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        let end = self.0.peer.delete().filter(|_| !self.0.is_lost());
        if let Some(end) = end {
            let _ = timeout(GOODBYE, end.send()).await;
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
            let waits = BacklogGuard(self.clone(), line.len());
            let Some(said) = OutgoingMessage::read(line) else {
                continue;
            };
            match (said.kind, said.number) {
                (MessageKind::Request, Some(number)) => self.begin(number, said, waits),
                (MessageKind::Notification, _) if said.method == "notifications/cancelled" => {
                    drop(waits);
                    self.cancel(said).await;
                }
                // No request may reach the server before this notification.
                (MessageKind::Notification, _) if said.method == "notifications/initialized" => {
                    drop(waits);
                    self.bring(&said).await;
                }
                _ => drop(self.notices.send((said, Some(waits)))),
            }
        }
    }

    /// Delivers notifications and responses to the server in order, while requests overtake them: a server that is slow
    /// to accept one must not delay the calls behind it.
    async fn send_notices(
        self: Arc<Self>,
        mut notices: UnboundedReceiver<(OutgoingMessage, Option<BacklogGuard>)>,
    ) {
        while let Some((said, waits)) = notices.recv().await {
            drop(waits);
            self.bring(&said).await;
        }
    }

    fn begin(self: &Arc<Self>, number: u64, said: OutgoingMessage, waits: BacklogGuard) {
        // Locked before the task is spawned, so that the task cannot remove its entry before it is inserted.
        let mut running = locked(&self.running);
        let inner = self.clone();
        let task = self.spawn(async move {
            exchange::run(&inner, number, &said, waits).await;
            locked(&inner.running).remove(&number);
        });
        running.insert(number, task);
    }

    /// Cancels a request for the client: closes the stream of a modern server, notifies a legacy server.
    async fn cancel(self: &Arc<Self>, said: OutgoingMessage) {
        let Some(number) = said.about else { return };
        if self.peer.is_modern() {
            return self.give_up(number).await;
        }
        let _ = self.notices.send((said, None));
        let inner = self.clone();
        self.spawn(async move {
            tokio::time::sleep(CANCELLED).await;
            inner.give_up(number).await;
        });
    }

    async fn give_up(&self, number: u64) {
        let running = locked(&self.running).remove(&number);
        if let Some(running) = running {
            running.abort();
            let how = "was no longer asked".to_owned();
            self.fail(number, Fate::Unknown, how).await;
        }
    }

    /// Delivers a notification or a response and waits until the server has accepted it.
    async fn bring(self: &Arc<Self>, said: &OutgoingMessage) {
        if self.is_lost() && said.kind == MessageKind::Notification {
            return;
        }
        let sent = timeout(TAKE_IN, self.peer.post(said).send()).await;
        match sent {
            Ok(Ok(response)) if response.status().is_success() => {
                let has_more = !self.peer.is_modern() && !self.peer.has_one_stream();
                if said.method == "notifications/initialized" && has_more {
                    self.spawn(get_stream::run(self.clone()));
                }
            }
            Ok(Ok(response)) => {
                let status = response.status();
                if exchange::forgets(self, status, "") {
                    return self.lose(exchange::FORGOTTEN);
                }
                let how = self.peer.answered(status, "");
                tracing::debug!(method = said.method, how, "message not accepted");
            }
            Ok(Err(error)) if error.is_connect() => self.lose(&self.peer.unreachable(&error)),
            Ok(Err(error)) => {
                let how = self.peer.unreachable(&error);
                tracing::debug!(method = said.method, how, "message may be lost");
            }
            Err(_) => tracing::debug!(method = said.method, "message not accepted in time"),
        }
    }

    /// Passes on a message or report; waits while the channel is full.
    pub(super) async fn tell(&self, incoming: LinkEvent) {
        let _ = self.incoming.send(incoming).await;
    }

    /// Reports that the request `number` gets no answer.
    pub(super) async fn fail(&self, number: u64, fate: Fate, how: String) {
        *locked(&self.trouble) = Some(how.clone());
        self.tell(LinkEvent::Failed { number, fate, how }).await;
    }

    /// Marks the link as lost; `how` is a sentence fragment.
    pub(super) fn lose(&self, how: &str) {
        *locked(&self.trouble) = Some(how.to_owned());
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert_with(|| how.to_owned());
            first
        });
        self.drained.notify_waiters();
    }

    /// Returns the reason why the link was lost, if it was.
    pub(super) fn loss(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}
