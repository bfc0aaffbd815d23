//! Pending requests of a generation and the receivers of their responses.

use std::collections::{HashMap, VecDeque, hash_map};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::call::{Call, InputGrant, InputPhase};
use super::connection::OpenQuestion;
use super::former_tools::FormerTools;
use super::input_requests::InputRequests;
use super::recent_calls::{CallRecorder, RecordedCall};
use super::result_checks::ResultChecks;
use super::tasks::Tasks;
use crate::jsonrpc::RequestId;

/// Number of cancelled requests that are remembered. A late response to an older one is dropped.
const CANCELLED: usize = 256;

/// Response to a request of the proxy itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawResponse {
    /// The result.
    Result(String),
    /// The error object.
    Error(String),
}

/// Receiver of a response.
#[derive(Debug)]
pub(super) enum PendingRequest {
    /// A client.
    Client(Call),
    /// A client that the server has requested input from. No response to this request is due: the request is sent again
    /// with the input, or fails.
    AwaitsInput {
        call: Call,
        /// Withdraws the requests to the client when dropped.
        _requests: DropGuard,
    },
    /// A client that has cancelled the request; a late response is still delivered.
    Cancelled(Call),
    /// The proxy itself.
    Own(oneshot::Sender<RawResponse>),
}

/// Unanswered requests of a generation, by the numbers that serve as their ids.
#[derive(Debug, Default)]
pub(super) struct PendingRequests {
    /// Newest number.
    pub(super) newest: u64,
    pub(super) requests: HashMap<u64, PendingRequest>,
    /// Numbers of the newest cancelled requests, answered or not, the oldest first.
    cancelled: VecDeque<u64>,
    /// Method of the newest request of the proxy itself, except requests that stay open.
    pub(super) newest_own_method: Option<Box<str>>,
    /// Tools whose arguments changed incompatibly while the client was connected.
    pub(super) former_tools: FormerTools,
    /// Checks of results of tools.
    pub(super) result_checks: ResultChecks,
    /// Recorder of clients' calls, if new code rehearses them.
    pub(super) call_recorder: Option<Arc<CallRecorder>>,
    /// Those of the clients' calls in `requests` that new code may rehearse.
    pub(super) recorded_calls: HashMap<u64, RecordedCall>,
    /// Tasks that the generation runs for clients.
    pub(super) tasks: Tasks,
    /// Server's own requests for input from modern clients.
    pub(super) input_requests: InputRequests,
    /// Server's own requests that a person is asked on the page.
    pub(super) questions: Vec<OpenQuestion>,
    /// Number of clients' calls in `requests`, including those that wait for input.
    pub(super) call_count: usize,
    /// Number of requests for the rest of the server's site that are being answered.
    pub(super) site_requests: usize,
    /// Number of open streams of that site, which may never end.
    pub(super) site_streams: usize,
    /// Number of the proxy's own calls for which no client can give input.
    pub(super) calls_without_input: usize,
    /// Number of requests for input that were refused because of such calls.
    pub(super) refused_inputs: u64,
    /// Time at which the last call was answered.
    pub(super) idle_since: Option<Instant>,
    /// True if the generation has ended; nothing more is sent.
    pub(super) closed: bool,
}

/// End of a client's request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CallEnd {
    /// True if no other client waits for a response.
    pub(super) is_last: bool,
    /// Server's own requests for input that belonged to it and will not get any.
    pub(super) input_requests: Vec<RequestId>,
}

