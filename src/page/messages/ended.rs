//! Generations that have ended. Events and messages reach the page on two ways, and the event of an end may overtake the
//! last messages to the process.

use std::collections::VecDeque;

use serde_json::Value;

use super::{Exchange, PAGE};

/// Maximum number of generations. Messages come less than a second late, in which few generations end.
const MAX_ENDED: usize = 1_000;

/// Generation of a session's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::page) struct SessionGeneration {
    /// Number of the session.
    session: String,
    server: String,
    generation: u64,
}

impl SessionGeneration {
    /// Returns the generation that an event names.
    pub(in crate::page) fn of(event: &Value) -> Option<Self> {
        let generation = event["generation"].as_u64();
        Some(Self {
            session: event["session"].as_u64()?.to_string(),
            server: event["server"].as_str()?.to_owned(),
            generation: generation.or(event["failure"]["generation"].as_u64())?,
        })
    }

    /// Returns true if the proxy or the page has sent the request of an exchange to this generation.
    pub(super) fn has_got(&self, exchange: &Exchange) -> bool {
        let session = exchange.session.split_once('-').map(|(_, number)| number);
        is_own(exchange)
            && exchange.generation == self.generation
            && *exchange.server == *self.server
            && session == Some(&*self.session)
    }
}

/// The generations that have ended last, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct EndedGenerations(VecDeque<SessionGeneration>);

impl EndedGenerations {
    /// Adds a generation.
    pub(super) fn add(&mut self, ended: SessionGeneration) {
        self.0.push_back(ended);
        if self.0.len() > MAX_ENDED {
            self.0.pop_front();
        }
    }

    /// Removes a generation that starts: a server that is loaded anew counts its generations anew.
    pub(super) fn remove(&mut self, started: &SessionGeneration) {
        self.0.retain(|it| it != started);
    }

    /// Returns true if one of the generations has got the request of an exchange.
    pub(super) fn have_got(&self, exchange: &Exchange) -> bool {
        is_own(exchange) && self.0.iter().any(|it| it.has_got(exchange))
    }
}

/// Returns true if the proxy or the page has sent the request: that of a client ends with the proxy's answer.
fn is_own(exchange: &Exchange) -> bool {
    matches!(&*exchange.from, "proxy" | PAGE)
}
