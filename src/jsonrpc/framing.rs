//! Splits a byte stream into lines, independent of the sizes of the reads.

use std::borrow::Cow;
use std::ops::Range;

/// Frame found by [`Framer::next`] in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// One line without its end, never blank.
    Line(&'a [u8]),
    /// A line over the limit, which was skipped: its first and its last bytes, which may overlap.
    TooLong { head: &'a [u8], tail: &'a [u8] },
}

/// Number of bytes kept from each end of an over-long line, enough to find its id: some SDKs write it first, others
/// last.
const END: usize = 4096;
/// Space reserved for a read, in bytes; more for the rest of a long line.
const ROOM: usize = 64 * 1024;
/// Capacity in bytes above which the buffer is shrunk again after a long line.
const KEEP: usize = 2 * 1024 * 1024;

/// Splits a byte stream into lines. Each byte is searched once, independent of the sizes of the reads; a line longer
/// than the limit is skipped without being stored.
#[derive(Debug)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Everything before this is consumed.
    start: usize,
    /// No line end lies between `start` and this.
    searched: usize,
    /// True while the line after `start` is over the limit and began earlier.
    skipping: bool,
    /// Position of the line that was returned last.
    last: Range<usize>,
    /// First bytes of the skipped line, and its last ones so far.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Maximum length of a line in bytes.
    limit: usize,
}

impl Framer {
    /// Creates a framer for lines of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipping: false,
            last: 0..0,
            head: Vec::new(),
            tail: Vec::new(),
            limit,
        }
    }

    /// Returns the buffer to append the next read to, with space reserved.
    pub(crate) fn read_buffer(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
            if self.buffer.capacity() > KEEP && self.buffer.len() < ROOM {
                self.buffer.shrink_to(ROOM);
            }
        }
        self.buffer.reserve(if self.buffer.len() < ROOM {
            ROOM
        } else {
            4 * ROOM
        });
        &mut self.buffer
    }

    /// Returns true if more than one line has been read but not returned.
    pub(crate) fn several(&mut self) -> bool {
        let fresh = &self.buffer[self.searched..];
        let first = memchr::memchr(b'\n', fresh);
        // The bytes searched here are not searched again.
        self.searched += first.unwrap_or(fresh.len());
        first.is_some() && memchr::memchr(b'\n', &self.buffer[self.searched + 1..]).is_some()
    }

    /// Returns the next line; None until the next read.
    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        loop {
            let Some(found) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                self.drop_unfinished();
                return None;
            };
            let end = self.searched + found;
            let from = std::mem::replace(&mut self.start, end + 1);
            self.searched = end + 1;
            if self.skipping || end - from > self.limit {
                self.skip(from, end);
                self.skipping = false;
                return Some(Frame::TooLong {
                    head: &self.head,
                    tail: &self.tail,
                });
            }
            let line = trim(&self.buffer[from..end]);
            if !line.is_empty() {
                let begin = line.as_ptr() as usize - self.buffer.as_ptr() as usize;
                self.last = begin..begin + line.len();
                return Some(Frame::Line(&self.buffer[self.last.clone()]));
            }
        }
    }

    /// Takes the line that was returned last out of the buffer, without a copy if it is at the start.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let Range { start, end } = self.last.clone();
        if start > 0 {
            return self.buffer[start..end].to_vec();
        }
        let rest = self.buffer.split_off(self.start);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        (self.start, self.searched) = (0, 0);
        line.truncate(end);
        line
    }

    /// Returns the bytes after the last line end, once the stream has ended.
    pub(crate) fn rest(&mut self) -> Option<&[u8]> {
        let from = std::mem::replace(&mut self.start, self.buffer.len());
        self.searched = self.start;
        let rest = trim(&self.buffer[from..]);
        (!self.skipping && !rest.is_empty()).then_some(rest)
    }

    /// Drops the stored part of a line that has grown over the limit.
    fn drop_unfinished(&mut self) {
        let end = self.buffer.len();
        if self.skipping || end - self.start > self.limit {
            let from = std::mem::replace(&mut self.start, end);
            self.skip(from, end);
        }
    }

    /// Skips a part of an over-long line and keeps only its ends.
    fn skip(&mut self, from: usize, end: usize) {
        let part = &self.buffer[from..end];
        if !std::mem::replace(&mut self.skipping, true) {
            self.head.clear();
            self.tail.clear();
        }
        let missing = END - self.head.len();
        self.head
            .extend_from_slice(&part[..missing.min(part.len())]);
        let old = self.tail.len() + part.len();
        self.tail
            .drain(..old.saturating_sub(END).min(self.tail.len()));
        self.tail
            .extend_from_slice(&part[part.len().saturating_sub(END)..]);
    }
}

