//! Reports of a server's output that is no message.

use super::report::ServerContext;
use crate::event::{Event, StrayKind};

/// Counts and reports output that is no message.
pub(super) struct StrayReporter {
    server: String,
    generation: u64,
    count: u64,
    context: ServerContext,
}

impl StrayReporter {
    pub(super) fn new(context: &ServerContext, generation: u64) -> Self {
        Self {
            server: context.spec.name.clone(),
            generation,
            count: 0,
            context: context.clone(),
        }
    }

    /// Reports unusable text; `kind` says why it is unusable.
    pub(super) fn report(&mut self, line: String, kind: StrayKind) {
        self.count += 1;
        let (server, generation, count) = (self.server.clone(), self.generation, self.count);
        let line = match &self.context.spec.remote {
            Some(remote) => remote.hide(&line),
            None => line,
        };
        self.context.resources.events.send(Event::Stray {
            server,
            generation,
            line,
            count,
            kind,
        });
    }
}
