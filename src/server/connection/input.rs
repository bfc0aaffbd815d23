//! Calls of legacy clients whose modern server requests input. They wait here until the client has given it, so that the
//! generation does not stop meanwhile.

use tokio_util::sync::CancellationToken;

use super::super::call::Call;
use super::super::pending_requests::PendingRequests;
use super::Connection;
use super::sending::Rewrites;
use crate::bridge::{InputError, InputRequired};
use crate::jsonrpc::{Envelope, ErrorObject, INTERNAL_ERROR, Reply, RequestId};
use crate::lock::locked;
use crate::mcp::Era;

/// Request of a modern server for input from a legacy client.
#[derive(Debug)]
pub(crate) struct InputRound {
    /// Number of the call that waits for the input.
    pub(crate) number: u64,
    /// Client's id of the call.
    pub(crate) id: RequestId,
    /// Number of requests for input to this call, including this one.
    pub(crate) count: u8,
    /// True if the page has made the call, so that only its user can give input.
    pub(crate) is_of_page: bool,
    /// Input that the server requests.
    pub(crate) input: InputRequired,
    /// Cancelled when the call does not wait any more.
    pub(crate) ended: CancellationToken,
}

impl Connection {
    /// Returns true if the server may answer the call with a request for input that the client does not understand.
    pub(super) fn may_request_input(&self, call: &Call) -> bool {
        call.era == Era::Legacy && self.era() == Era::Modern && call.method.may_request_input()
    }

    /// Makes the call `number` wait if the response in `envelope` requests input from its client; returns the request.
    pub(super) fn input_round(
        &self,
        pending: &mut PendingRequests,
        number: u64,
        envelope: &Envelope<'_>,
    ) -> Option<InputRound> {
        if self.era() == Era::Legacy {
            return None;
        }
        let call = pending.call(number)?;
        if !self.may_request_input(call) {
            return None;
        }
        let input = InputRequired::of(envelope.result?)?;
        let (id, count) = (call.id.clone(), call.input_rounds.saturating_add(1));
        let is_of_page = call.sink.is_page();
        let ended = pending.await_input(number)?;
        Some(InputRound {
            number,
            id,
            count,
            is_of_page,
            input,
            ended,
        })
    }

    /// Sends the call `number`, which waits for input, again: its line is changed by `with_input`. Does nothing if the
    /// call does not wait any more.
    pub(crate) fn provide_input(&self, number: u64, with_input: impl FnOnce(&str) -> String) {
        let mut pending = locked(&self.pending);
        let Some((mut call, _)) = pending.take_awaiting(number) else {
            return;
        };
        // Locked until it is in flight again: the generation stops as soon as no call is left.
        let line = with_input(call.line.as_deref().unwrap_or_default());
        let Ok(envelope) = Envelope::parse(&line) else {
            drop(pending);
            let message = "the proxy cannot send the request again with the client's input";
            let error = ErrorObject::new(INTERNAL_ERROR, message);
            return call.reply(Reply::Error(&error.to_string()));
        };
        let rewrites = Rewrites::of(&call, &envelope);
        call.line = Some(line.as_str().into());
        let number = pending.insert_call(call);
        drop(pending);
        self.write_call(number, &line, &envelope, false, rewrites);
    }

    /// Answers the call `number`, which waits for input, with the reason why the server does not get it. Does nothing if
    /// the call does not wait any more.
    pub(crate) fn refuse_input(&self, number: u64, error: &InputError) {
        let taken = locked(&self.pending).take_awaiting(number);
        if let Some((call, end)) = taken {
            call.reply(error.response(call.method).reply());
            self.settled(end);
        }
    }
}
