//! What a save waits for before the standby is used: that it is ready, and that no further save follows at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{self, sleep, timeout, timeout_at};

use super::room::Folder;
use super::slot::{QUIET, Slot};
use super::standby::Unfit;
use super::voice::Voice;
use super::{FAILURES, Warm};
use crate::config::ServerSpec;
use crate::lock::locked;
use crate::transport::child::Child;

/// Saves that follow each other sooner than this are a flurry: the next one is worth waiting for.
const FLURRY: Duration = Duration::from_millis(150);

impl Warm {
    /// Has the standby run its command; nothing if there is none, or if it is not worth waiting for. It is kept for the
    /// next start then.
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
        self.press(slot.is_ready());
        let _ = timeout_at(now + cold / 2, self.calm(slot)).await;
        if !slot.is_ready() {
            let limit = cold.saturating_sub(now.elapsed());
            // Loading the packages takes most of a start, as far as is known.
            let usual = usual.unwrap_or(cold);
            let patience = patience(limit, cold, usual, slot.age())?;
            timeout(patience, slot.hurries()).await.ok()?;
        }
        locked(&self.state).since = Some(SystemTime::now());
        hold.slot.take()?.hand_over(cold / 2).await
    }

    /// Notes whether this save came too fast for one standby alone.
    fn press(&self, is_ready: bool) {
        let mut state = locked(&self.state);
        let again = state.took.map(|took| QUIET + took);
        let is_soon = |(rhythm, again)| rhythm < again;
        if !is_ready || state.rhythm.zip(again).is_some_and(is_soon) {
            state.pressed = state.touched;
        }
    }

    /// Waits for the end of a flurry of saves: a start is best used for the last of them, which it is if the next one
    /// is overdue.
    async fn calm(&self, slot: &Slot) {
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
            slot.hurry();
            sleep(left).await;
        }
    }
}

/// How long a save may wait for a standby of this age that is not ready; nothing if little is won by it, since one that
/// is late after all costs a cold start as well. It may take no longer than `limit`, the last cold start took `cold`, and
/// standbys are `usual`ly ready after so long.
fn patience(
    limit: Duration,
    cold: Duration,
    usual: Duration,
    age: Option<Duration>,
) -> Option<Duration> {
    let age = age.unwrap_or_default();
    let is_soon = usual.saturating_sub(age) <= limit.min(cold / 2);
    // One that is overdue for that long hangs.
    let left = (usual + cold).saturating_sub(age).min(limit);
    (is_soon && !left.is_zero()).then_some(left)
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
        let ready = state
            .slots
            .iter()
            .position(|slot| slot.prepared().is_some());
        let slot = if state.slots.is_empty() {
            let order = warm.order(spec, None, &state).filter(|_| known);
            order.map(Slot::new)
        } else {
            Some(state.slots.remove(ready.unwrap_or_default()))
        };
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
        if state.age == self.age
            && let Some(slot) = self.slot.take()
        {
            state.slots.insert(0, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_waited_for_if_it_is_soon_ready_and_no_longer_than_a_cold_start_took() {
        let ms = Duration::from_millis;
        for (usual, age, expected) in [
            // Not begun.
            (400, None, Some(1000)),
            (600, None, None),
            // Far from ready, and soon ready.
            (5000, Some(4400), None),
            (5000, Some(4600), Some(1000)),
            (900, Some(800), Some(1000)),
            // Overdue, and given up.
            (900, Some(1600), Some(300)),
            (900, Some(1900), None),
        ] {
            let found = patience(ms(1000), ms(1000), ms(usual), age.map(ms));
            assert_eq!(found, expected.map(ms), "{usual} {age:?}");
        }
        let rest = patience(ms(500), ms(1000), ms(900), Some(ms(500)));
        assert_eq!(rest, Some(ms(500)));
    }
}
