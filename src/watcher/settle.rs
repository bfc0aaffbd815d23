//! Debounce stage: detects the end of a save. Pure: time and disk state are arguments.
//!
//! A batch collects touched paths until the quiet time passes without a touch, or until the maximum wait has passed
//! since the first touch. The batch is then released, unless a git command is running or a known file is empty or
//! absent for the moment; many saves begin with such a file.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::messages::WriteState;

/// Additional wait, once per batch, if known files are empty, absent or not readable: a tool that truncates, deletes or
/// locks a file before writing it needs a moment.
const HOLLOW_GRACE: Duration = Duration::from_millis(150);
/// Divisor of the quiet time: files saved by one command follow each other within this part of it.
const CALM: u32 = 3;
/// Maximum time that a git command (its `index.lock`) holds a batch after the last touch: a command that runs for longer
/// goes on touching files.
pub(super) const LOCK_HOLD: Duration = Duration::from_secs(5);
/// Maximum time that a git command holds a batch at all.
const LONGEST_LOCK_HOLD: Duration = Duration::from_secs(60);

/// State of the disk when a batch is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DiskState {
    /// Whether a git command is rewriting the work tree.
    pub(super) locked: bool,
    /// Whether a touched file that had content is empty, absent or not readable.
    pub(super) hollow: bool,
}

/// Batch of a completed save.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Whether a git command held the batch: events may be outstanding, so the whole tree must be examined.
    pub(super) was_locked: bool,
}

/// State of the early notice of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EarlyNotice {
    /// No file was written since the last query.
    Nothing,
    Written,
    /// The early notice was sent.
    Sent,
}

#[derive(Debug, Clone)]
struct Batch {
    paths: BTreeSet<PathBuf>,
    /// Paths open for writing.
    open: BTreeSet<PathBuf>,
    early: EarlyNotice,
    first: Instant,
    last: Instant,
    /// Minimum time without a touch before the early notice.
    calm: Duration,
    due: Instant,
    grace_used: bool,
    was_locked: bool,
}

impl Batch {
    /// Returns the time at which all files count as written; `None` while a file is open or if no early notice is
    /// pending.
    fn written(&self) -> Option<Instant> {
        let is_written = self.early == EarlyNotice::Written && self.open.is_empty();
        is_written.then(|| self.last + self.calm)
    }
}

/// Debounce state of one tree.
#[derive(Debug, Clone)]
pub(super) struct Settle {
    quiet: Duration,
    max_wait: Duration,
    batch: Option<Batch>,
}

impl Settle {
    /// Creates the detection of saves that end with `quiet` without a touch, at the latest `max_wait` after the first one
    /// or, with a long quiet time, a few times that.
    pub(super) fn new(quiet: Duration, max_wait: Duration) -> Self {
        Self {
            quiet,
            max_wait: max_wait.max(quiet.saturating_mul(4)),
            batch: None,
        }
    }

    /// Adds a touched path. Returns whether the path begins a batch.
    pub(super) fn touch(&mut self, path: PathBuf, writing: WriteState, now: Instant) -> bool {
        let begins = self.batch.is_none();
        let batch = self.batch.get_or_insert_with(|| Batch {
            paths: BTreeSet::new(),
            open: BTreeSet::new(),
            early: EarlyNotice::Nothing,
            first: now,
            last: now,
            calm: Duration::ZERO,
            due: now,
            grace_used: false,
            was_locked: false,
        });
        match writing {
            WriteState::Open => drop(batch.open.insert(path.clone())),
            WriteState::Done => {
                batch.open.remove(&path);
                if batch.early != EarlyNotice::Sent {
                    batch.early = EarlyNotice::Written;
                }
            }
            WriteState::Unknown => {}
        }
        batch.paths.insert(path);
        batch.last = now;
        let latest = batch.first + self.max_wait;
        // A batch held beyond the maximum wait keeps its later due time.
        batch.due = (now + self.quiet).min(latest.max(batch.due));
        begins
    }

