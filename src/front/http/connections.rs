//! Tracks open connections, limits their number, and selects one to close when no permit is free for the next. A
//! connection is silent unless a complete request on it is being answered.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::locked;

/// Time limit for the head of the first request on a connection.
const HEAD: Duration = Duration::from_secs(10);
/// Interval of the search for a silent connection while no permit is free.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    permits: Arc<Semaphore>,
    max: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    number: u64,
    states: HashMap<u64, Arc<ConnectionState>>,
}

/// One open connection. Its permit is free once its state is dropped as well.
#[derive(Debug)]
pub(super) struct HttpConnection {
    number: u64,
    connections: Arc<Connections>,
    state: Arc<ConnectionState>,
}

/// State of a connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// Address of the client, if it has one.
    pub(super) client: Option<IpAddr>,
    phase: Mutex<ConnectionPhase>,
    /// Cancelled when another connection needs its permit.
    closing: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy)]
enum ConnectionPhase {
    /// Time of its opening; no head of a request has arrived yet.
    New(Instant),
    /// Time when the head of a request arrived or an answer was finished.
    Silent(Instant),
    /// A request has arrived completely and its answer is not finished.
    Answering,
}

impl Connections {
    /// Allows at most `max` connections.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(max)),
            max,
            open: Mutex::default(),
        })
    }

    /// Reserves a permit for one connection. While none is free, closes the connection that has been silent longest.
    pub(super) async fn reserve(&self) -> OwnedSemaphorePermit {
        loop {
            match self.permits.clone().try_acquire_owned() {
                Ok(permit) => return permit,
                Err(_) => self.close_oldest(),
            }
            let free = self.permits.clone().acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(RETRY_INTERVAL, free).await {
                return permit;
            }
        }
    }

    /// Registers a new connection of `client` under the reserved permit.
    pub(super) fn open(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        client: Option<IpAddr>,
    ) -> HttpConnection {
        let state = Arc::new(ConnectionState {
            client,
            phase: Mutex::new(ConnectionPhase::New(Instant::now())),
            closing: CancellationToken::new(),
            _permit: permit,
        });
        let mut open = locked(&self.open);
        open.number += 1;
        let number = open.number;
        open.states.insert(number, state.clone());
        HttpConnection {
            number,
            connections: self.clone(),
            state,
        }
    }

    /// Resolves when all connections are closed.
    pub(super) async fn closed(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        let _ = self.permits.acquire_many(all).await;
    }

    fn close_oldest(&self) {
        let open = locked(&self.open);
        let silent = open.states.values().filter(|it| !it.closing.is_cancelled());
        let silent = silent.filter_map(|it| Some((it.silent_since()?, it)));
        if let Some((since, oldest)) = silent.min_by_key(|(since, _)| *since) {
            tracing::debug!(silent = ?since.elapsed(), "closed an idle connection to make room for a new one");
            oldest.closing.cancel();
        }
    }
}

impl HttpConnection {
    pub(super) fn state(&self) -> Arc<ConnectionState> {
        self.state.clone()
    }

    /// Resolves when it must be closed: to free its permit, or because no head of a request arrives in time.
    pub(super) async fn wait_closing(&self) {
        let headless = async {
            tokio::time::sleep(HEAD).await;
            if !matches!(*locked(&self.state.phase), ConnectionPhase::New(_)) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.state.closing.cancelled() => {}
            () = headless => {}
        }
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        locked(&self.connections.open).states.remove(&self.number);
    }
}

impl ConnectionState {
    /// Records that the head of a request has arrived. Its body may arrive much later.
    pub(super) fn head_arrived(&self) {
        *locked(&self.phase) = ConnectionPhase::Silent(Instant::now());
    }

    /// Records that the request has arrived completely.
    pub(super) fn request_arrived(&self) {
        *locked(&self.phase) = ConnectionPhase::Answering;
    }

    fn silent_since(&self) -> Option<Instant> {
        match *locked(&self.phase) {
            ConnectionPhase::New(since) | ConnectionPhase::Silent(since) => Some(since),
            ConnectionPhase::Answering => None,
        }
    }
}

/// Body of an answer; the connection becomes silent when it is dropped.
#[derive(Debug)]
pub(super) struct TrackedBody {
    pub(super) body: Body,
    pub(super) state: Arc<ConnectionState>,
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.state.head_arrived();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_silent_for_longest_makes_room() {
        let all = Connections::new(3);
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(all.open(all.reserve().await, None));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        // The first connection is being answered, the second was active last.
        open[0].state().request_arrived();
        open[1].state().head_arrived();
        assert!(
            tokio::time::timeout(RETRY_INTERVAL / 2, all.reserve())
                .await
                .is_err()
        );
        let closing: Vec<bool> = open
            .iter()
            .map(|it| it.state.closing.is_cancelled())
            .collect();
        assert_eq!(closing, [false, false, true]);
        drop(open.pop());
        open.push(all.open(all.reserve().await, None));
        for connection in &open {
            connection.state().request_arrived();
        }
        assert!(
            tokio::time::timeout(3 * RETRY_INTERVAL, all.reserve())
                .await
                .is_err()
        );
        open[0].state().head_arrived();
        assert!(
            tokio::time::timeout(3 * RETRY_INTERVAL, all.reserve())
                .await
                .is_err()
        );
        assert!(open[0].state.closing.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_must_come_in_time() {
        let all = Connections::new(2);
        let silent = all.open(all.reserve().await, None);
        let speaking = all.open(all.reserve().await, None);
        speaking.state().head_arrived();
        assert!(
            tokio::time::timeout(HEAD / 2, silent.wait_closing())
                .await
                .is_err()
        );
        silent.wait_closing().await;
        assert!(
            tokio::time::timeout(2 * HEAD, speaking.wait_closing())
                .await
                .is_err()
        );
    }
}
