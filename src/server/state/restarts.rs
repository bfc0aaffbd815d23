//! Restarts after a failed start, the exit of a process, or the loss of a remote server or of the link to a process.

use std::time::{Duration, Instant};

use super::{
    CALL_BACKOFF, Effect, FIRST_BACKOFF, FLAP_EXITS, FLAP_WINDOW, LAST_BACKOFF, ServerLocation,
    StartCause, State, StateMachine, Succession,
};

/// Maximum number of failures on record; [`LAST_BACKOFF`] follows fewer.
const MAX_FAILURES: usize = 16;

impl StateMachine {
    /// Handles a candidate that did not prove itself.
    pub(super) fn failed(
        &mut self,
        cause: StartCause,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> State {
        if self.rules.location == ServerLocation::Elsewhere {
            return self.unreachable(cause, now, out);
        }
        if cause == StartCause::Crash {
            self.give_up(out);
            if self.rules.succession != Succession::Kept {
                return self.crashed(now, out);
            }
            // A process that reloads itself waits for the next save.
        }
        self.broken(None, out)
    }

    pub(super) fn start_again(&mut self, cause: StartCause, out: &mut Vec<Effect>) -> State {
        self.newest += 1;
        // A generation that still drains has the same process as an active one, which waits for its successor.
        if self.active.is_none() && !self.stopping.is_empty() {
            return State::MakingRoom(cause);
        }
        out.push(Effect::Spawn(self.newest));
        State::Starting(cause)
    }

    pub(super) fn crashed(&mut self, now: Instant, out: &mut Vec<Effect>) -> State {
        self.forget_old_exits(now);
        if self.rules.location == ServerLocation::Elsewhere {
            return self.unreachable(StartCause::Crash, now, out);
        }
        self.exits.push_back(now);
        if self.exits.len() >= FLAP_EXITS {
            self.exits.clear();
            out.push(Effect::Flapping);
            return self.broken(None, out);
        }
        let delay = self.delay();
        out.extend([Effect::Hold, Effect::Backoff(delay)]);
        State::Restarting { at: now + delay }
    }

    /// Starts a new link to the process of the active generation: at once, or after a delay if another one was lost lately.
    /// The generation stays until then, because the process ends with its last generation. One that another generation
    /// is about to replace, or that serves in place of broken code, is given up.
    pub(super) fn link_lost(&mut self, state: State, now: Instant, out: &mut Vec<Effect>) -> State {
        match state {
            State::Live => {}
            // Its successor is linked to the same process.
            State::Restarting { .. } | State::Starting(StartCause::Crash) => return state,
            _ => {
                self.give_up(out);
                self.reopen(state, out);
                return state;
            }
        }
        self.forget_old_exits(now);
        self.exits.push_back(now);
        out.push(Effect::Hold);
        if self.exits.len() == 1 {
            return self.start_again(StartCause::Crash, out);
        }
        let delay = self.delay();
        out.push(Effect::Backoff(delay));
        State::Restarting { at: now + delay }
    }

    fn forget_old_exits(&mut self, now: Instant) {
        while self
            .exits
            .front()
            .is_some_and(|exit| now.duration_since(*exit) > FLAP_WINDOW)
        {
            self.exits.pop_front();
        }
    }

    /// Schedules a retry of a remote server. Calls are held while fewer than [`FLAP_EXITS`] failures are on record
    /// since the loss; otherwise, for example after a failed first start, they are refused.
    pub(super) fn unreachable(
        &mut self,
        cause: StartCause,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> State {
        self.exits.push_back(now);
        if self.exits.len() > MAX_FAILURES {
            self.exits.pop_front();
        }
        let delay = self.delay();
        let at = now + delay;
        if cause == StartCause::Crash && self.exits.len() < FLAP_EXITS {
            out.extend([Effect::Hold, Effect::Backoff(delay)]);
            return State::Restarting { at };
        }
        out.push(Effect::Backoff(delay));
        self.broken(Some(at), out)
    }

    /// Retries a remote server for a request, at once or [`CALL_BACKOFF`] after the last failure. The request is held
    /// until then, also if an attempt is in progress.
    pub(super) fn retry_for_call(
        &mut self,
        state: State,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> State {
        match state {
            State::Broken { retry_at: Some(at) } => {
                out.push(Effect::Hold);
                let earliest = self.exits.back().map_or(now, |last| *last + CALL_BACKOFF);
                if earliest <= now {
                    return self.start_again(StartCause::Save, out);
                }
                let retry_at = Some(at.min(earliest));
                State::Broken { retry_at }
            }
            State::Starting(_) if self.active.is_none() => {
                out.push(Effect::Hold);
                state
            }
            _ => {
                self.reopen(state, out);
                state
            }
        }
    }

    /// Returns the delay before the next start: [`FIRST_BACKOFF`], doubled for each further exit on record and capped.
    pub(super) fn delay(&self) -> Duration {
        let doublings = u32::try_from(self.exits.len() - 1).unwrap_or(u32::MAX);
        FIRST_BACKOFF
            .saturating_mul(2u32.saturating_pow(doublings))
            .min(LAST_BACKOFF)
    }
}
