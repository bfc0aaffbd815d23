//! Stderr of a process, buffered until its generation is known.

use std::mem;
use std::sync::{Arc, Mutex};

use crate::event::{Event, EventSender};
use crate::lock::locked;

/// Buffer for stderr lines, shared by its clones.
#[derive(Debug, Clone)]
pub(crate) struct StderrBuffer(Arc<Mutex<StderrState>>);

#[derive(Debug)]
struct StderrState {
    server: String,
    events: EventSender,
    lines: Vec<String>,
    /// Generation of the process, once known.
    generation: Option<u64>,
}

impl StderrBuffer {
    pub(super) fn new(server: String, events: EventSender) -> Self {
        Self(Arc::new(Mutex::new(StderrState {
            server,
            events,
            lines: Vec::new(),
            generation: None,
        })))
    }

    /// Sends `line` as an event, or buffers it while the generation is unknown.
    pub(super) fn push(&self, line: String) {
        let mut state = locked(&self.0);
        state.lines.push(line);
        state.flush();
    }

    /// Returns the number of buffered lines.
    pub(super) fn lines(&self) -> usize {
        locked(&self.0).lines.len()
    }

    /// Assigns all buffered and later lines to this generation.
    pub(crate) fn assign_to(&self, generation: u64) {
        let mut state = locked(&self.0);
        state.generation = Some(generation);
        state.flush();
    }
}

impl StderrState {
    fn flush(&mut self) {
        let Some(generation) = self.generation else {
            return;
        };
        for line in mem::take(&mut self.lines) {
            self.events.send(Event::Stderr {
                server: self.server.clone(),
                generation,
                line,
            });
        }
    }
}
