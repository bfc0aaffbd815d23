//! Calls whose server requests input that the proxy gathers: from a legacy client, which knows no such results, or from
//! the person on the page. They wait here until it is given, so that the generation does not stop meanwhile.

use tokio_util::sync::CancellationToken;

use super::super::call::Call;
use super::super::pending_requests::PendingRequests;
use super::Connection;
use crate::bridge::{self, InputError, InputRequired, RequiredUrls};
use crate::jsonrpc::{Envelope, ErrorObject, INTERNAL_ERROR, Reply, RequestId};
use crate::lock::locked;
use crate::mcp::Era;

/// Request of a server for input that the proxy gathers.
#[derive(Debug)]
pub(crate) struct InputRound {
    /// Number of the call that waits for the input.
    pub(crate) number: u64,
    /// Client's id of the call.
    pub(crate) id: RequestId,
    /// Era of the call.
    pub(crate) era: Era,
    /// Number of requests for input to this call, including this one.
    pub(crate) count: u8,
    /// True if the page has made the call, so that only its user can give input.
    pub(crate) is_of_page: bool,
    /// Capabilities that a modern client declares with the call; `{}` for the page, `None` for a legacy client.
    pub(crate) declared: Option<Box<str>>,
    /// Input that the server requests.
    pub(crate) input: InputRequired,
    /// Form of the request.
    pub(crate) origin: InputOrigin,
    /// Cancelled when the call does not wait any more.
    pub(crate) ended: CancellationToken,
}

/// Response of a server that requests input.
#[derive(Debug)]
pub(crate) enum InputOrigin {
    /// Raw result of a modern server, which gets the input.
    Result(Box<str>),
    /// Raw error, for a client whose user does not open the URLs in it. Otherwise, the server gets the same call again.
    Urls(Box<str>),
}

impl Connection {
    /// Returns true if the server may answer the call with a request for input that the proxy gathers.
    pub(super) fn may_request_input(&self, call: &Call) -> bool {
        let is_translated = call.era == Era::Legacy && self.era() == Era::Modern;
        (is_translated || call.has_stand_in()) && call.method.may_request_input()
    }

    /// Makes the call `number` wait if the response in `envelope` requests input that the proxy gathers; returns the
    /// request.
    pub(super) fn input_round(
        &self,
        pending: &mut PendingRequests,
        number: u64,
        envelope: &Envelope<'_>,
    ) -> Option<InputRound> {
        if self.era() == Era::Legacy && envelope.error.is_none() {
            return None;
        }
        let call = pending.call(number)?;
        if !self.may_request_input(call) {
            return None;
        }
        let (input, origin) = self.requested_input(call, envelope)?;
        let (id, era) = (call.id.clone(), call.era);
        let count = call.input_rounds.saturating_add(1);
        let is_of_page = call.sink.is_page();
        let declared = declared_with(call).map(Into::into);
        let ended = pending.await_input(number)?;
        Some(InputRound {
            number,
            id,
            era,
            count,
            is_of_page,
            declared,
            input,
            origin,
            ended,
        })
    }

    /// Returns the input that the response to `call` requests, unless its modern client can give all of it.
    fn requested_input(
        &self,
        call: &Call,
        envelope: &Envelope<'_>,
    ) -> Option<(InputRequired, InputOrigin)> {
        let may_need_person = |input: &InputRequired| {
            let declared = declared_with(call);
            let needs = |it| declared.is_none_or(|declared| bridge::needs_stand_in(it, declared));
            call.has_stand_in() && input.requests.iter().any(needs)
        };
        match envelope.outcome()? {
            Err(_) if !call.has_stand_in() => None,
            Err(error) => {
                let input = InputRequired::from(RequiredUrls::of(error)?);
                let origin = || InputOrigin::Urls(self.error_for(call, envelope).into());
                may_need_person(&input).then(|| (input, origin()))
            }
            Ok(_) if self.era() == Era::Legacy => None,
            Ok(result) => {
                let input = InputRequired::of(result)?;
                let is_gathered = call.era == Era::Legacy || may_need_person(&input);
                is_gathered.then(|| (input, InputOrigin::Result(result.into())))
            }
        }
    }

    /// Returns the raw error in `envelope` for the client of `call`, whose user does not open the required URLs.
    pub(super) fn error_for(&self, call: &Call, envelope: &Envelope<'_>) -> String {
        match self.era() {
            Era::Legacy => bridge::response(call.method, envelope, call.era, None)
                .raw()
                .to_owned(),
            Era::Modern => envelope.error.unwrap_or("{}").to_owned(),
        }
    }

    /// Sends the call `number`, which waits for input, again: its line is changed by `with_input`. Does nothing if the
    /// call does not wait any more.
    pub(crate) fn provide_input(&self, number: u64, with_input: impl FnOnce(&str) -> String) {
        let mut pending = locked(&self.pending);
        let Some((mut call, mut end)) = pending.take_awaiting(number) else {
            return;
        };
        // Locked until it is in flight again: the generation stops as soon as no call is left.
        let line = with_input(call.line.as_deref().unwrap_or_default());
        let Ok(envelope) = Envelope::parse(&line) else {
            drop(pending);
            self.settled(end);
            let message = "the proxy cannot send the request again with the client's input";
            let error = ErrorObject::new(INTERNAL_ERROR, message);
            return call.reply(Reply::Error(&error.to_string()));
        };
        let rewrites = self.rewrites(&call);
        call.line = Some(line.as_str().into());
        let number = pending.insert_call(call);
        drop(pending);
        // The call goes on, but the server's own requests during its last round do not.
        end.is_last = false;
        self.settled(end);
        self.write_call(number, &line, &envelope, rewrites);
    }

    /// Answers the call `number`, which waits for input, with the reason why the server does not get it. Does nothing if
    /// the call does not wait any more.
    pub(crate) fn refuse_input(&self, number: u64, error: &InputError) {
        self.end_waiting(number, |call| {
            call.reply(error.response(call.method, call.era).reply());
        });
    }

    /// Ends the call `number`, which waits for input: `answer` answers it. Does nothing if the call does not wait any
    /// more.
    pub(crate) fn end_waiting(&self, number: u64, answer: impl FnOnce(&Call)) {
        let taken = locked(&self.pending).take_awaiting(number);
        if let Some((call, end)) = taken {
            answer(&call);
            self.settled(end);
        }
    }
}

/// Returns the capabilities that a modern client declares with `call`: `{}` for the page, `None` for a legacy client.
fn declared_with(call: &Call) -> Option<&str> {
    if call.sink.is_page() {
        return Some("{}");
    }
    let input = call.input.as_ref();
    (call.era == Era::Modern).then(|| input.map_or("{}", |it| it.capabilities()))
}
