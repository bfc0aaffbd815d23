//! Where requests wait while there is no generation to answer them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::call::{Asker, Call};
use super::connection::Connection;
use super::tasks::Former;
use super::trouble;
use crate::event::Failure;
use crate::jsonrpc::Envelope;
use crate::lock::locked;
use crate::transport::stream::Cork;

/// While more bytes than this wait, nothing else may begin to.
const CROWD: usize = 64 * 1024 * 1024;

/// What requests wait for while a save is not heard of.
const UNHEARD: &str = "a changed file to be written";

/// How a gate stands, for those who wait for it to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Requests go to the active generation.
    Open,
    /// Requests wait.
    Held,
    /// Requests are answered with the reason why the saved code does not run.
    Refusing,
}

/// Knows of saves before the server is told of them.
pub(crate) trait Foresight: std::fmt::Debug + Send + Sync {
    /// Tells the servers concerned of each such save, on this thread. Never blocks.
    fn look(&self);
}

/// The way to the active generation. Requests go through, wait, or are refused.
#[derive(Debug)]
pub(crate) struct Gate {
    server: String,
    /// Asked before anything goes through; nothing where no files are watched.
    foresight: OnceLock<Arc<dyn Foresight>>,
    inner: Mutex<Inner>,
    standing: watch::Sender<Standing>,
    /// Signalled when something begins to wait and nothing did.
    waiting: Notify,
}

#[derive(Debug)]
struct Inner {
    way: Way,
    /// Suspicions that the server's task has not heard of yet.
    unheard: usize,
    /// Since when requests have waited, once there was something to wait for.
    since: Option<Instant>,
    /// The longest wait.
    patience: Duration,
    held: Queue,
    former: Former,
}

#[derive(Debug)]
enum Way {
    Open(Arc<Connection>),
    /// What is being waited for.
    Held(Cow<'static, str>),
    Refusing(Arc<Failure>),
    /// The server is no longer run.
    Closed,
}

#[derive(Debug)]
struct Held {
    line: Box<str>,
    /// A client's notification has none.
    call: Option<Call>,
    until: Instant,
}

impl Held {
    fn size(&self) -> usize {
        size_of::<Self>() + self.line.len()
    }
}

/// What waits, in the order in which it came. All wait equally long, so the first is due first.
#[derive(Debug, Default)]
struct Queue {
    all: VecDeque<Held>,
    /// Its size in bytes.
    size: usize,
}

impl Queue {
    fn push(&mut self, held: Held) {
        self.size += held.size();
        self.all.push_back(held);
    }

    fn pop_due(&mut self, now: Instant) -> Option<Held> {
        if self.all.front()?.until > now {
            return None;
        }
        let held = self.all.pop_front()?;
        self.size -= held.size();
        Some(held)
    }

    /// Forgets the requests that `unwanted` picks; gives their number.
    fn forget(&mut self, unwanted: impl Fn(&Call) -> bool) -> usize {
        let before = self.all.len();
        self.all
            .retain(|held| !held.call.as_ref().is_some_and(&unwanted));
        self.size = self.all.iter().map(Held::size).sum();
        before - self.all.len()
    }
}

impl Gate {
    /// A closed gate; requests wait at most `patience`.
    pub(crate) fn new(server: String, patience: Duration) -> Self {
        Self {
            server,
            foresight: OnceLock::new(),
            inner: Mutex::new(Inner {
                way: Way::Held("its start".into()),
                unheard: 0,
                since: None,
                patience,
                held: Queue::default(),
                former: Former::default(),
            }),
            standing: watch::Sender::new(Standing::Held),
            waiting: Notify::new(),
        }
    }

    /// Lets nothing through from now on for which `foresight` knows of a save.
    pub(crate) fn ask(&self, foresight: Arc<dyn Foresight>) {
        // One watcher knows all files; nothing is gained by asking it twice.
        let _ = self.foresight.set(foresight);
    }

