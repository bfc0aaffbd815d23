//! Calls of modern clients during which a legacy server requests input: the client gets the requests as the result of
//! its call, and continues the call by repeating it with the responses and the state that came with the requests.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Session;
use super::route::Request;
use crate::bridge::{self, InputError, RETRY_MEMBERS};
use crate::jsonrpc::{Envelope, Members, RawId, Reply, RequestId, unquoted};
use crate::lock::locked;
use crate::mcp::Era;
use crate::server::{Call, CallProgress, Connection, InputGrant, ResponseSink};
use crate::transport::stream::Outbox;

/// Time for further requests of a server to join the first one.
const COLLECTING_TIME: Duration = Duration::from_millis(20);
/// Time limit for the client to repeat its call.
const INPUT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Maximum number of parked calls of a session.
const MAX_PARKED: usize = 64;

/// Parked calls, by the unguessable state that the client must send to continue one.
#[derive(Debug, Default)]
pub(super) struct ParkedCalls {
    calls: HashMap<String, ParkedCall>,
    /// True once no client can continue a call.
    is_closed: bool,
}

/// Call whose client must repeat it.
#[derive(Debug)]
struct ParkedCall {
    connection: Arc<Connection>,
    /// Number of the call at its connection.
    number: u64,
    /// Id of the answered request.
    id: RequestId,
    /// Digest of the answered request.
    digest: u64,
    response: Arc<KeptResponse>,
    /// Ends the wait for the client.
    _timeout: DropGuard,
}

/// Result of the search for the parked call that a request continues.
enum Continuation {
    /// The state is none of a parked call.
    Unknown,
    /// The call is another one than the request repeats.
    Mismatch,
    Call(Box<ParkedCall>),
}

impl ParkedCalls {
    /// Returns true if there is room for another call; drops one that its server has answered if necessary.
    fn has_room(&mut self) -> bool {
        if self.calls.len() >= MAX_PARKED {
            let mut calls = self.calls.iter();
            let answered = calls.find(|(_, call)| call.response.is_complete());
            if let Some(state) = answered.map(|(state, _)| state.clone()) {
                self.calls.remove(&state);
            }
        }
        self.calls.len() < MAX_PARKED
    }

    /// Returns true if there is no parked call.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Removes the call with this `state` if the request with this `digest` repeats it.
    fn take(&mut self, state: &str, digest: impl FnOnce() -> u64) -> Continuation {
        match self.calls.entry(state.to_owned()) {
            Entry::Vacant(_) => Continuation::Unknown,
            Entry::Occupied(call) => {
                if call.get().digest == digest() {
                    Continuation::Call(Box::new(call.remove()))
                } else {
                    Continuation::Mismatch
                }
            }
        }
    }
}

impl ParkedCall {
    /// Cancels the call at its server, for this reason.
    fn cancel(&self, reason: &str) {
        let sink: Arc<dyn ResponseSink> = self.response.clone();
        let params = format!(r#"{{"reason":"{reason}"}}"#);
        self.connection.cancel(&sink, self.id.as_raw(), &params);
    }
}

/// Receiver of the response to a parked call, which keeps it for the repetition of the call.
#[derive(Debug, Default)]
struct KeptResponse(Mutex<ResponseState>);

#[derive(Debug, Default)]
enum ResponseState {
    #[default]
    Missing,
    /// Line of the response.
    Complete(String),
    /// The client has repeated the call: the response goes there.
    Claimed(Call),
}

impl KeptResponse {
    fn is_complete(&self) -> bool {
        matches!(*locked(&self.0), ResponseState::Complete(_))
    }

    /// Answers `call` with the response, which is complete or about to arrive.
    fn claim(&self, call: Call) {
        let line = {
            let mut state = locked(&self.0);
            match std::mem::take(&mut *state) {
                ResponseState::Complete(line) => line,
                ResponseState::Missing | ResponseState::Claimed(_) => {
                    *state = ResponseState::Claimed(call);
                    return;
                }
            }
        };
        if let Ok(envelope) = Envelope::parse(&line)
            && let Some(id) = envelope.id
        {
            call.reply(Reply::of_line(&line, id, envelope.error));
        }
    }
}

impl ResponseSink for KeptResponse {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let claimed = {
            let mut state = locked(&self.0);
            match std::mem::take(&mut *state) {
                ResponseState::Claimed(call) => Some(call),
                ResponseState::Missing | ResponseState::Complete(_) => {
                    let line = reply.with_id(id, |parts| parts.concat());
                    let line = String::from_utf8(line).unwrap_or_default();
                    *state = ResponseState::Complete(line);
                    None
                }
            }
        };
        if let Some(call) = claimed {
            call.reply(reply);
        }
    }
}

