//! Sessions with servers that are never started; their messages go to files. On Windows, a thread writes them later, so
//! tests of these messages run on Unix only.

#[cfg(unix)]
mod asked;
mod cancelling;
#[cfg(unix)]
mod parked;
mod receiving;
// On Windows, a thread writes the messages to a server, and these tests read them at once.
#[cfg(unix)]
mod routing;
#[cfg(unix)]
mod stand_in;

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::fleet::test_fleet::taken;
use crate::meta_tools::Set;
use crate::server::{Connection, StandIn};
use crate::transport::stream::Outbox;

/// Client that stores its messages.
#[derive(Debug, Default)]
struct StoringClient {
    /// Each message, behind the request that it belongs to.
    heard: Mutex<Vec<(String, String)>>,
    /// True if nothing but responses can be delivered.
    is_deaf: Mutex<bool>,
}

impl Delivery for StoringClient {
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let line = reply.with_id(id, |parts| String::from_utf8(parts.concat()).unwrap());
        locked(&self.heard).push(("answer".to_owned(), line));
    }

    fn send(&self, line: &str, about: RelatedRequest<'_>) -> Result<(), Undelivered> {
        if *locked(&self.is_deaf) {
            return Err(Undelivered);
        }
        let about = match about {
            RelatedRequest::Request(id) => format!("request {id}"),
            RelatedRequest::Listen(id) => format!("listen {id}"),
            RelatedRequest::Nothing => "nothing".to_owned(),
        };
        locked(&self.heard).push((about, line.to_owned()));
        Ok(())
    }

    fn pipe(&self) -> Option<&Outbox> {
        None
    }
}

/// A session with its client and the files that its servers' messages go to.
pub(super) struct Stage {
    pub(super) session: Arc<Session>,
    client: Arc<StoringClient>,
    dir: TempDir,
}

impl Stage {
    /// Creates a session with these servers, whose gates are open. No task of theirs runs before the test waits.
    pub(super) fn new(servers: &[&str], is_transparent: bool, set: Set) -> Self {
        Self::of(servers, is_transparent, set, false, None)
    }

    /// Creates a session that several modern clients share.
    pub(super) fn shared(servers: &[&str]) -> Self {
        Self::of(servers, true, Set::None, true, None)
    }

    /// Creates a session with the server `a`, for the client or clients of which a person stands in.
    pub(super) fn helped(stand_in: &Arc<StandIn>, is_shared: bool) -> Self {
        let stand_in = ClientStandIn::new(stand_in.clone(), 1);
        Self::of(&["a"], true, Set::None, is_shared, Some(stand_in))
    }

    fn of(
        servers: &[&str],
        is_transparent: bool,
        set: Set,
        is_shared: bool,
        stand_in: Option<ClientStandIn>,
    ) -> Self {
        let fleet = Fleet::loaded_with(servers, is_transparent);
        let client = Arc::<StoringClient>::default();
        let offer = OfferedMetaTools::new(set, !is_transparent, None, false);
        let session = Session::new(
            client.clone(),
            is_shared,
            fleet,
            offer,
            EventSender::silent(),
            None,
            stand_in,
        );
        let dir = tempfile::tempdir().unwrap();
        let stage = Self {
            session,
            client,
            dir,
        };
        for server in servers {
            stage.connect(server);
        }
        stage
    }

    /// Opens the gate of a server to a new connection.
    pub(super) fn connect(&self, server: &str) -> Arc<Connection> {
        let client = self.session.clone();
        self.session
            .fleet
            .connect(server, client, &self.path(server))
    }

    fn path(&self, server: &str) -> PathBuf {
        self.dir.path().join(server)
    }

    /// Introduces a legacy client, which is ready for requests of servers at once.
    pub(super) fn greet(&self) {
        self.greet_with("{}");
    }

    /// Like [`Self::greet`], with these params of `initialize`.
    pub(super) fn greet_with(&self, params: &str) {
        self.receive(&format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#
        ));
        self.receive(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        // The response comes only once the test waits.
        let mut state = self.session.state();
        state.early_requests.initialize_answered();
        assert!(state.early_requests.next().is_none());
    }

    pub(super) fn receive(&self, line: &str) {
        self.session.receive(line.as_bytes());
    }

    /// Returns the messages to the client since the last call, each behind the request it belongs to.
    pub(super) fn heard(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *locked(&self.client.heard))
    }

    /// Returns the messages to the client since the last call.
    pub(super) fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|(_, line)| line).collect()
    }

    /// Returns the lines that were sent to a server since the last call.
    pub(super) fn sent_to(&self, server: &str) -> Vec<String> {
        taken(&self.path(server))
    }

    /// Makes only responses reach the client from now on.
    pub(super) fn deafen(&self) {
        *locked(&self.client.is_deaf) = true;
    }
}

/// Returns the members of `_meta` that make a request a modern one.
pub(super) const MODERN: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
