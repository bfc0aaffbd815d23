//! What a process says on stderr before it is known whether anybody is to hear it.

use std::mem;
use std::sync::{Arc, Mutex};

use crate::event::{Event, Events};
use crate::lock::locked;

/// Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Voice(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    server: String,
    events: Events,
    lines: Vec<String>,
    /// Whose voice it is, once that is known.
    generation: Option<u64>,
}

impl Voice {
    pub(super) fn new(server: String, events: Events) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            server,
            events,
            lines: Vec::new(),
            generation: None,
        })))
    }

    /// Tells `line`, or keeps it until it is known whose it is.
    pub(super) fn tell(&self, line: String) {
        let mut kept = locked(&self.0);
        kept.lines.push(line);
        kept.pass_on();
    }

    /// How many lines wait.
    pub(super) fn lines(&self) -> usize {
        locked(&self.0).lines.len()
    }

    /// Tells all that was said, and what follows, as the words of this generation.
    pub(crate) fn belongs_to(&self, generation: u64) {
        let mut kept = locked(&self.0);
        kept.generation = Some(generation);
        kept.pass_on();
    }
}

impl Kept {
    fn pass_on(&mut self) {
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
