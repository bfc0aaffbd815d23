//! `mcp-proxy logs --messages`: prints a recording, one line per message.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::CliError;
use crate::file_error::FileError;
use crate::output::{clean, duration, rfc3339, size};
use crate::recorder::{MessageSummary, RecordedLine, own_line};

/// Returns the name of the sender or receiver `party` of a message for people.
fn shown<'a>(party: &'a str, line: &'a RecordedLine<'_>) -> Cow<'a, str> {
    match party {
        "client" => format!("client {}", clean(line.origin().1)).into(),
        "server" => format!("{} ({})", clean(&line.server), line.generation).into(),
        other => clean(other),
    }
}

/// Reader of a recording that may grow meanwhile.
#[derive(Debug)]
pub(super) struct RecordingReader<'a> {
    file: BufReader<File>,
    /// Beginning of a line that is not yet whole.
    unread: Vec<u8>,
    /// Server whose messages are selected; `None` for all.
    server: Option<&'a str>,
    /// Process whose messages are selected; `None` for all.
    pid: Option<u32>,
    /// Times of the requests that are not answered, in microseconds, by connection, sender and id.
    requests: HashMap<String, u64>,
    /// True if a message was selected.
    pub(super) has_messages: bool,
}

impl<'a> RecordingReader<'a> {
    /// Opens the recording `path`; `server` and `pid` select the messages of one server and of one proxy.
    pub(super) fn open(
        path: &Path,
        server: Option<&'a str>,
        pid: Option<u32>,
    ) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::at("read", path))?;
        Ok(Self {
            file: BufReader::new(file),
            unread: Vec::new(),
            server,
            pid,
            requests: HashMap::new(),
            has_messages: false,
        })
    }

    /// Returns the lines for people of the messages since the last call.
    pub(super) fn read(&mut self) -> Result<String, CliError> {
        let mut text = String::new();
        loop {
            let read = self.file.read_until(b'\n', &mut self.unread);
            read.map_err(|error| CliError::Failure(format!("cannot read the recording: {error}")))?;
            if !self.unread.ends_with(b"\n") {
                return Ok(text);
            }
            let bytes = std::mem::take(&mut self.unread);
            // A proxy that was killed may have left a part of a line.
            let line = String::from_utf8_lossy(&bytes);
            if let Ok(line) = serde_json::from_str(&own_line(&line)) {
                self.push(&mut text, &line);
            }
        }
    }

    fn push(&mut self, text: &mut String, line: &RecordedLine<'_>) {
        let is_selected = self.pid.is_none_or(|pid| line.origin().0 == Some(pid));
        let is_of_server = self.server.is_none_or(|server| *server == *line.server);
        let time = rfc3339(UNIX_EPOCH + Duration::from_micros(line.time_us));
        if let Some(dropped) = line.dropped.filter(|_| is_selected) {
            let _ = writeln!(text, "{time}  {dropped} messages were not recorded");
        }
        if !is_selected || !is_of_server || line.from.is_empty() {
            return;
        }
        self.has_messages = true;
        let summary = MessageSummary::of(line);
        let took = self.duration(line, &summary);
        let way = format!("{} → {}", shown(&line.from, line), shown(&line.to, line));
        let id = summary.id.map(|id| format!(" #{}", clean(&id)));
        let (what, id) = (clean(&summary.text), id.unwrap_or_default());
        let size = size(line.bytes);
        let _ = writeln!(text, "{time}  {way:<22}  {what}{id}{took}  {size}");
    }

    /// Returns the time since the request that the message answers, after ` in `.
    fn duration(&mut self, line: &RecordedLine<'_>, summary: &MessageSummary) -> String {
        let Some(id) = &summary.id else {
            return String::new();
        };
        let asker = if summary.is_response {
            &line.to
        } else {
            &line.from
        };
        // Some servers return every id as a string.
        let id = id.trim_matches('"');
        let key = format!(
            "{} {} {} {asker} {id}",
            line.session, line.server, line.generation
        );
        if !summary.is_response {
            self.requests.insert(key, line.time_us);
            return String::new();
        }
        let began = self.requests.remove(&key);
        let took = began.map(|began| Duration::from_micros(line.time_us.saturating_sub(began)));
        took.map_or_else(String::new, |took| format!(" in {}", duration(took)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &str = r#"{"mcp_proxy_recording":1,"version":"0.1.0","pid":7,"time_us":0}
{"time_us":0,"from":"client","to":"proxy","session":"7-1","era":"legacy","bytes":75,"message":{"id":"a","method":"tools/call","params":{"name":"fore\u001b[31mcast"}}}
{"time_us":1000,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":3,"client_id":"a","bytes":2048,"message":{"id":12,"method":"tools/call","params":{"name":"forecast"}}}
{"time_us":5000,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":3,"bytes":3145728,"text":"{\"id\":\"12\",\"result\":{\"text\":\"xx"}
{"time_us":6000,"from":"proxy","to":"client","session":"7-1","era":"legacy","bytes":75,"message":{"id":"a","result":{"isError":true}}}
{"time_us":6000,"pid":7,"dropped":12}
{"time_us":7000,"from":"client","to":"proxy","session":"8-2","bytes":4,"text":"oops"}
{"time_us":8000,"from":"server","to":"proxy","session":"8-2","server":"tickets","generation":1,"bytes":75,"message":{"method":"notifications/progress"}}
{"time_us":9000,"from":"proxy","to":"client","session":"8-2","bytes":75,"message":{"id":1,"error":{"code":-32602,"message":"no"}}}
{"time_us":9000,"from":"prox"#;

    fn printed(server: Option<&str>, pid: Option<u32>) -> Vec<String> {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x.ndjson");
        std::fs::write(&path, RECORDING).unwrap();
        let mut reader = RecordingReader::open(&path, server, pid).unwrap();
        let text = reader.read().unwrap();
        assert_eq!(reader.read().unwrap(), "");
        assert_eq!(reader.has_messages, text.contains('→'));
        let lines = text.lines();
        let without_date = lines.map(|line| line["1970-01-01T00:00:00.".len()..].to_owned());
        without_date.collect()
    }

    #[test]
    fn messages_are_lines_for_people() {
        let expected = [
            "000Z  client 1 → proxy        tools/call forecast #\"a\"  75 B",
            "001Z  proxy → weather (3)     tools/call forecast #12  2 KiB",
            "005Z  weather (3) → proxy     result #\"12\" in 4 ms  3 MiB",
            "006Z  proxy → client 1        tool error #\"a\" in 6 ms  75 B",
            "006Z  12 messages were not recorded",
            "007Z  client 2 → proxy        no message: oops  4 B",
            "008Z  tickets (1) → proxy     notifications/progress  75 B",
            "009Z  proxy → client 2        error -32602 no #1  75 B",
        ];
        assert_eq!(printed(None, None), expected);
        assert_eq!(printed(None, Some(7)), expected[..5]);
        assert_eq!(printed(Some("tickets"), Some(8)), expected[6..7]);
        assert_eq!(printed(Some("other"), Some(8)), [""; 0]);
    }
}
