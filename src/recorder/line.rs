//! Lines of a recording, as they are read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Line of a recording; `mcp-proxy help recording` has the meaning of its members. Absent texts are empty, and absent
/// numbers 0.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordedLine<'a> {
    pub(crate) time_us: u64,
    #[serde(default, borrow)]
    pub(crate) from: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) to: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) session: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) server: Cow<'a, str>,
    #[serde(default)]
    pub(crate) generation: u64,
    /// Client's id of the request that this request to a server passes on.
    #[serde(default, borrow)]
    pub(crate) client_id: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) bytes: u64,
    #[serde(borrow)]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) text: Option<Cow<'a, str>>,
    pub(crate) pid: Option<u32>,
    pub(crate) dropped: Option<u64>,
}

impl RecordedLine<'_> {
    /// Returns the process that recorded the line, and the number of the session, if it is a message.
    pub(crate) fn origin(&self) -> (Option<u32>, &str) {
        let (pid, session) = self.session.split_once('-').unwrap_or_default();
        (self.pid.or_else(|| pid.parse().ok()), session)
    }
}
