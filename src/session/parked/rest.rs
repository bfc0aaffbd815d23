//! Requests for input that the person on the page has answered in part. A modern client gets the rest, and gives it by
//! the repetition of its request.

use super::super::Session;
use super::super::route::Request;
use super::NextStep;
use crate::bridge::InputRequired;
use crate::jsonrpc::{Envelope, Members, Reply};
use crate::server::{Call, Connection};

/// Input that a server has requested from a modern client and the person.
#[derive(Debug)]
pub(super) struct InputInParts {
    input: InputRequired,
    /// Raw results that the person has given, in the order of the requests.
    given: Vec<Option<String>>,
}

impl Session {
    /// Answers `call` with those requests of the `input` in `result` that have no value in `given`.
    pub(in super::super) fn ask_for_rest(
        &self,
        from: &Connection,
        call: &Call,
        result: &str,
        mut input: InputRequired,
        given: Vec<Option<String>>,
    ) {
        let line = call.input.as_ref().map_or("", |input| &input.line);
        let digests = self.digests(line);
        let rest = {
            let mut state = self.state();
            let calls = &mut state.parked_calls;
            let key = calls.new_state(&from.server, digests.client);
            key.map(|key| {
                let rest = InputRequired::rest_of(result, &given, &key);
                // The params may be long, and nothing reads them again.
                input.requests.iter_mut().for_each(|it| it.params = None);
                let parts = InputInParts { input, given };
                self.keep(calls, &key, digests, NextStep::WithRest(parts));
                rest
            })
        };
        match rest {
            Ok(rest) => call.reply(Reply::Result(&rest)),
            Err(error) => call.reply(error.response(call.method, call.era).reply()),
        }
    }

    /// Sends a request again with all its input: `responses` are those of the client.
    pub(super) fn send_with_rest(
        &self,
        parts: &InputInParts,
        request: Request<'_>,
        responses: &Members<'_>,
    ) {
        let results = parts.input.completed(&parts.given, responses);
        let line = parts.input.answered(request.client_line, &results);
        if let Ok(envelope) = Envelope::parse(&line) {
            self.forward(Request::new(&line, &envelope, request.id, request.era));
        }
    }
}
