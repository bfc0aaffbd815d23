//! Calls of modern clients during which a legacy server requests input. The client is answered by a result that
//! requests the input; the call stays open at the server, parked, until the client repeats it with the responses.

use std::sync::Arc;

use super::super::call::{Call, InputGrant, InputPhase, InputSource, ResponseSink};
use super::super::pending_requests::{PendingRequest, PendingRequests};
use super::Connection;
use crate::bridge::{self, InputError, InputRequest, RequiredUrls};
use crate::jsonrpc::{Envelope, Members, RawId, Reply, result_response};
use crate::lock::locked;
use crate::mcp::Era;

/// Requests of a legacy server for input, to be sent to a modern client.
#[derive(Debug)]
pub(crate) struct ParkedRound {
    /// The client's call, which ends with these requests.
    pub(crate) call: Call,
    requests: Vec<InputRequest>,
    /// Object with the name and version of the server.
    server_info: Option<String>,
}

/// Parked call that its client has continued.
#[derive(Debug)]
pub(crate) struct AdoptedCall {
    /// True if it must be parked again because requests are left.
    pub(crate) has_more: bool,
    /// The client's roots, if the server has requested them.
    pub(crate) roots: Option<String>,
}

impl ParkedRound {
    /// Returns the client's line of the call.
    pub(crate) fn line(&self) -> &str {
        self.call.input.as_ref().map_or("", |input| &input.line)
    }

    /// Answers the call with the requests; `state` identifies its repetition.
    pub(crate) fn send(self, state: &str) {
        let info = self.server_info.as_deref();
        let result = bridge::input_required(&self.requests, state, info);
        self.call.reply(Reply::Result(&result));
    }

    /// Answers the call with `error`, which is raw, instead.
    pub(crate) fn refuse(self, error: &str) {
        self.call.reply(Reply::Error(error));
    }
}

impl Connection {
    /// Takes a request of the server for input from a modern client. Returns the number of the client's call that must
    /// be parked after the time for further requests; None if it is parked, or if that is already known. If
    /// `has_several_clients`, only the call of one certain client gets the request.
    pub(crate) fn add_input_request(
        &self,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
        has_several_clients: bool,
    ) -> Result<Option<u64>, InputError> {
        let method = envelope.method.as_deref().unwrap_or_default();
        let params = Members::of(line).original("params");
        let id = envelope.id.unwrap_or(RawId::NULL).into();
        if self.era() == Era::Modern {
            // Its clients get such a request by a result.
            return Err(InputError::NoCounterpart(method.to_owned()));
        }
        let mut pending = locked(&self.pending);
        // Checked first, so that a server that asks without end costs little.
        let number = pending.input_requests.next_number(&self.server)?;
        let request = InputRequest::of_legacy(number, method, params)?;
        let owner = pending
            .owner_of_input(related_number, has_several_clients)
            .map_err(|error| error(self.server.to_string(), method.to_owned()))?;
        let (owner, phase) = match owner {
            Some((number, phase)) => (Some(number), phase),
            None => (None, InputPhase::Parked),
        };
        pending.input_requests.add(id, request, owner);
        if phase != InputPhase::Idle {
            return Ok(None);
        }
        if let Some(number) = owner {
            pending.set_input_phase(number, InputPhase::Collecting);
        }
        Ok(owner)
    }

    /// Returns the client's line of the call `number`, if its time for further requests of the server has begun.
    pub(crate) fn line_of_collecting(&self, number: u64) -> Option<Box<str>> {
        let pending = locked(&self.pending);
        let input = pending.call(number)?.input.as_ref()?;
        (input.phase == InputPhase::Collecting).then(|| input.line.clone())
    }

    /// Parks the call `number`, during which the server has requested input: its response goes to `sink` from now on.
    /// Refuses the requests that the client cannot answer; returns None if none is left or the call has ended.
    pub(crate) fn park(&self, number: u64, sink: Arc<dyn ResponseSink>) -> Option<ParkedRound> {
        let mut pending = locked(&self.pending);
        let pending = &mut *pending;
        let Some(PendingRequest::Client(call)) = pending.requests.get_mut(&number) else {
            return None;
        };
        let input = call.input.as_mut()?;
        // A call that was continued has been parked since, or waits for another time for requests.
        if input.phase != InputPhase::Collecting {
            return None;
        }
        let capabilities = input.capabilities();
        let check = |request: &InputRequest| request.check(&self.server, capabilities);
        let (requests, refused) = pending.input_requests.checked(number, check);
        for (id, error) in refused {
            self.refuse(id.as_raw(), &error.object());
        }
        if requests.is_empty() {
            input.phase = InputPhase::Idle;
            return None;
        }
        let parked = Call {
            id: call.id.clone(),
            era: call.era,
            method: call.method,
            // There is no open request that could get messages.
            min_severity: None,
            no_cache: call.no_cache,
            rename: call.rename.take(),
            fetched_task: None,
            tag_tasks: call.tag_tasks,
            progress: None,
            line: call.line.take(),
            // The next generation would ask the client the same again.
            may_retry: false,
            resends: u8::MAX,
            input_rounds: call.input_rounds,
            result_check: call.result_check.take(),
            input: Some(Box::new(InputGrant {
                line: Box::default(),
                client: input.client,
                phase: InputPhase::Parked,
            })),
            input_source: InputSource::Client,
            sink,
        };
        Some(ParkedRound {
            call: std::mem::replace(call, parked),
            requests,
            server_info: self.server_info(),
        })
    }

