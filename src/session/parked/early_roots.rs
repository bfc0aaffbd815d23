//! Requests of legacy servers for the roots before any call of a modern client, who can only be asked by the result of a
//! call: the client gives the roots before its first call is sent, and the proxy remembers them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::Session;
use super::super::route::Request;
use super::{NextStep, RootsBeforeCall};
use crate::bridge::{self, InputError, InputRequest};
use crate::jsonrpc::{Members, RawId, Reply, RequestId, result_response};
use crate::server::{Connection, ResponseSink, ServerHandle};

/// Maximum number of requests for the roots that wait for the client's first call.
const MAX_REQUESTS: usize = 64;
/// Time for a server to read its roots before it gets the call.
const READING_TIME: Duration = Duration::from_millis(50);

/// The client's roots, and the requests of servers that wait for them.
#[derive(Debug, Default)]
pub(in super::super) struct EarlyRoots {
    /// Connections of the servers, and their ids of the requests.
    requests: Vec<(Arc<Connection>, RequestId)>,
    /// The client's result, which is raw.
    known: Option<String>,
}

impl EarlyRoots {
    /// Removes the requests of the server behind `from`: all, or only the one with this `id`.
    pub(in super::super) fn withdraw(&mut self, from: &Connection, id: Option<RawId<'_>>) {
        self.requests.retain(|(connection, open)| {
            !std::ptr::eq(&raw const **connection, from) || id.is_some_and(|id| *open != id)
        });
    }

    /// Returns true if no request waits.
    #[cfg(test)]
    pub(in super::super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

impl Session {
    /// Takes the request `id` of a server for the roots, which belongs to no call.
    pub(super) fn take_roots_request(&self, from: &Arc<Connection>, id: RawId<'_>) {
        let answered = {
            let mut state = self.state();
            let capabilities = &state.hello.identity.capabilities;
            let checked = InputRequest::roots().check(&from.server, capabilities);
            let roots = &mut state.early_roots;
            match (checked, &roots.known) {
                (Err(error), _) => Err(error),
                _ if from.is_closed() => return,
                (Ok(()), Some(known)) => Ok(known.clone()),
                (Ok(()), None) if roots.requests.len() >= MAX_REQUESTS => {
                    Err(InputError::TooManyWaiting(from.server.to_string()))
                }
                (Ok(()), None) => {
                    roots.requests.push((from.clone(), id.into()));
                    self.has_early_roots.store(true, Ordering::Relaxed);
                    return;
                }
            }
        };
        answer(from, id, answered.as_deref());
    }

    /// Answers a modern client's call of `server` with a request for the roots, if the server waits for them and the
    /// client can give them; returns false if the call may be sent.
    pub(in super::super) fn asks_for_roots(
        &self,
        sink: &Arc<dyn ResponseSink>,
        server: &ServerHandle,
        request: Request<'_>,
    ) -> bool {
        if !self.has_early_roots.load(Ordering::Relaxed) {
            return false;
        }
        let spec = server.spec();
        let roots = InputRequest::roots();
        let capabilities = request.envelope.params.meta.client_capabilities;
        if roots
            .check(&spec.name, capabilities.unwrap_or("{}"))
            .is_err()
        {
            return false;
        }
        let digests = self.digests(request.client_line);
        let (state, info) = {
            let mut state = self.state();
            let mut waiting = state.early_roots.requests.iter();
            let Some((connection, _)) = waiting.find(|(it, _)| *it.server == *spec.name) else {
                return false;
            };
            let (server, info) = (connection.server.clone(), connection.server_info());
            let calls = &mut state.parked_calls;
            let Ok(key) = calls.new_state(&server, digests.client) else {
                return false;
            };
            let line = request.client_line.into();
            let next = NextStep::AfterRoots(RootsBeforeCall { server, line });
            self.keep(calls, &key, digests, next);
            (key, info)
        };
        let result = bridge::input_required(&[roots], &state, info.as_deref());
        sink.answer(request.id, Reply::Result(&result));
        true
    }

    /// Answers the requests that wait with the client's roots, and then sends its call.
    pub(super) fn send_after_roots(
        &self,
        before: &RootsBeforeCall,
        request: Request<'_>,
        responses: &Members<'_>,
    ) {
        let roots = InputRequest::roots();
        let given = roots.response(responses).map(ToOwned::to_owned);
        let waiting = {
            let mut state = self.state();
            let roots = &mut state.early_roots;
            if given.is_some() {
                roots.known.clone_from(&given);
            }
            std::mem::take(&mut roots.requests)
        };
        let method = "roots/list".to_owned();
        let given = given.ok_or_else(|| InputError::NoResponse(before.server.to_string(), method));
        for (connection, id) in &waiting {
            answer(connection, id.as_raw(), given.as_deref());
        }
        let line = bridge::with_input_of(&before.line, request.client_line);
        self.send_later(&line, request, tokio::time::sleep(READING_TIME));
    }
}

/// Answers the request `id` of a server for the roots.
fn answer(to: &Connection, id: RawId<'_>, roots: Result<&str, &InputError>) {
    match roots {
        Ok(roots) => to.reply([result_response(id, roots).as_bytes(), b"", b""]),
        Err(error) => to.refuse(id, &error.object()),
    }
}
