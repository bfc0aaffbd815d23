//! Limits the number of large messages in transit; when no permit is left, a slow one is aborted for the next.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::locked;

/// Maximum number of large messages in transit.
const MAX_LARGE: usize = 16;
/// Rate in bytes per second below which a message is slow.
const SLOW_RATE: f64 = 1024.0 * 1024.0;
/// Time in transit before a message can count as slow.
const GRACE: Duration = Duration::from_secs(1);
/// Time limit for a message to wait for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of the search for a slow message while no permit is free.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// All large messages in transit.
#[derive(Debug, Default)]
pub(super) struct LargeMessages {
    transfers: Mutex<Vec<Arc<TransferProgress>>>,
    freed: Notify,
}

/// Permit of one large message; freed on drop.
#[derive(Debug)]
pub(super) struct LargePermit<'a> {
    large: &'a LargeMessages,
    progress: Arc<TransferProgress>,
}

#[derive(Debug)]
struct TransferProgress {
    since: Instant,
    bytes: Mutex<usize>,
    aborted: CancellationToken,
}

impl LargeMessages {
    /// Reserves a permit for one message. While none is free, aborts a slow one; returns `None` at the deadline.
    pub(super) async fn reserve(&self) -> Option<LargePermit<'_>> {
        let deadline = Instant::now() + PERMIT_TIMEOUT;
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_reserve() {
                return Some(permit);
            }
            self.abort_slowest();
            if Instant::now() >= deadline {
                return None;
            }
            let _ = tokio::time::timeout(RETRY_INTERVAL, freed).await;
        }
    }

    fn try_reserve(&self) -> Option<LargePermit<'_>> {
        let mut transfers = locked(&self.transfers);
        (transfers.len() < MAX_LARGE).then(|| {
            let progress = Arc::new(TransferProgress {
                since: Instant::now(),
                bytes: Mutex::new(0),
                aborted: CancellationToken::new(),
            });
            transfers.push(progress.clone());
            LargePermit {
                large: self,
                progress,
            }
        })
    }

    fn abort_slowest(&self) {
        let transfers = locked(&self.transfers);
        if transfers
            .iter()
            .any(|transfer| transfer.aborted.is_cancelled())
        {
            // Its permit is about to be freed.
            return;
        }
        let slow = transfers
            .iter()
            .filter_map(|room| Some((room.slow_rate()?, room)));
        if let Some((_, slowest)) = slow.min_by(|(one, _), (other, _)| one.total_cmp(other)) {
            slowest.aborted.cancel();
        }
    }
}

impl TransferProgress {
    /// Returns its rate in bytes per second if it is slow.
    fn slow_rate(&self) -> Option<f64> {
        let elapsed = self.since.elapsed();
        let bytes = u32::try_from(*locked(&self.bytes)).unwrap_or(u32::MAX);
        let rate = f64::from(bytes) / elapsed.as_secs_f64();
        (elapsed >= GRACE && rate < SLOW_RATE).then_some(rate)
    }
}

impl LargePermit<'_> {
    /// Records that more bytes have arrived.
    pub(super) fn add_bytes(&self, bytes: usize) {
        *locked(&self.progress.bytes) += bytes;
    }

    /// Resolves when another message needs its permit.
    pub(super) async fn aborted(&self) {
        self.progress.aborted.cancelled().await;
    }
}

impl Drop for LargePermit<'_> {
    fn drop(&mut self) {
        locked(&self.large.transfers).retain(|it| !Arc::ptr_eq(it, &self.progress));
        self.large.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_makes_room_and_a_brisk_one_never_does() {
        let large = LargeMessages::default();
        let mut rooms = Vec::new();
        for _ in 0..MAX_LARGE {
            rooms.push(large.reserve().await.unwrap());
        }
        let minute = 60 * 1024 * 1024;
        for room in &rooms {
            room.add_bytes(minute);
        }
        assert!(large.reserve().await.is_none(), "all are brisk");
        tokio::time::advance(Duration::from_secs(100)).await;
        for room in &rooms {
            room.add_bytes(2 * minute);
        }
        let slow = rooms.swap_remove(3);
        *locked(&slow.progress.bytes) = 1;
        let aborted = async {
            slow.aborted().await;
            drop(slow);
        };
        let (next, ()) = tokio::join!(large.reserve(), aborted);
        assert!(next.is_some());
        assert!(
            !rooms
                .iter()
                .any(|room| room.progress.aborted.is_cancelled())
        );
    }
}
