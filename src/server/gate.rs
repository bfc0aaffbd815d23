//! Queue for requests while no generation can answer them.

mod cancelled;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::call::{Call, ResponseSink};
use super::connection::Connection;
use super::error_replies;
use super::former_tasks::FormerTasks;
use crate::event::Failure;
use crate::jsonrpc::{Envelope, RawId};
use crate::lock::locked;
use crate::transport::stream::Cork;
use cancelled::CancelledRequests;

/// Size in bytes of the queued lines above which further lines are rejected.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

/// Reason for holding requests while the supervisor has not processed a touched file.
const SAVE_PENDING: &str = "a changed file to settle";

/// State of a gate, for tasks that wait for it to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateStatus {
    /// Requests go to the active generation.
    Open,
    /// Requests are held.
    Held,
    /// Requests are answered with the reason why the saved code does not run, or the server is not run any more.
    Refusing,
}

/// Source of saves that the server has not been notified of.
pub(crate) trait SaveProbe: std::fmt::Debug + Send + Sync {
    /// Notifies the affected servers of each such save, on this thread. Never blocks.
    fn report_saves(&self);
}

/// Entrance to the active generation: requests pass, are held, or are refused.
#[derive(Debug)]
pub(crate) struct Gate {
    server: String,
    /// Asked before a request passes; empty where no files are watched.
    save_probe: OnceLock<Arc<dyn SaveProbe>>,
    inner: Mutex<GateInner>,
    status: watch::Sender<GateStatus>,
    /// Signalled when a line is queued; awaited only while the queue is empty.
    queued: Notify,
}

#[derive(Debug)]
struct GateInner {
    mode: GateMode,
    /// Number of touched-file reports that the supervisor has not processed.
    pending_suspects: usize,
    /// Beginning of the current hold.
    held_since: Option<Instant>,
    /// Maximum wait of a request.
    max_wait: Duration,
    queue: HeldQueue,
    cancelled: CancelledRequests,
    former_tasks: FormerTasks,
}

#[derive(Debug)]
enum GateMode {
    Open(Arc<Connection>),
    /// Requests are held; the text completes "the call waited for …".
    Held(Cow<'static, str>),
    Refusing(Arc<Failure>),
    /// The server is not run any more.
    Closed,
}

#[derive(Debug)]
struct HeldLine {
    line: Box<str>,
    /// The call of a request; `None` for a client's notification.
    call: Option<Call>,
    since: Instant,
}

impl HeldLine {
    fn size(&self) -> usize {
        size_of::<Self>() + self.line.len()
    }
}

/// Held lines in order of arrival, in which they are due: the maximum wait is the same for all.
#[derive(Debug, Default)]
struct HeldQueue {
    lines: VecDeque<HeldLine>,
    /// Size of the lines in bytes.
    size: usize,
}

impl HeldQueue {
    fn push(&mut self, held: HeldLine) {
        self.size += held.size();
        self.lines.push_back(held);
    }

    /// Removes the first line if it has waited for `max_wait`.
    fn pop_due(&mut self, now: Instant, max_wait: Duration) -> Option<HeldLine> {
        if self.lines.front()?.since + max_wait > now {
            return None;
        }
        let held = self.lines.pop_front()?;
        self.size -= held.size();
        Some(held)
    }

    /// Removes the requests that `is_selected` selects; returns their number.
    fn forget(&mut self, is_selected: impl Fn(&Call) -> bool) -> usize {
        let before = self.lines.len();
        self.lines
            .retain(|held| !held.call.as_ref().is_some_and(&is_selected));
        self.size = self.lines.iter().map(HeldLine::size).sum();
        before - self.lines.len()
    }
}

impl GateInner {
    fn hold_reason(&self) -> Cow<'static, str> {
        match &self.mode {
            GateMode::Held(reason) => reason.clone(),
            _ => "its next start".into(),
        }
    }
}

impl Gate {
    /// Creates a gate that holds requests, each at most for `max_wait`.
    pub(crate) fn new(server: String, max_wait: Duration) -> Self {
        Self {
            server,
            save_probe: OnceLock::new(),
            inner: Mutex::new(GateInner {
                mode: GateMode::Held("its start".into()),
                pending_suspects: 0,
                held_since: None,
                max_wait,
                queue: HeldQueue::default(),
                cancelled: CancelledRequests::default(),
                former_tasks: FormerTasks::default(),
            }),
            status: watch::Sender::new(GateStatus::Held),
            queued: Notify::new(),
        }
    }

    /// Makes the gate ask `save_probe` for unreported saves before a request passes.
    pub(crate) fn set_save_probe(&self, save_probe: Arc<dyn SaveProbe>) {
        // One watcher knows all files, so the first one is enough.
        let _ = self.save_probe.set(save_probe);
    }

