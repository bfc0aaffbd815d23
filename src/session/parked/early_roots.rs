//! Requests of legacy servers for the roots outside of a call of a modern client, who can only be asked by the result of a
//! call: the client gives the roots before its next call is sent, and the proxy remembers them. A later generation gets
//! the remembered roots at once, so that its start does not wait, and the client is asked again at its next call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::Session;
use super::super::route::Request;
use super::NextStep;
use crate::bridge::{self, InputError, InputRequest};
use crate::jsonrpc::{Members, RawId, Reply, RequestId, result_response};
use crate::server::{Connection, ResponseSink, ServerHandle};

/// Maximum number of requests for the roots that wait for the client's next call.
const MAX_REQUESTS: usize = 64;
/// Time for a server to read its roots before it gets the call.
const READING_TIME: Duration = Duration::from_millis(50);
/// Time without a response after which a server is assumed to wait for its roots. Shorter than that for which a client's
/// first list waits for the start.
const MAX_STALL: Duration = Duration::from_secs(3);

/// The client's roots, and the generations of servers that have requested them outside of a call.
#[derive(Debug, Default)]
pub(in super::super) struct EarlyRoots {
    readers: Vec<RootsReader>,
    /// The client's newest result, which is raw.
    known: Option<Arc<str>>,
}

/// Generation of a server that has requested the roots.
#[derive(Debug)]
struct RootsReader {
    connection: Arc<Connection>,
    /// Ids of its requests that wait for the client's next call.
    waiting: Vec<RequestId>,
    /// Ends the time limit of these requests when dropped.
    timeout: Option<DropGuard>,
    /// Roots that it got last.
    given: Option<Arc<str>>,
    /// True if the client was asked since the first request.
    is_current: bool,
    /// True if it was notified of changed roots, and has not requested them since.
    is_notified: bool,
}

impl EarlyRoots {
    /// Removes the requests of the server behind `from`: all, or only the one with this `id`.
    pub(in super::super) fn withdraw(&mut self, from: &Connection, id: Option<RawId<'_>>) {
        let is_its = |it: &RootsReader| std::ptr::eq(&raw const *it.connection, from);
        match id {
            None => self.readers.retain(|it| !is_its(it)),
            Some(id) => {
                for it in self.readers.iter_mut().filter(|it| is_its(it)) {
                    it.waiting.retain(|open| *open != id);
                    if it.waiting.is_empty() {
                        it.timeout = None;
                    }
                }
            }
        }
    }

    /// Forgets the roots, which the client reports as changed.
    pub(in super::super) fn forget(&mut self) {
        self.known = None;
    }

    /// Returns true if no request waits.
    #[cfg(test)]
    pub(in super::super) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Returns the number of requests that wait.
    fn waiting(&self) -> usize {
        self.readers.iter().map(|it| it.waiting.len()).sum()
    }

    /// Returns the entry of the generation behind `from`, which is new if there was none.
    fn reader(&mut self, from: &Arc<Connection>) -> &mut RootsReader {
        let mut readers = self.readers.iter();
        let at = readers.position(|it| Arc::ptr_eq(&it.connection, from));
        let at = at.unwrap_or_else(|| {
            self.readers.push(RootsReader {
                connection: from.clone(),
                waiting: Vec::new(),
                timeout: None,
                given: None,
                is_current: false,
                is_notified: false,
            });
            self.readers.len() - 1
        });
        &mut self.readers[at]
    }

    /// Removes all requests that wait, after the client was asked; returns them with the connections of their servers.
    fn take_waiting(&mut self) -> Vec<(Arc<Connection>, Vec<RequestId>)> {
        let waiting = self.readers.iter_mut().map(|it| {
            it.is_current = true;
            (it.connection.clone(), it.take_waiting())
        });
        waiting.filter(|(_, ids)| !ids.is_empty()).collect()
    }