    /// Marks the batch as held by a git command, whose events may arrive late.
    pub(super) fn note_lock(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.was_locked = true;
        }
    }

    /// Whether a git command has held the batch.
    pub(super) fn was_locked(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| batch.was_locked)
    }

    /// Delays the early notice by a part of the quiet time, because a start that begins too early is expensive.
    pub(super) fn delay_early_notice(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.calm = self.quiet / CALM;
        }
    }

    /// Whether the early notice is due: all written files are closed, long enough ago. A true result resets it until
    /// the next written file.
    pub(super) fn take_written(&mut self, now: Instant) -> bool {
        let Some(batch) = &mut self.batch else {
            return false;
        };
        let is_written = batch.written().is_some_and(|at| at <= now);
        if is_written {
            batch.early = EarlyNotice::Nothing;
        }
        is_written
    }

    /// Marks the early notice of the batch as sent.
    pub(super) fn note_early_notice(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.early = EarlyNotice::Sent;
        }
    }

    /// Returns the next time to call [`Settle::take_written`] or [`Settle::resolve`].
    pub(super) fn due(&self) -> Option<Instant> {
        let batch = self.batch.as_ref()?;
        batch.written().into_iter().chain([batch.due]).min()
    }

    /// Paths touched in the current batch.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.batch
            .iter()
            .flat_map(|batch| batch.paths.iter().map(PathBuf::as_path))
    }

    /// Returns the batch if the save is over; otherwise [`Settle::due`] gives the time of the next attempt.
    pub(super) fn resolve(&mut self, now: Instant, disk_state: DiskState) -> Option<Settled> {
        let batch = self.batch.as_mut()?;
        if now < batch.due {
            return None;
        }
        let held_until = (batch.last + LOCK_HOLD).min(batch.first + LONGEST_LOCK_HOLD);
        if disk_state.locked && now < held_until {
            batch.was_locked = true;
            batch.due = now + self.quiet;
            return None;
        }
        if disk_state.hollow && !batch.grace_used {
            batch.grace_used = true;
            batch.due = now + HOLLOW_GRACE;
            return None;
        }
        self.batch.take().map(|batch| Settled {
            paths: batch.paths,
            was_locked: batch.was_locked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: Duration = Duration::from_millis(30);
    const MAX_WAIT: Duration = Duration::from_secs(1);
    const REST: DiskState = DiskState {
        locked: false,
        hollow: false,
    };

    fn settle() -> (Settle, Instant) {
        (Settle::new(QUIET, MAX_WAIT), Instant::now())
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_batch_is_over_after_the_quiet_time() {
        let (mut settle, start) = settle();
        assert!(settle.touch("a".into(), WriteState::Unknown, start));
        assert!(!settle.touch("b".into(), WriteState::Unknown, start + ms(20)));
        assert_eq!(settle.resolve(start + ms(49), REST), None);
        let settled = settle.resolve(start + ms(50), REST).expect("due");
        assert_eq!(settled.paths, ["a".into(), "b".into()].into());
        assert_eq!(settle.due(), None);
        assert!(
            settle.touch("a".into(), WriteState::Unknown, start + ms(60)),
            "a new batch"
        );
    }

    #[test]
    fn steady_writing_is_cut_at_the_longest_wait() {
        let (mut settle, start) = settle();
        for at in (0..1000).step_by(10) {
            settle.touch("a".into(), WriteState::Unknown, start + ms(at));
            assert_eq!(settle.resolve(start + ms(at), REST), None);
        }
        assert!(settle.resolve(start + MAX_WAIT, REST).is_some());
    }

    #[test]
    fn a_long_quiet_time_is_awaited() {
        let start = Instant::now();
        let mut settle = Settle::new(ms(5000), MAX_WAIT);
        settle.touch("a".into(), WriteState::Unknown, start);
        settle.touch("a".into(), WriteState::Unknown, start + ms(4000));
        assert_eq!(settle.resolve(start + ms(8999), REST), None);
        assert!(settle.resolve(start + ms(9000), REST).is_some());
    }

    #[test]
    fn a_hollow_file_is_given_one_grace() {
        let (mut settle, start) = settle();
        let hollow = DiskState {
            hollow: true,
            ..REST
        };
        settle.touch("a".into(), WriteState::Unknown, start);
        assert_eq!(settle.resolve(start + QUIET, hollow), None);
        settle.touch("a".into(), WriteState::Unknown, start + ms(120));
        assert_eq!(settle.due(), Some(start + ms(150)), "written at last");
        assert!(settle.resolve(start + ms(150), hollow).is_some());
    }

    #[test]
    fn a_write_is_reported_at_once_or_after_a_part_of_the_quiet_time() {
        let (mut settle, start) = settle();
        settle.touch("a".into(), WriteState::Done, start);
        assert!(settle.take_written(start));
        assert!(!settle.take_written(start), "once");

        let (mut settle, start) = self::settle();
        settle.touch("a".into(), WriteState::Open, start);
        settle.delay_early_notice();
        assert_eq!(settle.due(), Some(start + QUIET), "not written yet");
        settle.touch("a".into(), WriteState::Done, start + ms(2));
        assert_eq!(settle.due(), Some(start + ms(12)));
        assert!(!settle.take_written(start + ms(11)));
        settle.touch("b".into(), WriteState::Done, start + ms(11));
        assert!(!settle.take_written(start + ms(20)));
        assert!(settle.take_written(start + ms(21)));
        assert_eq!(settle.due(), Some(start + ms(41)), "the end of the save");
        assert_eq!(settle.resolve(start + ms(40), REST), None);
        assert!(settle.resolve(start + ms(41), REST).is_some());
    }

    #[test]
    fn a_git_command_holds_the_batch_while_it_touches_files_and_for_a_bounded_time() {
        let locked = DiskState {
            locked: true,
            ..REST
        };
        for (touched_for, held) in [
            (Duration::ZERO, LOCK_HOLD),
            (ms(20_000), ms(20_000) + LOCK_HOLD),
            (ms(100_000), LONGEST_LOCK_HOLD),
        ] {
            let (mut settle, start) = settle();
            let (mut now, mut touched) = (start, start);
            settle.touch("a".into(), WriteState::Unknown, start);
            while settle.resolve(now, locked).is_none() {
                if now > touched + ms(500) && now <= start + touched_for {
                    settle.touch("a".into(), WriteState::Unknown, now);
                    touched = now;
                }
                now = settle.due().expect("held, not lost");
            }
            let until = start + held;
            assert!(now <= until + QUIET && now + ms(1000) >= until, "{held:?}");
        }
    }

    proptest! {
        /// For any touches and scenes: every path is released, once per batch, in bounded time.
        #[test]
        fn every_touch_comes_out(steps in prop::collection::vec((0u8..4, 0u64..400, any::<bool>(), any::<bool>()), 1..80)) {
            let (mut settle, mut now) = settle();
            let mut outstanding = BTreeSet::new();
            let mut began = now;
            let bound = LONGEST_LOCK_HOLD + MAX_WAIT + HOLLOW_GRACE + QUIET;
            for (name, pause, locked, hollow) in steps {
                let end = now + ms(pause);
                while let Some(due) = settle.due().filter(|due| *due <= end) {
                    prop_assert!(due <= began + bound);
                    if let Some(settled) = settle.resolve(due, DiskState { locked, hollow }) {
                        prop_assert_eq!(settled.paths, std::mem::take(&mut outstanding));
                    }
                }
                now = end;
                let path = PathBuf::from(name.to_string());
                let begins = settle.touch(path.clone(), WriteState::Unknown, now);
                prop_assert_eq!(begins, outstanding.is_empty());
                if begins { began = now; }
                outstanding.insert(path);
            }
        }
    }
}
