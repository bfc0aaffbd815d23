//! Requests of a legacy client that follow `initialize` without waiting for its response: they are handled after that
//! response, so that it is the first one, and after the servers have introduced themselves.

use std::collections::VecDeque;

use crate::jsonrpc::{RawId, RequestId};

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
}

impl EarlyRequests {
    /// Records that the client has sent `initialize`.
    pub(super) fn begin(&mut self) {
        self.unanswered += 1;
    }

    /// Records that an `initialize` was answered. The caller must handle the requests held back, see [`Self::next`].
    pub(super) fn initialize_answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Records that the session ends: no response to `initialize` is awaited any more.
    pub(super) fn end(&mut self) {
        self.unanswered = 0;
    }

    /// Holds the request `id` back if `initialize` is not answered, or earlier requests are held. Returns false if the
    /// caller must handle it at once.
    pub(super) fn hold(&mut self, id: RawId<'_>, line: &str) -> bool {
        let is_early = self.unanswered > 0 || !self.held.is_empty();
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

    /// Returns the next request to handle, once every `initialize` is answered.
    pub(super) fn next(&mut self) -> Option<(RequestId, String)> {
        if self.unanswered > 0 {
            return None;
        }
        let (id, line) = self.held.pop_front()?;
        self.held_bytes = self.held_bytes.saturating_sub(line.len());
        Some((id, line))
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
        early.initialize_answered();
        assert_eq!(next(&mut early), None);
        early.initialize_answered();
        assert_eq!(next(&mut early).as_deref(), Some("1"));
        // It does not overtake the one that is still held.
        assert!(early.hold("3".into(), "c"));
        assert!(early.cancel("2".into()) && !early.cancel("1".into()));
        assert_eq!(next(&mut early).as_deref(), Some("3"));
        assert_eq!(next(&mut early), None);
        assert!(!early.hold("4".into(), "d"));
        early.begin();
        assert!(early.hold("5".into(), "e"));
        early.end();
        assert_eq!(next(&mut early).as_deref(), Some("5"));
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let mut early = EarlyRequests::default();
        early.begin();
        let half = "x".repeat(MAX_HELD_BYTES / 2);
        assert!(early.hold("1".into(), &half) && early.hold("2".into(), &half));
        assert!(!early.hold("3".into(), "x"));
        assert!(early.cancel("2".into()) && early.hold("2".into(), &half));
        early.initialize_answered();
        assert_eq!(next(&mut early).as_deref(), Some("1"));
        assert!(early.hold("3".into(), "x"));
    }
}
