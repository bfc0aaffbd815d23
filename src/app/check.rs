//! Starts a server once, without a client and without a watcher, and finds out whether it works.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::AppError;
use crate::bridge::{self, Identity};
use crate::config::{ServerSpec, Timeouts};
use crate::event::{Events, Failure};
use crate::jsonrpc::{Envelope, ErrorObject, METHOD_NOT_FOUND, quoted};
use crate::mcp::{Era, ListKind};
use crate::server::{
    Answer, Client, Connection, Handshake, Hello, ServerHandle, Snapshot, Standing,
};
use crate::shutdown::Shutdown;
use crate::transport::reaper::Reaper;
use crate::transport::stream::Outbox;

/// How long the word that a server has ended may take to get around.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What is to be found out.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// The server.
    pub(crate) spec: ServerSpec,
    /// How long its start may take.
    pub(crate) timeouts: Timeouts,
    /// The longest message in bytes.
    pub(crate) max_message: usize,
    /// The era to speak with it, if the user set it.
    pub(crate) era: Option<Era>,
    /// Tools to call one after the other, each with its raw arguments on one line.
    pub(crate) calls: Vec<(String, String)>,
    /// How long each call may take.
    pub(crate) call_timeout: Duration,
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

/// Starts the server, calls its tools, stops it. What was started is gone then.
pub(crate) fn check(inspection: &Inspection, events: &Events) -> Result<Findings, AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(inspect(inspection, events))
}

async fn inspect(inspection: &Inspection, events: &Events) -> Result<Findings, AppError> {
    let shutdown = Shutdown::listen()?;
    let void = File::options().write(true).open("/dev/null")?;
    let nobody = Arc::new(Nobody(Outbox::new(void.into())?));
    let server = ServerHandle::new(
        inspection.spec.clone(),
        inspection.timeouts,
        inspection.max_message,
        inspection.era,
        events.clone(),
        Reaper::new(),
    );
    let findings = shutdown
        .asked
        .run_until_cancelled(look(&server, nobody, inspection))
        .await;
    tokio::select! {
        () = server.stop() => {}
        // Dropping the runtime kills every process group that is left.
        () = shutdown.urgent.cancelled() => {}
    }
    Ok(findings.unwrap_or(Findings::Interrupted))
}

async fn look(server: &ServerHandle, client: Arc<Nobody>, inspection: &Inspection) -> Findings {
    let epoch = server.hello(introduction(inspection.era), client);
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
    for (tool, arguments) in &inspection.calls {
        let began = Instant::now();
        let answer = call(
            server,
            &connection,
            tool,
            arguments,
            inspection.call_timeout,
        )
        .await;
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
    limit: Duration,
) -> Result<Answer, String> {
    let params = format!(r#"{{"name":{},"arguments":{arguments}}}"#, quoted(tool));
    let (sender, answer) = oneshot::channel();
    let Ok(number) = connection.send_own("tools/call", Some(&params), sender) else {
        return Err("the server had ended before it could be called".to_owned());
    };
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(how_it_ended(server).await),
        Err(_) => {
            connection.cancel_own(number);
            let limit = limit.as_secs_f64();
            Err(format!("the server did not answer within {limit} s"))
        }
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

/// The client of a server that has none: everything told to it is lost, every question refused.
#[derive(Debug)]
struct Nobody(Outbox);

impl Client for Nobody {
    fn outbox(&self) -> &Outbox {
        &self.0
    }

    fn ask(&self, from: &Arc<Connection>, _line: &str, envelope: &Envelope<'_>) {
        let method = envelope.method.as_deref().unwrap_or_default();
        let message = format!("`{method}` cannot be answered: there is no client, only a check");
        from.refuse(
            envelope.id.unwrap_or("null"),
            &ErrorObject::new(METHOD_NOT_FOUND, message),
        );
    }

    fn notify(&self, _from: &Arc<Connection>, _line: &str, _envelope: &Envelope<'_>) {}

    fn forget(&self, _from: &Connection) {}

    fn lists_changed(&self, _kinds: &[ListKind], _first: bool) {}

    fn resources_renewed(&self) {}
}
