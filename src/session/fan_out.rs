//! Requests that may go to several servers: reads of resources no server lists, and lists of tasks.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Session;
use super::route::Request;
use crate::fleet::Catalog;
use crate::jsonrpc::{
    Envelope, ErrorObject, INVALID_PARAMS, METHOD_NOT_FOUND, Members, RawId, Reply, RequestId,
    elements,
};
use crate::lock::locked;
use crate::mcp::{Era, tasks};
use crate::server::{Connection, Handshake, RawResponse, ResponseSink, ServerHandle};
use crate::transport::stream::Outbox;

/// Error code of the legacy era for a resource that does not exist.
const RESOURCE_NOT_FOUND: i64 = -32002;
/// Weight of an error that gives the reason why a read failed.
const FAILED: u8 = 3;
/// Maximum number of pages of tasks read from one server.
const MAX_PAGES: usize = 100;

impl Session {
    /// Reads a resource that no server lists from the first server that knows it. Starting and reloading servers get
    /// the request last, once they run.
    pub(super) fn read_resource(&self, catalog: &Catalog, request: Request<'_>) {
        let (session, id, era) = (self.strong_self(), RequestId::from(request.id), request.era);
        let line: Arc<str> = request.line.into();
        let uri = request.uri().into_owned();
        let (starting, running): (Vec<_>, Vec<_>) = catalog
            .servers
            .iter()
            .cloned()
            .partition(ServerHandle::is_held);
        self.run(request.id, async move {
            let mut reads = JoinSet::new();
            let mut errors = Vec::new();
            let mut longest = Duration::ZERO;
            for (position, server) in running.into_iter().chain(starting).enumerate() {
                let timeouts = server.spec().timeouts;
                if server.handshake().is_none() {
                    let _ = tokio::time::timeout(timeouts.hold, server.answers()).await;
                }
                let offers = |it: Arc<Handshake>| it.offers("resources");
                if !server.handshake().is_some_and(offers) {
                    continue;
                }
                let fan_out = session.ask_one(&server, &line, id.as_raw(), era);
                reads.spawn(async move { (position, fan_out.response().await) });
                // A server that does not answer must not keep the others from being asked.
                let max_wait = timeouts.list_hold.min(timeouts.hold);
                longest = longest.max(max_wait);
                let read = tokio::time::timeout(max_wait, reads.join_next()).await;
                if let Ok(Some(Ok((position, Some(response))))) = read
                    && session.forward_success(&response, position, &mut errors)
                {
                    return;
                }
            }
            loop {
                let next = reads.join_next();
                // A server that failed to read the resource has it, so silent servers get only a limited time.
                let read = if errors.iter().any(|(weight, ..)| *weight == FAILED) {
                    tokio::time::timeout(longest, next).await.ok().flatten()
                } else {
                    next.await
                };
                let Some(read) = read else { break };
                if let Ok((position, Some(response))) = read
                    && session.forward_success(&response, position, &mut errors)
                {
                    return;
                }
            }
            if let Some((.., error)) = errors.iter().max() {
                return session.answer(id.as_raw(), Reply::Error(error));
            }
            let code = if era == Era::Modern {
                INVALID_PARAMS
            } else {
                RESOURCE_NOT_FOUND
            };
            let message = format!("no loaded server has the resource `{uri}`");
            session.answer_error(id.as_raw(), &ErrorObject::new(code, message));
        });
    }

    /// Asks one server for a resource that it may not know.
    fn ask_one(&self, server: &ServerHandle, line: &str, id: RawId<'_>, era: Era) -> FanOutRequest {
        let (sender, response) = oneshot::channel();
        let sink: Arc<dyn ResponseSink> = Arc::new(FanOutReceiver(Mutex::new(Some(sender))));
        if let Ok(envelope) = &Envelope::parse(line) {
            let request = Request::new(line, envelope, id, era);
            self.submit_for(sink.clone(), server, None, request);
        }
        FanOutRequest {
            server: server.clone(),
            sink,
            id: id.into(),
            response,
        }
    }

    /// Sends a successful response to the client. Returns false for an error and stores it: another server may succeed.
    fn forward_success(
        &self,
        response: &str,
        position: usize,
        errors: &mut Vec<RankedError>,
    ) -> bool {
        let Ok(Envelope {
            id: Some(id),
            error,
            ..
        }) = Envelope::parse(response)
        else {
            return false;
        };
        if let Some(error) = error {
            errors.push((weight(error), Reverse(position), error.to_owned()));
            return false;
        }
        self.answer(id, Reply::of_line(response, id, None));
        true
    }

