//! Messages for a legacy client that arrive during its handshake: the client gets them once it is ready.

use super::RelatedRequest;

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
    /// Raw id of the request that it belongs to.
    pub(super) related_id: Option<Box<str>>,
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

    /// Holds a message back during the handshake; returns it at any other time.
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

    /// Ends the handshake and returns the messages held back, in order of arrival.
    pub(super) fn finish(&mut self) -> Vec<EarlyMessage> {
        std::mem::take(self).held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries to hold back a line; returns true if it is held.
    fn holds(early: &mut EarlyMessages, line: &str) -> bool {
        early.hold(line.to_owned(), RelatedRequest::Nothing).is_ok()
    }

    fn lines(early: &mut EarlyMessages) -> Vec<String> {
        early.finish().into_iter().map(|it| it.line).collect()
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
        assert!(lines(&mut early).is_empty());
        // A client may introduce itself again.
        early.begin();
        assert!(holds(&mut early, "e"));
    }

    #[test]
    fn a_late_answer_does_not_begin_a_handshake_again() {
        let mut early = EarlyMessages::default();
        early.begin();
        early.finish();
        early.initialize_answered();
        assert!(!early.is_answered() && !holds(&mut early, "a"));
    }

    #[test]
    fn only_requests_are_remembered_with_their_messages() {
        let mut early = EarlyMessages::default();
        early.begin();
        for (related, expected) in [
            (RelatedRequest::Request("\"i\""), Some("\"i\"")),
            (RelatedRequest::Listen("1"), None),
            (RelatedRequest::Nothing, None),
        ] {
            early.hold("a".to_owned(), related).unwrap();
            let held = early.held.last().unwrap();
            assert_eq!(held.related_id.as_deref(), expected);
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
        early.finish();
        early.begin();
        holds(&mut early, "x");
        assert!(!early.is_full());
    }
}
