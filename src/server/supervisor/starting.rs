//! Starts of candidates.

use std::borrow::Cow;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::super::candidate;
use super::super::http_process::ProcessDemand;
use super::super::serving_process::own_watcher;
use super::super::state::{Rules, ServerLocation, StartCause, State, Succession};
use super::{Generation, Supervisor};
use crate::config::{OnBroken, ReloadMode, ServerSpec};

impl Supervisor {
    pub(super) fn start_candidate(&mut self, number: u64) {
        let Some(client) = self.client.clone() else {
            return;
        };
        self.record_start();
        self.end_streams();
        let token = CancellationToken::new();
        let started = Generation::Starting(token.clone());
        self.generations.insert(number, started);
        let candidate = candidate::Candidate {
            context: self.context.clone(),
            shared: self.shared.clone(),
            number,
            hello: self.hello.told_by(Some(&*client)).into_owned(),
            files: self.changed_files.clone(),
            hello_number: self.hello_number,
            client,
            timed_out_starts: self.timed_out_starts,
            // A client that waits for its first response need not wait for the lists.
            announce: self.active().is_none(),
            demand: self.demand(),
            lasting: self.lasting_process().unwrap_or_default(),
            rehearsal: self.rehearsal(),
        };
        self.tasks.spawn(candidate.run(token));
    }

    /// Closes the open streams to an instance that the server's own reload is about to end: it may wait for them.
    fn end_streams(&self) {
        let link = self
            .active()
            .and_then(|active| active.running.connection.link().http());
        if let Some(link) = link.filter(|_| self.keeps_process()) {
            link.end_streams();
        }
    }

    /// Returns the process that the newest generation needs.
    fn demand(&self) -> ProcessDemand {
        match (self.machine.state(), self.touched) {
            (State::Starting(StartCause::Save), Some(save)) => ProcessDemand::Saved(save),
            (State::Starting(StartCause::Crash), _) => ProcessDemand::Lost(Instant::now()),
            (State::Starting(StartCause::Asked), _) => ProcessDemand::New,
            _ => ProcessDemand::Any,
        }
    }

    /// Returns the reason for holding requests, as a completion of "the call waited for …".
    pub(super) fn hold_reason(&self) -> Cow<'static, str> {
        let reason = match self.machine.state() {
            State::Building(_) => return self.build_hold_reason(),
            State::MakingRoom(_) => self.drain_reason(),
            State::Broken { .. } | State::Restarting { .. }
                if self.context.spec.remote.is_some() =>
            {
                "its connection"
            }
            State::Live | State::Broken { .. } => "a changed file to settle",
            State::Restarting { .. } => "its restart after a crash",
            State::Idle | State::Starting(_) | State::Stopped => "its start",
        };
        reason.into()
    }
}

/// Returns the rules of the state machine for these settings. Reads the file system.
pub(super) fn rules(spec: &ServerSpec) -> Rules {
    // Two generations cannot have one port, except links to the same process.
    let succession = if own_watcher(spec).is_some() {
        Succession::Kept
    } else if spec.reload == ReloadMode::StopFirst || has_fixed_port(spec) {
        Succession::StopFirst
    } else {
        Succession::Overlap
    };
    Rules {
        build: spec.build.is_some(),
        succession,
        serve_last_good: spec.on_broken == OnBroken::ServeLastGood,
        location: match spec.remote {
            Some(_) => ServerLocation::Elsewhere,
            None => ServerLocation::Here,
        },
    }
}

fn has_fixed_port(spec: &ServerSpec) -> bool {
    spec.listens
        .as_ref()
        .is_some_and(|it| it.fixed_port().is_some())
}