    /// Returns true if the server behind `from` was notified of roots that are known, and has not requested them since:
    /// true once a notification.
    fn take_notified(&mut self, from: &Connection) -> bool {
        let is_its = |it: &&mut RootsReader| std::ptr::eq(&raw const *it.connection, from);
        self.known.is_some()
            && self
                .readers
                .iter_mut()
                .find(is_its)
                .is_some_and(|it| std::mem::take(&mut it.is_notified))
    }

    /// Remembers the client's `roots`; returns the servers that got others last, and are to be notified.
    fn renew(&mut self, roots: &str) -> Vec<Arc<Connection>> {
        let roots: Arc<str> = roots.into();
        self.known = Some(roots.clone());
        let mut outdated = Vec::new();
        for it in &mut self.readers {
            if it.waiting.is_empty() && it.given.as_deref() != Some(&*roots) {
                it.is_notified = true;
                outdated.push(it.connection.clone());
            }
            it.given = Some(roots.clone());
        }
        outdated
    }
}

impl RootsReader {
    fn take_waiting(&mut self) -> Vec<RequestId> {
        self.timeout = None;
        std::mem::take(&mut self.waiting)
    }
}

impl Session {
    /// Takes the request `id` of a server for the roots, if it follows a notification of changed roots; returns false if it
    /// does not. It may come during a call, but the call could end before the client responds.
    pub(super) fn takes_notified(&self, from: &Arc<Connection>, id: RawId<'_>) -> bool {
        let is_notified = self.has_early_roots.load(Ordering::Relaxed)
            && self.state().early_roots.take_notified(from);
        if is_notified {
            self.take_roots_request(from, id);
        }
        is_notified
    }

    /// Takes the request `id` of a server for the roots, which belongs to no call.
    pub(super) fn take_roots_request(&self, from: &Arc<Connection>, id: RawId<'_>) {
        let answered = {
            let mut state = self.state();
            let capabilities = &state.hello.identity.capabilities;
            let checked = InputRequest::roots().check(&from.server, capabilities);
            let is_ended = state.parked_calls.is_closed;
            let roots = &mut state.early_roots;
            let (known, waiting) = (roots.known.clone(), roots.waiting());
            match (checked, known) {
                (Err(error), _) => Err(error),
                _ if from.is_closed() => return,
                (Ok(()), _) if is_ended => Err(InputError::ClientGone(from.server.to_string())),
                (Ok(()), None) if waiting >= MAX_REQUESTS => {
                    Err(InputError::TooManyWaiting(from.server.to_string()))
                }
                (Ok(()), known) => {
                    self.has_early_roots.store(true, Ordering::Relaxed);
                    let reader = roots.reader(from);
                    let Some(known) = known else {
                        reader.is_current = false;
                        reader.waiting.push(id.into());
                        reader.timeout = Some(self.begin_roots_timeout(from.clone()));
                        return;
                    };
                    reader.given = Some(known.clone());
                    Ok(known)
                }
            }
        };
        answer(from, id, answered.as_deref());
    }

