//! What a server's life consists of, as a pure function: an event comes in, effects go out.
//!
//! Knows no process and no clock; the supervisor carries the effects out and reports back.
//! Invariants, held by a property test: never two candidates; the active generation is given up
//! only for a proven successor, by its own exit or by a stop; a save while a candidate starts
//! always leads to another start; every generation that was spawned is stopped.

mod restarts;
mod rules;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) use rules::{Place, Rules};

/// Delay before the first restart after a crash; doubled by each crash that follows.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// The longest delay before a restart.
pub(crate) const LAST_BACKOFF: Duration = Duration::from_secs(30);
/// This many exits within [`FLAP_WINDOW`] and the server waits for a change.
pub(crate) const FLAP_EXITS: usize = 5;
/// See [`FLAP_EXITS`].
pub(crate) const FLAP_WINDOW: Duration = Duration::from_secs(60);

/// Where a server stands. Numbers are generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No client has said anything yet.
    Idle,
    /// The build for `next` runs; `old` still lives.
    Building {
        next: u64,
        old: Option<u64>,
        cause: Cause,
    },
    /// What was started before stops before `next` starts.
    MakingRoom { next: u64, cause: Cause },
    /// The candidate `next` starts; `old` still lives.
    Starting {
        next: u64,
        old: Option<u64>,
        cause: Cause,
    },
    /// `active` answers.
    Live { active: u64 },
    /// The saved code does not run; `old` still lives. A remote server is tried again at `again`.
    Broken {
        old: Option<u64>,
        again: Option<Instant>,
    },
    /// The server crashed and is started again at `at`.
    Restarting { at: Instant },
    /// The proxy ends.
    Stopped,
}

/// Why a generation is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The client's first message.
    Begin,
    /// Files changed, or a remote server that was not there for long may be there again.
    Save,
    /// Somebody asked for it.
    Asked,
    /// The generation before it exited.
    Crash,
    /// The client turned out to speak the other era, or to be another one.
    Client,
}

/// What can happen to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// A client is there.
    Begin,
    /// The client must be introduced anew.
    ClientChanged,
    /// A watched file was touched.
    Suspect,
    /// Files were changed by a save that may not be over: the suspicion stays.
    Saved,
    /// It was touched only.
    Unchanged,
    /// It changed.
    Changed,
    /// A reload was asked for.
    Reload,
    /// The build for the generation ended.
    Built { next: u64, ok: bool },
    /// The candidate has proved itself.
    Proved(u64),
    /// The candidate has failed; its process is being stopped.
    Failed(u64),
    /// A generation's process ended by itself.
    Exited(u64),
    /// A generation that was told to make room, or a candidate that was killed, is gone.
    Gone(u64),
    /// Time has come to `State::Restarting`'s `at`, or `State::Broken`'s `again`.
    Due,
    /// The proxy ends.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Let requests wait.
    Hold,
    /// Let requests through to this generation.
    Open(u64),
    /// Answer requests with the reason why the saved code does not run.
    Refuse,
    /// Run the build for this generation.
    Build(u64),
    /// Stop the build.
    CancelBuild,
    /// Start this generation as the candidate.
    Spawn(u64),
    /// Stop the candidate at once.
    Kill(u64),
    /// The candidate is the active generation from now on; `Open` or `Hold` follows.
    Commit(u64, Cause),
    /// Let requests in flight end, then stop.
    Drain(u64),
    /// As `Drain`, and report `Gone`.
    MakeRoom(u64),
    /// A generation that had answered is gone; it is started again after the delay.
    Backoff(Duration),
    /// It exited too often and waits for a change.
    Flapping,
    /// Stop everything that lives.
    StopAll,
}

/// A server's state with what is needed to decide the next one.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) state: State,
    rules: Rules,
    /// Number of the generation started last.
    last: u64,
    /// When it exited by itself, newest last; of a remote server also when it could not be reached.
    exits: VecDeque<Instant>,
    /// A file was touched; whether it changed is not known yet. Requests wait until it is.
    suspect: bool,
    /// Something was saved, or asked for, that no build has ended well with.
    unbuilt: bool,
    /// Must be gone before another is started: it may own what only one can own.
    leaving: Option<u64>,
}

