//! Starts servers once, concurrently, without a client and without a watcher; reads their lists, calls tools and stops
//! the servers.

mod passive_client;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::AppError;
use crate::bridge::{self, Identity};
use crate::config::{EraChoice, ServerSpec};
use crate::event::{EventSender, Failure};
use crate::jsonrpc::quoted;
use crate::mcp::{Era, meta};
use crate::server::{
    ClientHello, Connection, Handshake, ProxyResources, RawResponse, ServerHandle, Snapshot,
};
use crate::shutdown::Shutdown;
use passive_client::PassiveClient;

/// Time limit for the report of a server's exit to reach its status.
const EXIT_REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Capabilities of a client that can be asked for any input.
const INPUT_CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

/// Servers to visit and tools to call.
#[derive(Debug)]
pub(crate) struct Visit {
    /// Servers to start.
    pub(crate) servers: Vec<ServerSpec>,
    /// Maximum length of a message in bytes.
    pub(crate) max_message: usize,
    /// Era that the command line sets for all servers.
    pub(crate) era: Option<EraChoice>,
    /// Tools to call on each server, one after the other, with their raw arguments on one line.
    pub(crate) calls: Vec<(String, String)>,
    /// True if the client declares that it can be asked for input. It refuses all requests of servers in any case.
    pub(crate) declares_input: bool,
    /// Skips tools that the server does not list, unless it has no list of tools.
    pub(crate) listed_only: bool,
    /// Time limit for each call; `None` means no limit.
    pub(crate) call_timeout: Option<Duration>,
}

/// Findings about one server.
#[derive(Debug)]
pub(crate) struct ServerVisit {
    /// Name of the server.
    pub(crate) server: String,
    pub(crate) outcome: VisitOutcome,
}

/// Result of a visit.
#[derive(Debug)]
pub(crate) enum VisitOutcome {
    /// The server started, completed the handshake and gave its lists.
    Started {
        /// The server's answer to the handshake.
        handshake: Arc<Handshake>,
        /// The server's lists.
        snapshot: Arc<Snapshot>,
        /// Results of the calls, in order.
        calls: Vec<CallResult>,
    },
    /// The server does not start.
    Broken(Arc<Failure>),
    /// A signal interrupted the visit.
    Interrupted,
}

/// Result of one call.
#[derive(Debug)]
pub(crate) struct CallResult {
    pub(crate) tool: String,
    pub(crate) took: Duration,
    /// Methods of the server's requests to the client during the call.
    pub(crate) requested: Vec<String>,
    /// The server's answer.
    pub(crate) response: Result<RawResponse, CallError>,
}

impl CallResult {
    /// Returns true if the server sent its client requests during the call.
    pub(crate) fn asks(&self) -> bool {
        !self.requested.is_empty()
    }
}

/// Reason why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the server exited before the call")]
    NotSent,
    #[error("the server {how} before it answered")]
    Unanswered { how: String },
    #[error("the server did not answer within {} s", .0.as_secs_f64())]
    Late(Duration),
}

/// Starts the servers, calls their tools and stops the servers. Returns one entry per server, in the given order; no
/// process is left behind.
pub(crate) fn visit(visit: Visit, events: &EventSender) -> Result<Vec<ServerVisit>, AppError> {
    super::runtime()?.block_on(visit_all(Arc::new(visit), events))
}

async fn visit_all(visit: Arc<Visit>, events: &EventSender) -> Result<Vec<ServerVisit>, AppError> {
    let shutdown = Shutdown::listen()?;
    let resources = ProxyResources::new(events.clone(), visit.max_message, visit.era);
    let mut visits = Vec::new();
    for spec in &visit.servers {
        let name = spec.name.clone();
        let client = Arc::new(PassiveClient::new(name.clone(), events.clone()));
        // A visit ends before any reload.
        let spec = ServerSpec {
            rehearse: Vec::new(),
            ..spec.clone()
        };
        let server = ServerHandle::new(Arc::new(spec), resources.clone());
        let one = visit_one(server, client, visit.clone(), shutdown.clone());
        visits.push((name, tokio::spawn(one)));
    }
    let mut visited = Vec::new();
    for (server, visit) in visits {
        let outcome = visit.await.map_err(io::Error::from)?;
        visited.push(ServerVisit { server, outcome });
    }
    Ok(visited)
}

