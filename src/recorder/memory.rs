//! Bounded memory of the messages that wait for the thread of the recorder.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::RecordedMessage;
use crate::lock::locked;

/// Messages that the thread has not taken yet, the oldest first.
#[derive(Debug)]
pub(super) struct MessageMemory {
    state: Mutex<MemoryState>,
    /// Wakes the thread that takes messages.
    changed: Condvar,
    /// Wakes threads that wait for the messages so far to be handled.
    handled: Condvar,
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
    /// Number of messages so far, and of those among them that were taken and handled, or dropped before that.
    added: u64,
    handled: u64,
    /// True if the messages so far are requested before the thread would take them.
    is_requested: bool,
    /// True if the thread waits for a message. Waking it takes longer than all else here.
    is_awaited: bool,
    is_closed: bool,
}

/// Messages taken from the memory.
#[derive(Debug)]
pub(super) struct MessageBatch {
    pub(super) messages: VecDeque<RecordedMessage>,
    /// Number of older messages that were dropped.
    pub(super) dropped: u64,
    /// Number of messages up to the last one of the batch, for [`MessageMemory::finish`].
    pub(super) end: u64,
}

impl MessageMemory {
    /// Creates a memory of at most `max_size` bytes.
    pub(super) fn new(max_size: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            handled: Condvar::new(),
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
        state.added += 1;
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

    /// Takes all messages, perhaps none, once they are requested or, if the thread `is_eager`, once there are any.
    /// Returns `None` once the memory is closed, to an eager thread only after the last messages.
    pub(super) fn take(&self, is_eager: bool) -> Option<MessageBatch> {
        let mut state = locked(&self.state);
        loop {
            let has_messages = is_eager && !state.messages.is_empty();
            if has_messages || state.is_requested && !state.is_closed {
                break;
            }
            if state.is_closed {
                return None;
            }
            state.is_awaited = is_eager;
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_awaited = false;
        state.is_requested = false;
        state.size = 0;
        Some(MessageBatch {
            messages: std::mem::take(&mut state.messages),
            dropped: std::mem::take(&mut state.dropped),
            end: state.added,
        })
    }

    /// Wakes those who wait for the messages of a batch.
    pub(super) fn finish(&self, batch_end: u64) {
        locked(&self.state).handled = batch_end;
        self.handled.notify_all();
    }

    /// Lets the thread take the messages so far. Does not wait.
    pub(super) fn request(&self) {
        locked(&self.state).is_requested = true;
        self.changed.notify_one();
    }

    /// Waits until the messages so far are handled, at most for `time`.
    pub(super) fn catch_up(&self, time: Duration) {
        let mut state = locked(&self.state);
        let end = state.added;
        let is_behind = |state: &mut MemoryState| state.handled < end && !state.is_closed;
        if is_behind(&mut state) {
            state.is_requested = true;
            self.changed.notify_one();
        }
        drop(self.handled.wait_timeout_while(state, time, is_behind));
    }

    /// Waits for `time`, or until the messages are requested or the memory is closed. Messages that are added meanwhile
    /// wake nobody.
    pub(super) fn pause(&self, time: Duration) {
        let state = locked(&self.state);
        let is_quiet = |state: &mut MemoryState| !state.is_closed && !state.is_requested;
        drop(self.changed.wait_timeout_while(state, time, is_quiet));
    }

    /// Accepts no more messages.
    pub(super) fn close(&self) {
        locked(&self.state).is_closed = true;
        self.changed.notify_all();
        self.handled.notify_all();
    }
}
