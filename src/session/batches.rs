//! Batches of a client of revision 2025-03-26: the responses to all requests of a batch are sent together, as one array.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::jsonrpc::{RawId, Reply, RequestId};
use crate::lock::locked;

/// Batches that are not completely answered.
#[derive(Debug, Default)]
pub(super) struct OpenBatches {
    /// Number of open batches; without any, a response needs no lock.
    count: AtomicUsize,
    batches: Mutex<Vec<Batch>>,
}

#[derive(Debug)]
struct Batch {
    /// Ids of the requests without a response.
    unanswered: Vec<RequestId>,
    /// Complete messages.
    responses: Vec<String>,
}

/// Result of adding a response to its batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AddedResponse {
    /// The response belongs to no batch.
    Single,
    /// Other responses of the batch are missing.
    Kept,
    /// This is the array of all responses, to be sent now.
    Complete(String),
}

impl Batch {
    fn into_array(self) -> String {
        format!("[{}]", self.responses.join(","))
    }
}

impl OpenBatches {
    /// Opens a batch of these requests; `responses` are those to messages of the batch that are not valid requests.
    /// Returns the array to send now if the batch has no requests but responses.
    pub(super) fn open(&self, requests: Vec<RequestId>, responses: Vec<String>) -> Option<String> {
        let batch = Batch {
            unanswered: requests,
            responses,
        };
        if batch.unanswered.is_empty() {
            return (!batch.responses.is_empty()).then(|| batch.into_array());
        }
        let mut batches = locked(&self.batches);
        batches.push(batch);
        self.count.store(batches.len(), Ordering::Release);
        None
    }

    /// Adds the response to the request `id` to its batch.
    pub(super) fn add(&self, id: RawId<'_>, reply: &Reply<'_>) -> AddedResponse {
        let message = || {
            reply.with_id(id, |parts| {
                String::from_utf8_lossy(&parts.concat()).into_owned()
            })
        };
        self.settle(id, || Some(message()))
    }

    /// Removes the request `id`, which gets no response, from its batch. Returns the array to send now, if the batch is
    /// complete without that response.
    pub(super) fn forget(&self, id: RawId<'_>) -> Option<String> {
        match self.settle(id, || None) {
            AddedResponse::Complete(array) => Some(array).filter(|array| array != "[]"),
            AddedResponse::Single | AddedResponse::Kept => None,
        }
    }

    /// Settles the request `id` with its `response`, if it gets one.
    fn settle(&self, id: RawId<'_>, response: impl FnOnce() -> Option<String>) -> AddedResponse {
        if self.count.load(Ordering::Acquire) == 0 {
            return AddedResponse::Single;
        }
        let mut batches = locked(&self.batches);
        let place = |batch: &Batch| batch.unanswered.iter().position(|it| *it == id);
        let mut places = batches.iter().enumerate();
        let Some((at, place)) = places.find_map(|(at, batch)| Some((at, place(batch)?))) else {
            return AddedResponse::Single;
        };
        let batch = &mut batches[at];
        batch.unanswered.swap_remove(place);
        batch.responses.extend(response());
        if !batch.unanswered.is_empty() {
            return AddedResponse::Kept;
        }
        let batch = batches.swap_remove(at);
        self.count.store(batches.len(), Ordering::Release);
        AddedResponse::Complete(batch.into_array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(requests: &[&str], responses: &[&str]) -> (OpenBatches, Option<String>) {
        let batches = OpenBatches::default();
        let ids = requests.iter().map(|id| RawId::from(*id).into()).collect();
        let responses = responses.iter().map(ToString::to_string).collect();
        let array = batches.open(ids, responses);
        (batches, array)
    }

    fn add(batches: &OpenBatches, id: &str) -> AddedResponse {
        batches.add(id.into(), &Reply::Result("{}"))
    }

    fn response(id: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
    }

    #[test]
    fn the_last_response_completes_the_array() {
        let (batches, array) = open(&["1", "\"b\"", "1"], &["{\"error\":1E5}"]);
        assert_eq!(array, None);
        assert_eq!(add(&batches, "2"), AddedResponse::Single);
        assert_eq!(add(&batches, "1"), AddedResponse::Kept);
        assert_eq!(add(&batches, "\"b\""), AddedResponse::Kept);
        let [one, b] = [response("1"), response("\"b\"")];
        let expected = format!("[{{\"error\":1E5}},{one},{b},{one}]");
        assert_eq!(add(&batches, "1"), AddedResponse::Complete(expected));
        // An id may be used again.
        assert_eq!(add(&batches, "1"), AddedResponse::Single);
    }

    #[test]
    fn a_request_without_a_response_does_not_keep_the_others_waiting() {
        let (batches, _) = open(&["1", "2"], &[]);
        assert_eq!(batches.forget("3".into()), None);
        assert_eq!(add(&batches, "1"), AddedResponse::Kept);
        let expected = format!("[{}]", response("1"));
        assert_eq!(batches.forget("2".into()), Some(expected));
        let (batches, _) = open(&["1"], &[]);
        assert_eq!(batches.forget("1".into()), None);
        assert_eq!(add(&batches, "1"), AddedResponse::Single);
    }

    #[test]
    fn a_batch_without_requests_is_answered_only_if_it_is_invalid() {
        assert_eq!(open(&[], &[]).1, None);
        assert_eq!(open(&[], &["{}", "1"]).1.as_deref(), Some("[{},1]"));
    }

    #[test]
    fn batches_do_not_mix() {
        let (batches, _) = open(&["1", "2"], &[]);
        assert_eq!(
            batches.open(vec![RawId::from("3").into()], Vec::new()),
            None
        );
        let expected = format!("[{}]", response("3"));
        assert_eq!(add(&batches, "3"), AddedResponse::Complete(expected));
        assert_eq!(add(&batches, "2"), AddedResponse::Kept);
    }
}
