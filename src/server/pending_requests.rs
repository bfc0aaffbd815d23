//! Pending requests of a generation and the receivers of their responses.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use tokio::sync::oneshot;

use super::call::Call;
use super::tasks::Tasks;

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
    /// Tasks that the generation runs for clients.
    pub(super) tasks: Tasks,
    /// Number of clients' calls in `requests`.
    pub(super) call_count: usize,
    /// Number of requests for the rest of the server's site that are being answered.
    pub(super) site_requests: usize,
    /// Number of open streams of that site, which may never end.
    pub(super) site_streams: usize,
    /// Time at which the last call was answered.
    pub(super) idle_since: Option<Instant>,
    /// True if the generation has ended; nothing more is sent.
    pub(super) closed: bool,
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
            PendingRequest::Cancelled(_) | PendingRequest::Own(_) => None,
        }
    }

    /// Returns the client's request in flight, if there is exactly one.
    pub(super) fn only_call(&self) -> Option<&Call> {
        if self.call_count != 1 {
            return None;
        }
        self.requests.keys().find_map(|number| self.call(*number))
    }

    /// Removes the request of that number from the table; also returns true if it was the last one that a client waited
    /// for.
    pub(super) fn take(&mut self, number: u64) -> Option<(PendingRequest, bool)> {
        let request = self.requests.remove(&number)?;
        let is_call = matches!(request, PendingRequest::Client(_));
        self.call_count -= usize::from(is_call);
        let is_last = is_call && self.call_count == 0;
        if is_last {
            self.idle_since = Some(Instant::now());
        }
        Some((request, is_last))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_client::{call, client};
    use super::*;

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
