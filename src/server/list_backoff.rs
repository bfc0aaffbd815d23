//! Limits the reads of a list that its server repeatedly, but wrongly, reports as changed. Pure: time is an argument.

use std::time::{Duration, Instant};

/// First pause; each immediate successor is twice as long.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// Pause from which on the user is warned.
const WARN_FROM: Duration = Duration::from_secs(1);

/// Pauses before the reads of one list.
#[derive(Debug, Default)]
pub(super) struct ListBackoff {
    pause: Duration,
    /// Time of the last read.
    read: Option<Instant>,
    is_warned: bool,
}

impl ListBackoff {
    /// Returns the pause before reading the list, which the server reports as changed now.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        // A server that reports changes rarely is read without a pause.
        let is_long_ago = |read: Instant| now.duration_since(read) > LONGEST * 2;
        if self.read.is_none_or(is_long_ago) {
            self.pause = Duration::ZERO;
        }
        self.pause
    }

    /// Records whether the list differed when it was read. Returns true if the user should be warned, once, that the
    /// reported changes are not real.
    pub(super) fn read(&mut self, differed: bool, now: Instant) -> bool {
        self.read = Some(now);
        self.pause = if differed {
            Duration::ZERO
        } else {
            (self.pause * 2).clamp(FIRST, LONGEST)
        };
        let warns = self.pause >= WARN_FROM && !self.is_warned;
        self.is_warned |= warns;
        warns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_nothing_differs() {
        let mut backoff = ListBackoff::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        let mut told = 0;
        for _ in 0..10 {
            let pause = backoff.pause(now);
            pauses.push(u64::try_from(pause.as_millis()).unwrap());
            now += pause;
            told += u32::from(backoff.read(false, now));
        }
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(told, 1);
        assert!(!backoff.read(true, now));
        assert_eq!(backoff.pause(now), Duration::ZERO, "it differed");
        backoff.read(false, now);
        assert_eq!(backoff.pause(now), FIRST);
        now += LONGEST * 3;
        assert_eq!(backoff.pause(now), Duration::ZERO, "long ago");
    }
}
