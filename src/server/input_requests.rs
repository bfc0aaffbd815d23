//! Requests of a legacy server for input from modern clients, until they are answered.

use crate::bridge::{InputError, InputRequest};
use crate::jsonrpc::{Members, RequestId};

/// Maximum number of unanswered requests of one generation.
const MAX_OPEN: usize = 256;

/// Unanswered requests for input, the oldest first.
#[derive(Debug, Default)]
pub(super) struct InputRequests {
    /// Number of the newest request.
    newest: u64,
    open: Vec<OpenInputRequest>,
}

/// Requests that a client has answered.
#[derive(Debug, Default)]
pub(super) struct AnsweredInputs {
    /// Ids of the requests, and the raw results.
    pub(super) results: Vec<(RequestId, String)>,
    /// The client's roots, if they are among the results.
    pub(super) roots: Option<String>,
    /// True if requests are left for the same call.
    pub(super) has_more: bool,
}

#[derive(Debug)]
struct OpenInputRequest {
    /// Server's own id.
    id: RequestId,
    request: InputRequest,
    /// Number of the client's request that it belongs to; None if it belongs to the one that is repeated next.
    call: Option<u64>,
}

impl InputRequests {
    /// Returns true if no request is unanswered.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the number of the next request, which must be added next; an error if `server` has too many open.
    pub(super) fn next_number(&self, server: &str) -> Result<u64, InputError> {
        if self.open.len() < MAX_OPEN {
            Ok(self.newest + 1)
        } else {
            Err(InputError::TooManyWaiting(server.to_owned()))
        }
    }

    /// Adds the request `id`, which has the next number and belongs to the client's request `call`.
    pub(super) fn add(&mut self, id: RequestId, request: InputRequest, call: Option<u64>) {
        self.newest += 1;
        self.open.push(OpenInputRequest { id, request, call });
    }

    /// Removes the request `id`, which the server has withdrawn.
    pub(super) fn withdraw(&mut self, id: &str) {
        self.open.retain(|open| open.id.as_raw().as_str() != id);
    }

    /// Removes the requests during the client's request `call` that fail `check`, with the reasons; returns the others,
    /// which stay open, and the removed ones.
    pub(super) fn checked(
        &mut self,
        call: u64,
        check: impl Fn(&InputRequest) -> Result<(), InputError>,
    ) -> (Vec<InputRequest>, Vec<(RequestId, InputError)>) {
        let (mut passed, mut failed) = (Vec::new(), Vec::new());
        self.open.retain(|open| {
            if open.call != Some(call) {
                return true;
            }
            match check(&open.request) {
                Ok(()) => passed.push(open.request.clone()),
                Err(error) => {
                    failed.push((open.id.clone(), error));
                    return false;
                }
            }
            true
        });
        (passed, failed)
    }

    /// Removes the requests that have a response in `responses`, which the client sent with the repetition of its
    /// request `call`.
    pub(super) fn take_answered(&mut self, call: u64, responses: &Members<'_>) -> AnsweredInputs {
        let mut answered = AnsweredInputs::default();
        self.open.retain_mut(|open| {
            if *open.call.get_or_insert(call) != call {
                return true;
            }
            let Some(response) = open.request.response(responses) else {
                answered.has_more = true;
                return true;
            };
            if open.request.is_for_roots() {
                answered.roots = Some(response.to_owned());
            }
            answered
                .results
                .push((open.id.clone(), response.to_owned()));
            false
        });
        answered
    }

    /// Removes the requests that get no input because the client's request `call` has ended, among them those of no
    /// certain call unless there is another one (`has_other`); returns their ids.
    pub(super) fn end_call(&mut self, call: u64, has_other: bool) -> Vec<RequestId> {
        let is_over = |open: &mut OpenInputRequest| match open.call {
            Some(number) => number == call,
            None => !has_other,
        };
        self.open
            .extract_if(.., is_over)
            .map(|open| open.id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds a request for the roots.
    fn add(requests: &mut InputRequests, id: &str, call: Option<u64>) -> Result<(), InputError> {
        let number = requests.next_number("a")?;
        let request = InputRequest::of_legacy(number, "roots/list", None)?;
        requests.add(id.into(), request, call);
        Ok(())
    }

    fn ids(ids: &[RequestId]) -> Vec<String> {
        ids.iter().map(|id| id.as_raw().to_string()).collect()
    }

    #[test]
    fn each_response_goes_to_the_request_of_its_key() {
        let mut requests = InputRequests::default();
        for (id, call) in [
            ("7", Some(1)),
            ("\"q\"", Some(2)),
            ("8", Some(1)),
            ("9", None),
        ] {
            add(&mut requests, id, call).unwrap();
        }
        let responses = Members::of(r#"{"3":{"a":1E5},"2":{},"1":null,"x":{}}"#);
        let answered = requests.take_answered(1, &responses);
        let roots = r#"{"a":1E5}"#;
        assert_eq!(answered.results, [("8".into(), roots.to_owned())]);
        assert_eq!(answered.roots.as_deref(), Some(roots));
        // One without a response, and one that belongs to the call that is repeated next.
        assert!(answered.has_more);
        assert_eq!(ids(&requests.end_call(1, true)), ["7", "9"]);
        let answered = requests.take_answered(2, &Members::of(r#"{"2":{}}"#));
        assert_eq!((answered.results.len(), answered.has_more), (1, false));
        assert!(requests.is_empty());
    }

    #[test]
    fn a_request_ends_with_its_call_and_one_of_no_certain_call_with_the_last() {
        let mut requests = InputRequests::default();
        for (id, call) in [("1", Some(1)), ("2", None), ("3", Some(2)), ("4", Some(2))] {
            add(&mut requests, id, call).unwrap();
        }
        requests.withdraw("3");
        requests.withdraw("\"4\"");
        assert_eq!(ids(&requests.end_call(1, true)), ["1"]);
        assert_eq!(ids(&requests.end_call(2, false)), ["2", "4"]);
        assert!(requests.is_empty());
    }

    #[test]
    fn a_request_that_the_client_cannot_answer_is_removed() {
        let mut requests = InputRequests::default();
        add(&mut requests, "1", Some(1)).unwrap();
        let url = Some(r#"{"mode":"url","url":"u"}"#);
        let request = InputRequest::of_legacy(2, "elicitation/create", url);
        requests.add("2".into(), request.unwrap(), Some(1));
        let check = |request: &InputRequest| request.check("a", r#"{"roots":{}}"#);
        let (passed, failed) = requests.checked(1, check);
        assert_eq!((passed.len(), failed.len()), (1, 1));
        assert_eq!(failed[0].0.as_raw().as_str(), "2");
        assert_eq!(ids(&requests.end_call(1, false)), ["1"]);
    }

    #[test]
    fn open_requests_are_limited() {
        let mut requests = InputRequests::default();
        for _ in 0..MAX_OPEN {
            add(&mut requests, "1", Some(1)).unwrap();
        }
        let error = add(&mut requests, "1", Some(1)).unwrap_err();
        assert_eq!(error, InputError::TooManyWaiting("a".to_owned()));
    }
}
