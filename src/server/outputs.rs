//! Learns which files a build writes, to tell its changes from the user's saves. The system does not say who wrote a
//! file, but a build that is run again writes the same files again. Pure: time is an argument.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::file_time::TICK;

/// A file that changes in this many runs in a row is written by the build.
const RUNS: u32 = 3;
/// The number of runs for a file that the user edits: it was seen to change while no build ran.
const RUNS_OF_EDITED: u32 = 4;
/// A save during a run cancels it, unless this many runs in a row were already begun for such a change: then the build
/// itself may make it.
const MOST_CANCELLED: u32 = 1;
/// The same number for a file that the user edits.
const MOST_CANCELLED_FOR_EDITED: u32 = 3;
/// A run that takes longer may hang: any change that the build is not known to make cancels it.
const LONG: Duration = Duration::from_secs(60);
/// The user is told of a loop after this many runs that were each begun for a change during the run before.
const MANY: u32 = 2;
/// The number of runs in between whose changes may go unreported: short runs follow each other faster than changes are
/// reported.
const MOST_UNHEARD: u64 = 2;
/// The number of runs that are remembered: a change is reported before this many further runs have ended.
const KEPT: usize = 4;

/// Who changed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The build: what it started from is still what is there.
    Build,
    /// The user or the build. One more run will tell; the current one is not cancelled.
    Unclear,
    /// The user, as far as anybody can tell.
    User,
}

/// A file that was found to have changed, as it is now.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    /// When it was changed last; nothing if it is gone.
    pub(super) time: Option<SystemTime>,
    /// It is empty now: its writer may be about to fill it.
    pub(super) is_empty: bool,
}

/// A run of the build, complete or cancelled.
#[derive(Debug)]
struct Run {
    number: u64,
    began: SystemTime,
    ended: Option<SystemTime>,
}

impl Run {
    /// Whether a file with this time was changed during the run. A deleted file has no time.
    fn covers(&self, changed: Option<SystemTime>) -> bool {
        match (changed, self.ended) {
            (Some(changed), Some(ended)) => changed + TICK >= self.began && changed <= ended,
            (Some(changed), None) => changed + TICK >= self.began,
            (None, ended) => ended.is_none(),
        }
    }

    fn lasts_long_at(&self, time: Option<SystemTime>) -> bool {
        time.is_some_and(|time| time > self.began + LONG)
    }
}

/// How a file changed in the runs so far.
#[derive(Debug, Default)]
struct Row {
    /// The last run in which it changed.
    run: u64,
    /// How often in that run.
    times: u32,
    /// How often in each of the runs before.
    usual: u32,
    /// The number of runs in a row in which it changed.
    runs: u32,
    /// Its time when that was last counted, and whether the build was known to have written it.
    last: Option<(SystemTime, bool)>,
}

/// What is known of one build command.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// The last runs, the newest first.
    all: VecDeque<Run>,
    /// The number of the newest run. A run that replaces a cancelled one has the same number.
    run: u64,
    /// The last run was cancelled.
    is_cancelled: bool,
    /// Runs in a row that followed a run in which a file changed that the build is not known to write.
    repeated: u32,
    rows: HashMap<PathBuf, Row>,
    /// Files that were seen to change while no build ran.
    edited: HashSet<PathBuf>,
    /// The last changed file that might be the user's or the build's.
    unclear: Option<PathBuf>,
}

impl Outputs {
    /// The build begins to run, at least [`TICK`] after the last one.
    pub(super) fn began(&mut self, now: SystemTime) {
        let mut last = self.rows.iter().filter(|(_, row)| row.run == self.run);
        let is_repeated = last.any(|(path, _)| !self.is_known(path));
        self.repeated = if is_repeated { self.repeated + 1 } else { 0 };
        if !self.is_cancelled {
            self.run += 1;
        }
        for row in self.rows.values_mut().filter(|row| row.run == self.run) {
            // A cancelled run is made anew.
            row.times = 0;
        }
        self.all.truncate(KEPT - 1);
        self.all.push_front(Run {
            number: self.run,
            began: now,
            ended: None,
        });
    }

    /// It has ended, or was cancelled.
    pub(super) fn ended(&mut self, now: SystemTime, is_complete: bool) {
        if let Some(run) = self.all.front_mut() {
            run.ended = Some(now);
        }
        self.is_cancelled = !is_complete;
    }

