//! When is a save over? Pure: time and what the disk looks like are arguments.
//!
//! Touched paths are gathered until nothing was touched for the quiet time, or until the longest
//! wait has passed since the first touch. Then the batch is handed out, unless a git command is at
//! work or a known file is empty or absent for the moment, which is how many saves begin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::source::Writing;

/// A batch that left known files empty or absent waits this much longer, once: a tool that
/// truncates or deletes first and writes afterwards needs a moment.
const HOLLOW_GRACE: Duration = Duration::from_millis(150);
/// Files that one command saves follow each other within this part of the quiet time.
const CALM: u32 = 3;
/// A git command (its `index.lock`) holds a batch at most this long.
pub(super) const LOCK_HOLD: Duration = Duration::from_secs(5);

/// What the disk looks like at the moment a batch is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Scene {
    /// A git command is rewriting the work tree.
    pub(super) locked: bool,
    /// A touched file that had content is empty or absent.
    pub(super) hollow: bool,
}

/// A batch that came to rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) paths: BTreeSet<PathBuf>,
    /// A git command held it: events may still be on their way, so look at the whole tree.
    pub(super) was_locked: bool,
}

/// How far it is to tell of a batch before it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Early {
    /// No file was written since that was last asked.
    Nothing,
    Written,
    /// It was told what the batch had changed.
    Told,
}

#[derive(Debug, Clone)]
struct Batch {
    paths: BTreeSet<PathBuf>,
    /// Those that are being written.
    open: BTreeSet<PathBuf>,
    early: Early,
    first: Instant,
    last: Instant,
    /// It is told of early only when nothing was touched for so long.
    calm: Duration,
    due: Instant,
    grace_used: bool,
    was_locked: bool,
}

impl Batch {
    /// When its files count as written, if they are and it was not told.
    fn written(&self) -> Option<Instant> {
        let is_written = self.early == Early::Written && self.open.is_empty();
        is_written.then(|| self.last + self.calm)
    }
}

/// The settle stage of one tree.
#[derive(Debug, Clone)]
pub(super) struct Settle {
    quiet: Duration,
    max_wait: Duration,
    batch: Option<Batch>,
}

impl Settle {
    pub(super) fn new(quiet: Duration, max_wait: Duration) -> Self {
        Self {
            quiet,
            max_wait,
            batch: None,
        }
    }

    /// Notes a touched path; true when it begins a batch.
    pub(super) fn touch(&mut self, path: PathBuf, writing: Writing, now: Instant) -> bool {
        let begins = self.batch.is_none();
        let batch = self.batch.get_or_insert_with(|| Batch {
            paths: BTreeSet::new(),
            open: BTreeSet::new(),
            early: Early::Nothing,
            first: now,
            last: now,
            calm: Duration::ZERO,
            due: now,
            grace_used: false,
            was_locked: false,
        });
        match writing {
            Writing::Open => drop(batch.open.insert(path.clone())),
            Writing::Done => {
                batch.open.remove(&path);
                if batch.early != Early::Told {
                    batch.early = Early::Written;
                }
            }
            Writing::Unknown => {}
        }
        batch.paths.insert(path);
        batch.last = now;
        let latest = batch.first + self.max_wait;
        // A batch held beyond the longest wait keeps the time its holder gave it.
        batch.due = (now + self.quiet).min(latest.max(batch.due));
        begins
    }

