//! Wait of a save for its standby: until the standby is ready, and until no further save follows closely.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{self, sleep, timeout, timeout_at};

use super::slot::Slot;
use super::standby::{ResumedStandby, StandbyError};
use super::{FAILURES, QUIET, WarmReload};
use crate::config::ServerSpec;
use crate::lock::locked;

/// Maximum interval of saves in quick succession: after such a save, the next one is worth waiting for.
const MAX_FLURRY: Duration = Duration::from_millis(150);
/// Minimum time for a standby to respond, which takes milliseconds: a machine too busy for that would need even longer for
/// another process.
const MIN_RESPONSE_TIME: Duration = Duration::from_millis(500);

impl WarmReload {
    /// Makes the standby run its command. Returns `None` without a standby, or if the wait is not worthwhile; the next
    /// start can use the standby then.
    pub(super) async fn prepared_start(
        self: &Arc<Self>,
        spec: &Arc<ServerSpec>,
    ) -> Option<Result<ResumedStandby, StandbyError>> {
        let now = time::Instant::now();
        let mut reserved = ReservedStandby::new(self, spec);
        let slot = reserved.slot.as_ref()?;
        let (cold, usual) = {
            let state = locked(&self.state);
            (state.cold_duration?, state.preparation_time)
        };
        self.record_early_save(slot.is_ready());
        let _ = timeout_at(now + cold / 2, self.wait_for_quiet(slot)).await;
        if !slot.is_ready() {
            let limit = cold.saturating_sub(now.elapsed());
            // Without a measured time: loading packages takes most of a start.
            let usual = usual.unwrap_or(cold);
            let max_wait = max_wait(limit, cold, usual, slot.age())?;
            timeout(max_wait, slot.wait_until_ready()).await.ok()?;
        }
        locked(&self.state).since = Some(SystemTime::now());
        let limit = MIN_RESPONSE_TIME.max(cold / 2);
        reserved.slot.take()?.hand_over(limit).await
    }

    /// Records whether this save came too early for a single standby.
    fn record_early_save(&self, is_ready: bool) {
        let mut state = locked(&self.state);
        let again = state.preparation_time.map(|took| QUIET + took);
        let is_soon = |(rhythm, again)| rhythm < again;
        if !is_ready || state.touch_interval.zip(again).is_some_and(is_soon) {
            state.last_early_save = state.last_touch;
        }
    }

    /// Waits for the end of saves in quick succession, since the standby serves best for the last one. Ends when the
    /// next save is overdue.
    async fn wait_for_quiet(&self, slot: &Slot) {
        loop {
            let (last_touch, touch_interval) = {
                let state = locked(&self.state);
                (state.last_touch, state.touch_interval)
            };
            let Some((last_touch, touch_interval)) = last_touch.zip(touch_interval) else {
                return;
            };
            let left = (touch_interval * 5 / 4).saturating_sub(last_touch.elapsed());
            if touch_interval > MAX_FLURRY || left.is_zero() {
                return;
            }
            slot.skip_quiet_time();
            sleep(left).await;
        }
    }
}

/// Returns how long a save may wait for an unready standby of this age; `None` if the wait would gain little, since a
/// standby that turns out late costs a cold start as well. The wait is at most `limit`. `cold` is the duration of the
/// last cold start, `usual` the usual preparation time of a standby.
fn max_wait(
    limit: Duration,
    cold: Duration,
    usual: Duration,
    age: Option<Duration>,
) -> Option<Duration> {
    let age = age.unwrap_or_default();
    let is_soon = usual.saturating_sub(age) <= limit.min(cold / 2);
    // A standby overdue for this long counts as stuck.
    let left = (usual + cold).saturating_sub(age).min(limit);
    (is_soon && !left.is_zero()).then_some(left)
}

/// Standby taken for a start. Dropping this before the hand-over returns the standby.
struct ReservedStandby<'a> {
    warm: &'a WarmReload,
    slot: Option<Slot>,
    revision: u64,
}

impl<'a> ReservedStandby<'a> {
    /// Takes the standby of the server. Requests one if there is none: until it has loaded its packages, a further save
    /// costs nothing.
    fn new(warm: &'a Arc<WarmReload>, spec: &Arc<ServerSpec>) -> Self {
        let mut state = locked(&warm.state);
        let may_request = state.preload_list.is_some() && state.failures < FAILURES;
        let ready = state.slots.iter().position(|slot| slot.cost().is_some());
        let slot = if state.slots.is_empty() {
            let request = warm
                .standby_request(spec, None, &state)
                .filter(|_| may_request);
            request.map(Slot::new)
        } else {
            Some(state.slots.remove(ready.unwrap_or_default()))
        };
        Self {
            warm,
            slot,
            revision: state.revision,
        }
    }
}

impl Drop for ReservedStandby<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.warm.state);
        if state.revision == self.revision
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
            // Not started.
            (400, None, Some(1000)),
            (600, None, None),
            // Far from ready, and almost ready.
            (5000, Some(4400), None),
            (5000, Some(4600), Some(1000)),
            (900, Some(800), Some(1000)),
            // Overdue, and given up.
            (900, Some(1600), Some(300)),
            (900, Some(1900), None),
        ] {
            let found = max_wait(ms(1000), ms(1000), ms(usual), age.map(ms));
            assert_eq!(found, expected.map(ms), "{usual} {age:?}");
        }
        let rest = max_wait(ms(500), ms(1000), ms(900), Some(ms(500)));
        assert_eq!(rest, Some(ms(500)));
    }
}