/// Visits one server and stops it.
async fn visit_one(
    server: ServerHandle,
    client: Arc<PassiveClient>,
    visit: Arc<Visit>,
    shutdown: Shutdown,
) -> VisitOutcome {
    let look = query_server(&server, client, &visit);
    let outcome = shutdown.requested.run_until_cancelled(look).await;
    tokio::select! {
        () = server.stop(Duration::ZERO) => {}
        // Dropping the runtime kills the remaining process groups.
        () = shutdown.forced.cancelled() => {}
    }
    outcome.unwrap_or(VisitOutcome::Interrupted)
}

async fn query_server(
    server: &ServerHandle,
    client: Arc<PassiveClient>,
    visit: &Visit,
) -> VisitOutcome {
    let hello_number = 1;
    let era = Era::forced_by(visit.era.unwrap_or(server.spec().era));
    let hello = introduction(era, visit.declares_input);
    server.introduce_client(hello, client.clone(), hello_number, None);
    let connection = loop {
        if let Err(failure) = server.answers().await {
            return VisitOutcome::Broken(failure);
        }
        // `None` if the server has just exited and is about to restart.
        if let Some(connection) = server.connection() {
            break connection;
        }
    };
    let handshake = server
        .wait_for_handshake(hello_number)
        .await
        .expect("a gate opens after the handshake");
    let snapshot = server.snapshot();
    let mut calls = Vec::new();
    for (tool, arguments) in &visit.calls {
        if visit.listed_only && !snapshot.may_have_tool(tool) {
            continue;
        }
        // Requests outside of calls, such as one for the roots at the start.
        client.take_requested();
        let began = Instant::now();
        let response = call(server, &connection, tool, arguments, visit.call_timeout).await;
        calls.push(CallResult {
            tool: tool.clone(),
            took: began.elapsed(),
            requested: client.take_requested(),
            response,
        });
    }
    VisitOutcome::Started {
        handshake,
        snapshot,
        calls,
    }
}

/// Returns the introduction of a client that declares all kinds of input or, without `declares_input`, no capabilities.
fn introduction(era: Option<Era>, declares_input: bool) -> ClientHello {
    let mut identity = Identity {
        client_info: Some(bridge::own_info()),
        ..Identity::default()
    };
    if declares_input {
        INPUT_CAPABILITIES.clone_into(&mut identity.capabilities);
    }
    ClientHello {
        initialize: (era != Some(Era::Modern)).then(|| identity.initialize_params()),
        identity,
    }
}

async fn call(
    server: &ServerHandle,
    connection: &Connection,
    tool: &str,
    arguments: &str,
    limit: Option<Duration>,
) -> Result<RawResponse, CallError> {
    // A legacy server logs without a request.
    let logs = match connection.era() {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#","{}":"info""#, meta::LOG_LEVEL),
    };
    let params = format!(
        r#"{{"name":{},"arguments":{arguments},"_meta":{{"progressToken":"call"{logs}}}}}"#,
        quoted(tool)
    );
    let Ok(mut call) = connection.call_tool(&params) else {
        return Err(CallError::NotSent);
    };
    let limit = limit.unwrap_or(Duration::MAX);
    match timeout(limit, call.response()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(CallError::Unanswered {
            how: exit_reason(server).await,
        }),
        Err(_) => Err(CallError::Late(limit)),
    }
}

async fn exit_reason(server: &ServerHandle) -> String {
    let _ = timeout(EXIT_REPORT_TIMEOUT, server.interrupted()).await;
    let how = server.status().last_error;
    how.unwrap_or_else(|| "exited".to_owned())
}
