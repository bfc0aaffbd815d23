//! The client's side: one session per client, alive for the whole conversation, across all reloads of servers.
//!
//! Answers requests itself if a client must never wait for them; passes all others to the gate of the server that the
//! catalog names; passes servers' requests and notifications to the client. Knows no generation: only the [`Fleet`]
//! with its [`ServerHandle`](crate::server::ServerHandle)s, and the connection that a server's own request came on.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod batches;
mod delivery;
mod early_messages;
mod early_requests;
mod factory;
mod fan_out;
mod inbound;
mod input;
mod listen;
mod outbound;
mod own_responses;
mod parked;
mod requests_to_client;
mod route;
mod routing;
mod running_calls;
mod stand_in;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tools;
mod unknown_names;

use std::hash::RandomState;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::bridge;
use crate::event::{Event, EventSender};
use crate::fleet::Fleet;
use crate::jsonrpc::{Envelope, ErrorObject, Members, RawId, Reply};
use crate::lock::locked;
use crate::mcp::{Era, union};
use crate::meta_tools::OfferedMetaTools;
use crate::recorder::SessionRecorder;
use crate::server::{ClientHello, ResponseSink};
use batches::OpenBatches;
pub(crate) use delivery::{Delivery, RelatedRequest, Undelivered};
use early_messages::EarlyMessages;
use early_requests::EarlyRequests;
pub(crate) use factory::SessionFactory;
use parked::{EarlyRoots, ParkedCalls};
use requests_to_client::RequestsToClient;
use running_calls::RunningCalls;
use stand_in::ClientStandIn;
use subscriptions::Subscriptions;

/// Maximum size in bytes of the capabilities of a shared session, beyond which no extension is added to them.
const MAX_JOINED: usize = 4 * 1024;
/// Time limit for cancelled meta-tool calls to clean up when the session ends.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Conversation with one client; if shared, with all clients whose requests stand alone.
#[derive(Debug)]
pub(crate) struct Session {
    /// Reference to itself, for tasks and calls.
    weak_self: Weak<Self>,
    delivery: Arc<dyn Delivery>,
    /// True if several clients use it, each request standing alone.
    is_shared: bool,
    fleet: Fleet,
    /// Meta-tools that the client is offered.
    meta_tools: OfferedMetaTools,
    events: EventSender,
    /// `None` if messages are not recorded.
    recorder: Option<SessionRecorder>,
    /// `None` without a page.
    stand_in: Option<ClientStandIn>,
    state: Mutex<SessionState>,
    batches: OpenBatches,
    /// Keys for the digests of requests.
    digest_keys: RandomState,
    /// True once a legacy server has requested the roots of a modern client before any call.
    has_early_roots: AtomicBool,
    /// Tasks that will send a response.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct SessionState {
    hello: ClientHello,
    /// Capabilities that the newest request of a shared session declares.
    newest_capabilities: String,
    /// Number of the newest introduction; 0 before the first.
    hello_number: u64,
    /// Messages held back until a legacy client's handshake is over.
    early_messages: EarlyMessages,
    /// Requests held back until a legacy client's `initialize` is answered.
    early_requests: EarlyRequests,
    /// True if a response was sent before every server could be asked.
    is_answered_early: bool,
    subscriptions: Subscriptions,
    running_calls: RunningCalls,
    /// Requests that the client has not answered.
    requests_to_client: RequestsToClient,
    /// Requests that the client must repeat with the input that their servers request.
    parked_calls: ParkedCalls,
    /// The roots of a modern client, and the servers that wait for them.
    early_roots: EarlyRoots,
}