/// Converts a line to text; replaces invalid UTF-8.
pub(crate) fn text(line: &[u8]) -> Cow<'_, str> {
    // `from_utf8_lossy` alone checks byte by byte; this checks many bytes of a valid line at a time.
    match std::str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(line),
    }
}

/// Removes a byte order mark, the carriage return of a Windows line end and surrounding white space.
fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(line)
        .trim_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(framer: &mut Framer, bytes: &[u8], out: &mut Vec<Result<Vec<u8>, usize>>) {
        framer.read_buffer().extend_from_slice(bytes);
        while let Some(frame) = framer.next() {
            out.push(match frame {
                Frame::Line(line) => Ok(line.to_vec()),
                Frame::TooLong { head, .. } => Err(head.len()),
            });
        }
    }

    #[test]
    fn skips_blank_lines_marks_and_carriage_returns() {
        let mut framer = Framer::new(100);
        let mut out = Vec::new();
        all(
            &mut framer,
            b"\xEF\xBB\xBF{\"a\":1}\r\n\n  \r\n {} \nrest",
            &mut out,
        );
        assert_eq!(out, [Ok(b"{\"a\":1}".to_vec()), Ok(b"{}".to_vec())]);
        assert_eq!(framer.rest(), Some(&b"rest"[..]));
    }

    #[test]
    fn a_line_over_the_limit_costs_only_itself() {
        let mut framer = Framer::new(10);
        let mut out = Vec::new();
        for part in [
            &b"12345678"[..],
            b"901",
            b"23456",
            b"7\nnext\n",
            b"12345678901\nlast\n",
        ] {
            all(&mut framer, part, &mut out);
        }
        assert_eq!(
            out,
            [Err(17), Ok(b"next".to_vec()), Err(11), Ok(b"last".to_vec())]
        );
    }

    #[test]
    fn both_ends_of_a_line_over_the_limit_are_kept() {
        for size in [1, 100, 5000, 20_000] {
            let mut framer = Framer::new(10);
            let line: Vec<u8> = (b'a'..=b'z').cycle().take(20_000).collect();
            for part in line.chunks(size) {
                framer.read_buffer().extend_from_slice(part);
                assert_eq!(framer.next(), None);
            }
            framer.read_buffer().push(b'\n');
            let (head, tail) = (&line[..END], &line[20_000 - END..]);
            assert_eq!(framer.next(), Some(Frame::TooLong { head, tail }), "{size}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            lines in prop::collection::vec("[a-z\u{e9}]{0,40}", 0..20),
            cuts in prop::collection::vec(1usize..17, 1..200),
        ) {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
            let mut framer = Framer::new(30);
            let mut out = Vec::new();
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < bytes.len() {
                let end = bytes.len().min(at + cut.next().copied().unwrap_or(1));
                all(&mut framer, &bytes[at..end], &mut out);
                at = end;
            }
            let expected: Vec<_> = lines.iter().filter(|line| !line.is_empty()).map(|line| {
                if line.len() > 30 { None } else { Some(line.as_bytes().to_vec()) }
            }).collect();
            let got: Vec<_> = out.into_iter().map(Result::ok).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
