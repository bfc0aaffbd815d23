//! The way to a remote server: lines go in, what comes of them is told. Notifications and answers are brought to
//! the server one after the other, requests side by side and past them.

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

use super::peer::{Peer, Said};
use super::{Sender, exchange, standing};
use crate::config::Remote;
use crate::jsonrpc::Kind;
use crate::lock::locked;
use crate::mcp::Entry;

/// So many requests may be open at the same time, each on a connection of its own; others wait.
const CONCURRENT: usize = 100;
/// So many messages wait for whoever takes them before the streams are read no further.
const WAITING: usize = 8;
/// A sender waits while more bytes than this are to be sent.
const HIGH_WATER: usize = 1024 * 1024;
/// A server has this long to take in a notification or an answer.
const TAKE_IN: Duration = Duration::from_secs(10);
/// A legacy server has this long to end a request that was cancelled.
const CANCELLED: Duration = Duration::from_secs(5);
/// It has this long to end the session.
const GOODBYE: Duration = Duration::from_secs(2);

/// What became of a request that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server did not get it, or did not look at it.
    Unsent,
    /// The server does not want it.
    Refused,
    /// It may have been carried out.
    Unknown,
}

/// What comes from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A message, or several in an array, on one line; and the number of the request that it came on.
    Message { line: String, on: Option<u64> },
    /// The request of that number is not answered; a sentence fragment says why.
    Failed {
        number: u64,
        fate: Fate,
        how: String,
    },
    /// The server has ended the stream of the request of that number, and will go on when it is asked again.
    Paused(u64),
    /// Something that is no message.
    Stray(String),
    /// The server's own stream was cut and is there again; what it said meanwhile is lost.
    Resumed,
}

/// The link to a remote server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpLink(Arc<Inner>);

