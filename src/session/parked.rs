//! Requests of modern clients that end with a request for input, and go on when their clients repeat them with the input
//! and the state that came with the request for it: calls that a legacy server keeps open, parked, and calls that are
//! sent after the input.

mod abandoned;
mod again;
mod early_roots;
mod kept_response;
mod rest;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

pub(super) use self::early_roots::EarlyRoots;
use self::kept_response::KeptResponse;
use self::rest::InputInParts;
use super::route::Request;
use super::{RelatedRequest, Session};
use crate::bridge::{self, InputError, RETRY_MEMBERS, RequiredUrls};
use crate::jsonrpc::{Envelope, Members, RawId, RequestId, unquoted};
use crate::mcp::{Era, severity_of};
use crate::server::{CallProgress, Connection, InputGrant, ResponseSink};

/// Time for further requests of a server to join the first one.
const COLLECTING_TIME: Duration = Duration::from_millis(20);
/// Maximum number of requests of one client that wait for their repetition.
const MAX_OF_CLIENT: usize = 64;
/// Maximum number of requests of one session that wait for their repetition.
const MAX_PARKED: usize = 1024;
/// Maximum number of log messages that are kept for one parked call.
const MAX_LOGS: usize = 100;
/// Maximum size in bytes of the log messages that are kept for one parked call.
const MAX_LOG_BYTES: usize = 64 * 1024;

/// Requests that wait for their repetition, by the unguessable state that the client must send with it.
#[derive(Debug, Default)]
pub(super) struct ParkedCalls {
    calls: HashMap<String, ParkedCall>,
    /// Servers' names and ids of the newest URLs that servers reported as completed.
    completed_urls: VecDeque<(Arc<str>, String)>,
    /// Signalled when a URL is completed.
    url_completed: Arc<Notify>,
    /// True once no client can repeat a request.
    is_closed: bool,
}

/// Request whose client must repeat it.
#[derive(Debug)]
struct ParkedCall {
    digests: Digests,
    next: NextStep,
    /// True once it ends as soon as another client needs its place at the server.
    gives_way: bool,
    /// Ends the wait for the client.
    _timeout: DropGuard,
}

/// Digests of a request and of its client's description.
#[derive(Debug, Clone, Copy)]
struct Digests {
    request: u64,
    client: u64,
}

/// Step that follows when the client repeats its request.
#[derive(Debug)]
enum NextStep {
    /// The server goes on with the call that it has kept open.
    GoOn(OpenCall),
    /// The request is sent again if the user has accepted the URLs.
    AfterUrls(UrlsOfCall),
    /// Servers get the roots, and then this line of the client is sent for the first time.
    AfterRoots(Box<str>),
    /// The request is sent again with the input of the person and of the client.
    WithRest(InputInParts),
}

/// Call that is open at its server.
#[derive(Debug)]
struct OpenCall {
    connection: Arc<Connection>,
    /// Number of the call at its connection.
    number: u64,
    /// Id of the answered request.
    id: RequestId,
    response: Arc<KeptResponse>,
    /// Minimum severity of the log messages that the client wants.
    min_severity: Option<u8>,
    /// Log messages since the request was answered, with their severities.
    logs: VecDeque<(u8, String)>,
}

/// URLs that the user must open before a server executes a call.
#[derive(Debug)]
struct UrlsOfCall {
    server: Arc<str>,
    /// The client's line of the call.
    line: Box<str>,
    urls: RequiredUrls,
    /// Raw error that the client gets if the user does not accept them.
    error: String,
}

/// Result of the search for the request that another one repeats.
enum Continuation {
    /// The state is none of a request that waits.
    Unknown,
    /// The request is another one than that with this state.
    Mismatch,
    Step(Box<NextStep>),
}

impl ParkedCalls {
    /// Returns a state for another request of `client`, or the reason why `server` gets no input.
    fn new_state(&mut self, server: &str, client: u64) -> Result<String, InputError> {
        if self.is_closed {
            return Err(InputError::ClientGone(server.to_owned()));
        }
        let state = crate::random::id().ok().filter(|_| self.has_room(client));
        state.ok_or_else(|| InputError::TooManyWaiting(server.to_owned()))
    }

    /// Returns true if there is room for another request of `client`; drops one that its server has answered if
    /// necessary.
    fn has_room(&mut self, client: u64) -> bool {
        let mine = |call: &ParkedCall| call.digests.client == client;
        let is_full = |calls: &HashMap<String, ParkedCall>| {
            let of_client = calls.values().filter(|call| mine(call));
            calls.len() >= MAX_PARKED || of_client.count() >= MAX_OF_CLIENT
        };
        if is_full(&self.calls) {
            let mut calls = self.calls.iter();
            let answered = calls.find(|(_, call)| mine(call) && call.is_answered());
            if let Some(state) = answered.map(|(state, _)| state.clone()) {
                self.calls.remove(&state);
            }
        }
        !is_full(&self.calls)
    }

