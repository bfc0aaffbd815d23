//! A client's request on its way to a server, and the receiver of its response.

use std::fmt::Debug;
use std::sync::Arc;

use super::result_checks::ResultCheck;
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
    /// Progress of the call, if the client wants to know it and the server gets another token.
    pub(crate) progress: Option<Box<CallProgress>>,
    /// Request line, kept where it may be sent again, since a retry is allowed, the server may turn out not to have
    /// processed it, or it may request input, and where its failure may have to be explained.
    pub(crate) line: Option<Box<str>>,
    /// True if a retry is allowed although the server may have processed it, such as after a crash.
    pub(crate) may_retry: bool,
    /// Number of retries because the server did not process it.
    pub(crate) resends: u8,
    /// Number of times that the server has requested input for it.
    pub(crate) input_rounds: u8,
    /// Input that the server may request from the modern client of this request; None if the server may not.
    pub(crate) input: Option<Box<InputGrant>>,
    /// Source of the input that the server may request.
    pub(crate) input_source: InputSource,
    /// Check of the result, if there is one.
    pub(crate) result_check: Option<Arc<ResultCheck>>,
    /// Sender of the request.
    pub(crate) sink: Arc<dyn ResponseSink>,
}

impl Call {
    /// Creates a request that is sent once and whose response goes to `sink`.
    pub(crate) fn new(
        sink: Arc<dyn ResponseSink>,
        id: RequestId,
        era: Era,
        method: Method,
    ) -> Self {
        Self {
            id,
            era,
            method,
            min_severity: None,
            no_cache: false,
            rename: None,
            fetched_task: None,
            tag_tasks: false,
            progress: None,
            line: None,
            may_retry: false,
            resends: 0,
            input_rounds: 0,
            input: None,
            input_source: InputSource::Client,
            result_check: None,
            sink,
        }
    }

    /// Returns true if a person gives the input that the client lacks.
    pub(crate) fn has_stand_in(&self) -> bool {
        self.input_source == InputSource::ClientAndPerson
    }

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
        let envelope = self.line.as_deref().map(Envelope::parse);
        if let Some(Ok(envelope)) = envelope
            && let Some(uri) = envelope.params.uri.and_then(RawJson::text)
        {
            self.sink.subscription_refused(&uri);
        }
    }
}

/// Source of the input that a server may request during a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputSource {
    /// The client.
    Client,
    /// The client, and a person for the input that it lacks.
    ClientAndPerson,
}

impl InputSource {
    /// Returns the source for a call; `has_stand_in` if a person gives the input that the client lacks.
    pub(crate) fn of(has_stand_in: bool) -> Self {
        if has_stand_in {
            Self::ClientAndPerson
        } else {
            Self::Client
        }
    }
}

/// Progress of a call, under another token at the server: several clients may use the same, and a call may go on under
/// another token of its client. A server reports it anew whenever it gets the call again with the client's input.
#[derive(Debug)]
pub(crate) struct CallProgress {
    /// Progress token of the client.
    pub(crate) token: OwnedJson,
    /// Highest value that the client was sent.
    highest: f64,
}

impl CallProgress {
    /// Creates the progress of the call in `envelope`, of which nothing was reported yet; None if its client does not
    /// want to know it.
    pub(crate) fn of(envelope: &Envelope<'_>) -> Option<Box<Self>> {
        let token = envelope.params.meta.progress_token?;
        Some(Box::new(Self {
            token: token.into(),
            highest: f64::NEG_INFINITY,
        }))
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

/// Permission to request input from a modern client, whose request ends with that and is repeated with the input.
#[derive(Debug)]
pub(crate) struct InputGrant {
    /// The client's line of the request, by which its repetition is recognized. Parsed only if the server requests input;
    /// empty while the call is parked.
    pub(crate) line: Box<str>,
    /// Digest of the client's description.
    pub(crate) client: u64,
    pub(crate) phase: InputPhase,
}

impl InputGrant {
    /// Creates the permission for the request in the client's `line`; `client` is the digest of the client's description.
    pub(crate) fn of(line: &str, client: u64) -> Self {
        Self {
            line: line.into(),
            client,
            phase: InputPhase::Idle,
        }
    }

    /// Returns the capabilities that the client declares with its request.
    pub(crate) fn capabilities(&self) -> &str {
        let envelope = Envelope::parse(&self.line).ok();
        let declared = envelope.and_then(|it| it.params.meta.client_capabilities);
        declared.unwrap_or("{}")
    }
}

/// State of a legacy server's requests for input during one request of a modern client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputPhase {
    /// The server has requested nothing.
    Idle,
    /// The server has requested input, and may be about to request more.
    Collecting,
    /// The client has been told what the server requests, and has not repeated its request.
    Parked,
}

/// Receiver of responses.
pub(crate) trait ResponseSink: Debug + Send + Sync {
    /// Returns the pipe that all responses go to, if there is only one: used for backpressure and for combined writes.
    fn pipe(&self) -> Option<&Outbox>;

    /// Takes the response to its request `id`.
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>);

    /// Reports that a request of it is about to be sent to this generation. Must neither block nor lock.
    fn sent_to(&self, _generation: u64) {}

    /// Reports that its subscription to the resource `uri` failed. Must not be called with a lock held.
    fn subscription_refused(&self, _uri: &str) {}

    /// Returns true if the user makes its requests on the page.
    fn is_page(&self) -> bool {
        false
    }

    /// Reports that the response to its request `id` is delayed, so that its stream may be closed meanwhile.
    fn pause(&self, _id: RawId<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_goes_back_only_in_the_first_round() {
        let line = r#"{"method":"x","params":{"_meta":{"progressToken":"t"}}}"#;
        let mut progress = CallProgress::of(&Envelope::parse(line).unwrap()).unwrap();
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
        assert_eq!(progress.token.as_raw().as_str(), "\"t\"");
    }
}
