//! Requests that several servers are asked about: what none of them lists, and what all of them have.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Session;
use super::routing::Request;
use crate::bridge::{self, Translated};
use crate::fleet::Catalog;
use crate::jsonrpc::{
    Envelope, ErrorObject, INVALID_PARAMS, METHOD_NOT_FOUND, Members, elements, splice, unquoted,
};
use crate::mcp::{Era, Method, tasks};
use crate::server::{Answer, Connection, Handshake, ServerHandle, Standing};

/// The code of the legacy era for a resource that is not there.
const RESOURCE_NOT_FOUND: i64 = -32002;
/// So many pages of tasks are read of one server.
const PAGES: usize = 100;

impl Session {
    /// Reads a resource from the server that lists it; where none does, from the first that knows it. Those
    /// whose code is being started are asked last, when it runs.
    pub(super) fn read_resource(&self, catalog: &Catalog, request: Request<'_>) {
        let uri = request
            .envelope
            .params
            .uri
            .and_then(unquoted)
            .unwrap_or_default();
        if let Some(server) = catalog.resource(&uri) {
            return self.submit(server, Method::ReadResource, None, request);
        }
        let (session, id, era) = (self.myself(), request.id.to_owned(), request.era);
        let params = Members::of(request.line)
            .get("params")
            .unwrap_or("{}")
            .to_owned();
        let uri = uri.into_owned();
        let held = |server: &ServerHandle| *server.gate().standing().borrow() == Standing::Held;
        let (starting, there): (Vec<_>, Vec<_>) = catalog.servers.iter().cloned().partition(held);
        let perishable = self.fleet.watches();
        self.run(request.id, async move {
            let mut readings = JoinSet::new();
            for server in there.into_iter().chain(starting) {
                let timeouts = server.spec().timeouts;
                let patience = timeouts.list_hold.min(timeouts.hold);
                let _ = tokio::time::timeout(timeouts.hold, server.answers()).await;
                let offers = |it: &Arc<Handshake>| it.offers("resources");
                let connection = server.gate().connection();
                let Some(connection) =
                    connection.filter(|_| server.handshake().is_some_and(|it| offers(&it)))
                else {
                    continue;
                };
                let params = params.clone();
                readings.spawn(async move {
                    read_from(&connection, &server, &params, era, perishable).await
                });
                // One that does not answer keeps none of the others from being asked.
                let read = tokio::time::timeout(patience, readings.join_next()).await;
                if let Ok(Some(Ok(Some(answer)))) = read {
                    return session.out.answer(&id, answer.reply());
                }
            }
            while let Some(read) = readings.join_next().await {
                if let Ok(Some(answer)) = read {
                    return session.out.answer(&id, answer.reply());
                }
            }
            let code = if era == Era::Modern {
                INVALID_PARAMS
            } else {
                RESOURCE_NOT_FOUND
            };
            let message = format!("no loaded server has the resource `{uri}`");
            session.answer_error(&id, &ErrorObject::new(code, message));
        });
    }

    /// The tasks of all servers in one list.
    pub(super) fn list_tasks(&self, catalog: &Catalog, request: Request<'_>) {
        let (session, id) = (self.myself(), request.id.to_owned());
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
                if let Some(connection) = server.gate().connection() {
                    all.extend(tasks_of(&connection, server.spec().timeouts.list_hold).await);
                }
            }
            session.answer_result(&id, &format!(r#"{{"tasks":[{}]}}"#, all.join(",")));
        });
    }
}

/// The answer of one server to a reading that it may know nothing of; nothing if it does not.
async fn read_from(
    connection: &Connection,
    server: &ServerHandle,
    params: &str,
    era: Era,
    perishable: bool,
) -> Option<Translated> {
    let params = bridge::anonymous(params);
    let answer = connection.ask("resources/read", Some(&params)).await.ok()?;
    let envelope = match &answer {
        Answer::Result(raw) => Envelope {
            result: Some(raw),
            ..Envelope::default()
        },
        Answer::Error(raw) => {
            let code = Members::of(raw)
                .get("code")
                .and_then(|code| code.parse::<i64>().ok());
            let unknown = [RESOURCE_NOT_FOUND, INVALID_PARAMS, METHOD_NOT_FOUND];
            if code.is_some_and(|code| unknown.contains(&code)) {
                return None;
            }
            Envelope {
                error: Some(raw),
                ..Envelope::default()
            }
        }
    };
    if connection.era() == era {
        return Some(match answer {
            Answer::Error(raw) => Translated::Error(raw),
            Answer::Result(raw) => {
                let time = bridge::keeping_time(&raw).filter(|_| perishable && era == Era::Modern);
                let fresh = time.map(|time| splice(&raw, &mut [(time, "0")]));
                Translated::Result(fresh.unwrap_or(raw))
            }
        });
    }
    let info = server.server_info();
    Some(bridge::response(
        Method::ReadResource,
        &envelope,
        era,
        info.as_deref(),
    ))
}

/// The tasks of one server, under ids that lead back to it; none if it cannot list them.
async fn tasks_of(connection: &Connection, patience: Duration) -> Vec<String> {
    let mut all = Vec::new();
    let mut params = None;
    for _ in 0..PAGES {
        let asked = connection.ask("tasks/list", params.as_deref());
        let Ok(Ok(Answer::Result(page))) = tokio::time::timeout(patience, asked).await else {
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
