//! How often a list is read that its server says has changed, again and again, and has not. Pure: time is an argument.

use std::time::{Duration, Instant};

/// The first pause; each that follows at once is twice as long.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// The user hears of it from this pause on.
const TOLD: Duration = Duration::from_secs(1);

/// The pauses before one list is read.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    pause: Duration,
    /// When it was read last.
    read: Option<Instant>,
    is_told: bool,
}

impl Pacing {
    /// The pause before the list is read that is said to have changed now.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        // One that speaks seldom is believed.
        let is_long_ago = |read: Instant| now.duration_since(read) > LONGEST * 2;
        if self.read.is_none_or(is_long_ago) {
            self.pause = Duration::ZERO;
        }
        self.pause
    }

    /// Notes whether the list differed when it was read. True if the user should hear, once, that it does not and is
    /// said to.
    pub(super) fn read(&mut self, differed: bool, now: Instant) -> bool {
        self.read = Some(now);
        self.pause = if differed {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(FIRST, LONGEST)
        };
        let tells = self.pause >= TOLD && !self.is_told;
        self.is_told |= tells;
        tells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_nothing_differs() {
        let mut pacing = Pacing::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        let mut told = 0;
        for _ in 0..10 {
            let pause = pacing.pause(now);
            pauses.push(u64::try_from(pause.as_millis()).unwrap());
            now += pause;
            told += u32::from(pacing.read(false, now));
        }
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(told, 1);
        assert!(!pacing.read(true, now));
        assert_eq!(pacing.pause(now), Duration::ZERO, "it differed");
        pacing.read(false, now);
        assert_eq!(pacing.pause(now), FIRST);
        now += LONGEST * 3;
        assert_eq!(pacing.pause(now), Duration::ZERO, "long ago");
    }
}
