//! Progress display of a long operation: a bar on a terminal, lines elsewhere, nothing with `--quiet`.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Verbosity, clean, print_to_stderr};
use crate::lock::locked;

/// Progress display of one operation. May be used from any thread.
#[derive(Debug)]
pub(crate) struct ProgressDisplay {
    shown: ProgressBar,
    verbosity: Verbosity,
    terminal: bool,
    /// Last status, so that it is not printed twice in a row.
    last_status: Mutex<String>,
}

impl ProgressDisplay {
    pub(crate) fn new(verbosity: Verbosity) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let visible = terminal && verbosity > Verbosity::Quiet;
        let shown = ProgressBar::with_draw_target(
            None,
            if visible {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        shown.set_style(spinning());
        if visible {
            shown.enable_steady_tick(Duration::from_millis(120));
        }
        Self {
            shown,
            verbosity,
            terminal,
            last_status: Mutex::default(),
        }
    }

    /// Sets the current step.
    pub(crate) fn status(&self, what: &str) {
        let mut last_status = locked(&self.last_status);
        if *last_status == what {
            return;
        }
        what.clone_into(&mut last_status);
        drop(last_status);
        self.shown.set_style(spinning());
        self.shown.set_message(clean(what).into_owned());
        if !self.terminal && self.verbosity > Verbosity::Quiet {
            print_to_stderr(format!("{}\n", clean(what)));
        }
    }

    /// Shows that `done` of `total` units are complete, with `detail` behind the bar.
    pub(crate) fn amount(&self, done: u64, total: u64, detail: &str) {
        self.shown.set_style(counting());
        self.shown.set_length(total);
        self.shown.set_position(done);
        self.shown.set_prefix(detail.to_owned());
    }

    /// Shows an output line of a command: briefly in the bar, or permanently with `--verbose`.
    pub(crate) fn passing(&self, line: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.line(&format!("  | {}", clean(line)));
        } else {
            self.shown.set_style(passing());
            self.shown
                .set_prefix(clean(line).chars().take(60).collect::<String>());
        }
    }

    /// Prints a permanent line.
    pub(crate) fn line(&self, line: &str) {
        if self.verbosity > Verbosity::Quiet {
            let line = format!("{line}\n");
            self.shown.suspend(|| print_to_stderr(line));
        }
    }

    /// Removes the bar, so that other text can be printed.
    pub(crate) fn finish(&self) {
        self.shown.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn spinning() -> ProgressStyle {
    style("{spinner} {msg} {elapsed:.dim}")
}

fn passing() -> ProgressStyle {
    style("{spinner} {msg} {elapsed:.dim} {prefix:.dim}")
}

fn counting() -> ProgressStyle {
    style("{spinner} {msg} {wide_bar} {percent:>3} % {prefix}")
}
