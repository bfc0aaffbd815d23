//! Saves: changed files start a candidate, before the save is over if possible.

use std::path::PathBuf;

use super::super::build_outputs::ChangeAuthor;
use super::super::report::Report;
use super::super::state::{Input, State};
use super::Supervisor;
use crate::event::Event;

impl Supervisor {
    /// Starts a candidate before the save is over; if that is not possible, stores the files until then.
    pub(super) fn on_saved(&mut self, paths: Vec<PathBuf>) {
        if self.machine.may_start_early() {
            self.renew(paths, Input::Saved);
            self.is_ahead = true;
        } else {
            self.saved.extend(paths);
        }
    }

    pub(super) fn on_changed(&mut self, mut paths: Vec<PathBuf>) {
        paths.append(&mut self.saved);
        match self.origin(&paths) {
            ChangeAuthor::Build => self.step(Input::Unchanged),
            ChangeAuthor::Unclear if self.is_built() => {
                self.build_again = true;
                self.tell_changed(&paths);
                self.files.extend(paths);
                self.step(Input::Unchanged);
            }
            ChangeAuthor::Unclear | ChangeAuthor::User => self.renew(paths, Input::Changed),
        }
    }

    /// Starts a candidate for these files; `input` is `Saved` or `Changed`.
    pub(super) fn renew(&mut self, paths: Vec<PathBuf>, input: Input) {
        if self.machine.state != State::Idle {
            self.tell_changed(&paths);
        }
        if !std::mem::take(&mut self.is_ahead) {
            self.count_echo(&paths);
        }
        self.files.extend(paths);
        (self.late, self.repair.tries) = (0, 0);
        self.step(input);
    }

    pub(super) fn tell_changed(&self, paths: &[PathBuf]) {
        self.context.resources.events.send(Event::Changed {
            server: self.name(),
            paths: paths.to_vec(),
        });
    }

    /// Returns true if the report is about a candidate that was started early and may not run the saved code.
    pub(super) fn is_early(&self, report: &Report) -> bool {
        let (Report::Proved(next, _) | Report::Failed(next, _)) = report else {
            return false;
        };
        self.is_ahead && self.is_starting(*next) && self.machine.is_suspect()
    }
}
