//! Failures of candidates and generations, and the notifications about them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::call::Call;
use super::super::candidate;
use super::super::error_replies;
use super::super::generation::{GenerationExit, RunningGeneration, failure};
use super::super::handshake::ProofFailure;
use super::super::package_watch::{self, PackageInstallation};
use super::super::report::Report;
use super::super::serving_process::REACTION;
use super::super::state::{FLAP_EXITS, FLAP_WINDOW, Input, State};
use super::{Generation, Supervisor};
use crate::config::OnBroken;
use crate::event::{Event, Failure, NextTry};
use crate::jsonrpc::Envelope;
use crate::lock::locked;
use crate::transport::http::Fate;

/// Advice for a server whose files are not watched.
const UNWATCHED: &str =
    "the server's files are not watched: the next call, or `reload_mcp_server`, restarts it";
/// Number of times a call that the server did not process is retried.
const MAX_RESENDS: u8 = 3;

/// Watch for installed packages while the saved code does not run.
#[derive(Debug)]
pub(super) struct PackageWatch {
    /// Start of the last build or process.
    since: SystemTime,
    /// Number of consecutive restarts after an installation that took place only during the failed start.
    pub(super) tries: u32,
    /// Ends the search for installed packages on drop.
    search: Option<DropGuard>,
}

impl Default for PackageWatch {
    fn default() -> Self {
        Self {
            since: SystemTime::UNIX_EPOCH,
            tries: 0,
            search: None,
        }
    }
}

impl Supervisor {
    /// Records the beginning of a build or a start.
    pub(super) fn record_start(&mut self) {
        self.self_triggers.started(Instant::now());
        self.package_watch.since = SystemTime::now();
    }

    /// Looks for newly installed packages as long as the saved code does not run, and stops looking otherwise.
    pub(super) fn await_packages(&mut self) {
        let is_broken = matches!(self.machine.state(), State::Broken { retry_at: None, .. });
        if !is_broken || !self.context.resources.watches_files {
            self.package_watch.search = None;
        } else if self.package_watch.search.is_none() {
            let end = CancellationToken::new();
            self.package_watch.search = Some(end.clone().drop_guard());
            let PackageWatch { since, tries, .. } = self.package_watch;
            let directories = locked(&self.shared.loaded_files).package_dirs.clone();
            let stderr = self.failure.as_ref().map(|failure| failure.stderr.clone());
            let installed = package_watch::installed(
                self.context.spec.clone(),
                directories,
                stderr.unwrap_or_default(),
                since,
                tries,
            );
            let reports = self.context.reports.clone();
            self.tasks.spawn(end.run_until_cancelled_owned(async move {
                reports.send(Report::Installed(installed.await));
            }));
        }
    }

    /// Restarts a broken server after an installation, which may have added missing packages.
    pub(super) fn on_installed(&mut self, installed: PackageInstallation) {
        // A save may have been processed before this report.
        if self.package_watch.search.take().is_none() {
            return;
        }
        self.package_watch.tries = if installed.afterwards {
            0
        } else {
            self.package_watch.tries + 1
        };
        self.timed_out_starts = 0;
        let within = |place: PathBuf| {
            let relative = place.strip_prefix(&self.context.spec.cwd);
            relative.map(Path::to_owned).unwrap_or(place)
        };
        let paths: Vec<PathBuf> = installed.paths.into_iter().map(within).collect();
        self.report_changed(&paths);
        self.step(Input::Reload);
    }

    /// Watches a process that reloads itself for another instance as long as the saved code does not run, and stops
    /// watching otherwise: its watcher may be slower than expected, and see changes that the proxy does not.
    pub(super) fn await_other_instance(&mut self) {
        if !self.machine.awaits_instance() || !self.keeps_process() {
            self.instance_watch = None;
            return;
        }
        let kept = locked(&self.shared.kept_process).clone();
        if let Some(process) = kept.filter(|_| self.instance_watch.is_none()) {
            let end = CancellationToken::new();
            self.instance_watch = Some(end.clone().drop_guard());
            let renewed = process.other_instance();
            let reports = self.context.reports.clone();
            self.tasks.spawn(end.run_until_cancelled_owned(async move {
                renewed.await;
                reports.send(Report::Renewed);
            }));
        }
    }

