//! How many processes start at the same time: enough to keep all cores busy, so few that each comes to an end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::body::Body;

/// How often it is looked whether a process that starts still computes.
const LOOK: Duration = Duration::from_secs(1);
/// A process that took less processor time than this between two looks has waited.
const IDLE: Duration = Duration::from_millis(10);
/// After so many such looks in a row it waits for something outside, perhaps for ever.
const LOOKS: u32 = 3;

/// The turns to start. Those who start again are not kept waiting by those who start first: somebody edits them.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    first: Arc<Semaphore>,
    again: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = || Arc::new(Semaphore::new((cores * 4).max(8)));
        Self {
            first: turns(),
            again: turns(),
        }
    }
}

/// Held by one who starts.
#[derive(Debug)]
pub(super) struct StartTurn(Option<OwnedSemaphorePermit>);

impl Turns {
    /// Waits for the turn of a server that is started for the `first` time, or again.
    pub(super) async fn take(&self, first: bool) -> StartTurn {
        let turns = if first { &self.first } else { &self.again };
        StartTurn(turns.clone().acquire_owned().await.ok())
    }
}

impl StartTurn {
    /// No turn is needed to start what runs elsewhere.
    pub(super) fn unneeded() -> Self {
        Self(None)
    }

    /// Awaits `work`, for which `body` computes. The turn is given back when it only waits: the others must not wait
    /// with it.
    pub(super) async fn during<T>(&mut self, body: &Body, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        if self.0.is_some() {
            tokio::select! {
                done = &mut work => return done,
                () = idle(body) => self.0 = None,
            }
        }
        work.await
    }
}

/// Waits until `body` has waited for a while.
async fn idle(body: &Body) {
    let mut idle = 0;
    // The first look comes after the first pause: a look reads `/proc` of every process, on the runtime's thread.
    let mut before = Some(Duration::ZERO);
    while idle < LOOKS {
        sleep(LOOK).await;
        let now = body.processor_time();
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
