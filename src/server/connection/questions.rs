//! Requests of the server that a person answers on the page, in the place of the client.

use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::call::{Call, InputPhase};
use super::super::pending_requests::{PendingRequest, PendingRequests};
use super::Connection;
use crate::bridge::InputError;
use crate::jsonrpc::{RawId, Reply, RequestId};
use crate::lock::locked;
use crate::mcp::{Era, union};

/// Calls in flight to which a request of the server may belong.
#[derive(Debug)]
pub(crate) struct Callers {
    numbers: Vec<u64>,
    /// Capabilities that clients declare with these calls, together; `None` if a call has no such declaration.
    pub(crate) capabilities: Option<String>,
}

impl Callers {
    /// Returns true if there is no call.
    pub(crate) fn are_none(&self) -> bool {
        self.numbers.is_empty()
    }
}

/// Request that the person has not answered.
#[derive(Debug)]
pub(in crate::server) struct OpenQuestion {
    /// Server's own id.
    id: RequestId,
    /// Numbers of the calls in flight to which it may belong; empty if the server has asked outside of a call.
    callers: Vec<u64>,
    /// Withdraws the question when dropped.
    _ended: DropGuard,
}

impl Connection {
    /// Returns the calls to which a request of the server may belong: `related_number`, or all in flight.
    pub(crate) fn callers(&self, related_number: Option<u64>) -> Callers {
        let pending = locked(&self.pending);
        let calls = pending.requests.iter();
        let calls = calls.filter_map(|(number, request)| match request {
            PendingRequest::Client(call) if related_number.is_none_or(|it| it == *number) => {
                Some((*number, self.declared_with(call)))
            }
            _ => None,
        });
        let (numbers, declared): (Vec<_>, Vec<_>) = calls.unzip();
        let declared: Option<Vec<_>> = declared.into_iter().collect();
        Callers {
            capabilities: declared.filter(|it| !it.is_empty()).map(|it| union(&it)),
            numbers,
        }
    }

    /// Returns the capabilities that the client declares with `call`; `None` for a legacy client, and for one that was
    /// asked for input already.
    fn declared_with<'a>(&self, call: &'a Call) -> Option<&'a str> {
        if call.sink.is_page() && self.client.has_stand_in() {
            // The client is never asked during a call of the page.
            return Some("{}");
        }
        let Some(input) = call.input.as_ref() else {
            // A modern client gives no input during such a request.
            return (call.era == Era::Modern).then_some("{}");
        };
        (input.phase != InputPhase::Parked).then(|| input.capabilities())
    }

    /// Adds the request `id`, which a person is asked. The returned token is cancelled when it needs no answer any
    /// more: the server has withdrawn it, all its callers have ended, or the connection has.
    pub(crate) fn begin_question(&self, id: RequestId, mut callers: Callers) -> CancellationToken {
        let ended = CancellationToken::new();
        let mut pending = locked(&self.pending);
        let is_outside = callers.numbers.is_empty();
        let is_there = |number: &u64| pending.requests.contains_key(number);
        callers.numbers.retain(is_there);
        if callers.numbers.is_empty() && !is_outside {
            drop(pending);
            let error = InputError::RequestEnded(self.server.to_string());
            self.refuse(id.as_raw(), &error.object());
            ended.cancel();
            return ended;
        }
        let question = OpenQuestion {
            id,
            callers: callers.numbers,
            _ended: ended.clone().drop_guard(),
        };
        if !pending.closed {
            pending.questions.push(question);
        }
        ended
    }

    /// Answers the request `id` with the person's result or an error, unless it needs no answer any more. The recorder
    /// knows the answer by `page_id`.
    pub(crate) fn answer_question(
        &self,
        id: &RequestId,
        page_id: &str,
        answer: &Result<String, InputError>,
    ) {
        if !locked(&self.pending).withdraw_question(id.as_raw()) {
            return;
        }
        let reply = match answer {
            Ok(result) => Reply::Result(result),
            Err(InputError::Refused(_, _, error)) => Reply::Error(error),
            Err(error) => Reply::Error(&error.object().to_string()),
        };
        reply.with_id(id.as_raw(), |parts| {
            if let Some(recorder) = &self.recorder {
                recorder.sent(self.known_era(), Some(RequestId::of_text(page_id)), parts);
            }
            self.link.send(parts);
        });
    }
}

impl PendingRequests {
    /// Removes the question `id`. Returns false if there is none.
    pub(super) fn withdraw_question(&mut self, id: RawId<'_>) -> bool {
        let before = self.questions.len();
        self.questions.retain(|question| question.id != id);
        self.questions.len() < before
    }

    /// Removes the questions whose last caller was the client's request `call`, which has ended; returns their ids.
    pub(in crate::server) fn end_questions(&mut self, call: u64) -> Vec<RequestId> {
        let is_over = |question: &mut OpenQuestion| {
            let callers = &mut question.callers;
            let before = callers.len();
            callers.retain(|number| *number != call);
            callers.is_empty() && before > 0
        };
        let over = self.questions.extract_if(.., is_over);
        over.map(|question| question.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::test_client::{call, client};
    use super::*;
    use crate::jsonrpc::Envelope;

    #[tokio::test]
    async fn a_question_ends_with_its_last_caller_or_its_server() {
        let (client, _reader) = client();
        let connection = Connection::to(client.outbox.clone(), "weather", client.clone());
        let ask = |id: &str, related| {
            let callers = connection.callers(related);
            connection.begin_question(id.into(), callers)
        };
        let outside = ask("1", None);
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let envelope = Envelope::parse(line).unwrap();
        for id in ["1", "2"] {
            let call = call(client.clone(), id);
            connection.call(call, line, &envelope).unwrap();
        }
        let (of_both, of_one) = (ask("2", None), ask("3", Some(1)));
        let end = |number| {
            let (_, end) = locked(&connection.pending).take(number).unwrap();
            end.input_requests
        };
        assert_eq!(end(1), [RequestId::from("3")]);
        assert!(of_one.is_cancelled() && !of_both.is_cancelled());
        assert_eq!(end(2), [RequestId::from("2")]);
        assert!(of_both.is_cancelled() && !outside.is_cancelled());
        connection.withdraw_input_request("1".into());
        assert!(outside.is_cancelled());
        let mut left = connection.callers(None);
        left.numbers.push(1);
        assert!(connection.begin_question("7".into(), left).is_cancelled());
        let (answered, open) = (ask("4", None), ask("5", None));
        connection.answer_question(&"4".into(), "page", &Ok("{}".to_owned()));
        assert!(answered.is_cancelled() && !open.is_cancelled());
        connection.close();
        assert!(open.is_cancelled() && ask("6", None).is_cancelled());
    }
}