    /// Starts a candidate for another instance of a broken server.
    pub(super) fn on_renewed(&mut self) {
        // A save may have been processed before this report.
        if self.instance_watch.take().is_some() {
            // An earlier save says nothing about this instance.
            self.touched = self.touched.max(Instant::now().checked_sub(REACTION));
            self.step(Input::Renewed);
        }
    }

    /// Handles the end of a process or link: its unanswered calls are sent again or answered with an error.
    pub(super) fn on_ended(&mut self, number: u64, exit: GenerationExit) {
        if exit.runs_on {
            return self.on_link_lost(number, exit);
        }
        if self.machine.active() == Some(number) {
            // Calls in flight on a lost link may still be answered.
            if let Some(Generation::Active(active)) = self.generations.remove(&number) {
                if active.running.connection.is_remote() {
                    self.retire(active.running, self.context.spec.timeouts.drain);
                } else {
                    self.shared
                        .gate
                        .generation_ended(&active.running.connection, &exit.how);
                }
            }
            self.events.push(Event::Exited {
                server: self.name(),
                generation: number,
                status: exit.how.clone(),
                stderr: exit.stderr.clone(),
            });
            // Beside newer code, only the failure of that code counts.
            if self.machine.state() == State::Live {
                self.shared
                    .describe(|status| status.last_error = Some(exit.how.clone()));
                let proof_failure = ProofFailure::Wrong(exit.how.clone());
                let spec = &self.context.spec;
                let mut failure = failure(number, &proof_failure, Some(&exit), number > 1, spec);
                failure.files = self.changed_files.iter().cloned().collect();
                failure.hide(&locked(&self.context.resources.events.hidden()));
                self.failure = Some(Arc::new(failure));
            }
            self.step(Input::Exited);
        }
        if let Some(Generation::Draining(connection)) = self.generations.get(&number) {
            self.shared.gate.generation_ended(connection, &exit.how);
        }
        for call in exit.calls {
            self.retry(call, &exit.how, &exit.stderr);
        }
        self.resend_mismatched();
    }

    /// Handles the loss of the link to a process that runs on. The generation keeps the process until its successor is
    /// linked to it, and its calls in flight may be answered.
    fn on_link_lost(&mut self, number: u64, exit: GenerationExit) {
        if self.machine.active() == Some(number) {
            // A process that reloads itself does so at each save.
            if self.machine.state() == State::Live && !self.machine.is_suspect() {
                self.context.resources.events.send(Event::WatchNote {
                    server: self.name(),
                    message: format!(
                        "the server {} (generation {number}): a new session begins with the same process",
                        exit.how
                    ),
                });
            }
            self.step(Input::LinkLost);
        }
        for call in exit.calls {
            self.retry(call, &exit.how, &[]);
        }
    }

    /// Handles a call without a response from a server over HTTP.
    pub(super) fn on_unanswered(
        &mut self,
        mut call: Call,
        fate: Fate,
        how: &str,
        stderr: &[String],
    ) {
        let server = &self.context.spec.name.clone();
        match fate {
            Fate::Refused => error_replies::refused(&call, server, how),
            Fate::Unknown => self.retry(call, how, stderr),
            Fate::Unsent | Fate::Superseded => match call.line.clone() {
                Some(line)
                    if call.resends < MAX_RESENDS && self.machine.state() != State::Stopped =>
                {
                    call.resends += u8::from(fate == Fate::Unsent);
                    self.submit(call, &line);
                }
                _ => error_replies::refused(&call, server, how),
            },
        }
    }

    /// Sends the calls with mismatched headers again, after the tools were read.
    pub(super) fn resend_mismatched(&mut self) {
        for mut call in std::mem::take(&mut self.mismatched) {
            if let Some(line) = call.line.take() {
                self.submit(call, &line);
            }
        }
    }

