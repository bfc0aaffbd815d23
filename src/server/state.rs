//! Life cycle of a server as a pure function: an input comes in, effects go out.
//!
//! The machine knows no process and no clock; the supervisor carries out the effects and reports back. Invariants,
//! checked by a property test: there are never two candidates; the active generation is given up only for a proven
//! successor, to make room for a successor (stop-first), on its own exit or on a stop; a save while a candidate starts
//! always leads to another start; every spawned generation is stopped.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod restarts;
mod rules;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) use rules::{Rules, ServerLocation};

/// Delay before the first restart after a crash; doubled by each crash that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Maximum delay before a restart.
pub(crate) const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// Number of exits within [`FLAP_WINDOW`] after which the server is not restarted until a change.
pub(crate) const FLAP_EXITS: usize = 5;
/// See [`FLAP_EXITS`].
pub(crate) const FLAP_WINDOW: Duration = Duration::from_secs(60);

/// State of a server. Numbers are generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No client was introduced yet.
    Idle,
    /// The build for `next` runs; `old` is still running.
    Building {
        next: u64,
        old: Option<u64>,
        cause: StartCause,
    },
    /// The previous generation or candidate is being stopped; `next` starts afterwards.
    MakingRoom { next: u64, cause: StartCause },
    /// The candidate `next` starts; `old` is still running.
    Starting {
        next: u64,
        old: Option<u64>,
        cause: StartCause,
    },
    /// The generation `active` answers requests.
    Live { active: u64 },
    /// The saved code does not run; `old` is still running. A remote server is retried at `retry_at`.
    Broken {
        old: Option<u64>,
        retry_at: Option<Instant>,
    },
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
    /// The build for the generation ended.
    Built { next: u64, ok: bool },
    /// The candidate has proved itself.
    Proved(u64),
    /// The candidate has failed, and its process has ended.
    Failed(u64),
    /// The process of a generation ended on its own.
    Exited(u64),
    /// A generation that made room, or a cancelled candidate, has ended.
    Gone(u64),
    /// The time `at` of `State::Restarting` or `retry_at` of `State::Broken` has come.
    Due,
    /// The server is stopped for good.
    Stop,
}

/// Action for the supervisor.
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
    /// Cancel the build.
    CancelBuild,
    /// Start this generation as the candidate.
    Spawn(u64),
    /// Stop the candidate.
    Kill(u64),
    /// Make the candidate the active generation; `Open` or `Hold` follows.
    Commit(u64, StartCause),
    /// Let the requests in flight finish, then stop the generation.
    Drain(u64),
    /// Like `Drain`; [`Input::Gone`] must follow.
    MakeRoom(u64),
    /// The next start comes after this delay.
    Backoff(Duration),
    /// The server exited too often; the next start comes with a change.
    Flapping,
    /// Stop all processes of the server.
    StopAll,
}

/// State of a server, with the data that decides the next state.
#[derive(Debug, Clone)]
pub(crate) struct StateMachine {
    pub(crate) state: State,
    rules: Rules,
    /// Number of the generation started last.
    last: u64,
    /// Times at which a process exited on its own or a remote server was unreachable, the newest last.
    exits: VecDeque<Instant>,
    /// True while a touched file may have changed. Requests are held until that is known.
    suspect: bool,
    /// True unless a successful build covers the latest save or reload request.
    unbuilt: bool,
    /// Generation that must end before the next start (stop-first), because both may need the same exclusive resource.
    stopping: Option<u64>,
}

