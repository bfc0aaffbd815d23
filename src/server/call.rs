//! One request of a client on its way to a server, and the client it belongs to.

use std::fmt::Debug;
use std::sync::Arc;

use super::connection::Connection;
use crate::jsonrpc::{Envelope, Reply};
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
    /// The severity from which on the client wants log messages for this request (modern era).
    pub(crate) logs: Option<u8>,
    /// A client may keep the answer for a time that a reload does not respect: it must not.
    pub(crate) perishable: bool,
    /// The server's own raw name of the tool or prompt, where the client's is another.
    pub(crate) rename: Option<Arc<str>>,
    /// The task whose result it asks for.
    pub(crate) fetches: Option<Box<str>>,
    /// Ids of tasks in the answer are told apart from those of other servers.
    pub(crate) tag_tasks: bool,
    /// The client's raw progress token, where the server gets another: several clients may use the same.
    pub(crate) token: Option<Box<str>>,
    /// The line, as long as it may be sent once more after a crash.
    pub(crate) again: Option<Box<str>>,
    /// The line, where it may turn out that no server ever looked at it.
    pub(crate) line: Option<Box<str>>,
    /// How often it has come back for that.
    pub(crate) returns: u8,
    /// Who asks.
    pub(crate) asker: Arc<dyn Asker>,
}

impl Call {
    /// Answers it.
    pub(crate) fn reply(&self, reply: Reply<'_>) {
        self.asker.answer(&self.id, reply);
    }
}

/// Who takes the answers to requests.
pub(crate) trait Asker: Debug + Send + Sync {
    /// The one pipe that all answers go to, if there is one: for pressure back and for gathering writes.
    fn pipe(&self) -> Option<&Outbox>;

    /// Takes the answer to its request `id` (raw).
    fn answer(&self, id: &str, reply: Reply<'_>);

    /// Learns that nothing will come of its request `id` (raw) for a while. It need not hold a stream open for it.
    fn pause(&self, _id: &str) {}
}

/// The client's side of a session, as a server sees it.
pub(crate) trait Client: Asker {
    /// Takes a request of the server. `on` is the number of the request that it is about, if that is known.
    fn ask(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>, on: Option<u64>);

    /// Takes a notification of the server that is not about its lists; `on` as above.
    fn notify(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>, on: Option<u64>);

    /// The server behind `from` is gone: what it asked needs no answer any more.
    fn forget(&self, from: &Connection);

    /// Lists are new. `first`: they are the first ones that the server ever gave.
    fn lists_changed(&self, kinds: &[ListKind], first: bool);

    /// New code serves the resources of `server`: what was read of them may be out of date.
    fn resources_renewed(&self, server: &str);
}
