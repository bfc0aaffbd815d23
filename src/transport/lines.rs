//! Reads a process's text output line by line. Always reads to the end, so that the process never blocks on a full
//! pipe; passes each line to a callback and keeps the last ones for error reports.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::pipe::{self, ChildWriter, Output};
use crate::lock::locked;

/// Maximum length of a line in bytes; longer lines are cut and end in `…`.
const LINE_CAP: usize = 8 * 1024;
/// Maximum number of lines in the tail; the oldest lines are dropped.
const TAIL_LINES: usize = 500;
/// Maximum number of bytes in the tail.
const TAIL_BYTES: usize = 256 * 1024;
/// Number of lines that an excerpt shows before and after the head of a stack trace.
const HEAD_LINES: usize = 2;
/// Time without a line after which a report counts as complete.
const QUIET: Duration = Duration::from_millis(100);
/// Time for a report to begin, and to be completed, in multiples of [`QUIET`]: a machine that stands still has not given
/// the process any.
const REPORT_TIME: u32 = 10;

/// Reading end of a pipe that carries text.
pub(super) struct Lines {
    pipe: Output,
    buffer: LineBuffer,
    tail: OutputTail,
    on_line: Box<dyn FnMut(String) + Send>,
}

impl Lines {
    /// Creates a pipe; each line written to the returned end is passed to `on_line`.
    pub(super) fn pipe(
        on_line: impl FnMut(String) + Send + 'static,
    ) -> io::Result<(Self, ChildWriter)> {
        let (pipe, writer) = pipe::output()?;
        let lines = Self {
            pipe,
            buffer: LineBuffer::default(),
            tail: OutputTail::default(),
            on_line: Box::new(on_line),
        };
        Ok((lines, writer))
    }

    /// Returns a handle to the last lines, valid beyond the life of the pipe.
    pub(super) fn tail(&self) -> OutputTail {
        self.tail.clone()
    }

    /// Reads until every writer has closed. Dropping the future and calling again loses no data.
    pub(super) async fn read_to_end(&mut self) {
        let mut chunk = vec![0; LINE_CAP];
        while let Ok(read @ 1..) = self.pipe.read(&mut chunk).await {
            for piece in chunk[..read].split_inclusive(|&byte| byte == b'\n') {
                if let Some(line) = self.buffer.push(piece) {
                    self.accept(line);
                }
            }
        }
    }

    /// Accepts the start of a last line without a newline and ends reading.
    pub(super) fn finish(mut self) {
        if !self.buffer.line.is_empty() {
            let line = self.buffer.take();
            self.accept(line);
        }
    }

    fn accept(&mut self, line: String) {
        self.tail.push(line.clone());
        (self.on_line)(line);
    }
}

/// Line that is being read.
#[derive(Default)]
struct LineBuffer {
    line: Vec<u8>,
    cut: bool,
}

impl LineBuffer {
    /// Appends the next piece of input, which contains a newline only at its end or not at all.
    fn push(&mut self, piece: &[u8]) -> Option<String> {
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        let free = LINE_CAP - self.line.len();
        self.cut |= text.len() > free;
        self.line.extend_from_slice(&text[..text.len().min(free)]);
        (text.len() < piece.len()).then(|| self.take())
    }