    /// Comes to know of every save up to now. Not to be called with the lock held.
    fn look(&self) {
        if let Some(foresight) = self.foresight.get() {
            foresight.look();
        }
    }

    /// How it stands, all saves up to now considered, and how it will.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.look();
        self.standing.subscribe()
    }

    /// The active generation, if requests go through.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        match &self.lock().way {
            Way::Open(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Why requests are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<Arc<Failure>> {
        match &self.lock().way {
            Way::Refusing(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// Since when requests wait, or now.
    pub(crate) fn held_since(&self) -> Instant {
        self.lock().since.unwrap_or_else(Instant::now)
    }

    /// Whether a request waits.
    pub(crate) fn keeps_waiting(&self) -> bool {
        !self.lock().held.all.is_empty()
    }

    /// Gathers writes to the active generation until the cork is dropped.
    pub(crate) fn cork(&self) -> Option<Cork> {
        match &self.lock().way {
            Way::Open(connection) => connection.link().cork(),
            _ => None,
        }
    }

    /// Sends a request on, lets it wait, or answers it with the reason why not.
    pub(crate) fn submit(&self, call: Call, line: &str, envelope: &Envelope<'_>) {
        self.look();
        let inner = self.lock();
        let active = match &inner.way {
            Way::Open(connection) => Some(&**connection),
            _ => None,
        };
        let Err(call) = inner.former.submit(call, active, line, envelope) else {
            return;
        };
        let call = match &inner.way {
            Way::Closed => return trouble::unloaded(&call, &self.server),
            _ if inner.unheard > 0 => call,
            Way::Open(connection) => match connection.call(call, line, envelope) {
                Ok(()) => return,
                // It ended this moment; its supervisor is about to hear of it.
                Err(call) => call,
            },
            Way::Held(_) => call,
            Way::Refusing(failure) => {
                let failure = failure.clone();
                drop(inner);
                return trouble::refuse(&call, &self.server, &failure);
            }
        };
        if let Some(call) = self.keep(inner, line, Some(call)) {
            trouble::turned_away(&call, &self.server, CROWD);
        }
    }

    /// Sends a client's notification on, or keeps it until there is a generation to take it.
    pub(crate) fn tell(&self, line: &str) {
        let inner = self.lock();
        match &inner.way {
            Way::Open(connection) => connection.forward(line),
            Way::Held(_) => drop(self.keep(inner, line, None)),
            Way::Refusing(_) | Way::Closed => {}
        }
    }

    /// Lets a line wait. If too much waits already, its call comes back and a notification is lost.
    fn keep(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        line: &str,
        call: Option<Call>,
    ) -> Option<Call> {
        if inner.held.size > CROWD {
            tracing::debug!("too much waits already");
            return call;
        }
        let until = Instant::now() + inner.patience;
        inner.held.push(Held {
            line: line.into(),
            call,
            until,
        });
        drop(inner);
        self.waiting.notify_one();
        None
    }

    /// Forgets a waiting request that the client has cancelled. False if it does not wait here.
    pub(crate) fn cancel(&self, asker: &Arc<dyn Asker>, id: &str) -> bool {
        let meant = |call: &Call| *call.id == *id && Arc::ptr_eq(&call.asker, asker);
        self.lock().held.forget(meant) > 0
    }

    /// Lets requests wait for `what`.
    pub(crate) fn hold(&self, what: impl Into<Cow<'static, str>>) {
        let mut inner = self.lock();
        inner.way = Way::Held(what.into());
        inner.since.get_or_insert_with(Instant::now);
        self.standing.send_replace(Standing::Held);
    }

    /// A file was touched: requests wait until the server's task has [`heard`](Self::heard) of it and says
    /// what they wait for. That task may be late, and must not be overtaken by a request.
    pub(crate) fn suspect(&self) {
        let mut inner = self.lock();
        inner.unheard += 1;
        if !matches!(inner.way, Way::Closed) {
            self.standing.send_replace(Standing::Held);
        }
    }

    /// The server's task has acted on a suspicion.
    pub(crate) fn heard(&self) {
        self.lock().unheard -= 1;
    }

    /// Lets requests through to `connection`, those that wait first.
    pub(crate) fn open(&self, connection: Arc<Connection>) {
        self.look();
        // All that waited goes out in as few writes as possible.
        let _cork = connection.link().cork();
        let mut inner = self.lock();
        if inner.unheard > 0 {
            // Whether this is the saved code is decided anew when the suspicion is heard of.
            drop(inner);
            return self.hold(UNHEARD);
        }
        for held in std::mem::take(&mut inner.held).all {
            let Some(call) = held.call else {
                connection.forward(&held.line);
                continue;
            };
            let Ok(envelope) = Envelope::parse(&held.line) else {
                continue;
            };
            let sent = inner
                .former
                .submit(call, Some(&connection), &held.line, &envelope);
            let sent = sent.or_else(|call| connection.call(call, &held.line, &envelope));
            if let Err(call) = sent {
                let call = Some(call);
                inner.held.push(Held { call, ..held });
            }
        }
        inner.way = Way::Open(connection);
        inner.since = None;
        // With the lock held, so that no suspicion is overwritten.
        self.standing.send_replace(Standing::Open);
    }

    /// Answers requests with `failure`, those that wait first.
    pub(crate) fn refuse(&self, failure: &Arc<Failure>) {
        self.look();
        let held = {
            let mut inner = self.lock();
            if inner.unheard > 0 {
                // A save that may be the cure.
                drop(inner);
                return self.hold(UNHEARD);
            }
            inner.way = Way::Refusing(failure.clone());
            inner.since = None;
            self.standing.send_replace(Standing::Refusing);
            std::mem::take(&mut inner.held)
        };
        for call in held.all.into_iter().filter_map(|held| held.call) {
            trouble::refuse(&call, &self.server, failure);
        }
    }

    /// Adds a generation that drains: it still gets requests about its tasks.
    pub(crate) fn drains(&self, connection: Arc<Connection>) {
        self.lock().former.drains(connection);
    }

    /// Removes a generation that has ended; `how` says how. Tells its client of the tasks that it has lost.
    pub(crate) fn gone(&self, connection: &Arc<Connection>, how: &str) {
        let lost = self.lock().former.gone(connection, how);
        for task in &lost {
            connection.tell_client("notifications/tasks/status", task);
        }
    }

    /// Answers the requests that have waited too long. Resolves each time the first may have begun
    /// to wait or to be late; meant to be awaited in a loop.
    pub(crate) async fn expire(&self) {
        let first = self.lock().held.all.front().map(|held| held.until);
        // Whatever comes while another waits is due after it.
        match first {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => self.waiting.notified().await,
        }
        let now = Instant::now();
        let (late, what, patience) = {
            let mut inner = self.lock();
            let what = match &inner.way {
                Way::Held(what) => what.clone(),
                _ => "its next start".into(),
            };
            let late: Vec<_> = std::iter::from_fn(|| inner.held.pop_due(now)).collect();
            (late, what, inner.patience)
        };
        for call in late.into_iter().filter_map(|held| held.call) {
            trouble::too_late(&call, &self.server, &what, patience);
        }
    }

    /// Refuses everything from now on. Gives the requests that wait, which are never to be sent.
    pub(crate) fn close(&self) -> Vec<Call> {
        let held = {
            let mut inner = self.lock();
            inner.way = Way::Closed;
            self.standing.send_replace(Standing::Refusing);
            std::mem::take(&mut inner.held)
        };
        held.all.into_iter().filter_map(|held| held.call).collect()
    }

    /// Changes the longest wait, for what comes from now on.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.lock().patience = patience;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        locked(&self.inner)
    }
}

#[cfg(test)]
mod tests;
