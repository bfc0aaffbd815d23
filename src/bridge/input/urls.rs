//! URLs that a server's error requires the client's user to open before the call is made again.

use super::{InputRequest, InputRequired};
use crate::jsonrpc::{Members, elements};
use crate::mcp::URL_ELICITATION_REQUIRED;

/// URLs in the error of a server. The modern era has no such error, but official servers of that era send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequiredUrls {
    /// Requests for the client.
    pub(crate) requests: Vec<InputRequest>,
    /// Ids by which the server reports that the user is done.
    pub(crate) ids: Vec<String>,
}

impl RequiredUrls {
    /// Returns the URLs in `error`, which is raw; None if it requires none.
    pub(crate) fn of(error: &str) -> Option<Self> {
        let error = Members::of(error);
        if error.get("code") != Some(URL_ELICITATION_REQUIRED) {
            return None;
        }
        let data = error.object("data");
        let entries = elements(data.get("elicitations")?)?;
        let request = |(at, entry): (usize, &&str)| InputRequest {
            key: format!("\"{}\"", at + 1),
            method: "elicitation/create".to_owned(),
            params: Some((*entry).to_owned()),
        };
        let requests: Vec<_> = entries.iter().enumerate().map(request).collect();
        if requests.is_empty() || !requests.iter().all(InputRequest::is_for_url) {
            return None;
        }
        let id = |entry: &&str| Some(Members::of(entry).text("elicitationId")?.into_owned());
        let ids = entries.iter().filter_map(id).collect();
        Some(Self { requests, ids })
    }

    /// Returns true if the user has accepted all of them, according to the client's `responses`.
    pub(crate) fn are_accepted(&self, responses: &Members<'_>) -> bool {
        let mut requests = self.requests.iter();
        requests.all(|request| request.response(responses).is_some_and(is_accepted))
    }
}

impl From<RequiredUrls> for InputRequired {
    fn from(urls: RequiredUrls) -> Self {
        Self {
            requests: urls.requests,
            state: None,
        }
    }
}

/// Returns true if the user has accepted a request, according to the `result` for it.
pub(crate) fn is_accepted(result: &str) -> bool {
    Members::of(result).text("action").as_deref() == Some("accept")
}