    /// Answers with the tasks of all servers in one list.
    pub(super) fn list_tasks(&self, catalog: &Catalog, request: Request<'_>) {
        let (session, id) = (self.strong_self(), RequestId::from(request.id));
        let servers = catalog.servers.clone();
        self.run(request.id, async move {
            let mut all: Vec<String> = Vec::new();
            for server in servers {
                server.settled().await;
                if !server
                    .handshake()
                    .is_some_and(|handshake| handshake.offers("tasks"))
                {
                    continue;
                }
                if let Some(connection) = server.connection() {
                    all.extend(tasks_of(&connection, server.spec().timeouts.list_hold).await);
                }
            }
            session.answer_result(id.as_raw(), &format!(r#"{{"tasks":[{}]}}"#, all.join(",")));
        });
    }
}

/// Error of a server: its weight, the server's position in the order of asking, the error.
type RankedError = (u8, Reverse<usize>, String);

/// Returns the weight of an error: the reason why a read failed outweighs an unknown resource.
fn weight(error: &str) -> u8 {
    let error = Members::of(error);
    let code = error.get("code").and_then(|code| code.parse::<i64>().ok());
    let message = error.text("message").unwrap_or_default().to_lowercase();
    // The Python SDK uses one code for all errors.
    let unknown = ["unknown resource", "not found"];
    if code == Some(METHOD_NOT_FOUND) {
        0
    } else if matches!(code, Some(RESOURCE_NOT_FOUND | INVALID_PARAMS))
        || unknown.iter().any(|words| message.contains(words))
    {
        1
    } else if error.object("data").get("reason").is_some() {
        // The proxy's own error: the server was not asked, or it is gone.
        2
    } else {
        FAILED
    }
}

/// Request to one of several servers. Dropping it before the response arrives cancels the request.
struct FanOutRequest {
    server: ServerHandle,
    sink: Arc<dyn ResponseSink>,
    id: RequestId,
    response: oneshot::Receiver<String>,
}

impl FanOutRequest {
    /// Waits for the response and returns its line.
    async fn response(mut self) -> Option<String> {
        (&mut self.response).await.ok()
    }
}

impl Drop for FanOutRequest {
    fn drop(&mut self) {
        if !self.response.is_terminated() {
            self.server
                .cancel(self.sink.clone(), self.id.as_raw(), "{}");
        }
    }
}

/// Receives the response to a [`FanOutRequest`].
#[derive(Debug)]
struct FanOutReceiver(Mutex<Option<oneshot::Sender<String>>>);

impl ResponseSink for FanOutReceiver {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let line = reply.with_id(id, |parts| {
            String::from_utf8_lossy(&parts.concat()).into_owned()
        });
        if let Some(sender) = locked(&self.0).take() {
            let _ = sender.send(line);
        }
    }
}

/// Request of the proxy to a server. Dropping it before the response arrives cancels the request.
struct OwnRequest<'a> {
    connection: &'a Connection,
    number: u64,
}

impl Drop for OwnRequest<'_> {
    fn drop(&mut self) {
        self.connection.cancel_own(self.number);
    }
}

/// Returns the tasks of one server, with ids that identify the server; none if it cannot list them.
async fn tasks_of(connection: &Connection, max_wait: Duration) -> Vec<String> {
    let mut all = Vec::new();
    let mut params = None;
    for _ in 0..MAX_PAGES {
        let (sender, response) = oneshot::channel();
        let Ok(number) = connection.send_own("tasks/list", params.as_deref(), sender) else {
            break;
        };
        let _request = OwnRequest { connection, number };
        let Ok(Ok(RawResponse::Result(page))) = tokio::time::timeout(max_wait, response).await
        else {
            break;
        };
        let line = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{page}}}"#);
        let line = tasks::tag(&line, &connection.server).unwrap_or(line);
        let message = Members::of(&line);
        let result = message.object("result");
        let tasks = result.get("tasks").and_then(elements);
        all.extend(tasks.into_iter().flatten().map(ToOwned::to_owned));
        match result.get("nextCursor").filter(|cursor| *cursor != "null") {
            Some(cursor) => params = Some(format!(r#"{{"cursor":{cursor}}}"#)),
            None => break,
        }
    }
    all
}

#[cfg(test)]
mod tests;
