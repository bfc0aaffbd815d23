//! Parses server-sent events from the bytes of a stream (WHATWG HTML, 9.2).

use std::time::Duration;

/// Default wait before a stream is resumed, if the server sets none.
const RETRY: Duration = Duration::from_secs(1);
/// Minimum and maximum wait that a server can set.
const RETRIES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// One event, possibly with only an id or a retry time. Data of event types that mean nothing to a client is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// Id after which the stream can be resumed.
    pub(crate) id: Option<String>,
    /// Wait before a reconnect.
    pub(crate) retry: Option<Duration>,
    /// Data lines, joined by line ends.
    pub(crate) data: Vec<u8>,
    /// True if the event exceeded the limit; `data` is empty then.
    pub(crate) too_long: bool,
    /// True if the event is not a message but names the address to which messages are posted.
    pub(crate) endpoint: bool,
}

/// Splits a stream into events.
#[derive(Debug)]
pub(crate) struct SseParser {
    /// Maximum length of an event in bytes.
    limit: usize,
    /// Start of the line that is being read.
    line: Vec<u8>,
    /// True if the line has bytes, stored or not.
    filled: bool,
    /// True if the last line ended in CR: a following LF belongs to it.
    after_cr: bool,
    /// True once the first line has been read.
    begun: bool,
    draft: Draft,
}

/// Event that is being read.
#[derive(Debug, Default)]
struct Draft {
    event: SseEvent,
    /// True once one of its fields has been read.
    any: bool,
    /// True if the event type is neither `message` nor `endpoint`.
    other: bool,
}

/// Returns the wait before a stream is resumed, given the server's `retry`.
pub(super) fn pause(retry: Option<Duration>) -> Duration {
    retry.map_or(RETRY, |it| it.clamp(RETRIES.0, RETRIES.1))
}

impl SseParser {
    /// Returns a parser for events of at most `limit` bytes each.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            filled: false,
            after_cr: false,
            begun: false,
            draft: Draft::default(),
        }
    }

    /// Parses the next bytes; returns the events that end in them. Bytes after the last blank line of a stream are not
    /// an event.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
                self.append(bytes);
                break;
            };
            self.append(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.take(&line));
        }
        events
    }

    fn append(&mut self, bytes: &[u8]) {
        self.filled |= !bytes.is_empty();
        // The length of field names and line ends is only approximated.
        let free = (self.limit + 64).saturating_sub(self.line.len() + self.draft.event.data.len());
        if bytes.len() > free {
            self.draft.event.too_long = true;
        }
        self.line.extend_from_slice(&bytes[..bytes.len().min(free)]);
    }

    /// Processes a complete line; returns the event that it ends.
    fn take(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = if std::mem::replace(&mut self.begun, true) {
            line
        } else {
            line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
        };
        if !std::mem::take(&mut self.filled) {
            return self.dispatch();
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        self.field(name, value.strip_prefix(b" ").unwrap_or(value));
        None
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        match name {
            b"data" => {
                if self.draft.event.too_long {
                    self.draft.event.data = Vec::new();
                } else {
                    // Each data line ends in LF; the last LF is removed on dispatch.
                    self.draft.event.data.extend_from_slice(value);
                    self.draft.event.data.push(b'\n');
                }
            }
            b"id" if !value.contains(&0) => self.draft.event.id = text().map(ToOwned::to_owned),
            b"retry" => {
                let digits = text().filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
                let time = digits.and_then(|it| it.parse().ok());
                self.draft.event.retry = time.map(Duration::from_millis);
            }
            b"event" => {
                self.draft.event.endpoint = value == b"endpoint";
                self.draft.other = !matches!(value, b"message" | b"endpoint" | b"");
            }
            _ => return,
        }
        self.draft.any = true;
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let Draft {
            mut event,
            any,
            other,
        } = std::mem::take(&mut self.draft);
        event.data.pop();
        if other || event.too_long {
            event.data.clear();
        }
        any.then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the events of a stream that arrives in chunks of `size` bytes.
    fn read(stream: &[u8], size: usize) -> Vec<SseEvent> {
        let mut events = SseParser::new(100);
        stream
            .chunks(size)
            .flat_map(|chunk| events.push(chunk))
            .collect()
    }

    fn data(text: &str) -> SseEvent {
        SseEvent {
            data: text.into(),
            ..SseEvent::default()
        }
    }

    #[test]
    fn lines_end_in_three_ways_and_arrive_in_any_pieces() {
        for stream in [
            "data: a\n\ndata:b\n\n",
            "data: a\r\n\r\ndata:b\r\n\r\n",
            "data: a\r\rdata:b\r\r",
            "\u{feff}data: a\n\n: a comment\n\nignored: x\n\ndata:b\n\ndata: cut off",
        ] {
            for size in 1..=stream.len() {
                assert_eq!(read(stream.as_bytes(), size), [data("a"), data("b")]);
            }
        }
    }

    #[test]
    fn data_of_several_lines_is_joined_and_one_space_is_left_out() {
        let stream = b"data:  {\ndata: }\ndata\n\ndata:\n\n";
        assert_eq!(read(stream, 3), [data(" {\n}\n"), data("")]);
    }

    #[test]
    fn ids_and_times_are_read_also_without_data() {
        let primed = SseEvent {
            id: Some("7".into()),
            retry: Some(Duration::from_millis(500)),
            ..SseEvent::default()
        };
        let stream =
            b"id: 7\nretry: 500\n\nid: 7\nretry: 500\ndata:\n\nretry: soon\n\nid: a\0b\n\n";
        assert_eq!(
            read(stream, 5),
            [primed.clone(), primed, SseEvent::default()]
        );
    }

    #[test]
    fn other_events_than_messages_are_passed_over() {
        let stream =
            b"event: ping\ndata: x\n\nevent: message\ndata: y\n\nevent: endpoint\ndata: /z\n\n";
        let endpoint = SseEvent {
            endpoint: true,
            ..data("/z")
        };
        assert_eq!(read(stream, 64), [data(""), data("y"), endpoint]);
    }

    #[test]
    fn an_event_over_the_limit_is_said_to_be_one_and_takes_no_room() {
        let long = format!("data: {}\n", "x".repeat(60)).repeat(1000);
        let stream = format!("{long}id: 9\n\ndata: {}\n\ndata: y\n\n", "z".repeat(1000));
        for size in [1, 50, stream.len()] {
            let mut events = read(stream.as_bytes(), size);
            assert_eq!(events.pop(), Some(data("y")));
            assert_eq!(events.len(), 2);
            assert!(events.iter().all(|it| it.too_long && it.data.is_empty()));
        }
        let fits = format!("data: {}\n\n", "x".repeat(100));
        assert_eq!(read(fits.as_bytes(), 7), [data(&"x".repeat(100))]);
    }
}