impl Session {
    /// Creates a session whose client is reached by `delivery`; if `is_shared`, several clients are. `recorder` gets
    /// all messages. `stand_in` answers requests that the client cannot.
    fn new(
        delivery: Arc<dyn Delivery>,
        is_shared: bool,
        fleet: Fleet,
        meta_tools: OfferedMetaTools,
        events: EventSender,
        recorder: Option<SessionRecorder>,
        stand_in: Option<ClientStandIn>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|weak_self| Self {
            weak_self: weak_self.clone(),
            delivery,
            is_shared,
            fleet,
            meta_tools,
            events,
            recorder,
            stand_in,
            state: Mutex::default(),
            batches: OpenBatches::default(),
            digest_keys: RandomState::new(),
            has_early_roots: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        })
    }

    /// Returns its servers.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Returns true if its servers were introduced to a client, and so are started.
    pub(crate) fn is_introduced(&self) -> bool {
        self.state().hello_number > 0
    }

    /// Starts the servers of a shared session before its first request. Each request identifies its own client later.
    pub(crate) fn introduce_proxy(&self) {
        let mut state = self.state();
        if self.is_shared && state.hello_number == 0 {
            state.hello.identity.client_info = Some(bridge::own_info());
            let hello = state.hello.clone();
            state.hello_number = self.fleet.introduce_client(hello, self.strong_self());
        }
    }

    /// Waits until every request is answered. The client must have left, so that no parked call is continued.
    pub(crate) async fn wait_until_idle(&self) {
        self.end_parked_calls();
        if let Some(stand_in) = &self.stand_in {
            stand_in.client_left();
        }
        self.tasks.close();
        self.tasks.wait().await;
        for server in &self.fleet.catalog().servers {
            server.idle().await;
        }
        for server in self.fleet.stopping() {
            server.drained().await;
        }
    }

    /// Waits until the client's next message may be read. A server that reads slowly slows its client down, as it would
    /// without a proxy; a hanging server does so only until newer code replaces it. One of several servers must not
    /// slow down the others: the session refuses messages for which there is no room.
    pub(crate) async fn ready(&self) {
        if let Some(server) = self.fleet.catalog().sole() {
            server.ready().await;
        }
    }

    /// Returns true if a server does not read its input, so that no more messages should be sent to it.
    pub(crate) fn is_congested(&self) -> bool {
        let servers = &self.fleet.catalog().servers;
        servers
            .iter()
            .any(|server| routing::congestion_error(server).is_some())
    }

    /// Stops its servers and cancels the running meta-tools; resolves when all have ended.
    pub(crate) async fn end(&self) {
        self.state().running_calls.close();
        self.close_listens();
        self.end_early_requests();
        tokio::join!(self.fleet.stop(), async {
            let _ = tokio::time::timeout(CLEANUP_TIMEOUT, self.meta_tools.idle()).await;
        });
    }

    fn state(&self) -> MutexGuard<'_, SessionState> {
        locked(&self.state)
    }

    /// Returns itself as an owner; the session exists while one of its methods runs.
    fn strong_self(&self) -> Arc<Self> {
        self.weak_self
            .upgrade()
            .expect("a session is only used through its Arc")
    }

    /// Answers the request `id` with a result.
    fn answer_result(&self, id: RawId<'_>, result: &str) {
        self.answer(id, Reply::Result(result));
    }

    /// Answers the request `id` with an error.
    fn answer_error(&self, id: RawId<'_>, error: &ErrorObject) {
        self.answer(id, Reply::Error(&error.to_string()));
    }

    /// Stores the client information of a modern request; introduces the client to the servers.
    fn register_modern_client(&self, envelope: &Envelope<'_>) {
        let meta = &envelope.params.meta;
        let mut state = self.state();
        let first = state.hello_number == 0;
        let capabilities = meta.client_capabilities.unwrap_or("{}");
        if self.is_shared {
            if !first && state.newest_capabilities == capabilities {
                return;
            }
            capabilities.clone_into(&mut state.newest_capabilities);
        }
        let identity = &mut state.hello.identity;
        if self.is_shared {
            let all = joined_capabilities(&identity.capabilities, capabilities);
            let is_known = all == identity.capabilities;
            identity.capabilities = all;
            if !first && !is_known {
                self.fleet.update_identity(identity);
            }
            if !first {
                return;
            }
        }
        let known = meta.protocol_version == Some(identity.protocol_version.as_raw())
            && meta.client_info == identity.client_info.as_deref()
            && meta
                .client_capabilities
                .is_none_or(|raw| raw == identity.capabilities);
        if known && !first {
            return;
        }
        if let Some(version) = meta.protocol_version {
            identity.protocol_version = version.into();
        }
        if self.is_shared {
            identity.client_info = Some(bridge::own_info());
        } else {
            identity.client_info = meta.client_info.map(ToOwned::to_owned);
            capabilities.clone_into(&mut identity.capabilities);
        }
        let info = meta.client_info.unwrap_or("{}").to_owned();
        let hello = state.hello.clone();
        if !first {
            return self.fleet.update_identity(&hello.identity);
        }
        state.hello_number = self.fleet.introduce_client(hello, self.strong_self());
        drop(state);
        self.report_connected(&info, Era::Modern);
    }

    /// Introduces a legacy client by the params of its `initialize`; returns the introduction's number.
    fn register_legacy_client(&self, params: &str) -> u64 {
        let mut state = self.state();
        state.early_messages.begin();
        state.early_requests.begin();
        if state.hello.initialize.as_deref() == Some(params) {
            return state.hello_number;
        }
        state.hello.set_initialize(params);
        state.hello_number = self
            .fleet
            .introduce_client(state.hello.clone(), self.strong_self());
        let hello_number = state.hello_number;
        drop(state);
        self.report_connected(
            Members::of(params).get("clientInfo").unwrap_or("{}"),
            Era::Legacy,
        );
        hello_number
    }

    fn report_connected(&self, info: &str, era: Era) {
        let info = Members::of(info);
        let text = |name| {
            info.text(name)
                .map_or_else(|| "unknown".to_owned(), std::borrow::Cow::into_owned)
        };
        let (name, version) = (text("name"), text("version"));
        self.events.send(Event::ClientConnected {
            name,
            version,
            era: era.name(),
        });
    }

    /// Reports the end of this session, while others may go on.
    pub(crate) fn report_ended(&self, reason: String) {
        self.events.send(Event::SessionEnded { reason });
    }

    fn is_legacy(&self) -> bool {
        self.state().hello.initialize.is_some()
    }

    fn as_sink(&self) -> Arc<dyn ResponseSink> {
        self.strong_self()
    }
}

/// Returns the capabilities of a shared session, `all`, with those of another client. No client represents the others:
/// each request identifies its own client. But a legacy server is told only at its start which input and extensions
/// clients support.
fn joined_capabilities(all: &str, capabilities: &str) -> String {
    let all = union(&[all, &bridge::input_capabilities(capabilities)]);
    let extended = union(&[&all, &bridge::extension_capabilities(capabilities)]);
    if extended.len() <= MAX_JOINED {
        extended
    } else {
        all
    }
}
