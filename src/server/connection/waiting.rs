//! What a connection waits for: its client to read, its server to answer.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Connection;
use crate::lock::locked;

/// A client may have this many bytes to read before a generation that has not proved itself, too, waits for it.
const UNREAD: usize = 64 << 20;

impl Connection {
    /// From now on it answers clients.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Waits until the client has read most of what it was sent: one that reads slowly slows its server down, as it would
    /// without a proxy. It must not keep new code from proving itself.
    pub(crate) async fn client_reads(&self) {
        match self.client.pipe() {
            Some(pipe) if self.live.load(Ordering::Relaxed) => pipe.ready().await,
            Some(pipe) => pipe.ready_beyond(UNREAD).await,
            None => {}
        }
    }

    /// Whether clients wait for answers, or did less than `recently` ago.
    pub(crate) fn is_busy(&self, recently: Duration) -> bool {
        let table = locked(&self.table);
        let was = |since: Instant| since.elapsed() < recently;
        table.calls > 0 || table.idle_since.is_some_and(was)
    }

    /// The method of the proxy's own request that the server was asked last.
    pub(crate) fn asked(&self) -> Option<Box<str>> {
        locked(&self.table).asked.clone()
    }

    /// How many clients' requests wait for an answer.
    pub(crate) fn in_flight(&self) -> usize {
        locked(&self.table).calls
    }

    /// Waits until no client's request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.in_flight() == 0 {
                return;
            }
            idle.await;
        }
    }
}
