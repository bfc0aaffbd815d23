//! Requests that end without a response: all at once with the connection, or, at a remote server, one at a time.

use std::time::Duration;

use super::super::call::Call;
use super::super::input_requests::InputRequests;
use super::super::link::Link;
use super::super::pending_requests::PendingRequest;
use super::{Connection, ConnectionNotice};
use crate::jsonrpc::{Envelope, Members};
use crate::lock::locked;
use crate::mcp::{Era, HEADER_MISMATCH, List, ListKind, Method};
use crate::transport::http::HttpLink;

impl Connection {
    /// Returns true if the server is remote.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.link, Link::Remote(_))
    }

    /// Returns true if messages go over HTTP.
    pub(crate) fn is_http(&self) -> bool {
        self.link.http().is_some()
    }

    /// Returns true if the remote server is configured with the transport of 2024-11-05, which implies the legacy era.
    pub(crate) fn is_configured_as_2024(&self) -> bool {
        self.link
            .http()
            .is_some_and(HttpLink::is_configured_as_2024)
    }

    /// Rejects new requests from now on. Requests in flight may still be answered.
    pub(crate) fn reject_new(&self) {
        locked(&self.pending).closed = true;
    }

    /// Ends the connection: nothing more is sent. Returns the calls that were never answered; requests of the proxy
    /// itself end with [`ConnectionLost`](super::ConnectionLost).
    pub(crate) fn close(&self) -> Vec<Call> {
        let requests = {
            let mut pending = locked(&self.pending);
            pending.closed = true;
            pending.call_count = 0;
            pending.input_requests = InputRequests::default();
            pending.questions.clear();
            std::mem::take(&mut pending.requests)
        };
        self.link.close();
        self.cut_exchanges();
        self.idle.notify_waiters();
        self.client.withdraw_requests(self);
        let mut calls: Vec<_> = requests.into_iter().collect();
        calls.sort_unstable_by_key(|(number, _)| *number);
        let client = |(_, request)| match request {
            PendingRequest::Client(call) | PendingRequest::AwaitsInput { call, .. } => Some(call),
            PendingRequest::Cancelled(_) | PendingRequest::Own(_) => None,
        };
        calls.into_iter().filter_map(client).collect()
    }

    /// Removes the request `number`, which gets no response. Returns a client's call; a request of the proxy itself
    /// ends with [`ConnectionLost`](super::ConnectionLost).
    pub(crate) fn take_unanswered(&self, number: u64) -> Option<Call> {
        let (request, end) = locked(&self.pending).take(number)?;
        self.settled(end);
        match request {
            PendingRequest::Client(call) | PendingRequest::AwaitsInput { call, .. } => Some(call),
            PendingRequest::Cancelled(_) | PendingRequest::Own(_) => None,
        }
    }

    /// Returns the call that the server rejects in `line` because its headers do not match its body: the proxy may know
    /// an outdated version of the tool. Each call is returned only once.
    pub(crate) fn take_mismatched(&self, number: u64, line: &str) -> Option<Call> {
        let code = HEADER_MISMATCH.to_string();
        if self.era() == Era::Legacy || !line.contains(&code) {
            return None;
        }
        let error = Envelope::parse(line).ok()?.error?;
        if Members::of(error).get("code") != Some(&code) {
            return None;
        }
        let may_resend = |call: &Call| call.method == Method::CallTool && call.resends == 0;
        let (request, end) = {
            let mut pending = locked(&self.pending);
            pending.call(number).filter(|call| may_resend(call))?;
            pending.take(number)?
        };
        self.settled(end);
        let PendingRequest::Client(mut call) = request else {
            return None;
        };
        self.record(line);
        call.resends += 1;
        Some(call)
    }

    /// Reports that a list was not read to its end.
    pub(crate) fn report_list_cut(&self, kind: ListKind, reason: &'static str) {
        let _ = self.notices.send(ConnectionNotice::ListCut(kind, reason));
    }

    /// Reports that a list contains a name twice.
    pub(crate) fn report_listed_twice(&self, kind: ListKind, name: String) {
        let _ = self.notices.send(ConnectionNotice::ListedTwice(kind, name));
    }

    /// Reports that the server has a list whose capability it does not declare.
    pub(crate) fn report_list_undeclared(&self, kind: ListKind) {
        let _ = self.notices.send(ConnectionNotice::ListUndeclared(kind));
    }

    /// Reports that a list was not answered in time, so that the server goes live without it.
    pub(crate) fn report_list_silent(&self, kind: ListKind, waited: Duration) {
        let _ = self
            .notices
            .send(ConnectionNotice::ListSilent(self.generation, kind, waited));
    }

    /// Passes the tools to the HTTP link, for headers of calls. Removes the tools that cannot be offered over HTTP.
    pub(crate) fn set_tools(&self, tools: &mut List) {
        let Some(link) = self.link.http() else { return };
        for (tool, reason) in link.set_tools(&tools.entries) {
            tools.retain(|name| *name != tool);
            let _ = self.notices.send(ConnectionNotice::LeftOut(tool, reason));
        }
    }
}
