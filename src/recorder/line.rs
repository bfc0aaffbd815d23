//! Lines of a recording as data. The names are a public interface for programs of others.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Last microsecond of the year 9999: neither RFC 3339 nor a browser writes every later time.
pub(super) const LAST_TIME: u64 = 253_402_300_799_999_999;

/// Line of a recording; `mcp-proxy help recording` has the meaning of its members. Absent texts are empty, and absent
/// numbers 0.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct RecordedLine<'a> {
    /// Version of the format, in the first line of a run.
    #[serde(
        rename = "mcp_proxy_recording",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) format: Option<u64>,
    #[serde(deserialize_with = "time_us")]
    pub(crate) time_us: u64,
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub(crate) from: Cow<'a, str>,
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub(crate) to: Cow<'a, str>,
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub(crate) session: Cow<'a, str>,
    #[serde(default, borrow, skip_serializing_if = "str::is_empty")]
    pub(crate) server: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) generation: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(super) era: Option<Cow<'a, str>>,
    /// Client's id of the request that this request to a server passes on.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) bytes: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<u64>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn time_us<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let time = u64::deserialize(deserializer)?;
    let is_known = time <= LAST_TIME;
    let late = || D::Error::custom("`time_us` is after the year 9999");
    is_known.then_some(time).ok_or_else(late)
}

impl RecordedLine<'_> {
    /// Returns the line without its line end.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the process that recorded the line, and the number of the session, if it is a message.
    pub(crate) fn origin(&self) -> (Option<u32>, &str) {
        let (pid, session) = self.session.split_once('-').unwrap_or_default();
        (self.pid.or_else(|| pid.parse().ok()), session)
    }
}
