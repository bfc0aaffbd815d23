//! Starts servers once, side by side, without a client and without a watcher, finds out what they
//! offer, calls tools of them and stops them.

mod nobody;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::AppError;
use crate::bridge::{self, Identity};
use crate::config::ServerSpec;
use crate::event::{Events, Failure};
use crate::jsonrpc::quoted;
use crate::mcp::{Era, meta};
use crate::server::{
    Answer, Connection, Handshake, Hello, Means, ServerHandle, Snapshot, Standing,
};
use crate::shutdown::Shutdown;
use nobody::Nobody;

/// How long the word that a server has ended may take to get around.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What is to be found out.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The servers.
    pub(crate) servers: Vec<ServerSpec>,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// The era to speak with them, if the user set it.
    pub(crate) era: Option<Era>,
    /// Tools to call of each server one after the other, each with its raw arguments on one line.
    pub(crate) calls: Vec<(String, String)>,
    /// Tools that the server does not list are not called, as long as it lists any.
    pub(crate) listed_only: bool,
    /// How long each call may take; without it as long as it likes.
    pub(crate) call_timeout: Option<Duration>,
}

/// What was found out about one server.
#[derive(Debug)]
pub(crate) struct Visited {
    /// Its name.
    pub(crate) server: String,
    pub(crate) findings: Findings,
}

/// What was found out.
#[derive(Debug)]
pub(crate) enum Findings {
    /// It started, shook hands and listed.
    Started {
        /// What it says of itself.
        handshake: Arc<Handshake>,
        /// What it offers.
        snapshot: Arc<Snapshot>,
        /// What became of the calls, in their order.
        calls: Vec<Called>,
    },
    /// It does not start.
    Broken(Arc<Failure>),
    /// A signal asked for the end.
    Interrupted,
}

/// What became of one call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) tool: String,
    pub(crate) took: Duration,
    /// The server's answer, or why there is none: a sentence.
    pub(crate) answer: Result<Answer, String>,
}

/// Starts the servers, calls their tools, stops them. What was started is gone then. Tells of each
/// server, in the order in which they were given.
pub(crate) fn visit(visit: Visit, events: &Events) -> Result<Vec<Visited>, AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(all(Arc::new(visit), events))
}

async fn all(visit: Arc<Visit>, events: &Events) -> Result<Vec<Visited>, AppError> {
    let shutdown = Shutdown::listen()?;
    let means = Means::new(events.clone(), visit.max_message, visit.era);
    let mut visits = Vec::new();
    for spec in &visit.servers {
        let name = spec.name.clone();
        let client = Arc::new(Nobody::new(name.clone(), events.clone()));
        let server = ServerHandle::new(Arc::new(spec.clone()), means.clone());
        let one = one(server, client, visit.clone(), shutdown.clone());
        visits.push((name, tokio::spawn(one)));
    }
    let mut visited = Vec::new();
    for (server, visit) in visits {
        let findings = visit.await.map_err(io::Error::from)?;
        visited.push(Visited { server, findings });
    }
    Ok(visited)
}

/// Looks at one server and stops it.
async fn one(
    server: ServerHandle,
    client: Arc<Nobody>,
    visit: Arc<Visit>,
    shutdown: Shutdown,
) -> Findings {
    let look = look(&server, client, &visit);
    let findings = shutdown.asked.run_until_cancelled(look).await;
    tokio::select! {
        () = server.stop(Duration::ZERO) => {}
        // Dropping the runtime kills every process group that is left.
        () = shutdown.urgent.cancelled() => {}
    }
    findings.unwrap_or(Findings::Interrupted)
}

async fn look(server: &ServerHandle, client: Arc<Nobody>, visit: &Visit) -> Findings {
    let epoch = 1;
    server.hello(introduction(visit.era), client, epoch);
    let mut standing = server.gate().standing();
    let connection = loop {
        let _ = standing.wait_for(|now| *now != Standing::Held).await;
        if let Some(failure) = server.gate().refusal() {
            return Findings::Broken(failure);
        }
        // None if it ended this moment: it is about to be started again.
        if let Some(connection) = server.gate().connection() {
            break connection;
        }
    };
    let handshake = server
        .introduced(epoch)
        .await
        .expect("a gate opens after the handshake");
    let snapshot = server.snapshot();
    let mut calls = Vec::new();
    for (tool, arguments) in &visit.calls {
        if visit.listed_only && !snapshot.may_have_tool(tool) {
            continue;
        }
        let began = Instant::now();
        let answer = call(server, &connection, tool, arguments, visit.call_timeout).await;
        calls.push(Called {
            tool: tool.clone(),
            took: began.elapsed(),
            answer,
        });
    }
    Findings::Started {
        handshake,
        snapshot,
        calls,
    }
}

/// Who the server is told its client is: one that can do nothing for it.
fn introduction(era: Option<Era>) -> Hello {
    let identity = Identity {
        client_info: Some(bridge::own_info()),
        ..Identity::default()
    };
    Hello {
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
) -> Result<Answer, String> {
    // A legacy server logs unasked.
    let logs = match connection.era() {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#","{}":"info""#, meta::LOG_LEVEL),
    };
    let params = format!(
        r#"{{"name":{},"arguments":{arguments},"_meta":{{"progressToken":"call"{logs}}}}}"#,
        quoted(tool)
    );
    let (sender, answer) = oneshot::channel();
    let Ok(number) = connection.send_own("tools/call", Some(&params), sender) else {
        return Err("the server had ended before it could be called".to_owned());
    };
    let _open = Open { connection, number };
    let limit = limit.unwrap_or(Duration::MAX);
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(how_it_ended(server).await),
        Err(_) => {
            let limit = limit.as_secs_f64();
            Err(format!("the server did not answer within {limit} s"))
        }
    }
}

/// A call that is cancelled if nobody waits for its answer any more, for whatever reason.
struct Open<'a> {
    connection: &'a Connection,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.connection.cancel_own(self.number);
    }
}

async fn how_it_ended(server: &ServerHandle) -> String {
    let mut standing = server.gate().standing();
    let known = standing.wait_for(|now| *now != Standing::Open);
    let _ = timeout(LAST_WORD, known).await;
    let how = server.status().last_error;
    let how = how.unwrap_or_else(|| "has ended".to_owned());
    format!("the server {how} before it answered")
}