    /// Refuses the requests of a server for the roots if it answers nothing meanwhile, unless the returned guard is
    /// dropped before: the server would never start, and no client could call it.
    fn begin_roots_timeout(&self, connection: Arc<Connection>) -> DropGuard {
        let (session, ended) = (self.weak_self.clone(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        self.tasks
            .spawn(ended.run_until_cancelled_owned(async move {
                let mut before = None;
                loop {
                    match connection.oldest_request() {
                        Some(oldest) if before == Some(oldest) => break,
                        oldest => before = oldest,
                    }
                    tokio::time::sleep(MAX_STALL).await;
                }
                if let Some(session) = session.upgrade() {
                    let waiting = {
                        let mut state = session.state();
                        let mut readers = state.early_roots.readers.iter_mut();
                        let reader = readers.find(|it| Arc::ptr_eq(&it.connection, &connection));
                        reader.map_or_else(Vec::new, RootsReader::take_waiting)
                    };
                    let waiting = vec![(connection, waiting)];
                    refuse(waiting, InputError::RootsAwaited);
                }
            }));
        guard
    }

    /// Answers a modern client's call of `server` with a request for the roots, if the server waits for them or got those
    /// of an earlier time, and the client can give them; returns false if the call may be sent.
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
        let asks = |it: &RootsReader| !it.is_current && *it.connection.server == *spec.name;
        // Most calls end here, and pay nothing more.
        if !self.state().early_roots.readers.iter().any(asks) {
            return false;
        }
        let roots = InputRequest::roots();
        let capabilities = request.envelope.params.meta.client_capabilities;
        let checked = roots.check(&spec.name, capabilities.unwrap_or("{}"));
        // A call with the state of another one is refused.
        if checked.is_err() || bridge::request_state(request.line).is_some() {
            return false;
        }
        let digests = self.digests(request.client_line);
        let (state, info) = {
            let mut state = self.state();
            let mut readers = state.early_roots.readers.iter();
            let Some(reader) = readers.find(|it| asks(it)) else {
                return false;
            };
            let info = reader.connection.server_info();
            let calls = &mut state.parked_calls;
            let Ok(key) = calls.new_state(&spec.name, digests.client) else {
                return false;
            };
            let next = NextStep::AfterRoots(request.client_line.into());
            self.keep(calls, &key, digests, next);
            (key, info)
        };
        let result = bridge::input_required(&[roots], &state, info.as_deref());
        sink.answer(request.id, Reply::Result(&result));
        true
    }

    /// Answers the requests that wait with the client's roots, and then sends its call, whose first line is `original`.
    pub(super) fn send_after_roots(
        &self,
        original: &str,
        request: Request<'_>,
        responses: &Members<'_>,
    ) {
        let has_reader = match InputRequest::roots().response(responses) {
            Some(roots) => self.take_roots(roots),
            None => self.refuse_early_roots(|server| {
                InputError::NoResponse(server, "roots/list".to_owned())
            }),
        };
        let line = bridge::with_input_of(original, request.client_line);
        let reading = if has_reader {
            READING_TIME
        } else {
            Duration::ZERO
        };
        self.send_later(&line, request, tokio::time::sleep(reading));
    }

    /// Passes the client's `roots` to the servers that wait for them, and notifies those that got others. Returns true if
    /// there are such servers.
    pub(super) fn take_roots(&self, roots: &str) -> bool {
        let (outdated, waiting) = {
            let mut state = self.state();
            let early_roots = &mut state.early_roots;
            (early_roots.renew(roots), early_roots.take_waiting())
        };
        let has_reader = !outdated.is_empty() || !waiting.is_empty();
        for (connection, ids) in waiting {
            for id in ids {
                answer(&connection, id.as_raw(), Ok(roots));
            }
        }
        for connection in outdated {
            connection.send_notification("notifications/roots/list_changed", None);
        }
        has_reader
    }

    /// Refuses all requests that wait, each with the error for the server of this name. Returns true if there are any.
    pub(super) fn refuse_early_roots(&self, error: impl Fn(String) -> InputError) -> bool {
        let waiting = self.state().early_roots.take_waiting();
        let has_reader = !waiting.is_empty();
        refuse(waiting, error);
        has_reader
    }
}

/// Refuses the requests of these servers for the roots.
fn refuse(waiting: Vec<(Arc<Connection>, Vec<RequestId>)>, error: impl Fn(String) -> InputError) {
    for (connection, ids) in waiting {
        let error = error(connection.server.to_string()).object();
        for id in ids {
            connection.refuse(id.as_raw(), &error);
        }
    }
}

/// Answers the request `id` of a server for the roots.
fn answer(to: &Connection, id: RawId<'_>, roots: Result<&str, &InputError>) {
    match roots {
        Ok(roots) => to.reply([result_response(id, roots).as_bytes(), b"", b""]),
        Err(error) => to.refuse(id, &error.object()),
    }
}