    /// Returns true if no request waits for its repetition.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Removes the request with this `state` if the request with this `digest` repeats it.
    fn take(&mut self, state: &str, digest: impl FnOnce() -> u64) -> Continuation {
        match self.calls.entry(state.to_owned()) {
            Entry::Vacant(_) => Continuation::Unknown,
            Entry::Occupied(call) => {
                if call.get().digests.request == digest() {
                    Continuation::Step(Box::new(call.remove().next))
                } else {
                    Continuation::Mismatch
                }
            }
        }
    }

    /// Returns the calls that are open at the server behind `from`.
    fn open_at(&mut self, from: &Connection) -> impl Iterator<Item = &mut OpenCall> {
        self.calls
            .values_mut()
            .filter_map(move |call| match &mut call.next {
                NextStep::GoOn(call) if call.is_at(from) => Some(call),
                _ => None,
            })
    }
}

impl ParkedCall {
    /// Returns true if its server has answered it meanwhile.
    fn is_answered(&self) -> bool {
        matches!(&self.next, NextStep::GoOn(call) if call.response.is_complete())
    }

    /// Gives the request up, for this reason: a call that is open at its server is cancelled.
    fn cancel(&self, reason: &str) {
        if let NextStep::GoOn(call) = &self.next {
            let sink: Arc<dyn ResponseSink> = call.response.clone();
            let params = format!(r#"{{"reason":"{reason}"}}"#);
            call.connection.cancel(&sink, call.id.as_raw(), &params);
        }
    }
}

impl OpenCall {
    /// Returns true if the call is open at the server behind `connection`.
    fn is_at(&self, connection: &Connection) -> bool {
        std::ptr::eq(&raw const *self.connection, connection)
    }

    /// Keeps a log message, if the client wants messages of this severity; drops the oldest ones if there are too many.
    fn keep_log(&mut self, line: &str, severity: u8) {
        if self.min_severity.is_none_or(|min| severity < min) {
            return;
        }
        self.logs.push_back((severity, line.to_owned()));
        let size =
            |logs: &VecDeque<(u8, String)>| logs.iter().map(|(_, it)| it.len()).sum::<usize>();
        while self.logs.len() > MAX_LOGS || size(&self.logs) > MAX_LOG_BYTES {
            self.logs.pop_front();
        }
    }
}

impl Session {
    /// Returns the digests of everything by which the repetition of the request in the client's `line` is recognized: its
    /// method, its params and the description of the client.
    fn digests(&self, line: &str) -> Digests {
        let params = Members::of(line).original("params").unwrap_or("{}");
        let is_same = |name: &str| {
            let name = unquoted(name).unwrap_or_default();
            name != "_meta" && !RETRY_MEMBERS.contains(&&*name)
        };
        let members = Members::of(params).into_raw();
        let mut members: Vec<_> = members.filter(|(name, _)| is_same(name)).collect();
        members.sort_unstable();
        let envelope = Envelope::parse(line).unwrap_or_default();
        let info = envelope.params.meta.client_info;
        let keys = &self.digest_keys;
        Digests {
            request: keys.hash_one((&envelope.method, info, members)),
            client: keys.hash_one(info),
        }
    }

    /// Returns the permission to request input during the client's `request`.
    pub(super) fn input_grant(&self, request: Request<'_>) -> InputGrant {
        let info = request.envelope.params.meta.client_info;
        InputGrant::of(request.client_line, self.digest_keys.hash_one(info))
    }

    /// Takes a request of a legacy server for input from a modern client.
    pub(super) fn take_input_request(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        let id = envelope.id.unwrap_or(RawId::NULL);
        let is_roots = envelope.method.as_deref() == Some("roots/list");
        if is_roots && !self.is_shared && self.takes_notified(from, id) {
            return;
        }
        match from.add_input_request(line, envelope, related_number, self.is_shared) {
            Ok(Some(number)) => self.park_later(from.clone(), number),
            Ok(None) => {}
            Err(InputError::NoRequest(..)) if is_roots && !self.is_shared => {
                self.take_roots_request(from, id);
            }
            Err(error) => {
                if matches!(error, InputError::Ambiguous(..)) {
                    self.give_up_abandoned(from);
                }
                from.refuse(id, &error.object());
            }
        }
    }

    /// Parks the call `number` of a server after the time for further requests of the server.
    fn park_later(&self, from: Arc<Connection>, number: u64) {
        let session = self.strong_self();
        self.tasks.spawn(async move {
            tokio::time::sleep(COLLECTING_TIME).await;
            session.park(&from, number);
        });
    }

