//! Bounded memory of the messages that wait for the writing thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::RecordedMessage;
use crate::lock::locked;

/// Messages that are not yet written, the oldest first.
#[derive(Debug)]
pub(super) struct MessageMemory {
    state: Mutex<MemoryState>,
    changed: Condvar,
    /// Maximum size in bytes; the newest message may exceed it.
    max_size: usize,
}

#[derive(Debug, Default)]
struct MemoryState {
    messages: VecDeque<RecordedMessage>,
    /// Size of the messages in bytes.
    size: usize,
    /// Number of messages that were dropped since the last [`MessageMemory::take`].
    dropped: u64,
    /// True if a thread waits for a message. Waking one takes longer than all else here.
    is_awaited: bool,
    is_closed: bool,
}

/// Messages taken from the memory.
#[derive(Debug)]
pub(super) struct MessageBatch {
    pub(super) messages: VecDeque<RecordedMessage>,
    /// Number of older messages that were dropped.
    pub(super) dropped: u64,
}

impl MessageMemory {
    /// Creates a memory of at most `max_size` bytes.
    pub(super) fn new(max_size: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_size,
        }
    }

    /// Adds a message, and drops the oldest ones that exceed the size.
    pub(super) fn add(&self, message: RecordedMessage) {
        let mut state = locked(&self.state);
        if state.is_closed {
            return;
        }
        state.size += message.size();
        state.messages.push_back(message);
        while state.size > self.max_size
            && state.messages.len() > 1
            && let Some(oldest) = state.messages.pop_front()
        {
            state.size -= oldest.size();
            state.dropped += 1;
        }
        let is_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        if is_awaited {
            self.changed.notify_one();
        }
    }

    /// Waits for messages and takes all; returns `None` once the memory is closed and empty.
    pub(super) fn take(&self) -> Option<MessageBatch> {
        let mut state = locked(&self.state);
        while state.messages.is_empty() {
            if state.is_closed {
                return None;
            }
            state.is_awaited = true;
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.size = 0;
        Some(MessageBatch {
            messages: std::mem::take(&mut state.messages),
            dropped: std::mem::take(&mut state.dropped),
        })
    }

    /// Waits for `time`, or until the memory is closed. Messages that are added meanwhile wake nobody.
    pub(super) fn pause(&self, time: Duration) {
        let state = locked(&self.state);
        let is_open = |state: &mut MemoryState| !state.is_closed;
        drop(self.changed.wait_timeout_while(state, time, is_open));
    }

    /// Accepts no more messages.
    pub(super) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.changed.notify_all();
    }
}
