//! Lines of a recording, as they are read.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Last microsecond of the year 9999: neither RFC 3339 nor a browser writes every later time.
const LAST_TIME: u64 = 253_402_300_799_999_999;

/// Line of a recording; `mcp-proxy help recording` has the meaning of its members. Absent texts are empty, and absent
/// numbers 0.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordedLine<'a> {
    #[serde(deserialize_with = "time_us")]
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

fn time_us<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let time = u64::deserialize(deserializer)?;
    let is_known = time <= LAST_TIME;
    let late = || D::Error::custom("`time_us` is after the year 9999");
    is_known.then_some(time).ok_or_else(late)
}

impl RecordedLine<'_> {
    /// Returns the process that recorded the line, and the number of the session, if it is a message.
    pub(crate) fn origin(&self) -> (Option<u32>, &str) {
        let (pid, session) = self.session.split_once('-').unwrap_or_default();
        (self.pid.or_else(|| pid.parse().ok()), session)
    }
}
