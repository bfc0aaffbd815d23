//! A client's request on its way to a server, and the receiver of its response.

use std::fmt::Debug;
use std::sync::Arc;

use crate::jsonrpc::{Envelope, OwnedJson, RawId, RawJson, Reply, RequestId};
use crate::mcp::{Era, Method};
use crate::transport::stream::Outbox;

/// Client's request that has no response yet.
#[derive(Debug)]
pub(crate) struct Call {
    /// Id that the client gave it.
    pub(crate) id: RequestId,
    /// Era of the request.
    pub(crate) era: Era,
    /// Method of the request.
    pub(crate) method: Method,
    /// Minimum severity of the log messages that the client wants for this request (modern era).
    pub(crate) min_severity: Option<u8>,
    /// True if the result must not be cached (`ttlMs` is set to 0), because the client's cache would outlive a reload.
    pub(crate) no_cache: bool,
    /// Name that the server gave the tool or prompt, if the client knows another.
    pub(crate) rename: Option<OwnedJson>,
    /// Id of the task that the request fetches the result of.
    pub(crate) fetched_task: Option<Box<str>>,
    /// True if task ids in the response must be tagged, to distinguish them from the ids of other servers.
    pub(crate) tag_tasks: bool,
    /// Progress of the call, if the proxy changes its notifications and the client wants to know it.
    pub(crate) progress: Option<Box<CallProgress>>,
    /// Request line, as long as a retry after a crash is allowed.
    pub(crate) retry_line: Option<Box<str>>,
    /// Request line, kept where it may be sent again, since the server may turn out not to have processed it or may
    /// request input, and where its failure may have to be explained.
    pub(crate) line: Option<Box<str>>,
    /// Number of retries because the server did not process it.
    pub(crate) resends: u8,
    /// Number of times that the server has requested input for it.
    pub(crate) input_rounds: u8,
    /// Sender of the request.
    pub(crate) sink: Arc<dyn ResponseSink>,
}

impl Call {
    /// Answers the request.
    pub(crate) fn reply(&self, reply: Reply<'_>) {
        if self.method == Method::Subscribe && reply.error().is_some() {
            self.refuse_subscription();
        }
        self.sink.answer(self.id.as_raw(), reply);
    }

    /// Reports that the request, a subscription to a resource, failed.
    fn refuse_subscription(&self) {
        // Without the line, the client has cancelled the request.
        let envelope = self.retry_line.as_deref().map(Envelope::parse);
        if let Some(Ok(envelope)) = envelope
            && let Some(uri) = envelope.params.uri.and_then(RawJson::text)
        {
            self.sink.subscription_refused(&uri);
        }
    }
}

/// Progress of a call. The server reports it anew whenever it gets the call again with the client's input.
#[derive(Debug)]
pub(crate) struct CallProgress {
    /// Progress token of the client.
    pub(crate) token: OwnedJson,
    /// True if the server gets another token: several clients may use the same.
    pub(crate) is_replaced: bool,
    /// Highest value that the client was sent.
    highest: f64,
}

impl CallProgress {
    /// Creates the progress of a call of which nothing was reported yet; `is_replaced` is true if the server gets
    /// another token.
    pub(crate) fn new(token: RawJson<'_>, is_replaced: bool) -> Self {
        Self {
            token: token.into(),
            is_replaced,
            highest: f64::NEG_INFINITY,
        }
    }

    /// Returns true if the client knows the progress under the raw `token`.
    pub(crate) fn is_of(&self, token: &str) -> bool {
        self.token.as_raw().as_str() == token
    }

    /// Records the raw `value` of a notification. Returns false if the client must not get it: its server began anew,
    /// and the progress of a call must increase.
    pub(crate) fn advance(&mut self, value: &str, began_anew: bool) -> bool {
        let Ok(value) = value.parse::<f64>() else {
            return true;
        };
        if began_anew && value <= self.highest {
            return false;
        }
        self.highest = self.highest.max(value);
        true
    }
}

/// Receiver of responses.
pub(crate) trait ResponseSink: Debug + Send + Sync {
    /// Returns the pipe that all responses go to, if there is only one: used for backpressure and for combined writes.
    fn pipe(&self) -> Option<&Outbox>;

    /// Takes the response to its request `id`.
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>);

    /// Reports that its subscription to the resource `uri` failed. Must not be called with a lock held.
    fn subscription_refused(&self, _uri: &str) {}

    /// Reports that the response to its request `id` is delayed, so that its stream may be closed meanwhile.
    fn pause(&self, _id: RawId<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_goes_back_only_in_the_first_round() {
        let mut progress = CallProgress::new("\"t\"".into(), false);
        for (value, began_anew, expected) in [
            ("2", false, true),
            // The server's own fault.
            ("1", false, true),
            ("1.5", true, false),
            ("2.0", true, false),
            ("\"x\"", true, true),
            ("2e1", true, true),
            ("3", true, false),
        ] {
            assert_eq!(progress.advance(value, began_anew), expected, "{value}");
        }
        assert!(progress.is_of("\"t\"") && !progress.is_of("t"));
    }
}
