//! Keeps one stream of a session: its latest messages, its reader, and the rules for how long it is kept.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::http::StatusCode;

use super::super::message_queue::{MessageSender, QueuedMessage};

/// Maximum number of events of a stream that are kept for resuming.
pub(super) const EVENTS: usize = 256;
/// Maximum number of bytes of these events.
pub(super) const BYTES: usize = 1024 * 1024;

/// One response, or several that continue each other.
#[derive(Debug)]
pub(super) struct SessionStream {
    /// Latest messages, in order of their event numbers.
    pub(super) log: VecDeque<QueuedMessage>,
    /// Size of `log` in bytes.
    pub(super) size: usize,
    pub(super) events: u64,
    /// `None` while no client reads it.
    pub(super) sender: Option<MessageSender>,
    /// Number of outstanding answers; `None` if the stream belongs to no request.
    pub(super) answers: Option<usize>,
    /// True if a client may resume it, since it has received event ids.
    pub(super) resumable: bool,
    /// True if it was written to the client completely.
    pub(super) written: bool,
    /// True if it can carry nothing but the answers, because the client accepts no event stream.
    pub(super) answers_only: bool,
}

/// Reason to keep a stream without a reader. For each reason, the number of streams and their bytes are limited, but
/// the newest stream is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepReason {
    /// It was written, but the client may not have received its end.
    Written,
    /// It was interrupted.
    Broken,
    /// It belongs to no request, and the client may resume it.
    GetStream,
}

impl KeepReason {
    pub(super) fn limits(self) -> (usize, usize) {
        match self {
            Self::Written => (16, 4 << 20),
            Self::Broken => (256, 16 << 20),
            Self::GetStream => (1, usize::MAX),
        }
    }
}

impl SessionStream {
    pub(super) fn new(sender: MessageSender, answers: Option<usize>) -> Self {
        Self {
            log: VecDeque::new(),
            size: 0,
            events: 0,
            sender: Some(sender),
            answers,
            resumable: answers.is_none(),
            written: false,
            answers_only: false,
        }
    }

    /// Returns the reason to keep it; `None` while it is read or an answer is outstanding.
    pub(super) fn keep_reason(&self) -> Option<KeepReason> {
        match self.answers {
            _ if self.sender.is_some() => None,
            None => Some(KeepReason::GetStream),
            Some(0) if self.written => Some(KeepReason::Written),
            Some(0) => Some(KeepReason::Broken),
            Some(_) => None,
        }
    }

    /// Returns true if events after `event` are no longer kept.
    pub(super) fn has_lost(&self, event: u64) -> bool {
        let first = self.log.front().map_or(self.events + 1, |item| item.event);
        event + 1 < first
    }

    pub(super) fn is_read(&self) -> bool {
        self.sender.as_ref().is_some_and(MessageSender::is_read)
    }

    /// Returns true if a client reads it and can receive any message on it.
    pub(super) fn takes_messages(&self) -> bool {
        self.is_read() && !self.answers_only
    }

    pub(super) fn write(&mut self, message: Bytes, answer: Option<StatusCode>) {
        self.events += 1;
        let item = QueuedMessage {
            event: self.events,
            message,
            answer,
        };
        if let (Some(answers), Some(_)) = (&mut self.answers, answer) {
            *answers -= 1;
        }
        self.size += item.message.len();
        self.log.push_back(item.clone());
        while self.log.len() > EVENTS || (self.size > BYTES && self.log.len() > 1) {
            let dropped = self.log.pop_front();
            self.size -= dropped.map_or(0, |item| item.message.len());
        }
        self.sender.take_if(|sender| sender.push(item).is_err());
    }
}