impl Session {
    /// Returns a digest of everything by which the repetition of the request in the client's `line` is recognized: its
    /// method, its params and the description of the client.
    fn digest(&self, line: &str) -> u64 {
        let params = Members::of(line).original("params").unwrap_or("{}");
        let is_same = |name: &str| {
            let name = unquoted(name).unwrap_or_default();
            name != "_meta" && !RETRY_MEMBERS.contains(&&*name)
        };
        let members = Members::of(params).into_raw();
        let mut members: Vec<_> = members.filter(|(name, _)| is_same(name)).collect();
        members.sort_unstable();
        let envelope = Envelope::parse(line).unwrap_or_default();
        let client = envelope.params.meta.client_info;
        self.digest_keys
            .hash_one((&envelope.method, client, members))
    }

    /// Takes a request of a legacy server for input from a modern client.
    pub(super) fn take_input_request(
        &self,
        from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        match from.add_input_request(line, envelope, related_number, self.is_shared) {
            Ok(Some(number)) => self.park_later(from.clone(), number),
            Ok(None) => {}
            Err(error) => from.refuse(envelope.id.unwrap_or(RawId::NULL), &error.object()),
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
        let server = from.server.to_string();
        let response = Arc::<KeptResponse>::default();
        let parked = {
            let mut session_state = self.state();
            let parked_calls = &mut session_state.parked_calls;
            match crate::random::id() {
                _ if parked_calls.is_closed => Err(InputError::ClientGone(server)),
                Ok(state) if parked_calls.has_room() => {
                    let Some(round) = from.park(number, response.clone()) else {
                        return;
                    };
                    let call = ParkedCall {
                        connection: from.clone(),
                        number,
                        id: round.id().clone(),
                        digest: self.digest(round.line()),
                        response,
                        _timeout: self.begin_input_timeout(state.clone()),
                    };
                    parked_calls.calls.insert(state.clone(), call);
                    Ok((state, round))
                }
                _ => Err(InputError::TooManyWaiting(server)),
            }
        };
        match parked {
            Ok((state, round)) => round.send(&state),
            Err(error) => from.refuse_input_requests(number, &error),
        }
    }

    /// Cancels the parked call with this `state` after the time limit, unless the returned guard is dropped before.
    fn begin_input_timeout(&self, state: String) -> DropGuard {
        let (session, ended) = (self.weak_self.clone(), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        self.tasks
            .spawn(ended.run_until_cancelled_owned(async move {
                tokio::time::sleep(INPUT_TIMEOUT).await;
                if let Some(session) = session.upgrade() {
                    let expired = session.state().parked_calls.calls.remove(&state);
                    if let Some(call) = expired {
                        call.cancel("the client did not send the requested input in time");
                    }
                }
            }));
        guard
    }

    /// Continues the parked call that a request repeats. Returns false if it repeats none.
    pub(super) fn resume(&self, request: Request<'_>) -> bool {
        if request.era == Era::Legacy || !request.method.may_request_input() {
            return false;
        }
        let Some(state) = bridge::request_state(request.line).and_then(unquoted) else {
            return false;
        };
        let digest = || self.digest(request.client_line);
        let found = self.state().parked_calls.take(&state, digest);
        let parked = match found {
            Continuation::Unknown => return false,
            Continuation::Mismatch => {
                self.answer_error(request.id, &bridge::invalid_state());
                return true;
            }
            Continuation::Call(parked) => parked,
        };
        let message = Members::of(request.line);
        let params = message.object("params");
        let mut call = self.new_call(self.as_sink(), request);
        call.progress = CallProgress::of(request.envelope);
        call.input = Some(Box::new(InputGrant::of(request.client_line)));
        let adopted =
            parked
                .connection
                .adopt(parked.number, call, &params.object("inputResponses"));
        match adopted {
            Ok(true) => self.park_later(parked.connection.clone(), parked.number),
            Ok(false) => {}
            Err(call) => parked.response.claim(call),
        }
        true
    }

    /// Cancels the parked calls, which no client will continue, and parks no more.
    pub(super) fn end_parked_calls(&self) {
        let calls = {
            let mut state = self.state();
            state.parked_calls.is_closed = true;
            std::mem::take(&mut state.parked_calls.calls)
        };
        for call in calls.into_values() {
            call.cancel("the client has disconnected");
        }
    }
}
