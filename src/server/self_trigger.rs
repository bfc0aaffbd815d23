//! Detects files that the server or its build writes itself: files that change after each start, or during calls. A
//! server that writes watched files is restarted again and again, without a visible reason for the user. Pure: time is
//! an argument.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time after a start within which the start itself may have caused a change.
const SOON: Duration = Duration::from_secs(2);
/// Number of consecutive starts followed by such a change that cannot be a coincidence.
const MAX_STARTS: u32 = 5;
/// Time after a start from which on a change has another cause.
const LATE: Duration = Duration::from_secs(10);

/// Number of calls during which, and at no other time, a file must change to count as written by the server.
const MAX_CALLS: u32 = 3;

/// File that the user should be warned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SelfTrigger {
    /// The file changes after each start.
    OfStarts(PathBuf),
    /// The file changes during calls.
    OfCalls(PathBuf),
}

/// Moment of the first touch of a save.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum TouchMoment {
    /// A call is in flight, or has just been answered.
    DuringCall,
    /// A call was answered so shortly before that it may have touched the file, if the touch is reported late.
    AfterCall,
    #[default]
    BetweenCalls,
}

/// Number of consecutive changes of files right after a start, and during calls. A file that has changed at any other
/// time has another author, and a warning would lead that author to exclude a source.
#[derive(Debug, Default)]
pub(super) struct SelfTriggerDetector {
    started: Option<Instant>,
    after_starts: HashMap<PathBuf, u32>,
    /// Files that have changed long after a start.
    late: HashSet<PathBuf>,
    last_touch: TouchMoment,
    during_calls: HashMap<PathBuf, u32>,
    /// Files that have changed while no call was in flight.
    between_calls: HashSet<PathBuf>,
}

impl SelfTriggerDetector {
    /// Records the start of the build or the server.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Records the first touch of a save.
    pub(super) fn touched(&mut self, moment: TouchMoment) {
        self.last_touch = moment;
    }

    /// Records a change of these files, by the save last touched. Returns the file that the user should be warned of,
    /// once for each series of changes.
    pub(super) fn changed(&mut self, paths: &[PathBuf], now: Instant) -> Option<SelfTrigger> {
        let of_calls = self.changed_by_calls(paths);
        let of_starts = self.changed_by_starts(paths, now);
        of_calls
            .map(SelfTrigger::OfCalls)
            .or(of_starts.map(SelfTrigger::OfStarts))
    }

    fn changed_by_calls(&mut self, paths: &[PathBuf]) -> Option<PathBuf> {
        match self.last_touch {
            TouchMoment::DuringCall => {}
            TouchMoment::AfterCall => return None,
            TouchMoment::BetweenCalls => {
                self.between_calls.extend(paths.iter().cloned());
                return None;
            }
        }
        let mut found = None;
        for path in paths {
            if self.between_calls.contains(path) {
                continue;
            }
            let count = self.during_calls.entry(path.clone()).or_default();
            *count += 1;
            if *count == MAX_CALLS {
                found = Some(path.clone());
            }
        }
        found
    }

    fn changed_by_starts(&mut self, paths: &[PathBuf], now: Instant) -> Option<PathBuf> {
        let after = self.started.map(|started| now.duration_since(started));
        if after.is_some_and(|after| after >= LATE) {
            self.late.extend(paths.iter().cloned());
        }
        self.started = None;
        if after.is_none_or(|after| after >= SOON) {
            self.after_starts.clear();
            return None;
        }
        let before = std::mem::take(&mut self.after_starts);
        let count = |path: &PathBuf| before.get(path).map_or(1, |count| count + 1);
        self.after_starts = paths
            .iter()
            .map(|path| (path.clone(), count(path)))
            .collect();
        let is_found = |path: &&PathBuf| {
            self.after_starts.get(*path) == Some(&MAX_STARTS) && !self.late.contains(*path)
        };
        paths.iter().find(is_found).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::TouchMoment::{AfterCall, BetweenCalls, DuringCall};
    use super::*;

    /// Returns the warning, if any, for each change; each duration is the time between a start and the change.
    fn told(changes: &[(&[&str], Duration)]) -> Vec<Option<SelfTrigger>> {
        let mut detector = SelfTriggerDetector::default();
        let mut now = Instant::now();
        let change = |(paths, after): &(&[&str], Duration)| {
            detector.started(now);
            now += *after;
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            detector.changed(&paths, now)
        };
        changes.iter().map(change).collect()
    }

    #[test]
    fn the_fifth_change_in_a_row_is_told_once() {
        let after = Duration::from_millis(300);
        let change: (&[&str], Duration) = (&["gen.json"], after);
        let told = told(&[change; 12]);
        let some: Vec<usize> = (0..12).filter(|&at| told[at].is_some()).collect();
        assert_eq!(some, [4]);
        assert_eq!(told[4], Some(SelfTrigger::OfStarts("gen.json".into())));
    }

    #[test]
    fn a_file_that_changes_during_calls_alone_is_told_at_any_pace() {
        let mut detector = SelfTriggerDetector::default();
        let mut now = Instant::now();
        let mut change = |path: &str, moment| {
            now += Duration::from_secs(60);
            detector.touched(moment);
            detector.changed(&[path.into()], now)
        };
        for _ in 0..2 {
            assert_eq!(change("notes.js", DuringCall), None);
            // A busy machine reports it late.
            assert_eq!(change("notes.js", AfterCall), None);
        }
        assert_eq!(change("server.js", BetweenCalls), None);
        let told = Some(SelfTrigger::OfCalls("notes.js".into()));
        assert_eq!(change("notes.js", DuringCall), told);
        assert_eq!(change("notes.js", DuringCall), None);
        for _ in 0..5 {
            assert_eq!(
                change("server.js", DuringCall),
                None,
                "the user saves it, too"
            );
        }
    }

    #[test]
    fn a_late_change_or_another_file_ends_the_row() {
        let (soon, late) = (Duration::from_millis(300), Duration::from_secs(3));
        let mut changes: Vec<(&[&str], Duration)> = vec![(&["a"], soon); 4];
        changes.push((&["a"], late));
        changes.extend([(&["a"] as &[&str], soon); 4]);
        changes.push((&["b"], soon));
        changes.extend([(&["a"] as &[&str], soon); 4]);
        assert_eq!(told(&changes), vec![None; changes.len()]);
    }

    /// A rebase changes a source faster than its server starts.
    #[test]
    fn a_file_that_has_changed_long_after_a_start_is_a_source() {
        let (soon, long) = (Duration::from_millis(300), Duration::from_secs(60));
        let mut changes: Vec<(&[&str], Duration)> = vec![(&["server.py"], long)];
        changes.extend([(&["server.py"] as &[&str], soon); 8]);
        assert_eq!(told(&changes), vec![None; changes.len()]);
    }

    #[test]
    fn the_file_is_told_from_those_that_change_beside_it() {
        let soon = Duration::from_millis(300);
        let changes: [(&[&str], Duration); 5] = [
            (&["a", "gen"], soon),
            (&["gen"], soon),
            (&["b", "gen"], soon),
            (&["gen"], soon),
            (&["a", "gen"], soon),
        ];
        assert_eq!(told(&changes)[4], Some(SelfTrigger::OfStarts("gen".into())));
    }
}
