//! Lines of a recording: NDJSON with one message each. The names are a public interface for programs of others.

use std::fmt::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::value::RawValue;

use super::{MARGIN, MAX_LENGTH, MessageWay, RecordedMessage};
use crate::config::HiddenValues;
use crate::jsonrpc::{quoted, text};

/// Beginning of the first line of each run, with the version of the format.
pub(super) const HEAD: &str = r#"{"mcp_proxy_recording":1,"#;

/// Writer of the lines of one proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineFormat {
    /// Process that records.
    pid: u32,
    /// Two readings of one moment: times of messages do not jump if the system's clock is set.
    started: (Instant, SystemTime),
}

impl LineFormat {
    /// Creates the format of a proxy with the process id `pid` that starts `now`.
    pub(super) fn new(pid: u32, now: (Instant, SystemTime)) -> Self {
        Self { pid, started: now }
    }

    /// Creates the format of this process.
    pub(super) fn of_this_process() -> Self {
        let now = (Instant::now(), SystemTime::now());
        Self::new(std::process::id(), now)
    }

    /// Returns the first line.
    pub(super) fn head(&self) -> String {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), self.pid);
        let time = self.time_us(self.started.0);
        format!("{HEAD}\"version\":\"{version}\",\"pid\":{pid},\"time_us\":{time}}}\n")
    }

    /// Appends the line that counts `dropped` messages before the one recorded at `at`.
    pub(super) fn push_dropped(&self, lines: &mut String, dropped: u64, at: Instant) {
        let (time, pid) = (self.time_us(at), self.pid);
        let _ = writeln!(
            lines,
            r#"{{"time_us":{time},"pid":{pid},"dropped":{dropped}}}"#
        );
    }

    /// Appends the line of a message, without `hidden` values.
    pub(super) fn push(
        &self,
        lines: &mut String,
        message: &RecordedMessage,
        hidden: &HiddenValues,
    ) {
        let (from, to) = match message.way {
            MessageWay::ClientToProxy => ("client", "proxy"),
            MessageWay::ProxyToClient => ("proxy", "client"),
            MessageWay::ProxyToServer => ("proxy", "server"),
            MessageWay::ServerToProxy => ("server", "proxy"),
        };
        let (time, pid, session) = (self.time_us(message.at), self.pid, message.session);
        let _ = write!(
            lines,
            r#"{{"time_us":{time},"from":"{from}","to":"{to}","session":"{pid}-{session}""#
        );
        if let Some((server, generation)) = &message.server {
            let server = quoted(server);
            let _ = write!(lines, r#","server":{server},"generation":{generation}"#);
        }
        if let Some(era) = message.era {
            let _ = write!(lines, r#","era":"{}""#, era.name());
        }
        if let Some(id) = &message.client_id {
            let id = hidden.hide_in_json(id.as_raw().as_str());
            let id = valid(&id).unwrap_or_else(|| quoted(&id));
            let _ = write!(lines, r#","client_id":{id}"#);
        }
        let _ = write!(lines, r#","bytes":{}"#, message.length);
        let shown = hidden.hide_in_json(&text(&message.bytes));
        let is_whole = message.length <= MAX_LENGTH;
        let _ = match is_whole.then(|| valid(&shown)) {
            Some(Some(json)) => writeln!(lines, r#","message":{json}}}"#),
            Some(None) => writeln!(lines, r#","text":{}}}"#, quoted(&shown)),
            None => writeln!(lines, r#","text":{}}}"#, quoted(beginning(&shown))),
        };
    }

    /// Returns a time as microseconds since 1970.
    fn time_us(&self, at: Instant) -> u128 {
        let (instant, time) = self.started;
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        (time + at.saturating_duration_since(instant)).as_micros()
    }
}

/// Returns valid JSON on one line; `None` if `text` is not JSON.
fn valid(text: &str) -> Option<String> {
    let value: &RawValue = serde_json::from_str(text).ok()?;
    // JSON has line breaks only outside of strings, where they equal spaces.
    Some(value.get().replace(['\n', '\r'], " "))
}

/// Returns the beginning of a text that is too long; its last [`MARGIN`] bytes may end within a secret.
fn beginning(text: &str) -> &str {
    let end = text.len().saturating_sub(MARGIN).min(MAX_LENGTH);
    let end = (0..=end).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}
