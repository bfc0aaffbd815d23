//! Saves: changed files start a candidate, before the save is over if possible.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::build_outputs::ChangeAuthor;
use super::super::report::Report;
use super::super::state::{Input, State};
use super::Supervisor;
use crate::event::Event;

/// Time that at least passes between a save and its report, and between a save and the start of a process by a watcher of
/// the server's own.
const NOTICE: Duration = Duration::from_millis(30);

impl Supervisor {
    /// Starts a candidate before the save is over; if that is not possible, stores the files until then.
    pub(super) fn on_saved(&mut self, paths: Vec<PathBuf>) {
        self.note_save();
        if self.machine.may_start_early() {
            self.reload(paths, Input::Saved);
            self.is_started_early = true;
        } else {
            self.saved.extend(paths);
        }
    }

    /// Starts a candidate for changed files, unless the build changed them. No other message is processed meanwhile.
    pub(super) async fn on_changed(&mut self, mut paths: Vec<PathBuf>) {
        self.note_save();
        paths.append(&mut self.saved);
        match self.author_of(&paths).await {
            ChangeAuthor::Build => self.step(Input::Unchanged),
            ChangeAuthor::Unclear if matches!(self.machine.state(), State::Building(_)) => {
                self.build_again = true;
                self.report_changed(&paths);
                self.changed_files.extend(paths);
                self.step(Input::Unchanged);
            }
            ChangeAuthor::Unclear | ChangeAuthor::User => self.reload(paths, Input::Changed),
        }
    }

    /// Starts a candidate for these files; `input` is `Saved` or `Changed`.
    pub(super) fn reload(&mut self, paths: Vec<PathBuf>, input: Input) {
        if self.machine.state() != State::Idle {
            self.report_changed(&paths);
        }
        if !std::mem::take(&mut self.is_started_early) {
            self.check_self_trigger(&paths);
        }
        self.changed_files.extend(paths);
        (self.timed_out_starts, self.package_watch.tries) = (0, 0);
        self.step(input);
    }

    /// Records that the last touch of a save was [`NOTICE`] ago or earlier.
    fn note_save(&mut self) {
        let touched = Instant::now().checked_sub(NOTICE);
        self.touched = self.touched.max(touched);
    }

    pub(super) fn report_changed(&self, paths: &[PathBuf]) {
        self.context.resources.events.send(Event::Changed {
            server: self.name(),
            paths: paths.to_vec(),
        });
    }

    /// Returns true if the report is about a candidate that was started early and may not run the saved code.
    pub(super) fn is_early(&self, report: &Report) -> bool {
        let number = match report {
            Report::Proved(proof) => proof.running.connection.generation,
            Report::Failed(failure) => failure.generation,
            _ => return false,
        };
        self.is_started_early && self.machine.is_starting(number) && self.machine.is_suspect()
    }
}
