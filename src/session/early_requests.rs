//! Requests of a legacy client that follow `initialize` without waiting for its response: they are handled after that
//! response, so that it is the first one, and after the servers have introduced themselves.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Session;
use crate::jsonrpc::{Envelope, RawId, RequestId};
use crate::mcp::Era;

/// Maximum size in bytes of the lines held back; later requests are handled at once.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Requests held back, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct EarlyRequests {
    /// Number of `initialize` requests without a response.
    unanswered: usize,
    /// Ids and lines.
    held: VecDeque<(RequestId, String)>,
    held_bytes: usize,
    /// True while a thread handles the requests held back.
    is_releasing: bool,
}

impl EarlyRequests {
    /// Records that the client has sent `initialize`.
    pub(super) fn begin(&mut self) {
        self.unanswered += 1;
    }

    /// Records that an `initialize` was answered. Returns true if the caller must handle the requests held back, see
    /// [`Self::next`].
    pub(super) fn initialize_answered(&mut self) -> bool {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.release()
    }

    /// Records that the session ends: no response to `initialize` is awaited any more. Returns the same as
    /// [`Self::initialize_answered`].
    pub(super) fn end(&mut self) -> bool {
        self.unanswered = 0;
        self.release()
    }

    /// Returns true if the caller alone must handle the requests held back.
    fn release(&mut self) -> bool {
        let is_first = self.unanswered == 0 && !self.is_releasing;
        self.is_releasing |= is_first;
        is_first
    }

    /// Holds the request `id` back if `initialize` is not answered, or earlier requests are not handled yet. Returns
    /// false if the caller must handle it at once.
    pub(super) fn hold(&mut self, id: RawId<'_>, line: &str) -> bool {
        let is_early = self.unanswered > 0 || self.is_releasing;
        let holds = is_early && self.held_bytes + line.len() <= MAX_HELD_BYTES;
        if holds {
            self.held_bytes += line.len();
            self.held.push_back((id.into(), line.to_owned()));
        }
        holds
    }

    /// Drops the request `id`, which the client has cancelled; returns false if it is not held back.
    pub(super) fn cancel(&mut self, id: RawId<'_>) -> bool {
        let before = self.held.len();
        self.held.retain(|(held, _)| *held != id);
        self.held_bytes = self.held.iter().map(|(_, line)| line.len()).sum();
        self.held.len() < before
    }

    /// Returns the next request to handle. None if none is left, or the client has sent `initialize` again. Requests
    /// that arrive between two calls are held back too, so that they do not overtake the others.
    pub(super) fn next(&mut self) -> Option<(RequestId, String)> {
        let next = (self.unanswered == 0).then(|| self.held.pop_front());
        let Some(Some((id, line))) = next else {
            self.is_releasing = false;
            return None;
        };
        self.held_bytes = self.held_bytes.saturating_sub(line.len());
        Some((id, line))
    }
}

impl Session {
    /// Records that `initialize` was answered, and handles the requests that the client sent meanwhile.
    pub(super) fn finish_initialize(&self) {
        let mut state = self.state();
        state.early_messages.initialize_answered();
        let must_handle = state.early_requests.initialize_answered();
        drop(state);
        if must_handle {
            self.handle_early_requests();
        }
    }

    /// Passes the requests that wait for the response to `initialize` on, since the session ends: they are answered as
    /// all requests to servers that are stopped.
    pub(super) fn end_early_requests(&self) {
        let must_handle = self.state().early_requests.end();
        if must_handle {
            self.handle_early_requests();
        }
    }

    fn handle_early_requests(&self) {
        // Not `while let`: its condition would hold the lock.
        loop {
            let Some((id, line)) = self.state().early_requests.next() else {
                return;
            };
            let id = id.as_raw();
            let handle = || {
                if let Ok(envelope) = Envelope::parse(&line) {
                    self.handle_request(&line, &envelope, id, Era::Legacy);
                }
            };
            // The other requests must not wait for ever.
            if catch_unwind(AssertUnwindSafe(handle)).is_err() {
                self.refuse_panicked(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(early: &mut EarlyRequests) -> Option<String> {
        early.next().map(|(id, _)| id.as_raw().to_string())
    }

    #[test]
    fn requests_are_held_until_every_initialize_is_answered() {
        let mut early = EarlyRequests::default();
        assert!(!early.hold("1".into(), "a"));
        early.begin();
        early.begin();
        assert!(early.hold("1".into(), "a") && early.hold("2".into(), "b"));
        assert!(!early.initialize_answered());
        assert!(early.initialize_answered());
        assert_eq!(next(&mut early).as_deref(), Some("1"));
        assert!(early.cancel("2".into()) && !early.cancel("1".into()));
        // It overtakes neither the ones that are held nor the one that is being handled.
        assert!(early.hold("3".into(), "c"));
        assert_eq!(next(&mut early).as_deref(), Some("3"));
        assert!(early.hold("4".into(), "d"));
        // One thread alone handles them.
        early.begin();
        assert!(!early.initialize_answered());
        assert_eq!(next(&mut early).as_deref(), Some("4"));
        assert_eq!(next(&mut early), None);
        assert!(!early.hold("5".into(), "e"));
    }

    #[test]
    fn another_initialize_holds_the_rest() {
        let mut early = EarlyRequests::default();
        early.begin();
        assert!(early.hold("1".into(), "a") && early.hold("2".into(), "b"));
        assert!(early.initialize_answered());
        assert_eq!(next(&mut early).as_deref(), Some("1"));
        early.begin();
        assert_eq!(next(&mut early), None);
        assert!(early.end());
        assert_eq!(next(&mut early).as_deref(), Some("2"));
        assert_eq!(next(&mut early), None);
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let mut early = EarlyRequests::default();
        early.begin();
        let half = "x".repeat(MAX_HELD_BYTES / 2);
        assert!(early.hold("1".into(), &half) && early.hold("2".into(), &half));
        assert!(!early.hold("3".into(), "x"));
        assert!(early.cancel("2".into()) && early.hold("2".into(), &half));
        assert!(early.initialize_answered());
        assert_eq!(next(&mut early).as_deref(), Some("1"));
        assert!(early.hold("3".into(), "x"));
    }
}