    /// Returns the line as a terminal would show it: without escape sequences and text overwritten after a CR.
    fn take(&mut self) -> String {
        let mut line = shown_line(&String::from_utf8_lossy(&self.line));
        if self.cut {
            // The cut may have split a character.
            line.truncate(line.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
            line.push('…');
        }
        self.line.clear();
        self.cut = false;
        line
    }
}

/// Returns a line of output as a terminal would show it.
pub(crate) fn shown_line(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    // Most lines: a program that writes without end costs less.
    if text.bytes().all(|it| matches!(it, b'\t' | b' '..=b'~')) {
        return text.to_owned();
    }
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut line = anstream::adapter::strip_str(text).to_string();
    line.retain(|letter| letter == '\t' || !letter.is_control());
    line
}

/// Last lines of a [`Lines`]; clones share them.
#[derive(Clone, Default)]
pub(crate) struct OutputTail(Arc<Mutex<TailBuffer>>);

#[derive(Default)]
struct TailBuffer {
    /// Lines with the times at which they were read.
    lines: VecDeque<(Instant, String)>,
    bytes: usize,
    /// Number of lines so far.
    count: u64,
}

impl OutputTail {
    /// Returns at most `count` of the last lines, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let tail = self.buffer();
        let skipped = tail.lines.len().saturating_sub(count);
        let lines = tail.lines.iter().skip(skipped);
        lines.map(|(_, line)| line.clone()).collect()
    }

    /// Returns at most `count` of the last lines for an error report. If they begin within a stack trace, some of them
    /// give way to the lines around its head, which name the error.
    pub(crate) fn excerpt(&self, count: usize) -> Vec<String> {
        let lines = self.last(TAIL_LINES);
        let start = lines.len().saturating_sub(count);
        if start == 0 || !is_frame(&lines[start]) {
            return self.last(count);
        }
        let is_head = |line: &String| !line.starts_with(char::is_whitespace) && !is_frame(line);
        let Some(head) = lines[..start].iter().rposition(is_head) else {
            return self.last(count);
        };
        let around = &lines[head.saturating_sub(HEAD_LINES)..start.min(head + 1 + HEAD_LINES)];
        let rest = count.saturating_sub(around.len() + 1);
        let mut shown = around.to_vec();
        shown.push("…".to_owned());
        shown.extend_from_slice(&lines[lines.len() - rest..]);
        shown
    }

    /// Returns the sign in the newest line that was read after `time`, is still kept, and contains one of `signs`.
    pub(crate) fn newest_sign<'a>(&self, time: Instant, signs: &[&'a str]) -> Option<&'a str> {
        let tail = self.buffer();
        let newest = tail.lines.iter().rev();
        let mut since = newest.take_while(|(read, _)| *read > time);
        since.find_map(|(_, line)| signs.iter().find(|sign| line.contains(**sign)).copied())
    }

    /// Waits for lines that a process writes about an error after it has answered: until they have stopped, or for
    /// [`REPORT_TIME`].
    pub(crate) async fn settle(&self) {
        let before = self.buffer().count;
        let mut known = before;
        for _ in 0..REPORT_TIME {
            sleep(QUIET).await;
            let count = self.buffer().count;
            if count == known && count > before {
                return;
            }
            known = count;
        }
    }

    /// Appends a line.
    pub(crate) fn push(&self, line: String) {
        let mut tail = self.buffer();
        tail.count += 1;
        tail.bytes += line.len();
        tail.lines.push_back((Instant::now(), line));
        while tail.lines.len() > TAIL_LINES || tail.bytes > TAIL_BYTES {
            let oldest = tail.lines.pop_front().map_or(0, |(_, line)| line.len());
            tail.bytes -= oldest;
        }
    }

    fn buffer(&self) -> MutexGuard<'_, TailBuffer> {
        locked(&self.0)
    }
}

/// Returns true for a line that names a call in a stack trace of Java, .NET, Node.js or Rust.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let number = text.trim_start_matches(|it: char| it.is_ascii_digit());
    text.starts_with("at ")
        || text.starts_with("--- End of")
        || (number.len() < text.len() && number.starts_with(": "))
}

