//! State of a link: its peer, its backlog, its tasks, and the channel of incoming messages.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link_event::{Fate, LinkError, LinkEvent};
use super::peer::{OutgoingMessage, Peer};
use crate::config::Remote;
use crate::lock::locked;

/// Maximum number of concurrent requests, each on its own connection; further requests wait.
const MAX_CONCURRENT: usize = 100;
/// Number of unsent bytes above which a sender waits.
const HIGH_WATER: usize = 1024 * 1024;

/// State of a link, shared by the tasks that run its requests and read its streams.
pub(super) struct LinkState {
    pub(super) peer: Peer,
    /// Maximum length of a message in bytes.
    pub(super) max_message: usize,
    /// While this channel is full, the streams are not read.
    incoming: mpsc::Sender<LinkEvent>,
    /// Number of bytes waiting to be sent.
    backlog: AtomicUsize,
    /// Wakes tasks that wait until most bytes are sent.
    drained: Notify,
    permits: Semaphore,
    /// Cancelled once newer code answers the requests that wait for a permit.
    superseded: CancellationToken,
    /// Reason why the link was lost; `None` while it works.
    lost: watch::Sender<Option<LinkError>>,
    /// Most recent error.
    last_error: Mutex<Option<LinkError>>,
    /// Most recent refusal of a handshake request at the present address.
    refusal: Mutex<Option<LinkError>>,
    /// Number of consecutive failed `subscriptions/listen` streams.
    pub(super) failed_listens: AtomicUsize,
    /// True once a `subscriptions/listen` stream has been opened.
    pub(super) has_listened: AtomicBool,
    stopped: CancellationToken,
    /// Cancelled to end the streams that stay open for the server's own messages.
    streams_ended: CancellationToken,
    tasks: TaskTracker,
}

/// Number of bytes counted as waiting to be sent until this is dropped.
pub(super) struct BacklogGuard(Arc<LinkState>, usize);

impl BacklogGuard {
    /// Takes over `bytes` that [`LinkState::count`] has counted.
    pub(super) fn new(state: &Arc<LinkState>, bytes: usize) -> Self {
        Self(Arc::clone(state), bytes)
    }
}

impl Drop for BacklogGuard {
    fn drop(&mut self) {
        let Self(state, bytes) = self;
        let before = state.backlog.fetch_sub(*bytes, Ordering::Relaxed);
        if before > HIGH_WATER && before - *bytes <= HIGH_WATER {
            state.drained.notify_waiters();
        }
    }
}

