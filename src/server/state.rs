//! Life cycle of a server as a pure function: an input comes in, effects go out.
//!
//! The machine knows no process and no clock; the supervisor carries out the effects and reports back. Invariants,
//! checked by a property test: there are never two candidates; the active generation is given up only for a proven
//! successor, to make room for a successor (stop-first), on its own exit or on a stop; a save while a candidate starts
//! always leads to another start; every spawned generation is stopped.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod restarts;
mod rules;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub(crate) use rules::{Rules, ServerLocation, Succession};

/// Delay before the first restart after a crash; doubled by each crash that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Maximum delay before a restart.
pub(crate) const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// Minimum time from a failed connection to a remote server until a request causes the next attempt.
const CALL_BACKOFF: Duration = Duration::from_secs(1);
/// Number of exits within [`FLAP_WINDOW`] after which the server is not restarted until a change.
pub(crate) const FLAP_EXITS: usize = 5;
/// See [`FLAP_EXITS`].
pub(crate) const FLAP_WINDOW: Duration = Duration::from_secs(60);

/// State of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No client was introduced yet.
    Idle,
    /// The build for the newest generation runs, perhaps beside the active generation.
    Building(StartCause),
    /// The newest generation starts once the generations before it have stopped.
    MakingRoom(StartCause),
    /// The newest generation starts as the candidate, perhaps beside the active generation.
    Starting(StartCause),
    /// The active generation, which is the newest, answers requests.
    Live,
    /// The saved code does not run; an older generation may be active. A remote server is retried at `retry_at`.
    Broken { retry_at: Option<Instant> },
    /// The server crashed, or the link to a remote server was lost; the restart is due at `at`.
    Restarting { at: Instant },
    /// The server was stopped for good.
    Stopped,
}

/// Reason for the start of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartCause {
    /// The introduction of the first client.
    Begin,
    /// Changed files, or the retry of a remote server that was unreachable.
    Save,
    /// A request for a reload.
    Asked,
    /// The exit of the previous generation.
    Crash,
    /// A new introduction: the client speaks the other era, or is another client.
    Client,
}

/// Event in the life of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The first client was introduced.
    Begin,
    /// A client was introduced anew, which requires a new handshake.
    ClientChanged,
    /// A watched file was touched.
    Suspect,
    /// Files changed in a save that may not be over: the suspicion stays.
    Saved,
    /// The touched files did not change.
    Unchanged,
    /// The files changed, and their save is over.
    Changed,
    /// A reload was requested.
    Reload,
    /// The build for the newest generation ended.
    Built { ok: bool },
    /// The candidate has proved itself.
    Proved,
    /// The candidate has failed, and its process has ended.
    Failed,
    /// The process of the active generation ended on its own.
    Exited,
    /// The active generation has lost its link or its session, but its process runs on.
    LinkLost,
    /// A generation that made room, or a cancelled candidate, has ended.
    Gone(u64),
    /// The time `at` of `State::Restarting` or `retry_at` of `State::Broken` has come.
    Due,
    /// The process, which reloads itself, runs another instance than the one that failed.
    Renewed,
    /// A request is held although the server is unreachable: it calls for a retry before `retry_at`.
    Called,
    /// The server is stopped for good.
    Stop,
}

/// Action for the supervisor. Numbers are generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Hold requests.
    Hold,
    /// Let requests through to this generation.
    Open(u64),
    /// Answer requests with the reason why the saved code does not run.
    Refuse,
    /// Run the build for this generation.
    Build(u64),
    /// Start this generation as the candidate.
    Spawn(u64),
    /// Cancel the build for this generation, or stop it as the candidate; [`Input::Gone`] follows for a candidate.
    Cancel(u64),
    /// Make the candidate the active generation; `Drain` may follow, then `Open` or `Hold`.
    Commit(u64, StartCause),
    /// Let the requests in flight finish, then stop the generation; [`Input::Gone`] follows.
    Drain(u64),
    /// The next start comes after this delay.
    Backoff(Duration),
    /// The server exited too often; the next start comes with a change.
    Flapping,
    /// Stop all that remains of the server; `Cancel` and `Drain` have gone before.
    StopAll,
}