    /// A git command is at work: what it does may be told of later than it is done.
    pub(super) fn note_lock(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.was_locked = true;
        }
    }

    /// A start before the save is over costs much if it was too early: part of the quiet time must have passed.
    pub(super) fn await_calm(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.calm = self.quiet / CALM;
        }
    }

    /// Whether files were written since this was last asked and none is being written, unless it was
    /// [told](Self::note_told) already.
    pub(super) fn take_written(&mut self, now: Instant) -> bool {
        let Some(batch) = &mut self.batch else {
            return false;
        };
        let is_written = batch.written().is_some_and(|at| at <= now);
        if is_written {
            batch.early = Early::Nothing;
        }
        is_written
    }

    /// What the batch has changed so far was told.
    pub(super) fn note_told(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.early = Early::Told;
        }
    }

    /// When to call [`Settle::take_written`] or [`Settle::resolve`].
    pub(super) fn due(&self) -> Option<Instant> {
        let batch = self.batch.as_ref()?;
        batch.written().into_iter().chain([batch.due]).min()
    }

    /// The paths touched so far.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.batch
            .iter()
            .flat_map(|batch| batch.paths.iter().map(PathBuf::as_path))
    }

    /// Hands out the batch if it is over, else says through [`Settle::due`] when to ask again.
    pub(super) fn resolve(&mut self, now: Instant, scene: Scene) -> Option<Settled> {
        let batch = self.batch.as_mut()?;
        if now < batch.due {
            return None;
        }
        if scene.locked && now < batch.first + LOCK_HOLD {
            batch.was_locked = true;
            batch.due = now + self.quiet;
            return None;
        }
        if scene.hollow && !batch.grace_used {
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
    const REST: Scene = Scene {
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
        assert!(settle.touch("a".into(), Writing::Unknown, start));
        assert!(!settle.touch("b".into(), Writing::Unknown, start + ms(20)));
        assert_eq!(settle.resolve(start + ms(49), REST), None);
        let settled = settle.resolve(start + ms(50), REST).expect("due");
        assert_eq!(settled.paths, ["a".into(), "b".into()].into());
        assert_eq!(settle.due(), None);
        assert!(
            settle.touch("a".into(), Writing::Unknown, start + ms(60)),
            "a new batch"
        );
    }

    #[test]
    fn steady_writing_is_cut_at_the_longest_wait() {
        let (mut settle, start) = settle();
        for at in (0..1000).step_by(10) {
            settle.touch("a".into(), Writing::Unknown, start + ms(at));
            assert_eq!(settle.resolve(start + ms(at), REST), None);
        }
        assert!(settle.resolve(start + MAX_WAIT, REST).is_some());
    }

    #[test]
    fn a_hollow_file_is_given_one_grace() {
        let (mut settle, start) = settle();
        let hollow = Scene {
            hollow: true,
            ..REST
        };
        settle.touch("a".into(), Writing::Unknown, start);
        assert_eq!(settle.resolve(start + QUIET, hollow), None);
        settle.touch("a".into(), Writing::Unknown, start + ms(120));
        assert_eq!(settle.due(), Some(start + ms(150)), "written at last");
        assert!(settle.resolve(start + ms(150), hollow).is_some());
    }

    #[test]
    fn what_is_written_is_told_at_once_or_after_a_part_of_the_quiet_time() {
        let (mut settle, start) = settle();
        settle.touch("a".into(), Writing::Done, start);
        assert!(settle.take_written(start));
        assert!(!settle.take_written(start), "once");

        let (mut settle, start) = self::settle();
        settle.touch("a".into(), Writing::Open, start);
        settle.await_calm();
        assert_eq!(settle.due(), Some(start + QUIET), "not written yet");
        settle.touch("a".into(), Writing::Done, start + ms(2));
        assert_eq!(settle.due(), Some(start + ms(12)));
        assert!(!settle.take_written(start + ms(11)));
        settle.touch("b".into(), Writing::Done, start + ms(11));
        assert!(!settle.take_written(start + ms(20)));
        assert!(settle.take_written(start + ms(21)));
        assert_eq!(settle.due(), Some(start + ms(41)), "the end of the save");
        assert_eq!(settle.resolve(start + ms(40), REST), None);
        assert!(settle.resolve(start + ms(41), REST).is_some());
    }

    #[test]
    fn a_git_command_holds_the_batch_for_a_bounded_time() {
        let (mut settle, start) = settle();
        let locked = Scene {
            locked: true,
            ..REST
        };
        settle.touch("a".into(), Writing::Unknown, start);
        let mut now = start;
        while settle.resolve(now, locked).is_none() {
            now = settle.due().expect("held, not lost");
            assert!(now <= start + LOCK_HOLD + QUIET);
        }
        assert!(now >= start + LOCK_HOLD);
    }

    proptest! {
        /// Whatever the touches and scenes: every path comes out, once per batch, in bounded time.
        #[test]
        fn every_touch_comes_out(steps in prop::collection::vec((0u8..4, 0u64..400, any::<bool>(), any::<bool>()), 1..80)) {
            let (mut settle, mut now) = settle();
            let mut outstanding = BTreeSet::new();
            let mut began = now;
            let bound = LOCK_HOLD + MAX_WAIT + HOLLOW_GRACE + QUIET;
            for (name, pause, locked, hollow) in steps {
                let end = now + ms(pause);
                while let Some(due) = settle.due().filter(|due| *due <= end) {
                    prop_assert!(due <= began + bound);
                    if let Some(settled) = settle.resolve(due, Scene { locked, hollow }) {
                        prop_assert_eq!(settled.paths, std::mem::take(&mut outstanding));
                    }
                }
                now = end;
                let path = PathBuf::from(name.to_string());
                let begins = settle.touch(path.clone(), Writing::Unknown, now);
                prop_assert_eq!(begins, outstanding.is_empty());
                if begins { began = now; }
                outstanding.insert(path);
            }
        }
    }
}
