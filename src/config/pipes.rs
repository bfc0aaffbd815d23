//! Reads named pipes, such as the `.env` of a password manager: they have no content until another program writes to
//! them, and each reader gets a content of its own.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

/// Time limit for the pipes of one configuration together.
const LIMIT: Duration = Duration::from_secs(2);
/// Interval at which a pipe without a writer is read.
const INTERVAL: Duration = Duration::from_millis(10);

/// Returns true if `path` is a named pipe, or one that a shell passes, as in `<(…)`.
pub(crate) fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.file_type().is_fifo())
}

/// Reads the texts of files that may be named pipes. A pipe is read once, since its content may cost the user a
/// confirmation.
#[derive(Debug)]
pub(super) struct PipeReader {
    deadline: Option<Instant>,
    limit: Duration,
    texts: HashMap<PathBuf, String>,
}

impl Default for PipeReader {
    fn default() -> Self {
        Self {
            deadline: None,
            limit: LIMIT,
            texts: HashMap::new(),
        }
    }
}

impl PipeReader {
    /// Returns the text of a file. For a pipe, waits for a writer until the time limit; a pipe without one is an error
    /// of the kind `TimedOut`.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<String> {
        if !is_pipe(path) {
            return std::fs::read_to_string(path);
        }
        if let Some(text) = self.texts.get(path) {
            return Ok(text.clone());
        }
        let limit = self.limit;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        let text = read_pipe(path, deadline)?;
        self.texts.insert(path.to_owned(), text.clone());
        Ok(text)
    }
}

/// Returns advice on an error of [`PipeReader::read`].
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::TimedOut => {
            "start the program that writes to the pipe, then load the server again, or restart the proxy"
        }
        _ => "create the file, or remove the key",
    }
}

/// Returns the content of the first writer.
fn read_pipe(path: &Path, deadline: Instant) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut pipe = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut buffer) {
            // No writer has opened the pipe yet.
            Ok(0) if bytes.is_empty() => {}
            Ok(0) => break,
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message = "it is a named pipe, and no program has written its content in time";
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        // At once, before a writer that serves each reader opens the pipe again.
        let mut polled = [PollFd::new(&pipe, PollFlags::IN)];
        let timeout = Timespec::try_from(left).ok();
        let is_ready = poll(&mut polled, timeout.as_ref()).is_ok();
        // Some systems report a pipe that no writer has opened yet as one whose writer has gone.
        if !is_ready || !polled[0].revents().contains(PollFlags::IN) {
            thread::sleep(INTERVAL);
        }
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn pipe() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        (folder, path)
    }

    #[test]
    fn a_pipe_is_read_once_from_a_writer_that_comes_later() {
        let (_folder, path) = pipe();
        let mut reader = PipeReader {
            limit: Duration::from_secs(60),
            ..PipeReader::default()
        };
        // Larger than a pipe's buffer. The writer's end comes after the reader's beginning.
        let (text, target) = ("K=v\n".repeat(50_000), path.clone());
        let written = text.clone();
        let writer = thread::spawn(move || std::fs::write(target, written));
        assert_eq!(reader.read(&path).unwrap(), text);
        writer.join().unwrap().unwrap();
        assert_eq!(reader.read(&path).unwrap(), text);
    }

    #[test]
    fn pipes_without_a_writer_share_one_time_limit() {
        let (_folder, path) = pipe();
        let (_other, second) = pipe();
        let mut reader = PipeReader {
            limit: Duration::ZERO,
            ..PipeReader::default()
        };
        for path in [path, second] {
            let error = reader.read(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
    }
}
