//! Limit on concurrent starts: high enough to keep all cores busy, low enough that each start completes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::backend::Backend;

/// Interval between two measurements of a starting process.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// Processor time per interval up to which a process counts as idle.
const IDLE: Duration = Duration::from_millis(10);
/// Number of idle intervals in a row after which a process is assumed to wait for an external event, perhaps forever.
const IDLE_INTERVALS: u32 = 3;

/// Permits to start. Restarts have their own: first starts must not delay a server that is being edited.
#[derive(Debug, Clone)]
pub(crate) struct StartPermits {
    first_starts: Arc<Semaphore>,
    restarts: Arc<Semaphore>,
}

impl Default for StartPermits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = || Arc::new(Semaphore::new((cores * 4).max(8)));
        Self {
            first_starts: permits(),
            restarts: permits(),
        }
    }
}

/// Permit of one start.
#[derive(Debug)]
pub(super) struct StartPermit(Option<OwnedSemaphorePermit>);

impl StartPermits {
    /// Waits for a permit for a server's `first` start or a later one.
    pub(super) async fn take(&self, first: bool) -> StartPermit {
        let permits = if first {
            &self.first_starts
        } else {
            &self.restarts
        };
        StartPermit(permits.clone().acquire_owned().await.ok())
    }
}

impl StartPermit {
    /// Returns an empty permit for a remote server, which costs no processor time here.
    pub(super) fn unneeded() -> Self {
        Self(None)
    }

    /// Awaits `work`, for which `backend` computes. Releases the permit when `backend` becomes idle, so that other
    /// starts do not wait with it.
    pub(super) async fn during<T>(
        &mut self,
        backend: &Backend,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        if self.0.is_some() {
            tokio::select! {
                done = &mut work => return done,
                () = idle(backend) => self.0 = None,
            }
        }
        work.await
    }
}

/// Waits until `backend` has been idle for [`IDLE_INTERVALS`] intervals.
async fn idle(backend: &Backend) {
    let mut idle = 0;
    // The first measurement follows the first interval: it reads the process table on the runtime's thread.
    let mut before = Some(Duration::ZERO);
    while idle < IDLE_INTERVALS {
        sleep(MEASURE_INTERVAL).await;
        let now = backend.processor_time();
        let spent = now
            .zip(before)
            .map(|(now, before)| now.saturating_sub(before));
        idle = if spent.is_some_and(|spent| spent <= IDLE) {
            idle + 1
        } else {
            0
        };
        before = now;
    }
}
