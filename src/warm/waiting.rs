//! What a save waits for before the standby is used: that it is ready, and that no further save follows at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{self, sleep, timeout_at};

use super::room::Folder;
use super::slot::Slot;
use super::standby::Unfit;
use super::voice::Voice;
use super::{FAILURES, Warm};
use crate::config::ServerSpec;
use crate::lock::locked;
use crate::transport::child::Child;

/// Saves that follow each other sooner than this are a flurry: the next one is worth waiting for.
const FLURRY: Duration = Duration::from_millis(150);

impl Warm {
    /// Has the standby run its command; nothing if there is none. One that is not worth waiting for is ended: it would
    /// slow a cold start down, and the next one is prepared by what that loads.
    pub(super) async fn prepared_start(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
    ) -> Option<Result<(Child, Voice, Folder), Unfit>> {
        let now = time::Instant::now();
        let mut hold = Hold::new(self, spec);
        let slot = hold.slot.as_ref()?;
        let (cold, usual) = {
            let state = locked(&self.state);
            (state.cold?, state.took)
        };
        // The rest of the time is left to hand it over.
        let limit = cold * 7 / 8;
        let is_ready = slot.is_ready() || {
            match patience(limit, usual.unwrap_or(limit), slot.age()) {
                Some(patience) => timeout_at(now + patience, slot.hurries()).await.is_ok(),
                None => false,
            }
        };
        if !is_ready {
            hold.slot = None;
            return None;
        }
        // One that is ready is used, even if a flurry goes on for longer.
        let _ = timeout_at(now + limit, self.calm()).await;
        locked(&self.state).since = Some(SystemTime::now());
        hold.slot.take()?.hand_over(now + cold).await
    }

    /// Waits for the end of a flurry of saves: the standby is best used for the last of them, which it is if
    /// the next one is overdue.
    async fn calm(&self) {
        loop {
            let (touched, rhythm) = {
                let state = locked(&self.state);
                (state.touched, state.rhythm)
            };
            let Some((touched, rhythm)) = touched.zip(rhythm) else {
                return;
            };
            let left = (rhythm * 5 / 4).saturating_sub(touched.elapsed());
            if rhythm > FLURRY || left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// How long a save may wait for a standby of this age that is not ready, where `limit` is the longest wait and
/// standbys are `usual`ly ready after so long; nothing if that is not worth it.
fn patience(limit: Duration, usual: Duration, age: Option<Duration>) -> Option<Duration> {
    let age = age.unwrap_or_default();
    let is_soon_ready = usual.saturating_sub(age) <= limit;
    // One that takes twice as long as usual hangs.
    let left = (usual * 2).saturating_sub(age).min(limit);
    (is_soon_ready && !left.is_zero()).then_some(left)
}

/// A standby that is being waited for. Dropping it before it is handed over gives it back.
struct Hold<'a> {
    warm: &'a Warm,
    slot: Option<Slot>,
    age: u64,
}

impl<'a> Hold<'a> {
    /// The standby of the server. Where there is none it is ordered: until it has loaded its packages, a
    /// further save costs nothing.
    fn new(warm: &'a Arc<Warm>, spec: &Arc<ServerSpec>) -> Self {
        let mut state = locked(&warm.state);
        let known = state.learned.is_some() && state.failures < FAILURES;
        let slot = state.slot.take().or_else(|| {
            let order = warm.order(spec, None, state.touched).filter(|_| known);
            order.map(Slot::new)
        });
        Self {
            warm,
            slot,
            age: state.age,
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.warm.state);
        if state.age == self.age && state.slot.is_none() {
            state.slot = self.slot.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_waited_for_if_it_is_soon_ready_and_no_longer_than_the_limit() {
        let ms = Duration::from_millis;
        for (usual, age, expected) in [
            // Not begun.
            (900, None, Some(1000)),
            (1100, None, None),
            // Far from ready, and soon ready.
            (5000, Some(3900), None),
            (5000, Some(4000), Some(1000)),
            (900, Some(800), Some(1000)),
            // Overdue, and given up.
            (900, Some(1500), Some(300)),
            (900, Some(1801), None),
        ] {
            let found = patience(ms(1000), ms(usual), age.map(ms));
            assert_eq!(found, expected.map(ms), "{usual} {age:?}");
        }
    }
}
