//! Requests that several servers are asked about: what none of them lists, and what all of them have.

use std::sync::Arc;

use super::Session;
use super::routing::Request;
use crate::bridge;
use crate::fleet::Catalog;
use crate::jsonrpc::{
    Envelope, ErrorObject, INVALID_PARAMS, METHOD_NOT_FOUND, Members, elements, unquoted,
};
use crate::mcp::{Era, Method, tasks};
use crate::server::{Answer, Connection, Handshake, ServerHandle};

/// The code of the legacy era for a resource that is not there.
const RESOURCE_NOT_FOUND: i64 = -32002;
/// So many pages of tasks are read of one server.
const PAGES: usize = 100;

impl Session {
    /// Reads a resource from the server that lists it; where none does, from the first that knows it.
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
        let (uri, servers) = (uri.into_owned(), catalog.servers.clone());
        self.run(request.id, async move {
            for server in servers {
                let offers = |it: &Arc<Handshake>| it.offers("resources");
                let connection = server.gate().connection();
                let Some(connection) =
                    connection.filter(|_| server.handshake().is_some_and(|it| offers(&it)))
                else {
                    continue;
                };
                if let Some(line) = read_from(&connection, &server, &params, &id, era).await {
                    return session.send(&line);
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
                if !server
                    .handshake()
                    .is_some_and(|handshake| handshake.offers("tasks"))
                {
                    continue;
                }
                if let Some(connection) = server.gate().connection() {
                    all.extend(tasks_of(&connection).await);
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
    id: &str,
    era: Era,
) -> Option<String> {
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
        let (member, raw) = match &answer {
            Answer::Result(raw) => ("result", raw),
            Answer::Error(raw) => ("error", raw),
        };
        return Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{raw}}}"#));
    }
    let info = server.server_info();
    Some(bridge::response(
        Method::ReadResource,
        &envelope,
        id,
        era,
        info.as_deref(),
    ))
}

/// The tasks of one server, under ids that lead back to it; none if it cannot list them.
async fn tasks_of(connection: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    let mut params = None;
    for _ in 0..PAGES {
        let Ok(Answer::Result(page)) = connection.ask("tasks/list", params.as_deref()).await else {
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