impl PendingRequests {
    /// Returns true if no client's request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.call_count == 0 && (self.closed || self.site_requests == 0)
    }

    /// Assigns a number to a new request.
    pub(super) fn insert(&mut self, request: PendingRequest) -> u64 {
        self.newest += 1;
        self.requests.insert(self.newest, request);
        self.newest
    }

    /// Returns the number of the oldest request whose sender waits for the response.
    pub(super) fn oldest(&self) -> Option<u64> {
        let requests = self.requests.iter();
        let open = requests.filter(|(_, it)| !matches!(it, PendingRequest::Cancelled(_)));
        open.map(|(number, _)| *number).min()
    }

    /// Records a cancelled request; drops the oldest one if there are too many.
    pub(super) fn keep_cancelled(&mut self, number: u64, call: Call) {
        if self.cancelled.len() == CANCELLED
            && let Some(oldest) = self.cancelled.pop_front()
        {
            self.requests.remove(&oldest);
        }
        self.cancelled.push_back(number);
        self.requests
            .insert(number, PendingRequest::Cancelled(call));
    }

    /// Returns the client's request of that number.
    pub(super) fn call(&self, number: u64) -> Option<&Call> {
        match self.requests.get(&number)? {
            PendingRequest::Client(call) => Some(call),
            PendingRequest::AwaitsInput { .. }
            | PendingRequest::Cancelled(_)
            | PendingRequest::Own(_) => None,
        }
    }

    /// Returns the client's request of that number, also while it waits for input.
    pub(super) fn open_call(&mut self, number: u64) -> Option<&mut Call> {
        match self.requests.get_mut(&number)? {
            PendingRequest::Client(call) | PendingRequest::AwaitsInput { call, .. } => Some(call),
            PendingRequest::Cancelled(_) | PendingRequest::Own(_) => None,
        }
    }

    /// Adds a client's request, of which the server has not asked anything.
    pub(super) fn insert_call(&mut self, mut call: Call) -> u64 {
        self.call_count += 1;
        if let Some(input) = &mut call.input {
            // The last generation may have asked.
            input.phase = InputPhase::Idle;
        }
        self.insert(PendingRequest::Client(call))
    }

    /// Makes the client's request of that number, which its server has answered, wait for input. The returned token is
    /// cancelled when it does not wait any more.
    pub(super) fn await_input(&mut self, number: u64) -> Option<CancellationToken> {
        let mut call = match self.requests.remove(&number)? {
            PendingRequest::Client(call) => call,
            other => {
                self.requests.insert(number, other);
                return None;
            }
        };
        call.input_rounds = call.input_rounds.saturating_add(1);
        // The next generation would ask the client the same again.
        call.may_retry = false;
        let token = CancellationToken::new();
        let waiting = PendingRequest::AwaitsInput {
            call,
            _requests: token.clone().drop_guard(),
        };
        self.requests.insert(number, waiting);
        Some(token)
    }

    /// Removes the request of that number, which waits for input.
    pub(super) fn take_awaiting(&mut self, number: u64) -> Option<(Call, CallEnd)> {
        match self.requests.remove(&number)? {
            PendingRequest::AwaitsInput { call, .. } => Some((call, self.settle_call(number))),
            other => {
                self.requests.insert(number, other);
                None
            }
        }
    }

    /// Counts a client's request, which was removed, as settled.
    fn settle_call(&mut self, number: u64) -> CallEnd {
        self.call_count -= 1;
        self.recorded_calls.remove(&number);
        if self.call_count == 0 {
            self.idle_since = Some(Instant::now());
        }
        let is_last = self.call_count == 0;
        let mut input_requests = self.end_questions(number);
        if !self.input_requests.is_empty() {
            let has_other = self.calls_with_input().next().is_some();
            input_requests.extend(self.input_requests.end_call(number, has_other));
        }
        CallEnd {
            is_last,
            input_requests,
        }
    }

    /// Returns the clients' requests during which the server may request input, with their numbers.
    pub(super) fn calls_with_input(&self) -> impl Iterator<Item = (u64, &InputGrant)> {
        self.requests.iter().filter_map(|(number, request)| {
            let PendingRequest::Client(call) = request else {
                return None;
            };
            Some((*number, &**call.input.as_ref()?))
        })
    }

    /// Returns the client's request in flight, if there is exactly one.
    pub(super) fn only_call(&self) -> Option<&Call> {
        if self.call_count != 1 {
            return None;
        }
        self.requests.keys().find_map(|number| self.call(*number))
    }

    /// Removes the request of that number from the table, unless it waits for input.
    pub(super) fn take(&mut self, number: u64) -> Option<(PendingRequest, CallEnd)> {
        let hash_map::Entry::Occupied(entry) = self.requests.entry(number) else {
            return None;
        };
        if matches!(entry.get(), PendingRequest::AwaitsInput { .. }) {
            return None;
        }
        let request = entry.remove();
        let end = match request {
            PendingRequest::Client(_) => self.settle_call(number),
            _ => CallEnd::default(),
        };
        Some((request, end))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_client::{call, client};
    use super::*;

    #[tokio::test]
    async fn a_call_that_awaits_input_is_in_flight_and_has_no_response() {
        let (client, _reader) = client();
        let mut table = PendingRequests::default();
        let number = table.insert_call(Call {
            may_retry: true,
            ..call(client, "1")
        });
        let waiting = table.await_input(number).unwrap();
        assert!(table.take(number).is_none() && table.call(number).is_none());
        assert!(table.await_input(number).is_none());
        assert!(table.call_count == 1 && !waiting.is_cancelled());
        let (call, end) = table.take_awaiting(number).unwrap();
        assert!(end.is_last && waiting.is_cancelled());
        assert!(call.input_rounds == 1 && !call.may_retry);
        assert!(table.take_awaiting(number).is_none());
        // A call in flight does not await input.
        let number = table.insert_call(call);
        assert!(table.take_awaiting(number).is_none());
        assert!(table.take(number).is_some());
    }

    #[tokio::test]
    async fn old_cancelled_requests_are_forgotten() {
        let (client, _reader) = client();
        let mut table = PendingRequests::default();
        for number in 1..=1000 {
            table.keep_cancelled(number, call(client.clone(), "1"));
            // Every second request is answered late.
            if number % 2 == 0 {
                assert!(table.take(number).is_some());
            }
        }
        assert!(table.requests.len() <= 256, "{}", table.requests.len());
        assert!(table.take(999).is_some());
        assert!(table.take(1).is_none());
    }
}
