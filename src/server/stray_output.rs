//! Reports of a server's output that is no message.

use super::report::ServerContext;
use crate::event::{Event, StrayKind};
use crate::transport::lines::{OutputTail, shown_line};

/// Maximum number of characters of a line that an error report shows.
const MAX_CHARS: usize = 4000;

/// Counts and reports output that is no message.
pub(super) struct StrayReporter {
    server: String,
    generation: u64,
    count: u64,
    context: ServerContext,
    /// Last lines of a process's stderr. Text on stdout is added to them, since it may name the reason for the end.
    tail: Option<OutputTail>,
}

impl StrayReporter {
    pub(super) fn new(context: &ServerContext, generation: u64, tail: Option<OutputTail>) -> Self {
        Self {
            server: context.spec.name.clone(),
            generation,
            count: 0,
            context: context.clone(),
            tail,
        }
    }

    /// Returns the number of reports so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Reports unusable text; `kind` says why it is unusable.
    pub(super) fn report(&mut self, line: String, kind: StrayKind) {
        self.count += 1;
        let (server, generation, count) = (self.server.clone(), self.generation, self.count);
        let line = match &self.context.spec.remote {
            Some(remote) => remote.hide(&line),
            None => line,
        };
        if let Some(tail) = self.tail.as_ref().filter(|_| kind == StrayKind::Line) {
            let mut text = shown_line(&line);
            if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
                text.truncate(end);
                text.push('…');
            }
            tail.push(text);
        }
        self.context.resources.events.send(Event::Stray {
            server,
            generation,
            line,
            count,
            kind,
        });
    }
}