impl Machine {
    /// A server that has not been started.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            state: State::Idle,
            rules,
            last: 0,
            exits: VecDeque::new(),
            suspect: false,
            unbuilt: true,
            leaving: None,
        }
    }

    /// Takes over what a changed configuration says; gives what is to be done, in order.
    #[must_use = "the effects must be carried out"]
    pub(crate) fn set_rules(&mut self, rules: Rules) -> Vec<Effect> {
        self.rules = rules;
        let mut effects = Vec::new();
        // Only what answers while the code does not run may be another at once.
        if matches!(self.state, State::Broken { .. }) {
            self.reopen(&self.state, &mut effects);
        }
        effects
    }

    /// Whether a save may be under way.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Returns whether a candidate may start before the save is known to be over. A build and stop-first cost too much
    /// for that. Nor may it while another start is under way: a server that writes a watched file at its start would
    /// never go live.
    pub(crate) fn may_start_early(&self) -> bool {
        let is_at_rest = matches!(
            self.state,
            State::Live { .. } | State::Broken { .. } | State::Restarting { .. }
        );
        is_at_rest && !self.rules.build && !self.rules.stop_first
    }

    /// Takes `input` at the time `now`; gives the machine after it and what is to be done, in order.
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
            (State::Idle, Input::Begin) => self.begin(None, Cause::Begin, out),
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
            (state, Input::Gone(gone)) if self.leaving == Some(gone) => {
                self.leaving = None;
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
                if self.rules.place == Place::Elsewhere {
                    self.unreachable(old, cause, now, out)
                } else if cause == Cause::Crash {
                    self.crashed(now, out)
                } else {
                    self.broken(old, out)
                }
            }
            (state, Input::Exited(exited)) => self.exited(state, exited, now, out),
            // ## (Restarting | Broken) => Starting
            (State::Restarting { .. }, Input::Due) => self.start_again(None, Cause::Crash, out),
            (State::Broken { old, again }, Input::Due) if again.is_some() => {
                self.start_again(old, Cause::Save, out)
            }
            (state, _) => state,
        }
    }

    /// A generation's process ended by itself: the one that answers, or the old one beside what goes on.
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
            State::Broken { old, again } if old == Some(exited) => {
                let broken = State::Broken { old: None, again };
                self.reopen(&broken, out);
                broken
            }
            state => state,
        }
    }

    /// Lets requests through, or says that they wait or are refused, as `state` has it.
    fn reopen(&self, state: &State, out: &mut Vec<Effect>) {
        let settled = match *state {
            State::Live { active } => Effect::Open(active),
            State::Broken { old: Some(old), .. } if self.rules.serve_last_good => Effect::Open(old),
            State::Broken { .. } => Effect::Refuse,
            _ => return,
        };
        out.push(if self.suspect { Effect::Hold } else { settled });
    }

    /// Whatever is under way gives room to a new generation; what is proven lives on.
    fn replace(&mut self, state: State, cause: Cause, out: &mut Vec<Effect>) -> State {
        cancel(&state, out);
        self.exits.clear();
        let cause = match state {
            // A change of the client is no reason to forget why a start was under way.
            State::Building { cause: before, .. }
            | State::MakingRoom { cause: before, .. }
            | State::Starting { cause: before, .. }
                if cause == Cause::Client =>
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
                self.leaving = Some(next);
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

    fn begin(&mut self, old: Option<u64>, cause: Cause, out: &mut Vec<Effect>) -> State {
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

    /// What was built before may be out of date; a change of the client alone makes nothing so.
    fn must_build(&self) -> bool {
        self.rules.build && self.unbuilt
    }

    fn start(&mut self, next: u64, old: Option<u64>, cause: Cause, out: &mut Vec<Effect>) -> State {
        if let (Some(old), true) = (old, self.rules.stop_first) {
            out.push(Effect::MakeRoom(old));
            self.leaving = Some(old);
        }
        if self.leaving.is_some() {
            return State::MakingRoom { next, cause };
        }
        out.push(Effect::Spawn(next));
        State::Starting { next, old, cause }
    }

    fn broken(&self, old: Option<u64>, out: &mut Vec<Effect>) -> State {
        let broken = State::Broken { old, again: None };
        self.reopen(&broken, out);
        broken
    }

    fn start_again(&mut self, old: Option<u64>, cause: Cause, out: &mut Vec<Effect>) -> State {
        self.last += 1;
        out.push(Effect::Spawn(self.last));
        State::Starting {
            next: self.last,
            old,
            cause,
        }
    }
}

fn cause(input: Input) -> Cause {
    match input {
        Input::Reload => Cause::Asked,
        Input::ClientChanged => Cause::Client,
        _ => Cause::Save,
    }
}

/// Ends the build or the candidate that is under way.
fn cancel(state: &State, out: &mut Vec<Effect>) {
    match state {
        State::Building { .. } => out.push(Effect::CancelBuild),
        State::Starting { next, .. } => out.push(Effect::Kill(*next)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