    /// Returns the URLs that the user of a modern client must open before `call`, if the response in `envelope` is such an
    /// error and the client can show them.
    pub(super) fn required_urls(
        &self,
        call: &Call,
        envelope: &Envelope<'_>,
    ) -> Option<RequiredUrls> {
        let (error, input) = (envelope.error?, call.input.as_ref()?);
        let urls = RequiredUrls::of(error)?;
        let capabilities = input.capabilities();
        let is_shown = |it: &InputRequest| it.check(&self.server, capabilities).is_ok();
        urls.requests.iter().all(is_shown).then_some(urls)
    }

    /// Lets the user of a modern client open the URLs that `call` requires; `envelope` is the response that says so.
    pub(super) fn ask_for_urls(&self, call: Call, urls: RequiredUrls, envelope: &Envelope<'_>) {
        let error = &self.error_for(&call, envelope);
        let round = ParkedRound {
            call,
            requests: urls.requests.clone(),
            server_info: self.server_info(),
        };
        self.client.request_urls(self, round, urls, error);
    }

    /// Continues the parked call `number` as `call`, the client's repetition of it, and answers the server's requests
    /// from `responses`. Returns `call` if the parked one has ended.
    pub(crate) fn adopt(
        &self,
        number: u64,
        mut call: Call,
        responses: &Members<'_>,
    ) -> Result<AdoptedCall, Call> {
        let answered = {
            let mut pending = locked(&self.pending);
            let pending = &mut *pending;
            let Some(PendingRequest::Client(parked)) = pending.requests.get_mut(&number) else {
                return Err(call);
            };
            let answered = pending.input_requests.take_answered(number, responses);
            if let Some(input) = &mut call.input {
                input.phase = if answered.has_more {
                    InputPhase::Collecting
                } else {
                    InputPhase::Idle
                };
            }
            (call.rename, call.line) = (parked.rename.take(), parked.line.take());
            call.result_check = parked.result_check.take();
            *parked = call;
            answered
        };
        for (id, result) in answered.results {
            self.write(&result_response(id.as_raw(), &result));
        }
        Ok(AdoptedCall {
            has_more: answered.has_more,
            roots: answered.roots,
        })
    }

    /// Refuses all requests of the server for input during the call `number`.
    pub(crate) fn refuse_input_requests(&self, number: u64, error: &InputError) {
        let mut pending = locked(&self.pending);
        pending.set_input_phase(number, InputPhase::Idle);
        let (_, refused) = pending
            .input_requests
            .checked(number, |_| Err(error.clone()));
        drop(pending);
        for (id, error) in refused {
            self.refuse(id.as_raw(), &error.object());
        }
    }

    /// Removes the request `id` for input, which the server has withdrawn.
    pub(crate) fn withdraw_input_request(&self, id: RawId<'_>) {
        let mut pending = locked(&self.pending);
        pending.input_requests.withdraw(id.as_str());
        pending.withdraw_question(id);
    }

    /// Returns the digests of the clients that have calls in flight here that are not parked, each once.
    pub(crate) fn clients_not_asked(&self) -> Vec<u64> {
        let pending = locked(&self.pending);
        let calls = pending.calls_with_input().map(|(_, input)| input);
        let not_asked = calls.filter(|input| input.phase != InputPhase::Parked);
        let mut clients: Vec<_> = not_asked.map(|input| input.client).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// Returns the number of parked calls.
    pub(crate) fn parked_calls(&self) -> usize {
        let pending = locked(&self.pending);
        let calls = pending.calls_with_input();
        calls
            .filter(|(_, input)| input.phase == InputPhase::Parked)
            .count()
    }
}

/// Creates the error for the server with that name, whose request has that method.
type OwnerError = fn(String, String) -> InputError;

impl PendingRequests {
    /// Returns the client's call that a request of the server for input belongs to: the call `related`, or of those that
    /// are not parked, the one that has been open longest. If all are parked, returns None for the next one that is
    /// repeated; if there are several clients, returns the newest, since an older one may have been abandoned.
    fn owner_of_input(
        &self,
        related: Option<u64>,
        has_several_clients: bool,
    ) -> Result<Option<(u64, InputPhase)>, OwnerError> {
        if let Some(number) = related {
            let input = self.call(number).and_then(|call| call.input.as_ref());
            return match input {
                Some(input) => Ok(Some((number, input.phase))),
                None => Err(InputError::NoRequest),
            };
        }
        let calls: Vec<_> = self.calls_with_input().collect();
        match calls.as_slice() {
            [] => Err(InputError::NoRequest),
            [(_, one), others @ ..]
                if has_several_clients && others.iter().any(|(_, it)| it.client != one.client) =>
            {
                Err(InputError::Ambiguous)
            }
            all => {
                let all = || all.iter().map(|(number, input)| (*number, input.phase));
                let asking = all().filter(|(_, phase)| *phase != InputPhase::Parked);
                let newest = || all().filter(|_| has_several_clients).max_by_key(|it| it.0);
                Ok(asking.min_by_key(|it| it.0).or_else(newest))
            }
        }
    }

