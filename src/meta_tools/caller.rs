//! Who calls a meta-tool, as far as the tool may turn to it while it works.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::mcp::Era;

/// Shows what is being done, one sentence at a time.
pub(crate) type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The raw line of the client's answer, if one comes. Dropping it withdraws the question.
type Answer = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// Sends the raw params of a question to the client.
pub(crate) type Ask = Box<dyn Fn(String) -> Answer + Send + Sync>;

/// The client behind one call.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) era: Era,
    pub(crate) question: Question,
    /// Nothing if the client does not want to see it.
    progress: Option<Show>,
}

struct Show(Progress);

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show")
    }
}

/// How the person in front of the client is asked.
pub(crate) enum Question {
    /// Not at all.
    Impossible,
    /// By a request.
    Request(Ask),
    /// By the result of the call: the client calls once more and brings the answer.
    Result(Option<Brought>),
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Impossible => f.write_str("Impossible"),
            Self::Request(_) => f.write_str("Request"),
            Self::Result(brought) => f.debug_tuple("Result").field(brought).finish(),
        }
    }
}

/// An answer that came with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brought {
    /// What the question was about, as the proxy wrote it.
    pub(crate) state: String,
    /// The person agreed.
    pub(crate) accepted: bool,
}

impl Caller {
    pub(crate) fn new(era: Era, question: Question, progress: Option<Progress>) -> Self {
        Self {
            era,
            question,
            progress: progress.map(Show),
        }
    }

    /// Where progress is shown, if it is wanted.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.progress.as_ref().map(|show| show.0.clone())
    }
}
