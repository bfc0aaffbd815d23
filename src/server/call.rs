//! One request of a client on its way to a server, and the client it belongs to.

use std::fmt::Debug;
use std::sync::Arc;

use super::connection::Connection;
use crate::jsonrpc::Envelope;
use crate::mcp::{Era, ListKind, Method};
use crate::transport::stream::Outbox;

/// A client's request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Call {
    /// The client's id, raw.
    pub(crate) id: Box<str>,
    /// The era of the request.
    pub(crate) era: Era,
    /// What it asks.
    pub(crate) method: Method,
    /// The client wants log messages for this request (modern era).
    pub(crate) logs: bool,
    /// A client may keep the answer for a time that a reload does not respect: it must not.
    pub(crate) perishable: bool,
    /// The server's own raw name of the tool or prompt, where the client's is another.
    pub(crate) rename: Option<Arc<str>>,
    /// Ids of tasks in the answer are told apart from those of other servers.
    pub(crate) tag_tasks: bool,
    /// The line, as long as it may be sent once more after a crash.
    pub(crate) again: Option<Box<str>>,
    /// Who asks.
    pub(crate) client: Arc<dyn Client>,
}

/// The client's side of a session, as a server sees it.
pub(crate) trait Client: Debug + Send + Sync {
    /// Where its messages go: for pressure back and for gathering writes.
    fn outbox(&self) -> &Outbox;

    /// Takes the finished answer to one of its requests: the line in three parts, the id in the middle.
    fn answer(&self, parts: [&[u8]; 3]) {
        self.outbox().send(parts);
    }

    /// Takes a request of the server.
    fn ask(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>);

    /// Takes a notification of the server that is not about its lists.
    fn notify(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>);

    /// The server behind `from` is gone: what it asked needs no answer any more.
    fn forget(&self, from: &Connection);

    /// Lists are new. `first`: they are the first ones that the server ever gave.
    fn lists_changed(&self, kinds: &[ListKind], first: bool);

    /// New code serves the resources of `server`: what was read of them may be out of date.
    fn resources_renewed(&self, server: &str);
}
