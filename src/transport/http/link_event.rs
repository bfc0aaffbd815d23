//! Messages, reports and errors of a link, as its callers get them.

use reqwest::StatusCode;

/// Fate of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The server did not receive or did not process it.
    Unsent,
    /// The server did not receive it before its code was replaced.
    Superseded,
    /// The server rejected it.
    Refused,
    /// The server may have executed it.
    Unknown,
}

/// Reason why a remote server does not answer, as a sentence fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct LinkError {
    pub(crate) reason: String,
    /// Status of the HTTP response that is no answer, if there was a response.
    pub(crate) status: Option<StatusCode>,
    /// True if a legacy server has lost the session. The server runs on, and may answer other requests in flight.
    pub(crate) is_session_lost: bool,
}

impl LinkError {
    /// Returns the error of a legacy server that has lost the session.
    pub(super) fn session_lost() -> Self {
        Self {
            is_session_lost: true,
            ..Self::from("no longer knows the session".to_owned())
        }
    }
}

impl From<String> for LinkError {
    fn from(reason: String) -> Self {
        Self {
            reason,
            status: None,
            is_session_lost: false,
        }
    }
}

/// Message or report from a remote server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// A message, or an array of messages, on one line. It arrived in the response to the request `related_number`.
    Message {
        line: String,
        related_number: Option<u64>,
    },
    /// The request `number` gets no answer for this reason.
    Failed {
        number: u64,
        fate: Fate,
        how: LinkError,
    },
    /// The server ended the stream of this request and will continue it when the stream is resumed.
    Paused(u64),
    /// A message over the size limit, described for a report.
    TooLong(String),
    /// The server's own stream was interrupted and reopened; messages sent in between are lost.
    Resumed,
}
