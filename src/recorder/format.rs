//! Lines of a recording, as they are written: NDJSON with one message each.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr2;
use serde_json::value::RawValue;

use super::line::LAST_TIME;
use super::{MARGIN, MAX_LENGTH, MessageWay, RecordedLine, RecordedMessage};
use crate::config::HiddenValues;
use crate::jsonrpc::{quoted, text};
use crate::mcp::Era;

/// Version of the format.
pub(crate) const FORMAT: u64 = 1;
/// Beginning of the first line of each run, with [`FORMAT`].
pub(super) const HEAD: &str = r#"{"mcp_proxy_recording":1,"#;

/// Writer of the lines of one proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineFormat {
    /// Process that records.
    pid: u32,
}

impl LineFormat {
    /// Creates the format of a proxy with the process id `pid`.
    pub(super) fn new(pid: u32) -> Self {
        Self { pid }
    }

    /// Creates the format of this process.
    pub(super) fn of_this_process() -> Self {
        Self::new(std::process::id())
    }

    /// Returns the first line of a recording that begins now.
    pub(super) fn head(self) -> String {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), self.pid);
        let time = time_us(SystemTime::now());
        format!("{HEAD}\"version\":\"{version}\",\"pid\":{pid},\"time_us\":{time}}}\n")
    }

    /// Returns the line that counts `dropped` messages before the one recorded at `at`.
    pub(super) fn dropped(self, dropped: u64, at: SystemTime) -> RecordedLine<'static> {
        RecordedLine {
            time_us: time_us(at),
            pid: Some(self.pid),
            dropped: Some(dropped),
            ..RecordedLine::default()
        }
    }

    /// Returns the line of a message with this content.
    pub(super) fn line<'a>(
        self,
        message: &'a RecordedMessage,
        shown: &'a ShownContent,
    ) -> RecordedLine<'a> {
        let (from, to) = match message.way {
            MessageWay::ClientToProxy => ("client", "proxy"),
            MessageWay::ProxyToClient => ("proxy", "client"),
            MessageWay::ProxyToServer => ("proxy", "server"),
            MessageWay::ServerToProxy => ("server", "proxy"),
        };
        let server = message.server.as_ref();
        let (server, generation) = server.map_or(("", 0), |(server, it)| (&**server, *it));
        RecordedLine {
            time_us: time_us(message.at),
            from: from.into(),
            to: to.into(),
            session: format!("{}-{}", self.pid, message.session).into(),
            server: server.into(),
            generation,
            era: message.era.map(Era::name).map(Cow::from),
            client_id: shown.client_id.as_deref(),
            bytes: message.length as u64,
            message: shown.message.as_deref().ok(),
            text: shown.message.as_ref().err().map(Cow::from),
            ..RecordedLine::default()
        }
    }
}

/// Returns a time as microseconds since 1970.
fn time_us(time: SystemTime) -> u64 {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(LAST_TIME)
}

/// Content of a message without hidden values.
#[derive(Debug)]
pub(super) struct ShownContent {
    client_id: Option<Box<RawValue>>,
    /// Message, or the text of one that is not JSON or too long.
    message: Result<Box<RawValue>, String>,
}

impl ShownContent {
    /// Returns the content of a message without `hidden` values.
    pub(super) fn of(message: &RecordedMessage, hidden: &HiddenValues) -> Self {
        let shown = hidden.hide_in_json(&text(&message.bytes));
        let id = message.client_id.as_ref();
        let id = id.map(|id| hidden.hide_in_json(id.as_raw().as_str()));
        Self {
            client_id: id.and_then(|id| json(id).or_else(|id| json(quoted(&id))).ok()),
            message: if message.length <= MAX_LENGTH {
                json(shown)
            } else {
                Err(beginning(&shown).to_owned())
            },
        }
    }
}

/// Returns valid JSON on one line, or a text that is not JSON as it is.
fn json(text: String) -> Result<Box<RawValue>, String> {
    let Ok(value) = serde_json::from_str::<&RawValue>(&text) else {
        return Err(text);
    };
    if memchr2(b'\n', b'\r', value.get().as_bytes()).is_none() {
        return Ok(value.to_owned());
    }
    // JSON has line breaks only outside of strings, where they equal spaces.
    let line = value.get().replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_err(|_| text)
}

/// Returns the beginning of a text that is too long; its last [`MARGIN`] bytes may end within a secret.
fn beginning(text: &str) -> &str {
    let end = text.len().saturating_sub(MARGIN).min(MAX_LENGTH);
    let end = (0..=end).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}