impl LinkState {
    /// Creates the state of a link that reports to `incoming`. `max_message` is the maximum length of a message in
    /// bytes.
    pub(super) fn new(peer: Peer, max_message: usize, incoming: mpsc::Sender<LinkEvent>) -> Self {
        Self {
            peer,
            max_message,
            incoming,
            backlog: AtomicUsize::new(0),
            drained: Notify::new(),
            permits: Semaphore::new(MAX_CONCURRENT),
            superseded: CancellationToken::new(),
            lost: watch::Sender::new(None),
            last_error: Mutex::default(),
            refusal: Mutex::default(),
            failed_listens: AtomicUsize::new(0),
            has_listened: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            streams_ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Counts `bytes` as waiting to be sent.
    pub(super) fn count(&self, bytes: usize) {
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the number of bytes waiting to be sent.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Waits until most bytes are sent or the link is lost.
    pub(super) async fn ready(&self) {
        loop {
            let drained = self.drained.notified();
            if self.backlog() <= HIGH_WATER || self.is_lost() {
                return;
            }
            drained.await;
        }
    }

    /// Waits until `request` may be sent; returns `None` if newer code is to answer it instead.
    pub(super) async fn permit(&self, request: &OutgoingMessage) -> Option<SemaphorePermit<'_>> {
        let returned = async {
            self.superseded.cancelled().await;
            if request.continues_work() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            permit = self.permits.acquire() => permit.ok(),
            () = returned => None,
        }
    }

    /// Returns the requests that wait for a permit, now or later, since newer code can answer them. Requests that only
    /// this process can answer stay.
    pub(super) fn return_queue(&self) {
        self.superseded.cancel();
    }

    /// Returns true if more than `own` requests await their answers.
    pub(super) fn is_busy(&self, own: usize) -> bool {
        MAX_CONCURRENT - self.permits.available_permits() > own
    }

    /// Runs `task` until it finishes or the link is stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let stopped = self.stopped.clone();
        let task = async move {
            let _ = stopped.run_until_cancelled(task).await;
        };
        self.tasks.spawn(task).abort_handle()
    }

    /// Like [`Self::spawn`], for a task with a stream that stays open; it also ends with [`Self::end_streams`].
    pub(super) fn spawn_stream(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let ended = self.streams_ended.clone();
        self.spawn(async move {
            let _ = ended.run_until_cancelled(task).await;
        })
    }

    /// Closes the streams that stay open for the server's own messages.
    pub(super) fn end_streams(&self) {
        self.streams_ended.cancel();
    }

    /// Passes on a message or report; waits while the channel is full.
    pub(super) async fn report(&self, incoming: LinkEvent) {
        let _ = self.incoming.send(incoming).await;
    }

    /// Passes on a message, or an array of messages. It arrived in the response to the request `related_number`.
    pub(super) async fn report_message(&self, line: String, related_number: Option<u64>) {
        let message = LinkEvent::Message {
            line,
            related_number,
        };
        self.report(message).await;
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

    /// Returns true if the link was lost.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// Waits until the link is lost; returns the reason.
    pub(super) async fn lost(&self) -> LinkError {
        let mut lost = self.lost.subscribe();
        let how = lost.wait_for(Option::is_some).await;
        let how = how.ok().and_then(|how| how.clone());
        how.unwrap_or_else(|| String::new().into())
    }

    /// Returns the most recent error, if any.
    pub(super) fn last_error(&self) -> Option<LinkError> {
        locked(&self.last_error).clone()
    }

    /// Records how `message` was refused, if it is a handshake request.
    pub(super) fn record_refusal(&self, message: &OutgoingMessage, how: &LinkError) {
        if message.is_handshake() {
            *locked(&self.refusal) = Some(how.clone());
        }
    }

    /// Sends later requests to another address.
    pub(super) fn move_to(&self, remote: Remote) {
        self.forget_refusal();
        self.peer.move_to(remote);
    }

    /// Forgets the refusal of an earlier handshake request.
    pub(super) fn forget_refusal(&self) {
        *locked(&self.refusal) = None;
        *locked(&self.last_error) = None;
    }

    /// Returns the most recent refusal of a handshake request.
    pub(super) fn refusal(&self) -> Option<LinkError> {
        locked(&self.refusal).clone()
    }

    /// Resolves when the link has been stopped.
    pub(super) async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Aborts all running tasks; reports nothing afterwards.
    pub(super) fn abort(&self) {
        self.stopped.cancel();
    }

    /// Aborts all running tasks and waits for their end.
    pub(super) async fn stop(&self) {
        self.abort();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::HeaderMap;
    use tokio::time::timeout;

    use super::super::HttpClients;
    use super::*;

    fn state() -> LinkState {
        let remote = Remote {
            url: "http://127.0.0.1:1/mcp".parse().unwrap(),
            headers: HeaderMap::new(),
            is_sse_2024: false,
            shown: String::new(),
        };
        let clients = HttpClients::default().clients(&remote.url).unwrap();
        LinkState::new(Peer::new(remote, clients), 1000, mpsc::channel(1).0)
    }

    fn request(params: &str) -> OutgoingMessage {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{{params}}}}}"#);
        OutgoingMessage::parse(line).unwrap()
    }

    #[tokio::test]
    async fn a_replaced_process_keeps_only_requests_that_continue_its_work() {
        let state = state();
        let all = state.permits.acquire_many(100).await.unwrap();
        let plain = request(r#""name":"requestState","arguments":{"taskId":"1"}"#);
        let waiting = timeout(Duration::ZERO, state.permit(&plain)).await;
        assert!(waiting.is_err());
        state.return_queue();
        // Requests may come later than the reload.
        assert!(state.permit(&plain).await.is_none());
        let continuing = [
            r#""taskId":"1""#,
            r#""inputResponses":{}"#,
            r#""requestState":"s""#,
        ]
        .map(request);
        for request in &continuing {
            let waiting = timeout(Duration::ZERO, state.permit(request)).await;
            assert!(waiting.is_err(), "{request:?}");
        }
        drop(all);
        for request in continuing.iter().chain([&plain]) {
            assert!(state.permit(request).await.is_some(), "{request:?}");
        }
    }
}