pub(super) struct Inner {
    pub(super) peer: Peer,
    /// The longest message in bytes.
    pub(super) limit: usize,
    /// Unbounded: who sends looks at `backlog` before.
    outgoing: UnboundedSender<String>,
    /// Messages that nobody waits for; unbounded, since they count into `backlog` as well.
    notices: UnboundedSender<(Said, Option<Backlog>)>,
    /// Full, it keeps the streams from being read.
    incoming: mpsc::Sender<Incoming>,
    /// Bytes that wait to be sent.
    backlog: AtomicUsize,
    /// Wakes those who wait until most of them are.
    drained: Notify,
    /// The requests that are open.
    running: Mutex<HashMap<u64, AbortHandle>>,
    pub(super) slots: Semaphore,
    /// How the link was lost.
    lost: watch::Sender<Option<String>>,
    /// What went wrong last.
    trouble: Mutex<Option<String>>,
    /// How many streams of the kind `subscriptions/listen` have failed in a row.
    pub(super) unheard: AtomicUsize,
    /// There has been one.
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

/// So many bytes wait to be sent, until it is dropped.
pub(super) struct Backlog(Arc<Inner>, usize);

impl Drop for Backlog {
    fn drop(&mut self) {
        let Self(inner, bytes) = self;
        let before = inner.backlog.fetch_sub(*bytes, Ordering::Relaxed);
        if before > HIGH_WATER && before - *bytes <= HIGH_WATER {
            inner.drained.notify_waiters();
        }
    }
}

impl HttpLink {
    /// A link to `remote`, and what comes from it; `limit` is the longest message in bytes. Nothing is sent yet.
    pub(crate) fn open(
        remote: &Remote,
        sender: &Sender,
        limit: usize,
    ) -> Result<(Self, Receiver<Incoming>), String> {
        let (outgoing, lines) = mpsc::unbounded_channel();
        let (notices, said) = mpsc::unbounded_channel();
        let (incoming, received) = mpsc::channel(WAITING);
        let inner = Arc::new(Inner {
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

    /// How many bytes wait to be sent.
    pub(crate) fn backlog(&self) -> usize {
        self.0.backlog.load(Ordering::Relaxed)
    }

    /// Waits until most of it is sent, or the link is lost.
    pub(crate) async fn ready(&self) {
        loop {
            let drained = self.0.drained.notified();
            if self.backlog() <= HIGH_WATER || self.0.is_lost() {
                return;
            }
            drained.await;
        }
    }

    /// Whether everything that the server says comes on one stream, so that nothing comes once the link is lost.
    pub(crate) fn has_one_stream(&self) -> bool {
        self.0.peer.has_one_stream()
    }

    /// Whether the configuration says that the server has the transport of 2024-11-05.
    pub(crate) fn is_said_to_be_old(&self) -> bool {
        self.0.peer.is_said_to_be_old()
    }

    /// The server turned out to speak the modern era.
    pub(crate) fn agree_on_modern(&self) {
        self.0.peer.agree_on_modern();
    }

    /// Learns the tools of a server; gives those that no client may offer over HTTP, and why.
    pub(crate) fn learn(&self, tools: &[Entry]) -> Vec<(String, String)> {
        if self.0.peer.is_modern() {
            self.0.peer.learn(tools)
        } else {
            Vec::new()
        }
    }

    /// Waits until the link is lost; gives a sentence fragment that says how.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.0.lost.subscribe();
        let how = lost.wait_for(Option::is_some).await;
        how.ok().and_then(|how| how.clone()).unwrap_or_default()
    }

    /// What went wrong last, if anything did.
    pub(crate) fn trouble(&self) -> Option<String> {
        locked(&self.0.trouble).clone()
    }

    /// Resolves when the link has been stopped.
    pub(crate) async fn stopped(&self) {
        self.0.stopped.cancelled().await;
    }

    /// Drops whatever is under way; nothing is told any more.
    pub(crate) fn cut(&self) {
        self.0.stopped.cancel();
    }

    /// Drops whatever is under way and ends the session.
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

impl Inner {
    /// Runs `task` until it is done or the link is stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stopped = self.stopped.clone();
        let task = async move {
            let _ = stopped.run_until_cancelled(task).await;
        };
        self.tasks.spawn(task).abort_handle()
    }

    async fn send_all(self: Arc<Self>, mut lines: UnboundedReceiver<String>) {
        while let Some(line) = lines.recv().await {
            let waits = Backlog(self.clone(), line.len());
            let Some(said) = Said::read(line) else {
                continue;
            };
            match (said.kind, said.number) {
                (Kind::Request, Some(number)) => self.begin(number, said, waits),
                (Kind::Notification, _) if said.method == "notifications/cancelled" => {
                    drop(waits);
                    self.cancel(said).await;
                }
                // No request may reach the server before it.
                (Kind::Notification, _) if said.method == "notifications/initialized" => {
                    drop(waits);
                    self.bring(&said).await;
                }
                _ => drop(self.notices.send((said, Some(waits)))),
            }
        }
    }

    /// Brings notifications and answers to the server one after the other, while requests go past them: a server
    /// that is slow to take one in must not hold up the calls behind it.
    async fn send_notices(
        self: Arc<Self>,
        mut notices: UnboundedReceiver<(Said, Option<Backlog>)>,
    ) {
        while let Some((said, waits)) = notices.recv().await {
            drop(waits);
            self.bring(&said).await;
        }
    }

    fn begin(self: &Arc<Self>, number: u64, said: Said, waits: Backlog) {
        // Taken before it is there, it cannot be done before it is known.
        let mut running = locked(&self.running);
        let inner = self.clone();
        let task = self.spawn(async move {
            exchange::run(&inner, number, &said, waits).await;
            locked(&inner.running).remove(&number);
        });
        running.insert(number, task);
    }

    /// The client no longer wants an answer. Of a modern server the stream is closed, a legacy one is told.
    async fn cancel(self: &Arc<Self>, said: Said) {
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

    /// Brings a notification or an answer to the server and waits until it is taken in.
    async fn bring(self: &Arc<Self>, said: &Said) {
        if self.is_lost() && said.kind == Kind::Notification {
            return;
        }
        let sent = timeout(TAKE_IN, self.peer.post(said).send()).await;
        match sent {
            Ok(Ok(response)) if response.status().is_success() => {
                let has_more = !self.peer.is_modern() && !self.peer.has_one_stream();
                if said.method == "notifications/initialized" && has_more {
                    self.spawn(standing::run(self.clone()));
                }
            }
            Ok(Ok(response)) => {
                let status = response.status();
                if exchange::forgets(self, status, "") {
                    return self.lose(exchange::FORGOTTEN);
                }
                let how = self.peer.answered(status, "");
                tracing::debug!(method = said.method, how, "a message was not taken in");
            }
            Ok(Err(error)) if error.is_connect() => self.lose(&self.peer.unreachable(&error)),
            Ok(Err(error)) => {
                let how = self.peer.unreachable(&error);
                tracing::debug!(method = said.method, how, "a message may not have arrived");
            }
            Err(_) => tracing::debug!(method = said.method, "a message was not taken in in time"),
        }
    }

    /// Tells what came from the server; waits while nobody takes it.
    pub(super) async fn tell(&self, incoming: Incoming) {
        let _ = self.incoming.send(incoming).await;
    }

    /// Tells that the request `number` is not answered.
    pub(super) async fn fail(&self, number: u64, fate: Fate, how: String) {
        *locked(&self.trouble) = Some(how.clone());
        self.tell(Incoming::Failed { number, fate, how }).await;
    }

    /// The link is of no use any more; `how` is a sentence fragment.
    pub(super) fn lose(&self, how: &str) {
        *locked(&self.trouble) = Some(how.to_owned());
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            lost.get_or_insert_with(|| how.to_owned());
            first
        });
        self.drained.notify_waiters();
    }

    /// How the link was lost, if it was.
    pub(super) fn loss(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }
}
