//! The caller of a meta-tool: receives progress, and can be asked for consent.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::mcp::Era;

/// Shows the current step, one sentence at a time.
pub(crate) type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Raw line of the client's response, if one arrives. Dropping the future cancels the request.
type ResponseFuture = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Sends the raw params of an elicitation to the client.
pub(crate) type ElicitationSender = Box<dyn Fn(String) -> ResponseFuture + Send + Sync>;

/// The client behind one call.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) era: Era,
    pub(crate) consent: ConsentChannel,
    /// None if the client does not want progress.
    progress: Option<ProgressCallback>,
}

struct ProgressCallback(Progress);

impl fmt::Debug for ProgressCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show")
    }
}

/// Way to ask the person in front of the client.
pub(crate) enum ConsentChannel {
    /// The client cannot ask.
    Impossible,
    /// By a request to the client.
    Request(ElicitationSender),
    /// By the result of the call: the client repeats the call and includes the response.
    Result(Option<ConsentResponse>),
}

impl fmt::Debug for ConsentChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible => f.write_str("Impossible"),
            Self::Request(_) => f.write_str("Request"),
            Self::Result(response) => f.debug_tuple("Result").field(response).finish(),
        }
    }
}

/// Response that came with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsentResponse {
    /// State that the proxy sent with the question.
    pub(crate) state: String,
    /// True if the person agreed.
    pub(crate) accepted: bool,
}

impl Caller {
    pub(crate) fn new(era: Era, question: ConsentChannel, progress: Option<Progress>) -> Self {
        Self {
            era,
            consent: question,
            progress: progress.map(ProgressCallback),
        }
    }

    /// Returns the function that shows progress, if the client wants it.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.as_ref().map(|show| show.0.clone())
    }
}