impl fmt::Debug for OutputTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OutputTail").field(&self.last(3)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8]) -> Vec<String> {
        let mut cutter = LineBuffer::default();
        input
            .split_inclusive(|&byte| byte == b'\n')
            .filter_map(|piece| cutter.push(piece))
            .collect()
    }

    #[test]
    fn a_line_is_what_a_terminal_would_show() {
        let shown = [
            (&b"plain\n"[..], "plain"),
            (b"windows\r\n", "windows"),
            (b" 10%\r 20%\r100%\r\n", "100%"),
            (
                b"\x1b[1;31mred\x1b[0m\tand \x1b]8;;http://x\x1b\\link\x1b]8;;\x07\n",
                "red\tand link",
            ),
            (b"bell\x07 nul\0\n", "bell nul"),
            (b"caf\xc3\xa9 \xff\xfe!\n", "café \u{fffd}\u{fffd}!"),
            (b"\n", ""),
        ];
        for (input, line) in shown {
            assert_eq!(cut(input), [line], "{:?}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_long_line_is_cut_wherever_the_reads_fall() {
        let mut cutter = LineBuffer::default();
        for _ in 0..100 {
            assert_eq!(cutter.push("é".repeat(500).as_bytes()), None);
        }
        assert_eq!(cutter.push(b"x\n"), Some("é".repeat(LINE_CAP / 2) + "…"));
        assert_eq!(cutter.push(b"next\n").as_deref(), Some("next"));

        assert_eq!(
            cut(&[&vec![b'x'; LINE_CAP][..], b"\n"].concat()),
            ["x".repeat(LINE_CAP)]
        );
        let off_by_one = ["x", &"é".repeat(LINE_CAP), "\n"].concat();
        assert_eq!(
            cut(off_by_one.as_bytes()),
            [format!("x{}…", "é".repeat(LINE_CAP / 2 - 1))]
        );
    }

    #[test]
    fn the_newest_sign_decides() {
        let tail = OutputTail::default();
        let start = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        let newest = |time| tail.newest_sign(time, &["failed", "done"]);
        assert_eq!(newest(start), None);
        for (line, sign) in [("x failed", "failed"), ("done y", "done"), ("z", "done")] {
            tail.push(line.to_owned());
            assert_eq!(newest(start), Some(sign), "{line}");
        }
        assert_eq!(newest(Instant::now()), None);
    }

    #[test]
    fn an_excerpt_names_the_error_of_a_long_stack_trace() {
        let excerpt = |heads: &[&str], frame: &str| {
            let tail = OutputTail::default();
            let frames = (0..60).map(|number| frame.replace('N', &number.to_string()));
            let heads = heads.iter().map(|&line| line.to_owned());
            heads.chain(frames).for_each(|line| tail.push(line));
            tail.excerpt(10)
        };
        for (heads, frame) in [
            (
                &["Unhandled exception. X: address in use", " ---> Y"][..],
                "   at FrameN()",
            ),
            (&["Exception in thread \"main\" X"], "\tat a.b(C.java:N)"),
            (
                &[
                    "thread 'main' panicked at a.rs:1:2:",
                    "X",
                    "stack backtrace:",
                ],
                "  N: a::b",
            ),
        ] {
            let shown = excerpt(heads, frame);
            assert_eq!(shown[..heads.len()], *heads, "{shown:?}");
            assert_eq!((shown.len(), &*shown[9]), (10, &*frame.replace('N', "59")));
        }
        let shown = excerpt(&["Traceback (most recent call last):"], "  File \"N.py\"");
        assert_eq!(shown[0], "  File \"50.py\"");
        let shown = excerpt(&["started"], "line N");
        assert_eq!(shown[0], "line 50");
    }

    #[test]
    fn the_tail_is_bounded_in_lines_and_bytes() {
        let tail = OutputTail::default();
        for number in 0..2 * TAIL_LINES {
            tail.push(number.to_string());
        }
        assert_eq!(tail.last(2), ["998", "999"]);
        assert_eq!(tail.last(usize::MAX).len(), TAIL_LINES);
        for _ in 0..100 {
            tail.push("x".repeat(LINE_CAP));
        }
        assert_eq!(tail.last(usize::MAX).len(), TAIL_BYTES / LINE_CAP);
    }
}
