//! Reads named pipes, such as the `.env` of a password manager: they have no content until another program writes to
//! them, and each reader gets a content of its own.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

pub(crate) use system::is_pipe;

/// Time limit for the pipes of one configuration together.
const LIMIT: Duration = Duration::from_secs(2);

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
        let text = system::read_pipe(path, deadline)?;
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::process::Command;
    use std::thread;

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
