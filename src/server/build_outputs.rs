//! Learns which files a build writes, to distinguish the changes of the build from saves by the user. The system does
//! not report who wrote a file, but repeated runs of a build write the same files. Pure: time is an argument.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::file_time::TICK;

/// Number of consecutive runs in which a file must change to count as an output of the build.
const RUNS_TO_LEARN: u32 = 3;
/// The same number for a file that the user edits, as a change without a running build has shown.
const RUNS_TO_LEARN_EDITED: u32 = 4;
/// A save during a run cancels it, unless this many consecutive runs were already started for such a change: then the
/// build itself may make the change.
const MAX_CANCELLED: u32 = 1;
/// The same number for a file that the user edits.
const MAX_CANCELLED_EDITED: u32 = 3;
/// Duration from which on a run may hang: then any change except a known output cancels it.
const LONG_RUN: Duration = Duration::from_secs(60);
/// Number of consecutive runs, each started for a change during the run before, after which the user is told of a loop.
const LOOP_RUNS: u32 = 2;
/// Number of runs in between whose changes may be missing: short runs follow each other faster than changes are
/// reported.
const MAX_UNREPORTED: u64 = 2;
/// Number of remembered runs: a change is reported before this many further runs have ended.
const REMEMBERED_RUNS: usize = 4;

/// Author of file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeAuthor {
    /// The build. The sources that it read are unchanged.
    Build,
    /// The user or the build. Another run is needed to decide; the current run is not cancelled.
    Unclear,
    /// The user, as far as the proxy can tell.
    User,
}

/// Changed file in its current state.
#[derive(Debug)]
pub(super) struct FileChange {
    pub(super) path: PathBuf,
    /// Time of the last change; `None` if the file was deleted.
    pub(super) time: Option<SystemTime>,
    /// True if the file is empty, so that its writer may be about to fill it.
    pub(super) is_empty: bool,
    /// Time at which the file was looked at. Its author may be asked for much later on a busy machine.
    pub(super) looked: SystemTime,
}

/// Run of the build, complete or cancelled.
#[derive(Debug)]
struct BuildRun {
    number: u64,
    began: SystemTime,
    ended: Option<SystemTime>,
}

impl BuildRun {
    /// Returns true if a file with this time was changed during the run. A deleted file has no time.
    fn covers(&self, changed: Option<SystemTime>) -> bool {
        match (changed, self.ended) {
            (Some(changed), Some(ended)) => changed + TICK >= self.began && changed <= ended,
            (Some(changed), None) => changed + TICK >= self.began,
            (None, ended) => ended.is_none(),
        }
    }

    fn lasts_long_at(&self, time: Option<SystemTime>) -> bool {
        time.is_some_and(|time| time > self.began + LONG_RUN)
    }
}

/// History of a file's changes in the runs.
#[derive(Debug, Default)]
struct FileHistory {
    /// Last run in which the file changed.
    last_run: u64,
    /// Number of changes in that run.
    changes: u32,
    /// Number of changes in each of the runs before.
    usual_changes: u32,
    /// Number of consecutive runs in which the file changed.
    run_count: u32,
    /// Time of the file when a change was last counted, and whether the change was attributed to the build.
    last_change: Option<(SystemTime, bool)>,
}

/// Knowledge about one build command.
#[derive(Debug, Default)]
pub(super) struct BuildOutputs {
    /// Last runs, the newest first.
    recent_runs: VecDeque<BuildRun>,
    /// Number of the newest run. A run that replaces a cancelled one has the same number.
    run_number: u64,
    /// True if the last run was cancelled.
    is_cancelled: bool,
    /// Number of consecutive runs that followed a run in which a file changed that is no known output.
    repeated: u32,
    histories: HashMap<PathBuf, FileHistory>,
    /// Files that changed while no build ran, with the time at which such a change was last looked at.
    edited: HashMap<PathBuf, SystemTime>,
    /// Last changed file whose author is the user or the build.
    unclear: Option<PathBuf>,
}

impl BuildOutputs {
    /// Records the start of a run, at least [`TICK`] after the end of the last one.
    pub(super) fn record_start(&mut self, now: SystemTime) {
        let run = self.run_number;
        let mut last = self.histories.iter().filter(|(_, row)| row.last_run == run);
        let is_repeated = last.any(|(path, _)| !self.is_known(path));
        self.repeated = if is_repeated { self.repeated + 1 } else { 0 };
        if !self.is_cancelled {
            self.run_number += 1;
        }
        let run = self.run_number;
        for row in self.histories.values_mut().filter(|it| it.last_run == run) {
            // A cancelled run is repeated.
            row.changes = 0;
        }
        self.recent_runs.truncate(REMEMBERED_RUNS - 1);
        self.recent_runs.push_front(BuildRun {
            number: self.run_number,
            began: now,
            ended: None,
        });
    }