    /// Sets the state of the requests for input during the client's call `number`.
    fn set_input_phase(&mut self, number: u64, phase: InputPhase) {
        if let Some(PendingRequest::Client(call)) = self.requests.get_mut(&number)
            && let Some(input) = &mut call.input
        {
            input.phase = phase;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::super::test_client::{call, client};
    use super::*;
    use crate::jsonrpc::{OwnedJson, RequestId};
    use crate::mcp::Method;

    /// The definition of the tool may have changed, which explains a failure.
    #[tokio::test]
    async fn a_call_that_goes_on_keeps_the_line_that_explains_its_failure() {
        let (client, _reader) = client();
        let connection = Connection::to(client.outbox.clone(), "a", client.clone());
        let line = r#"{"id":1,"method":"tools/call","params":{"name":"b","arguments":{}}}"#;
        let client_line = r#"{"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"roots":{}}}}}"#;
        let create = |id: &str| Call {
            era: Era::Modern,
            method: Method::CallTool,
            input: Some(Box::new(InputGrant::of(client_line, 0))),
            ..call(client.clone(), id)
        };
        let begun = Call {
            rename: Some(OwnedJson::from("\"t\"")),
            line: Some(line.into()),
            ..create("1")
        };
        let envelope = Envelope::parse(line).unwrap();
        assert!(connection.call(begun, line, &envelope).is_ok());
        let ask = r#"{"id":7,"method":"roots/list"}"#;
        let envelope = Envelope::parse(ask).unwrap();
        let added = connection.add_input_request(ask, &envelope, None, false);
        let number = added.unwrap().unwrap();
        assert!(connection.park(number, client.clone()).is_some());
        let responses = Members::of(r#"{"1":{"roots":[]}}"#);
        let adopted = connection.adopt(number, create("2"), &responses);
        assert!(adopted.is_ok_and(|it| !it.has_more && it.roots.is_some()));
        let [goes_on]: [Call; 1] = connection.close().try_into().unwrap();
        assert_eq!(goes_on.id, RequestId::from("2"));
        assert_eq!(goes_on.line.as_deref(), Some(line));
        assert!(goes_on.rename.is_some() && !goes_on.may_retry);
    }

    /// Nobody would repeat the call after that.
    #[tokio::test]
    async fn the_client_of_a_cancelled_call_is_not_asked_for_urls() {
        let (client, _reader) = client();
        let connection = Connection::to(client.outbox.clone(), "a", client.clone());
        let line = r#"{"id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}}}}"#;
        let error = r#"{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","message":"m","url":"u","elicitationId":"e"}]}}"#;
        for (number, answers) in [(1, 0), (2, 1)] {
            let call = Call {
                era: Era::Modern,
                method: Method::CallTool,
                input: Some(Box::new(InputGrant::of(line, 0))),
                ..call(client.clone(), "1")
            };
            let envelope = Envelope::parse(line).unwrap();
            assert!(connection.call(call, line, &envelope).is_ok());
            if answers == 1 {
                let sink: Arc<dyn ResponseSink> = client.clone();
                assert!(connection.cancel(&sink, RawId::from("1"), "{}"));
            }
            let response = format!(r#"{{"id":{number},"error":{error}}}"#);
            connection.receive(&response, None).unwrap();
            assert_eq!(client.answers.load(Ordering::Relaxed), answers);
        }
    }

    /// The next generation gets requests of methods that have no effects again.
    #[tokio::test]
    async fn a_call_that_is_sent_again_is_parked_by_the_next_generation() {
        let (client, _reader) = client();
        let line = r#"{"id":1,"method":"prompts/get","params":{"name":"b"}}"#;
        let mut next = Call {
            era: Era::Modern,
            method: Method::GetPrompt,
            input: Some(Box::new(InputGrant::of(line, 0))),
            ..call(client.clone(), "1")
        };
        for _ in 0..2 {
            let connection = Connection::to(client.outbox.clone(), "a", client.clone());
            let envelope = Envelope::parse(line).unwrap();
            assert!(connection.call(next, line, &envelope).is_ok());
            let ask = r#"{"id":7,"method":"roots/list"}"#;
            let envelope = Envelope::parse(ask).unwrap();
            let number = connection.add_input_request(ask, &envelope, None, false);
            assert_eq!(number.unwrap(), Some(1));
            let [returned]: [Call; 1] = connection.close().try_into().unwrap();
            next = returned;
        }
    }
}
