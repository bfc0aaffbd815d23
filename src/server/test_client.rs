//! Client for unit tests, and handles to servers that are never started.

use std::io::{PipeReader, pipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::call::{Call, ResponseSink};
use super::connection::{Client, Connection, InputRound, ParkedRound};
use super::link::Link;
use super::{Lists, ServerHandle, Snapshot};
use crate::bridge::{Identity, RequiredUrls};
use crate::jsonrpc::{Envelope, RawId, Reply};
use crate::mcp::{Era, Method};
use crate::transport::stream::Outbox;

/// Client that counts responses and writes them into a pipe.
#[derive(Debug)]
pub(super) struct CountingClient {
    pub(super) outbox: Outbox,
    pub(super) answers: AtomicUsize,
}

impl ResponseSink for CountingClient {
    fn pipe(&self) -> Option<&Outbox> {
        Some(&self.outbox)
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        reply.with_id(id, |parts| self.outbox.send(parts));
    }
}

impl Client for CountingClient {
    fn deliver_request(&self, _: &Arc<Connection>, _: &str, _: &Envelope<'_>, _: Option<u64>) {}
    fn deliver_notification(&self, _: &Arc<Connection>, _: &str, _: &Envelope<'_>, _: Option<u64>) {
    }
    fn request_input(&self, _: &Arc<Connection>, _: InputRound) {}
    fn request_urls(&self, _: &Connection, _: ParkedRound, _: RequiredUrls, _: &str) {}
    fn withdraw_requests(&self, _: &Connection) {}
}

/// Creates a client and the end of the pipe from which it reads.
pub(super) fn client() -> (Arc<CountingClient>, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let outbox = Outbox::new(writer.into()).unwrap();
    let answers = AtomicUsize::new(0);
    (Arc::new(CountingClient { outbox, answers }), reader)
}

/// Creates a request of the client that needs no translation.
pub(in crate::server) fn call(sink: Arc<dyn ResponseSink>, id: &str) -> Call {
    Call::new(sink, id.into(), Era::Legacy, Method::Other)
}

impl ServerHandle {
    /// Records a start that has failed.
    pub(crate) fn record_failure(&self, reason: &str) {
        self.shared
            .describe(|status| status.last_error = Some(reason.to_owned()));
    }

    /// Lets requests pass to `connection`.
    pub(crate) fn open_gate(&self, connection: Arc<Connection>) {
        self.shared.gate.open(connection);
    }

    /// Holds requests from now on.
    pub(crate) fn hold_gate(&self) {
        self.shared.gate.hold("a test");
    }

    /// Refuses requests from now on.
    pub(crate) fn close_gate(&self) {
        self.shared.gate.close();
    }

    /// Shows these lists as the lists of the next generation.
    pub(crate) fn show(&self, lists: Lists) {
        self.shared.snapshot.send_modify(|snapshot| {
            let generation = snapshot.generation + 1;
            *snapshot = Arc::new(Snapshot {
                generation,
                lists,
                ..Snapshot::clone(snapshot)
            });
        });
    }
}

impl Connection {
    /// Creates a connection of the first generation of `server`, whose messages go to `outbox`.
    pub(crate) fn to(outbox: Outbox, server: &str, client: Arc<dyn Client>) -> Arc<Self> {
        let (notices, _heard) = tokio::sync::mpsc::unbounded_channel();
        let (link, identity) = (Link::Pipe(outbox), Identity::default());
        Arc::new(Self::new(server.into(), 1, link, client, identity, notices))
    }
}