/// State of a server, with the data that decides the next state.
#[derive(Debug, Clone)]
pub(crate) struct StateMachine {
    state: State,
    rules: Rules,
    /// Number of the newest generation, 0 before the first.
    newest: u64,
    /// Proven generation that runs and is not given up.
    active: Option<u64>,
    /// Times at which a process exited on its own or a remote server was unreachable, the newest last.
    exits: VecDeque<Instant>,
    /// True while a touched file may have changed. Requests are held until that is known.
    suspect: bool,
    /// True unless a successful build covers the latest save or reload request.
    unbuilt: bool,
    /// Generations that must end before the next process starts (stop-first), because both may need the same exclusive
    /// resource.
    stopping: BTreeSet<u64>,
}

impl StateMachine {
    /// Creates the machine of a server that has not been started.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            state: State::Idle,
            rules,
            newest: 0,
            active: None,
            exits: VecDeque::new(),
            suspect: false,
            unbuilt: true,
            stopping: BTreeSet::new(),
        }
    }

    /// Applies the rules of a changed configuration; returns the effects in order.
    #[must_use = "the effects must be carried out"]
    pub(crate) fn set_rules(&mut self, rules: Rules) -> Vec<Effect> {
        self.rules = rules;
        let mut effects = Vec::new();
        // Only a broken server may open or close the gate immediately: `serve_last_good` decides that.
        if matches!(self.state, State::Broken { .. }) {
            self.reopen(self.state, &mut effects);
        }
        effects
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns the proven generation that runs and is not given up.
    pub(crate) fn active(&self) -> Option<u64> {
        self.active
    }

    /// Returns true if the build for this generation runs.
    pub(crate) fn is_building(&self, number: u64) -> bool {
        matches!(self.state, State::Building(_)) && self.newest == number
    }

    /// Returns true if this generation is the candidate.
    pub(crate) fn is_starting(&self, number: u64) -> bool {
        matches!(self.state, State::Starting(_)) && self.newest == number
    }

    /// Returns true if the server is broken and runs again with another instance of its process, which reloads itself.
    pub(crate) fn awaits_instance(&self) -> bool {
        let is_broken = matches!(self.state, State::Broken { .. });
        is_broken && self.rules.succession == Succession::Kept && !self.must_build()
    }

    /// Returns true while a touched file may have changed.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Returns true if a candidate may start before the save is known to be over: not with a build or stop-first, which
    /// cost too much for that, and not during another start, because a server that writes a watched file at its start
    /// would never go live.
    pub(crate) fn may_start_early(&self) -> bool {
        let is_at_rest = matches!(
            self.state,
            State::Live | State::Broken { .. } | State::Restarting { .. }
        );
        is_at_rest && !self.rules.build && !self.stops_first()
    }

    /// Applies `input` at the time `now`; returns the effects in order.
    #[must_use = "the effects must be carried out"]
    pub(crate) fn on_event(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.state = self.next(self.state, input, now, &mut effects);
        effects
    }

    fn next(&mut self, state: State, input: Input, now: Instant, out: &mut Vec<Effect>) -> State {
        match (state, input) {
            // ## any => Stopped
            (State::Stopped, _) => State::Stopped,
            (state, Input::Stop) => {
                self.cancel(state, out);
                out.extend(self.active.take().map(Effect::Drain));
                out.push(Effect::StopAll);
                State::Stopped
            }
            // ## Idle => (Building | Starting)
            (State::Idle, Input::Begin) => self.begin(StartCause::Begin, out),
            (State::Idle, input) => {
                match input {
                    Input::Suspect => self.suspect = true,
                    Input::Unchanged | Input::Changed => self.suspect = false,
                    _ => {}
                }
                State::Idle
            }
            // ## any => (Building | Starting | MakingRoom)
            (state, Input::Saved | Input::Changed | Input::Reload | Input::ClientChanged) => {
                self.suspect &= input != Input::Changed;
                self.unbuilt |= input != Input::ClientChanged;
                self.replace(state, cause(input), out)
            }
            (state, Input::Suspect | Input::Unchanged) => {
                self.suspect = input == Input::Suspect;
                self.reopen(state, out);
                state
            }
            // ## Building => (Starting | MakingRoom | Broken)
            (State::Building(cause), Input::Built { ok: true }) => {
                self.unbuilt = false;
                self.start(cause, out)
            }
            (State::Building(_), Input::Built { ok: false }) => self.broken(None, out),
            // ## MakingRoom => Starting
            (state, Input::Gone(gone)) => {
                self.stopping.remove(&gone);
                match state {
                    State::MakingRoom(cause) => self.start(cause, out),
                    state => state,
                }
            }
            // ## Starting => (Live | Broken | Restarting)
            (State::Starting(cause), Input::Proved) => {
                out.push(Effect::Commit(self.newest, cause));
                self.give_up(out);
                self.active = Some(self.newest);
                self.reopen(State::Live, out);
                State::Live
            }
            (State::Starting(cause), Input::Failed) => self.failed(cause, now, out),
            // ## Live => (Starting | Restarting)
            (state, Input::LinkLost) => self.link_lost(state, now, out),
            // ## Live => (Restarting | Broken)
            (state, Input::Exited) => {
                self.active = None;
                match state {
                    State::Live => self.crashed(now, out),
                    state => {
                        self.reopen(state, out);
                        state
                    }
                }
            }
            // ## (Restarting | Broken) => Starting
            (State::Restarting { .. }, Input::Due) => self.start_again(StartCause::Crash, out),
            (State::Broken { retry_at: Some(_) }, Input::Due) => {
                self.start_again(StartCause::Save, out)
            }
            (_, Input::Renewed) if self.awaits_instance() => {
                out.push(Effect::Hold);
                self.start_again(StartCause::Save, out)
            }
            (state, Input::Called) => self.retry_for_call(state, now, out),
            (state, _) => state,
        }
    }

    /// Opens, holds or refuses requests if `state` determines that; otherwise adds no effect.
    fn reopen(&self, state: State, out: &mut Vec<Effect>) {
        let settled = match (state, self.active) {
            (State::Live, Some(active)) => Effect::Open(active),
            (State::Broken { .. }, Some(active)) if self.rules.serve_last_good => {
                Effect::Open(active)
            }
            (State::Broken { .. }, _) => Effect::Refuse,
            _ => return,
        };
        out.push(if self.suspect { Effect::Hold } else { settled });
    }

    /// Replaces the build or candidate in progress by a new generation; the active generation stays.
    fn replace(&mut self, state: State, cause: StartCause, out: &mut Vec<Effect>) -> State {
        self.cancel(state, out);
        self.exits.clear();
        let cause = match state {
            // A new introduction keeps the original cause of the start in progress.
            State::Building(before) | State::MakingRoom(before) | State::Starting(before)
                if cause == StartCause::Client =>
            {
                before
            }
            _ => cause,
        };
        if matches!(
            state,
            State::Restarting { .. } | State::Starting(StartCause::Crash)
        ) && cause != StartCause::Crash
        {
            // An active generation has lost its link then, and only its successor would have needed its process.
            self.give_up(out);
        }
        match state {
            State::MakingRoom(_) if !self.must_build() => State::MakingRoom(cause),
            _ => self.begin(cause, out),
        }
    }

    /// Cancels the build or the candidate in progress.
    fn cancel(&mut self, state: State, out: &mut Vec<Effect>) {
        if let State::Building(_) | State::Starting(_) = state {
            out.push(Effect::Cancel(self.newest));
        }
        if matches!(state, State::Starting(_)) && self.stops_first() {
            self.stopping.insert(self.newest);
        }
    }

    fn begin(&mut self, cause: StartCause, out: &mut Vec<Effect>) -> State {
        out.push(Effect::Hold);
        self.newest += 1;
        if self.must_build() {
            out.push(Effect::Build(self.newest));
            return State::Building(cause);
        }
        self.start(cause, out)
    }

    fn stops_first(&self) -> bool {
        self.rules.succession == Succession::StopFirst
    }

    /// Returns true if the last build may be out of date, which a new introduction alone does not cause.
    fn must_build(&self) -> bool {
        self.rules.build && self.unbuilt
    }

    /// Starts the newest generation, now or once there is room.
    fn start(&mut self, cause: StartCause, out: &mut Vec<Effect>) -> State {
        if self.stops_first() {
            self.give_up(out);
        }
        if !self.stopping.is_empty() {
            return State::MakingRoom(cause);
        }
        out.push(Effect::Spawn(self.newest));
        State::Starting(cause)
    }

    /// Lets the active generation finish its requests, and stops it.
    fn give_up(&mut self, out: &mut Vec<Effect>) {
        if let Some(old) = self.active.take() {
            out.push(Effect::Drain(old));
            if self.stops_first() {
                self.stopping.insert(old);
            }
        }
    }

    fn broken(&self, retry_at: Option<Instant>, out: &mut Vec<Effect>) -> State {
        let broken = State::Broken { retry_at };
        self.reopen(broken, out);
        broken
    }
}

fn cause(input: Input) -> StartCause {
    match input {
        Input::Reload => StartCause::Asked,
        Input::ClientChanged => StartCause::Client,
        _ => StartCause::Save,
    }
}

#[cfg(test)]
mod tests;