    /// When the last run ended, if it has.
    pub(super) fn last_end(&self) -> Option<SystemTime> {
        self.all.front()?.ended
    }

    /// Returns who made these changes.
    pub(super) fn changed(&mut self, changes: Vec<Change>) -> Origin {
        let mut origin = Origin::Build;
        for change in changes {
            origin = origin.max(self.origin(change));
        }
        origin
    }

    fn origin(&mut self, change: Change) -> Origin {
        let Change {
            path,
            time,
            is_empty,
        } = change;
        let Some(run) = self.all.iter().find(|run| run.covers(time)) else {
            self.edited.insert(path);
            return Origin::User;
        };
        let (number, is_long) = (run.number, run.lasts_long_at(time));
        let is_begun = is_empty && run.ended.is_none();
        let is_expected = if is_begun {
            // The change is counted when the file is filled.
            self.is_known(&path)
        } else {
            self.is_expected(&path, number, time)
        };
        if is_expected {
            return Origin::Build;
        }
        let most = if self.edited.contains(&path) {
            MOST_CANCELLED_FOR_EDITED
        } else {
            MOST_CANCELLED
        };
        self.unclear = Some(path);
        if self.repeated < most || is_long {
            Origin::User
        } else {
            Origin::Unclear
        }
    }

    /// The file that has changed in each of several runs, if the build is run again and again for it.
    pub(super) fn endless(&self) -> Option<&Path> {
        let path = self.unclear.as_deref();
        path.filter(|_| self.repeated >= MANY)
    }

    fn is_known(&self, path: &Path) -> bool {
        let row = self.rows.get(path);
        row.is_some_and(|row| row.runs >= self.enough(path))
    }

    fn enough(&self, path: &Path) -> u32 {
        if self.edited.contains(path) {
            RUNS_OF_EDITED
        } else {
            RUNS
        }
    }