    fn park(&self, from: &Arc<Connection>, number: u64) {
        let Some(line) = from.line_of_collecting(number) else {
            return;
        };
        let digests = self.digests(&line);
        let response = Arc::<KeptResponse>::default();
        let parked = {
            let mut session_state = self.state();
            let parked_calls = &mut session_state.parked_calls;
            parked_calls
                .new_state(&from.server, digests.client)
                .map(|state| {
                    let round = from.park(number, response.clone())?;
                    let call = OpenCall {
                        connection: from.clone(),
                        number,
                        id: round.call.id.clone(),
                        response,
                        min_severity: round.call.min_severity,
                        logs: VecDeque::new(),
                    };
                    self.keep(parked_calls, &state, digests, NextStep::GoOn(call));
                    Some((state, round))
                })
        };
        match parked {
            Ok(Some((state, round))) => round.send(&state),
            Ok(None) => {}
            Err(error) => from.refuse_input_requests(number, &error),
        }
    }

    /// Keeps a request under its new `state` until the client repeats it, or until the time limit.
    fn keep(&self, calls: &mut ParkedCalls, state: &str, digests: Digests, next: NextStep) {
        let call = ParkedCall {
            digests,
            next,
            gives_way: false,
            _timeout: self.begin_input_timeout(state.to_owned()),
        };
        calls.calls.insert(state.to_owned(), call);
    }

    /// Continues the call that a request repeats. Returns false if it repeats none.
    pub(super) fn resume(&self, request: Request<'_>) -> bool {
        if request.era == Era::Legacy || !request.method.may_request_input() {
            return false;
        }
        let Some(state) = bridge::request_state(request.line).and_then(unquoted) else {
            return false;
        };
        let digest = || self.digests(request.client_line).request;
        let found = self.state().parked_calls.take(&state, digest);
        let next = match found {
            Continuation::Unknown => return false,
            Continuation::Mismatch => {
                self.answer_error(request.id, &bridge::invalid_state());
                return true;
            }
            Continuation::Step(next) => *next,
        };
        let message = Members::of(request.line);
        let params = message.object("params");
        let responses = params.object("inputResponses");
        match next {
            NextStep::GoOn(call) => self.go_on(call, request, &responses),
            NextStep::AfterUrls(urls) => self.send_after_urls(urls, request, &responses),
            NextStep::WithRest(parts) => self.send_with_rest(&parts, request, &responses),
            NextStep::AfterRoots(line) => self.send_after_roots(&line, request, &responses),
        }
        true
    }

    /// Lets the server go on with a call, whose client is `request` now.
    fn go_on(&self, open: OpenCall, request: Request<'_>, responses: &Members<'_>) {
        let mut call = self.new_call(self.as_sink(), request);
        call.progress = CallProgress::of(request.envelope);
        // A later repetition must not name the state of this one, which is used up.
        let client_line = &bridge::with_input_of("{}", request.client_line);
        let unanswered = Request {
            client_line,
            ..request
        };
        call.input = Some(Box::new(self.input_grant(unanswered)));
        for (severity, line) in &open.logs {
            if call.min_severity.is_some_and(|min| *severity >= min) {
                let _ = self.send(line, RelatedRequest::Request(request.id));
            }
        }
        match open.connection.adopt(open.number, call, responses) {
            Ok(adopted) => {
                if let Some(roots) = adopted.roots.filter(|_| !self.is_shared) {
                    self.take_roots(&roots);
                }
                if adopted.has_more {
                    self.park_later(open.connection, open.number);
                }
            }
            Err(call) => open.response.claim(call),
        }
    }

    /// Keeps a log message of a server for the repetition of the parked call that it belongs to.
    pub(super) fn keep_log(
        &self,
        from: &Connection,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        let mut state = self.state();
        if state.parked_calls.is_empty() {
            return;
        }
        let related = from.related(envelope, related_number);
        let mut calls = state.parked_calls.open_at(from);
        let call = match related {
            Some(id) => calls.find(|call| call.id == id),
            // It may belong to another client.
            None if self.is_shared => None,
            None => calls.min_by_key(|call| call.number),
        };
        if let Some(call) = call {
            call.keep_log(line, severity_of(envelope));
        }
    }

    /// Gives up all requests that wait for their repetition, which no client will send, and keeps no more.
    pub(super) fn end_parked_calls(&self) {
        let calls = {
            let mut state = self.state();
            state.parked_calls.is_closed = true;
            std::mem::take(&mut state.parked_calls.calls)
        };
        for call in calls.into_values() {
            call.cancel("the client has disconnected");
        }
        self.refuse_early_roots(InputError::ClientGone);
    }
}
