//! Messages for a legacy client that arrive during its handshake: the client gets them once it is ready.

use super::RelatedRequest;
use crate::jsonrpc::RequestId;

/// Maximum size in bytes of the lines held back.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// State of a legacy client's handshake, and the messages held back meanwhile.
#[derive(Debug, Default)]
pub(super) struct EarlyMessages {
    handshake: HandshakeState,
    held: Vec<EarlyMessage>,
    /// Size of the held lines in bytes.
    held_bytes: usize,
}

/// Message held back.
#[derive(Debug)]
pub(super) struct EarlyMessage {
    pub(super) line: String,
    /// Id of the request that it belongs to.
    pub(super) related_id: Option<RequestId>,
}

/// State of a legacy client's handshake.
#[derive(Debug, PartialEq, Eq, Default)]
enum HandshakeState {
    /// Not begun, or over.
    #[default]
    None,
    /// `initialize` waits for its response.
    Requested,
    /// `initialize` was answered; `notifications/initialized` is missing.
    Answered,
    /// The handshake has ended, and a thread sends the held messages.
    Releasing,
}

impl EarlyMessages {
    /// Records that the client has sent `initialize`.
    pub(super) fn begin(&mut self) {
        self.handshake = HandshakeState::Requested;
    }

    /// Records that `initialize` was answered.
    pub(super) fn initialize_answered(&mut self) {
        if self.handshake == HandshakeState::Requested {
            self.handshake = HandshakeState::Answered;
        }
    }

    /// Returns true if only `notifications/initialized` is missing.
    pub(super) fn is_answered(&self) -> bool {
        self.handshake == HandshakeState::Answered
    }

    /// Holds a message back during the handshake, and until those before it are sent; returns it at any other time.
    pub(super) fn hold(&mut self, line: String, related: RelatedRequest<'_>) -> Result<(), String> {
        if self.handshake == HandshakeState::None {
            return Err(line);
        }
        self.held_bytes += line.len();
        let related_id = match related {
            RelatedRequest::Request(id) => Some(id.into()),
            RelatedRequest::Listen(_) | RelatedRequest::Nothing => None,
        };
        self.held.push(EarlyMessage { line, related_id });
        Ok(())
    }

    /// Returns true if too much is held back: `notifications/initialized` is not expected any more.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes > MAX_HELD_BYTES
    }

    /// Ends the handshake. Returns true if the caller must now send the messages held back, see
    /// [`release`](Self::release); false if there is no handshake to end.
    pub(super) fn finish(&mut self) -> bool {
        let is_open = matches!(
            self.handshake,
            HandshakeState::Requested | HandshakeState::Answered
        );
        if is_open {
            self.handshake = HandshakeState::Releasing;
        }
        is_open
    }

    /// Returns the next messages to send, in order of arrival; `None` once none is left. Messages that arrive between
    /// two calls are held back too, so that they do not overtake the others.
    pub(super) fn release(&mut self) -> Option<Vec<EarlyMessage>> {
        if self.handshake != HandshakeState::Releasing {
            // The client has introduced itself again.
            return None;
        }
        self.held_bytes = 0;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            self.handshake = HandshakeState::None;
            return None;
        }
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::RawId;

    /// Tries to hold back a line; returns true if it is held.
    fn holds(early: &mut EarlyMessages, line: &str) -> bool {
        early.hold(line.to_owned(), RelatedRequest::Nothing).is_ok()
    }

    /// Returns the lines to send next.
    fn released(early: &mut EarlyMessages) -> Vec<String> {
        let messages = early.release().unwrap_or_default();
        messages.into_iter().map(|it| it.line).collect()
    }

    /// Ends the handshake and returns the lines to send.
    fn lines(early: &mut EarlyMessages) -> Vec<String> {
        assert!(early.finish());
        let lines = released(early);
        assert!(lines.is_empty() || early.release().is_none());
        lines
    }

    #[test]
    fn messages_are_held_from_initialize_until_the_handshake_ends() {
        let mut early = EarlyMessages::default();
        assert!(!holds(&mut early, "a"));
        early.begin();
        assert!(holds(&mut early, "b") && !early.is_answered());
        early.initialize_answered();
        assert!(holds(&mut early, "c") && early.is_answered());
        assert_eq!(lines(&mut early), ["b", "c"]);
        assert!(!holds(&mut early, "d") && !early.is_answered());
        assert!(!early.finish() && early.release().is_none());
        // A client may introduce itself again.
        early.begin();
        assert!(holds(&mut early, "e"));
    }

    #[test]
    fn no_message_overtakes_those_that_are_being_sent() {
        let mut early = EarlyMessages::default();
        early.begin();
        assert!(holds(&mut early, "a"));
        assert!(early.finish());
        assert!(!early.finish(), "one thread alone sends them");
        assert_eq!(released(&mut early), ["a"]);
        assert!(holds(&mut early, "b"));
        assert_eq!(released(&mut early), ["b"]);
        assert!(early.release().is_none());
        assert!(!holds(&mut early, "c"));
    }

    #[test]
    fn a_handshake_that_begins_meanwhile_holds_the_rest() {
        let mut early = EarlyMessages::default();
        early.begin();
        assert!(early.finish());
        assert!(holds(&mut early, "a"));
        early.begin();
        assert!(early.release().is_none());
        assert_eq!(lines(&mut early), ["a"]);
    }

    #[test]
    fn a_late_answer_does_not_begin_a_handshake_again() {
        let mut early = EarlyMessages::default();
        early.begin();
        lines(&mut early);
        early.initialize_answered();
        assert!(!early.is_answered() && !holds(&mut early, "a"));
    }

    #[test]
    fn only_requests_are_remembered_with_their_messages() {
        let mut early = EarlyMessages::default();
        early.begin();
        for (related, expected) in [
            (RelatedRequest::Request("\"i\"".into()), Some("\"i\"")),
            (RelatedRequest::Listen("1".into()), None),
            (RelatedRequest::Nothing, None),
        ] {
            early.hold("a".to_owned(), related).unwrap();
            let held = early.held.last().unwrap();
            let id = held.related_id.as_ref().map(RequestId::as_raw);
            assert_eq!(id.map(RawId::as_str), expected);
        }
    }

    #[test]
    fn the_size_limit_counts_the_lines_of_one_handshake() {
        let mut early = EarlyMessages::default();
        early.begin();
        holds(&mut early, &"x".repeat(MAX_HELD_BYTES));
        assert!(!early.is_full());
        holds(&mut early, "x");
        assert!(early.is_full());
        lines(&mut early);
        early.begin();
        holds(&mut early, "x");
        assert!(!early.is_full());
    }
}