    /// Counts a change in a run; whether the build is known to make it.
    fn is_expected(&mut self, path: &Path, run: u64, time: Option<SystemTime>) -> bool {
        let enough = self.enough(path);
        let is_edited = enough == RUNS_OF_EDITED;
        let row = self.rows.entry(path.to_owned()).or_default();
        if let (Some(time), Some((last, verdict))) = (time, row.last)
            && time == last
        {
            // Another session's server has the same build and was told first.
            return verdict;
        }
        if row.run < run {
            let is_known = row.runs >= enough;
            let unheard = if is_edited { 0 } else { MOST_UNHEARD };
            let is_next = run - row.run <= 1 + unheard || is_known && !is_edited;
            // Somebody who saves at times changes it now once in a run and now twice.
            let is_steady = row.runs < 2 || row.times == row.usual || is_known;
            row.usual = if is_known {
                row.usual.max(row.times)
            } else {
                row.times
            };
            (row.run, row.times) = (run, 0);
            row.runs = if is_next && is_steady {
                row.runs + 1
            } else {
                1
            };
        }
        row.times += 1;
        let verdict = row.runs >= enough && row.times <= row.usual;
        row.last = time.map(|time| (time, verdict));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A build and the clock.
    struct Site {
        outputs: Outputs,
        now: SystemTime,
    }

    impl Site {
        fn new() -> Self {
            Self {
                outputs: Outputs::default(),
                now: SystemTime::UNIX_EPOCH,
            }
        }

        fn wait(&mut self) {
            self.now += Duration::from_secs(1);
        }

        fn begin(&mut self) {
            self.wait();
            self.outputs.began(self.now);
        }

        fn end(&mut self, is_complete: bool) {
            self.wait();
            self.outputs.ended(self.now, is_complete);
        }

        fn change(&mut self, file: &str) -> Origin {
            self.wait();
            self.outputs.changed(vec![changed(file, self.now)])
        }

        /// Runs the build as long as its changes ask for it. Gives how many runs that takes, at most 20, cancelled ones
        /// included.
        fn runs(&mut self, changes: impl Fn(usize) -> Vec<String>) -> usize {
            for run in 0..20 {
                self.begin();
                let mut last = Origin::Build;
                for file in changes(run) {
                    last = last.max(self.change(&file));
                    if last == Origin::User {
                        break;
                    }
                }
                self.end(last != Origin::User);
                if last == Origin::Build {
                    return run + 1;
                }
            }
            20
        }
    }

    fn changed(file: &str, time: SystemTime) -> Change {
        Change {
            path: file.into(),
            time: Some(time),
            is_empty: false,
        }
    }

    fn files(files: &[&str]) -> Vec<String> {
        files.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stamp_is_learned_once() {
        let mut site = Site::new();
        let stamp = |_| files(&["version.py"]);
        assert_eq!(site.runs(stamp), 4);
        assert_eq!(site.change("main.py"), Origin::User);
        assert_eq!(site.runs(stamp), 1);
        assert_eq!(site.runs(|_| vec![]), 1);
        assert_eq!(site.runs(stamp), 1);
    }

    /// A shell empties a file, and starts what writes it only then.
    #[test]
    fn a_stamp_that_is_seen_half_written_counts_once() {
        let mut site = Site::new();
        site.runs(|_| files(&["stamp"]));
        site.begin();
        site.wait();
        let emptied = Change {
            is_empty: true,
            ..changed("stamp", site.now)
        };
        assert_eq!(site.outputs.changed(vec![emptied]), Origin::Build);
        assert_eq!(site.change("stamp"), Origin::Build);
        assert_ne!(site.change("stamp"), Origin::Build);
    }

    #[test]
    fn several_files_one_after_another_are_learned_together() {
        let mut site = Site::new();
        let stamps = |_| files(&["a", "b", "c", "b"]);
        assert!(site.runs(stamps) <= 5);
        assert_eq!(site.runs(stamps), 1);
    }

    #[test]
    fn a_file_that_changes_only_in_the_first_run_is_formatted() {
        let mut site = Site::new();
        site.change("main.py");
        let format = |run| {
            if run == 0 {
                files(&["main.py"])
            } else {
                vec![]
            }
        };
        assert_eq!(site.runs(format), 2);
        site.change("main.py");
        assert_eq!(site.runs(format), 2);
    }

    #[test]
    fn saves_of_an_edited_file_cancel_the_run() {
        let mut site = Site::new();
        site.change("main.py");
        for _ in 0..3 {
            site.begin();
            assert_eq!(site.change("main.py"), Origin::User);
            site.end(false);
        }
        site.begin();
        assert_eq!(site.change("main.py"), Origin::Unclear);
        site.end(true);
        site.begin();
        site.end(true);
        site.begin();
        assert_eq!(site.change("main.py"), Origin::User);
    }

    #[test]
    fn a_stamp_in_the_edited_file_is_learned() {
        let mut site = Site::new();
        site.change("main.py");
        let stamp = |_| files(&["main.py"]);
        assert!(site.runs(stamp) < 20);
        site.change("main.py");
        assert_eq!(site.runs(stamp), 1);
    }

    #[test]
    fn a_save_of_what_the_build_writes_is_one_change_too_many() {
        let mut site = Site::new();
        let stamp = |_| files(&["main.py"]);
        site.runs(stamp);
        site.begin();
        assert_eq!(site.change("main.py"), Origin::Build);
        assert_ne!(site.change("main.py"), Origin::Build);
    }

    #[test]
    fn irregular_saves_during_each_run_are_never_the_build_s() {
        for edited_before in [true, false] {
            let mut site = Site::new();
            if edited_before {
                site.change("main.py");
            }
            let saves = |run| vec!["main.py".to_owned(); [1, 3, 2][run % 3]];
            assert_eq!(site.runs(saves), 20);
        }
    }

    #[test]
    fn another_file_each_time_is_told() {
        let mut site = Site::new();
        assert_eq!(site.runs(|run| vec![format!("gen{run}.py")]), 20);
        assert_eq!(site.outputs.endless(), Some(Path::new("gen19.py")));
    }

    #[test]
    fn the_time_of_a_file_tells_in_which_run_it_changed() {
        let mut site = Site::new();
        site.begin();
        let within = site.now;
        site.end(true);
        let between = site.now + Duration::from_millis(500);
        site.begin();
        site.outputs.changed(vec![changed("a", within)]);
        assert!(site.outputs.edited.is_empty());
        site.outputs.changed(vec![changed("a", between)]);
        assert!(!site.outputs.edited.is_empty());
    }

    #[test]
    fn a_change_that_several_servers_are_told_of_counts_once() {
        let mut site = Site::new();
        for origin in [
            Origin::User,
            Origin::Unclear,
            Origin::Unclear,
            Origin::Build,
        ] {
            site.begin();
            assert_eq!(site.change("stamp"), origin);
            let again = vec![changed("stamp", site.now)];
            assert_eq!(site.outputs.changed(again), origin);
            site.end(origin != Origin::User);
        }
    }
}