impl StateMachine {
    /// Creates the machine of a server that has not been started.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            state: State::Idle,
            rules,
            last: 0,
            exits: VecDeque::new(),
            suspect: false,
            unbuilt: true,
            stopping: None,
        }
    }

    /// Applies the rules of a changed configuration; returns the effects in order.
    #[must_use = "the effects must be carried out"]
    pub(crate) fn set_rules(&mut self, rules: Rules) -> Vec<Effect> {
        self.rules = rules;
        let mut effects = Vec::new();
        // Only a broken server may open or close the gate immediately: `serve_last_good` decides that.
        if matches!(self.state, State::Broken { .. }) {
            self.reopen(&self.state, &mut effects);
        }
        effects
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
            State::Live { .. } | State::Broken { .. } | State::Restarting { .. }
        );
        is_at_rest && !self.rules.build && !self.rules.stop_first
    }

    /// Applies `input` at the time `now`; returns the next machine and the effects in order.
    #[must_use = "the effects must be carried out"]
    pub(crate) fn on_event(mut self, input: Input, now: Instant) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        let state = std::mem::replace(&mut self.state, State::Stopped);
        self.state = self.next(state, input, now, &mut effects);
        (self, effects)
    }

    fn next(&mut self, state: State, input: Input, now: Instant, out: &mut Vec<Effect>) -> State {
        match (state, input) {
            // ## any => Stopped
            (State::Stopped, _) => State::Stopped,
            (state, Input::Stop) => {
                cancel(&state, out);
                out.push(Effect::StopAll);
                State::Stopped
            }
            // ## Idle => (Building | Starting)
            (State::Idle, Input::Begin) => self.begin(None, StartCause::Begin, out),
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
                self.reopen(&state, out);
                state
            }
            // ## Building => (Starting | MakingRoom | Broken)
            (State::Building { next, old, cause }, Input::Built { next: built, ok })
                if next == built =>
            {
                if ok {
                    self.unbuilt = false;
                    self.start(next, old, cause, out)
                } else {
                    self.broken(old, out)
                }
            }
            // ## MakingRoom => Starting
            (state, Input::Gone(gone)) if self.stopping == Some(gone) => {
                self.stopping = None;
                match state {
                    State::MakingRoom { next, cause } => self.start(next, None, cause, out),
                    state => state,
                }
            }
            // ## Starting => (Live | Broken | Restarting)
            (State::Starting { next, old, cause }, Input::Proved(proved)) if next == proved => {
                out.push(Effect::Commit(next, cause));
                let live = State::Live { active: next };
                self.reopen(&live, out);
                out.extend(old.map(Effect::Drain));
                live
            }
            (State::Starting { next, old, cause }, Input::Failed(failed)) if next == failed => {
                self.failed(old, cause, now, out)
            }
            (state, Input::Exited(exited)) => self.exited(state, exited, now, out),
            // ## (Restarting | Broken) => Starting
            (State::Restarting { .. }, Input::Due) => {
                self.start_again(None, StartCause::Crash, out)
            }
            (
                State::Broken {
                    old,
                    retry_at: Some(_),
                },
                Input::Due,
            ) => self.start_again(old, StartCause::Save, out),
            (state, _) => state,
        }
    }

    /// Handles a candidate that did not prove itself.
    fn failed(
        &mut self,
        old: Option<u64>,
        cause: StartCause,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> State {
        if self.rules.location == ServerLocation::Elsewhere {
            self.unreachable(old, cause, now, out)
        } else if cause == StartCause::Crash {
            self.crashed(now, out)
        } else {
            self.broken(old, out)
        }
    }

    /// Handles the exit of the active generation, or of the old one beside a build, a start or a failure.
    fn exited(&mut self, state: State, exited: u64, now: Instant, out: &mut Vec<Effect>) -> State {
        match state {
            // ## Live => (Restarting | Broken)
            State::Live { active } if active == exited => self.crashed(now, out),
            State::Building { next, old, cause } if old == Some(exited) => State::Building {
                next,
                old: None,
                cause,
            },
            State::Starting { next, old, cause } if old == Some(exited) => State::Starting {
                next,
                old: None,
                cause,
            },
            State::Broken { old, retry_at } if old == Some(exited) => {
                let broken = State::Broken {
                    old: None,
                    retry_at,
                };
                self.reopen(&broken, out);
                broken
            }
            state => state,
        }
    }

    /// Opens, holds or refuses requests if `state` determines that; otherwise adds no effect.
    fn reopen(&self, state: &State, out: &mut Vec<Effect>) {
        let settled = match *state {
            State::Live { active } => Effect::Open(active),
            State::Broken { old: Some(old), .. } if self.rules.serve_last_good => Effect::Open(old),
            State::Broken { .. } => Effect::Refuse,
            _ => return,
        };
        out.push(if self.suspect { Effect::Hold } else { settled });
    }

    /// Replaces the build or candidate in progress by a new generation; the proven generation stays.
    fn replace(&mut self, state: State, cause: StartCause, out: &mut Vec<Effect>) -> State {
        cancel(&state, out);
        self.exits.clear();
        let cause = match state {
            // A new introduction keeps the original cause of the start in progress.
            State::Building { cause: before, .. }
            | State::MakingRoom { cause: before, .. }
            | State::Starting { cause: before, .. }
                if cause == StartCause::Client =>
            {
                before
            }
            _ => cause,
        };
        match state {
            State::MakingRoom { next, .. } if !self.must_build() => {
                State::MakingRoom { next, cause }
            }
            State::Starting { next, .. } if self.rules.stop_first => {
                self.stopping = Some(next);
                self.begin(None, cause, out)
            }
            State::Live { active } => self.begin(Some(active), cause, out),
            State::Building { old, .. }
            | State::Starting { old, .. }
            | State::Broken { old, .. } => self.begin(old, cause, out),
            State::MakingRoom { .. } | State::Restarting { .. } | State::Idle | State::Stopped => {
                self.begin(None, cause, out)
            }
        }
    }

    fn begin(&mut self, old: Option<u64>, cause: StartCause, out: &mut Vec<Effect>) -> State {
        out.push(Effect::Hold);
        self.last += 1;
        if self.must_build() {
            out.push(Effect::Build(self.last));
            return State::Building {
                next: self.last,
                old,
                cause,
            };
        }
        self.start(self.last, old, cause, out)
    }

    /// Returns true if the last build may be out of date, which a new introduction alone does not cause.
    fn must_build(&self) -> bool {
        self.rules.build && self.unbuilt
    }

    fn start(
        &mut self,
        next: u64,
        old: Option<u64>,
        cause: StartCause,
        out: &mut Vec<Effect>,
    ) -> State {
        if let (Some(old), true) = (old, self.rules.stop_first) {
            out.push(Effect::MakeRoom(old));
            self.stopping = Some(old);
        }
        if self.stopping.is_some() {
            return State::MakingRoom { next, cause };
        }
        out.push(Effect::Spawn(next));
        State::Starting { next, old, cause }
    }

    fn broken(&self, old: Option<u64>, out: &mut Vec<Effect>) -> State {
        let broken = State::Broken {
            old,
            retry_at: None,
        };
        self.reopen(&broken, out);
        broken
    }

    fn start_again(&mut self, old: Option<u64>, cause: StartCause, out: &mut Vec<Effect>) -> State {
        self.last += 1;
        out.push(Effect::Spawn(self.last));
        State::Starting {
            next: self.last,
            old,
            cause,
        }
    }
}

fn cause(input: Input) -> StartCause {
    match input {
        Input::Reload => StartCause::Asked,
        Input::ClientChanged => StartCause::Client,
        _ => StartCause::Save,
    }
}

/// Cancels the build or the candidate in progress.
fn cancel(state: &State, out: &mut Vec<Effect>) {
    match state {
        State::Building { .. } => out.push(Effect::CancelBuild),
        State::Starting { next, .. } => out.push(Effect::Kill(*next)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
