//! Fuzz target for lines and messages of a hostile peer.

use std::borrow::Cow;

use super::framing::{Frame, Framer, text};
use super::id::RawId;
use super::scan::oracle;
use super::{Envelope, Members, MessageKind, ambiguity, splice};

/// Tests with the bytes of a stream. The first two bytes set the line limit and the read size.
pub fn messages(data: &[u8]) {
    let [limit, size, stream @ ..] = data else {
        return;
    };
    let (limit, size) = (8 * usize::from(*limit), 1 + usize::from(*size));
    let mut framer = Framer::new(limit);
    let mut found = Vec::new();
    for piece in stream.chunks(size) {
        framer.read_buffer().extend_from_slice(piece);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Line(line) => {
                    message(&text(line));
                    found.push(Some(line.to_vec()));
                }
                Frame::TooLong { head, tail } => {
                    Envelope::of_ends(&text(head), &text(tail));
                    found.push(None);
                }
            }
            if let Some(Some(line)) = found.last().filter(|_| size.is_multiple_of(2)) {
                assert_eq!(framer.take(), *line);
            }
        }
    }
    assert_eq!(found, lines(stream, limit));
}

/// Returns the lines of a stream, None for one longer than `limit`. Bytes after the last line end do not count.
fn lines(stream: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
    let mut lines: Vec<_> = stream.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let read = |line: &[u8]| {
        if line.len() > limit {
            return Some(None);
        }
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let line = line.trim_ascii();
        (!line.is_empty()).then(|| Some(line.to_vec()))
    };
    lines.into_iter().filter_map(read).collect()
}

/// Runs everything that the proxy does with a line before it knows its kind.
fn message(line: &str) {
    oracle::check(line);
    let Ok(envelope) = Envelope::parse(line) else {
        return;
    };
    let plain = ambiguity(line).is_none();
    if let (Some(id), true) = (envelope.id, plain) {
        let put = splice(line, &mut [(id.as_str(), "\"new\"")]);
        let id = RawId::new("\"new\"");
        assert_eq!(Envelope::parse(&put).map(|it| it.id), Ok(Some(id)));
    }
    let places = envelope.response_positions(line);
    assert_eq!(places.is_some(), envelope.kind() == MessageKind::Response);
    if let Some(places) = places {
        let again = Envelope::at(line, places);
        let members = |it: &Envelope<'_>| format!("{:?}", (it.id, it.result, it.error));
        assert_eq!(members(&again), members(&envelope));
    }
    let mut members = Members::of(line);
    members.set("params", "{}");
    let written = members.to_string();
    let read = Envelope::parse(&written).map(|it| it.method.map(Cow::into_owned));
    assert_eq!(read, Ok(envelope.method.map(Cow::into_owned)));
}
