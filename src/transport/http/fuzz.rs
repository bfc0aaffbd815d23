//! Fuzz target for the stream of a hostile server.

use std::time::Duration;

use super::sse::{SseEvent, SseParser};

/// Maximum length of an event in bytes.
const LIMIT: usize = 300;

/// Parses a stream. The first byte sets the size of the chunks.
pub fn events(data: &[u8]) {
    let [size, stream @ ..] = data else {
        return;
    };
    let read = |size: usize| -> Vec<SseEvent> {
        let mut events = SseParser::new(LIMIT);
        let pieces = stream.chunks(size);
        pieces.flat_map(|piece| events.push(piece)).collect()
    };
    let found = read(1 + usize::from(*size));
    assert_eq!(found, read(stream.len().max(1)));
    for event in &found {
        // The limit may be exceeded slightly, but a truncated event is never reported as complete.
        assert!(event.data.len() <= LIMIT + 64);
        assert!(!event.too_long || event.data.is_empty());
    }
    if !found.iter().any(|event| event.too_long) {
        assert_eq!(found, expected(stream));
    }
}

/// Returns the events of a complete stream, parsed as the standard specifies.
fn expected(stream: &[u8]) -> Vec<SseEvent> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let mut text = Vec::new();
    for (at, byte) in stream.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && stream[at - 1] == b'\r' => {}
            b'\r' => text.push(b'\n'),
            _ => text.push(*byte),
        }
    }
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let (mut events, mut fields) = (Vec::new(), Vec::new());
    for line in lines {
        if line.is_empty() {
            events.extend(event(&std::mem::take(&mut fields)));
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        fields.push((name, value.strip_prefix(b" ").unwrap_or(value)));
    }
    events
}

fn event(fields: &[(&[u8], &[u8])]) -> Option<SseEvent> {
    let mut event = SseEvent::default();
    let (mut data, mut kind, mut any) = (Vec::new(), &b""[..], false);
    for (name, value) in fields {
        let text = std::str::from_utf8(value);
        match *name {
            b"data" => data.push(*value),
            b"event" => kind = value,
            b"id" if !value.contains(&0) => event.id = text.ok().map(ToOwned::to_owned),
            b"retry" => {
                let digits = text
                    .ok()
                    .filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
                let time = digits.and_then(|it| it.parse().ok());
                event.retry = time.map(Duration::from_millis);
            }
            _ => continue,
        }
        any = true;
    }
    event.endpoint = kind == b"endpoint";
    if matches!(kind, b"message" | b"endpoint" | b"") {
        event.data = data.join(&b'\n');
    }
    any.then_some(event)
}