    /// Collects the reports of all saves so far. Must not be called with the lock held.
    fn collect_saves(&self) {
        if let Some(save_probe) = self.save_probe.get() {
            save_probe.report_saves();
        }
    }

    /// Returns the status, in which all saves so far are considered, as a channel of its changes.
    pub(crate) fn status(&self) -> watch::Receiver<GateStatus> {
        self.collect_saves();
        self.status.subscribe()
    }

    /// Returns the active generation if requests pass.
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        match &self.lock().mode {
            GateMode::Open(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Returns the reason if requests are refused.
    pub(crate) fn refusal(&self) -> Option<Arc<Failure>> {
        match &self.lock().mode {
            GateMode::Refusing(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// Returns the reason for holding requests, which completes "the call waited for …".
    pub(crate) fn hold_reason(&self) -> Cow<'static, str> {
        self.lock().hold_reason()
    }

    /// Returns the beginning of the current hold, or now.
    pub(crate) fn held_since(&self) -> Instant {
        self.lock().held_since.unwrap_or_else(Instant::now)
    }

    /// Returns true if a request or notification is held.
    pub(crate) fn holds_any(&self) -> bool {
        !self.lock().queue.lines.is_empty()
    }

    /// Combines writes to the active generation until the cork is dropped.
    pub(crate) fn cork(&self) -> Option<Cork> {
        match &self.lock().mode {
            GateMode::Open(connection) => connection.link().cork(),
            _ => None,
        }
    }

    /// Sends a request on, holds it, or answers it with the reason why not. Returns true if it is held until the
    /// supervisor has decided whether to retry the unreachable server for it; the caller must ask for that.
    #[must_use = "the supervisor must be asked"]
    pub(crate) fn submit(&self, call: Call, line: &str, envelope: &Envelope<'_>) -> bool {
        self.collect_saves();
        let mut inner = self.lock();
        // A client may use the id again.
        inner.cancelled.take(&call);
        let active = match &inner.mode {
            GateMode::Open(connection) => Some(&**connection),
            _ => None,
        };
        let Err(call) = inner.former_tasks.submit(call, active, line, envelope) else {
            return false;
        };
        let mut calls_for_retry = false;
        let call = match &inner.mode {
            GateMode::Closed => {
                drop(inner);
                error_replies::unloaded(&call, &self.server);
                return false;
            }
            _ if inner.pending_suspects > 0 => call,
            GateMode::Open(connection) => match connection.call(call, line, envelope) {
                Ok(()) => return false,
                // The generation has just ended, and its supervisor is about to process the report.
                Err(call) => call,
            },
            GateMode::Held(_) => call,
            GateMode::Refusing(failure) if failure.remote => {
                calls_for_retry = true;
                call
            }
            GateMode::Refusing(failure) => {
                let failure = failure.clone();
                drop(inner);
                error_replies::refuse(&call, &self.server, &failure);
                return false;
            }
        };
        if let Some(call) = self.enqueue(inner, line, Some(call)) {
            error_replies::backlog_full(&call, &self.server, MAX_HELD_BYTES);
        }
        calls_for_retry
    }

    /// Sends a client's notification on, or holds it until a generation can take it.
    pub(crate) fn forward_notification(&self, line: &str) {
        let inner = self.lock();
        match &inner.mode {
            GateMode::Open(connection) => connection.forward(line),
            GateMode::Held(_) => drop(self.enqueue(inner, line, None)),
            GateMode::Refusing(_) | GateMode::Closed => {}
        }
    }

    /// Holds a line. If the queue is full, returns the call, and drops a notification.
    fn enqueue(
        &self,
        mut inner: MutexGuard<'_, GateInner>,
        line: &str,
        call: Option<Call>,
    ) -> Option<Call> {
        if inner.queue.size > MAX_HELD_BYTES {
            tracing::debug!("backlog is full");
            return call;
        }
        inner.queue.push(HeldLine {
            line: line.into(),
            call,
            since: Instant::now(),
        });
        drop(inner);
        self.queued.notify_one();
        None
    }

    /// Removes a held request that the client has cancelled. Returns false if it is not held here.
    pub(crate) fn cancel(&self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>) -> bool {
        let is_selected = |call: &Call| call.id == id && Arc::ptr_eq(&call.sink, sink);
        self.lock().queue.forget(is_selected) > 0
    }

    /// Holds requests for a reason that completes "the call waited for …".
    pub(crate) fn hold(&self, reason: impl Into<Cow<'static, str>>) {
        let mut inner = self.lock();
        inner.mode = GateMode::Held(reason.into());
        inner.held_since.get_or_insert_with(Instant::now);
        self.status.send_replace(GateStatus::Held);
    }

    /// Holds requests after a file was touched, until the supervisor has processed the report
    /// ([`Self::suspect_processed`]) and set the gate. A request must not overtake the report.
    pub(crate) fn suspect(&self) {
        let mut inner = self.lock();
        inner.pending_suspects += 1;
        if !matches!(inner.mode, GateMode::Closed) {
            self.status.send_replace(GateStatus::Held);
        }
    }

    /// Records that the supervisor has processed a touched-file report.
    pub(crate) fn suspect_processed(&self) {
        self.lock().pending_suspects -= 1;
    }

    /// Lets requests pass to `connection`, the held ones first.
    pub(crate) fn open(&self, connection: Arc<Connection>) {
        self.collect_saves();
        // Combines the held lines into as few writes as possible.
        let _cork = connection.link().cork();
        let mut inner = self.lock();
        if inner.pending_suspects > 0 {
            // The supervisor decides whether this generation runs the saved code when it processes the report.
            drop(inner);
            return self.hold(SAVE_PENDING);
        }
        for held in std::mem::take(&mut inner.queue).lines {
            let Some(call) = held.call else {
                connection.forward(&held.line);
                continue;
            };
            let Ok(envelope) = Envelope::parse(&held.line) else {
                continue;
            };
            let sent = inner
                .former_tasks
                .submit(call, Some(&connection), &held.line, &envelope);
            let sent = sent.or_else(|call| connection.call(call, &held.line, &envelope));
            if let Err(call) = sent {
                let call = Some(call);
                inner.queue.push(HeldLine { call, ..held });
            }
        }
        inner.mode = GateMode::Open(connection);
        inner.held_since = None;
        // With the lock held, so that a concurrent [`Self::suspect`] is not overwritten.
        self.status.send_replace(GateStatus::Open);
    }

    /// Answers requests with `failure`, the held ones first.
    pub(crate) fn refuse(&self, failure: &Arc<Failure>) {
        self.collect_saves();
        let queue = {
            let mut inner = self.lock();
            if inner.pending_suspects > 0 {
                // The pending save may repair the failure.
                drop(inner);
                return self.hold(SAVE_PENDING);
            }
            inner.mode = GateMode::Refusing(failure.clone());
            inner.held_since = None;
            self.status.send_replace(GateStatus::Refusing);
            std::mem::take(&mut inner.queue)
        };
        for call in queue.lines.into_iter().filter_map(|held| held.call) {
            error_replies::refuse(&call, &self.server, failure);
        }
    }

    /// Adds a draining generation, which still gets requests about its tasks.
    pub(crate) fn add_draining(&self, connection: Arc<Connection>) {
        self.lock().former_tasks.add_draining(connection);
    }

    /// Removes a generation that has ended; `how` is a sentence fragment. Notifies its client of the lost tasks.
    pub(crate) fn generation_ended(&self, connection: &Arc<Connection>, how: &str) {
        let lost = self.lock().former_tasks.remove_ended(connection, how);
        for task in &lost {
            connection.notify_client("notifications/tasks/status", task);
        }
    }

    /// Answers the requests that have waited too long. Resolves when the first line may have been queued or may be due;
    /// to be awaited in a loop.
    pub(crate) async fn expire(&self) {
        let first_due = {
            let inner = self.lock();
            let first = inner.queue.lines.front();
            first.map(|held| held.since + inner.max_wait)
        };
        match first_due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => self.queued.notified().await,
        }
        let now = Instant::now();
        let (expired, reason, max_wait) = {
            let mut inner = self.lock();
            let reason = inner.hold_reason();
            let max_wait = inner.max_wait;
            let expired: Vec<_> =
                std::iter::from_fn(|| inner.queue.pop_due(now, max_wait)).collect();
            (expired, reason, max_wait)
        };
        for call in expired.into_iter().filter_map(|held| held.call) {
            error_replies::hold_timed_out(&call, &self.server, &reason, max_wait);
        }
    }

    /// Refuses everything from now on. Returns the held requests, which must not be sent.
    pub(crate) fn close(&self) -> Vec<Call> {
        let queue = {
            let mut inner = self.lock();
            inner.mode = GateMode::Closed;
            self.status.send_replace(GateStatus::Refusing);
            std::mem::take(&mut inner.queue)
        };
        queue
            .lines
            .into_iter()
            .filter_map(|held| held.call)
            .collect()
    }

    /// Changes the maximum wait, also of the lines that are held. The supervisor must then await [`Self::expire`] anew.
    pub(crate) fn set_max_wait(&self, max_wait: Duration) {
        self.lock().max_wait = max_wait;
    }

    fn lock(&self) -> MutexGuard<'_, GateInner> {
        locked(&self.inner)
    }
}

#[cfg(test)]
mod tests;
