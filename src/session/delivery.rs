//! How what a session says reaches its client.

use std::fmt::Debug;

use crate::jsonrpc::Reply;
use crate::transport::stream::Outbox;

/// What a message belongs to that is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About<'a> {
    /// The client's request of this id, while it is in flight.
    Request(&'a str),
    /// The client's listen request of this id.
    Listen(&'a str),
    /// Nothing that the client asked.
    Nothing,
}

/// A question that cannot be brought to the client, so that nobody will answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Undelivered;

/// The way back to a client. Ids are those under which the session was given the requests.
pub(crate) trait Delivery: Debug + Send + Sync {
    /// Brings the answer to the request `id`.
    fn answer(&self, id: &str, reply: Reply<'_>);

    /// Lets the client come back later for the answer to the request `id`, where it knows how.
    fn pause(&self, _id: &str) {}

    /// Brings a notification, or a request of the server; an error only for the latter.
    fn send(&self, line: &str, about: About<'_>) -> Result<(), Undelivered>;

    /// The one pipe that everything goes to. Without one, messages must say what they are about, and nobody can
    /// be slowed down by not reading.
    fn pipe(&self) -> Option<&Outbox>;
}

impl Delivery for Outbox {
    fn answer(&self, id: &str, reply: Reply<'_>) {
        reply.under(id, |parts| Self::send(self, parts));
    }

    fn send(&self, line: &str, _about: About<'_>) -> Result<(), Undelivered> {
        Self::send(self, [line.as_bytes(), b"", b""]);
        Ok(())
    }

    fn pipe(&self) -> Option<&Outbox> {
        Some(self)
    }
}
