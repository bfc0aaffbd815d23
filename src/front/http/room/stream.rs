//! One stream of a session: what was written to it last, who reads it, and for how long it is kept.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::http::StatusCode;

use super::super::feed::{Feeder, Item};

/// So many events of a stream are kept for a client that comes back …
pub(super) const EVENTS: usize = 256;
/// … and so many bytes of them.
pub(super) const BYTES: usize = 1024 * 1024;

/// One response, or several that continue each other.
#[derive(Debug)]
pub(super) struct Stream {
    /// What was sent last, by the numbers of the events.
    pub(super) log: VecDeque<Item>,
    /// Its size in bytes.
    pub(super) size: usize,
    pub(super) events: u64,
    /// Nothing while no client reads it.
    pub(super) feeder: Option<Feeder>,
    /// Answers that are still to come; nothing if it belongs to no request.
    pub(super) answers: Option<usize>,
    /// A client may come back for it: it has been given ids of events.
    pub(super) resumable: bool,
    /// All of it was written to the client.
    pub(super) written: bool,
}

/// Why a stream that nobody reads is kept. Of each kind so many streams are, and so many bytes of them, but
/// always the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It was written, but the client may not have got the end of it.
    Written,
    /// It broke off.
    Broken,
    /// It belongs to no request, and the client may come back for it.
    Standing,
}

impl Kept {
    pub(super) fn limits(self) -> (usize, usize) {
        match self {
            Self::Written => (16, 4 << 20),
            Self::Broken => (256, 16 << 20),
            Self::Standing => (1, usize::MAX),
        }
    }
}

impl Stream {
    pub(super) fn new(feeder: Feeder, answers: Option<usize>) -> Self {
        Self {
            log: VecDeque::new(),
            size: 0,
            events: 0,
            feeder: Some(feeder),
            answers,
            resumable: answers.is_none(),
            written: false,
        }
    }

    /// Why it is kept; nothing if it is read, or if an answer is still to come.
    pub(super) fn kept(&self) -> Option<Kept> {
        match self.answers {
            _ if self.feeder.is_some() => None,
            None => Some(Kept::Standing),
            Some(0) if self.written => Some(Kept::Written),
            Some(0) => Some(Kept::Broken),
            Some(_) => None,
        }
    }

    /// Whether events behind `event` are not kept any more.
    pub(super) fn has_lost(&self, event: u64) -> bool {
        let first = self.log.front().map_or(self.events + 1, |item| item.event);
        event + 1 < first
    }

    pub(super) fn is_read(&self) -> bool {
        self.feeder.as_ref().is_some_and(Feeder::is_read)
    }

    pub(super) fn write(&mut self, message: Bytes, answer: Option<StatusCode>) {
        self.events += 1;
        let item = Item {
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
        self.feeder.take_if(|feeder| feeder.push(item).is_err());
    }
}