    /// Records the end of the run; `is_complete` is false if it was cancelled.
    pub(super) fn record_end(&mut self, now: SystemTime, is_complete: bool) {
        if let Some(run) = self.recent_runs.front_mut() {
            run.ended = Some(now);
        }
        self.is_cancelled = !is_complete;
    }

    /// Returns the end of the last run, if it has ended.
    pub(super) fn last_end(&self) -> Option<SystemTime> {
        self.recent_runs.front()?.ended
    }

    /// Returns the author of these changes, for a server that last asked for a build at the time `asked`.
    pub(super) fn author_of(
        &mut self,
        changes: Vec<FileChange>,
        asked: SystemTime,
    ) -> ChangeAuthor {
        let mut author = ChangeAuthor::Build;
        for change in changes {
            author = author.max(self.author_of_change(change, asked));
        }
        author
    }

    fn author_of_change(&mut self, change: FileChange, asked: SystemTime) -> ChangeAuthor {
        let FileChange {
            path,
            time,
            is_empty,
            looked,
        } = change;
        if self.edited.get(&path).is_some_and(|edit| *edit > asked) {
            // The build of another server may have written the file since, but this server does not run the edit.
            return ChangeAuthor::User;
        }
        let run = self.recent_runs.iter().position(|run| run.covers(time));
        let is_long = run.is_some_and(|at| self.recent_runs[at].lasts_long_at(time));
        let is_expected = match (self.counted(&path, time, looked), run) {
            (Some(is_by_build), _) => is_by_build,
            (None, Some(at)) if self.is_to_come(at, is_empty, looked) => self.is_known(&path),
            (None, Some(at)) => self.is_expected(&path, self.recent_runs[at].number, time),
            (None, None) => {
                self.edited.insert(path, looked);
                return ChangeAuthor::User;
            }
        };
        if is_expected {
            return ChangeAuthor::Build;
        }
        let max_cancelled = if self.edited.contains_key(&path) {
            MAX_CANCELLED_EDITED
        } else {
            MAX_CANCELLED
        };
        self.unclear = Some(path);
        if self.repeated < max_cancelled || is_long {
            ChangeAuthor::User
        } else {
            ChangeAuthor::Unclear
        }
    }

    /// Returns the file that changes in each of several runs, if the build is run again and again for it.
    pub(super) fn looping_file(&self) -> Option<&Path> {
        let path = self.unclear.as_deref();
        path.filter(|_| self.repeated >= LOOP_RUNS)
    }

    fn is_known(&self, path: &Path) -> bool {
        let row = self.histories.get(path);
        row.is_some_and(|row| row.run_count >= self.required_runs(path))
    }

    fn required_runs(&self, path: &Path) -> u32 {
        if self.edited.contains_key(path) {
            RUNS_TO_LEARN_EDITED
        } else {
            RUNS_TO_LEARN
        }
    }

    /// Returns whether a change was attributed to the build, if it was counted before: a server of another session has
    /// the same build and may look at this change, or a later one, first.
    fn counted(&self, path: &Path, time: Option<SystemTime>, looked: SystemTime) -> Option<bool> {
        let (last, is_by_build) = self.histories.get(path)?.last_change?;
        let time = time?;
        // A file that is older than the counted change, and was looked at later, was replaced by a copy.
        let is_counted = time == last || time < last && looked <= last + TICK;
        is_counted.then_some(is_by_build)
    }

    /// Returns true if a change in the run at this position of the recent runs is not the one to count: the file will be
    /// filled, or a run with the same number has replaced the run and changes the file again.
    fn is_to_come(&self, at: usize, is_empty: bool, looked: SystemTime) -> bool {
        let run = &self.recent_runs[at];
        let is_begun = is_empty && run.ended.is_none_or(|ended| looked <= ended);
        is_begun || at > 0 && self.recent_runs[at - 1].number == run.number
    }

    /// Counts a change in a run; returns true if the change is attributed to the build.
    fn is_expected(&mut self, path: &Path, run: u64, time: Option<SystemTime>) -> bool {
        let required_runs = self.required_runs(path);
        let is_edited = required_runs == RUNS_TO_LEARN_EDITED;
        let row = self.histories.entry(path.to_owned()).or_default();
        if row.last_run < run {
            let is_known = row.run_count >= required_runs;
            let unreported = if is_edited { 0 } else { MAX_UNREPORTED };
            let is_next = run - row.last_run <= 1 + unreported || is_known && !is_edited;
            // The number of saves by a user varies from run to run.
            let is_steady = row.run_count < 2 || row.changes == row.usual_changes || is_known;
            row.usual_changes = if is_known {
                row.usual_changes.max(row.changes)
            } else {
                row.changes
            };
            (row.last_run, row.changes) = (run, 0);
            row.run_count = if is_next && is_steady {
                row.run_count + 1
            } else {
                1
            };
        }
        row.changes += 1;
        let is_by_build = row.run_count >= required_runs && row.changes <= row.usual_changes;
        row.last_change = time.map(|time| (time, is_by_build));
        is_by_build
    }
}

#[cfg(test)]
mod tests;