    /// Sends a call again that may have been executed, if that is allowed; otherwise answers it with an error.
    fn retry(&mut self, mut call: Call, how: &str, stderr: &[String]) {
        match call.line.take().filter(|_| call.may_retry) {
            Some(line) if self.machine.state() != State::Stopped => {
                call.may_retry = false;
                self.submit(call, &line);
            }
            _ => {
                let hidden = self.context.resources.events.hidden();
                let hide = |line: &String| locked(&hidden).hide_in_json(line);
                let stderr: Vec<_> = stderr.iter().map(hide).collect();
                error_replies::ended(&call, &self.context.spec.name, how, &stderr);
            }
        }
    }

    /// Sends a call again that a generation has not answered, unless its client has cancelled it meanwhile.
    fn submit(&mut self, call: Call, line: &str) {
        if !self.shared.gate.is_cancelled(&call)
            && let Ok(envelope) = Envelope::parse(line)
            && self.shared.gate.submit(call, line, &envelope)
        {
            self.step(Input::Called);
        }
    }

    /// Reports the failure of a candidate whose process ended at the moment of its proof, if that end was reported
    /// first.
    pub(super) fn report_early_exit(&mut self, running: RunningGeneration) {
        let number = running.connection.generation;
        let context = self.context.clone();
        self.tasks.spawn(async move {
            let exit = candidate::stop(running).await;
            let reason = format!("{} right after its start", exit.how);
            let failure = failure(
                number,
                &ProofFailure::Wrong(reason),
                Some(&exit),
                number > 1,
                &context.spec,
            );
            context.reports.send(Report::Failed(Box::new(failure)));
        });
    }

    /// Records why the saved code does not run, and reports the failure to pending reload requests. The step that follows
    /// sends the event.
    pub(super) fn fail(&mut self, mut failure: Failure) {
        failure.files = self.changed_files.iter().cloned().collect();
        failure.hide(&locked(&self.context.resources.events.hidden()));
        self.timed_out_starts += u32::from(failure.next_try == NextTry::LongerCall);
        if !self.context.resources.watches_files && failure.advice.is_none() {
            failure.advice = Some(UNWATCHED.to_owned());
        }
        self.shared
            .describe(|status| status.last_error = Some(failure.reason.clone()));
        let serving_last_good = self.context.spec.on_broken == OnBroken::ServeLastGood
            && self
                .active()
                .is_some_and(|it| !it.running.connection.is_closed());
        // A remote server is retried without limit; a known reason is not reported again.
        let known = self.failure.as_ref().map(|known| &known.reason);
        if !failure.remote || known != Some(&failure.reason) {
            self.events.push(Event::Broken {
                server: self.name(),
                failure: failure.clone(),
                serving_last_good,
            });
        }
        let failure = Arc::new(failure);
        for waiter in self.reloads.drain(..) {
            let _ = waiter.send(Err(failure.clone()));
        }
        self.failure = Some(failure);
    }

    /// Answers requests with the reason why the server does not run.
    pub(super) fn refuse(&mut self) {
        let failure = self
            .failure
            .clone()
            .unwrap_or_else(|| Arc::new(Failure::new(0, "has ended".to_owned())));
        self.shared.gate.refuse(&failure);
    }

    pub(super) fn give_up(&mut self) {
        let exits = u32::try_from(FLAP_EXITS).unwrap_or(u32::MAX);
        self.events.push(Event::Flapping {
            server: self.name(),
            exits,
            within: FLAP_WINDOW,
        });
        if let Some(failure) = &self.failure {
            let mut failure = (**failure).clone();
            failure.reason = format!(
                "{} for the {exits}th time in {} s",
                failure.reason,
                FLAP_WINDOW.as_secs()
            );
            let advice = if self.context.resources.watches_files {
                "the server restarts when a watched file changes, or by `reload_mcp_server`"
            } else {
                UNWATCHED
            };
            failure.advice = Some(advice.to_owned());
            self.failure = Some(Arc::new(failure));
        }
    }
}
