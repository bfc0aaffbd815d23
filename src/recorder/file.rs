//! File of a recording, and the thread that writes it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::format::{HEAD, LineFormat};
use super::memory::{MessageBatch, MessageMemory};
use super::{MAX_MEMORY, Recorder};
use crate::config::HiddenValues;
use crate::event::{Event, EventSender};
use crate::file_error::FileError;
use crate::lock::locked;
use crate::private_files;

/// Time between two writes while messages arrive: one write then serves many messages.
const PAUSE: Duration = Duration::from_millis(5);
/// Size of the lines in bytes from which on they are written, even if more messages wait.
const MAX_WRITE: usize = 1024 * 1024;
/// Time limit for the last write, so that a file system that hangs does not delay the exit.
const FINISH_DEADLINE: Duration = Duration::from_millis(500);

/// Reason why messages cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("--record: {0}")]
    File(#[from] FileError),
    #[error("--record: {} exists and is not a recording; name another file", .0.display())]
    Foreign(PathBuf),
}

/// File that messages will be appended to.
#[derive(Debug)]
pub(crate) struct RecordingFile {
    path: PathBuf,
    file: File,
    format: LineFormat,
}

impl RecordingFile {
    /// Opens the recording `path`, or creates it, for this user alone. Begins a new run in it. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordingError> {
        // Opening a named pipe would wait for its reader.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(RecordingError::Foreign(path.to_owned()));
        }
        let mut file = private_files::append(path).map_err(FileError::at("open", path))?;
        let is_whole = ends_as_recording(path).map_err(FileError::at("read", path))?;
        let Some(is_whole) = is_whole else {
            return Err(RecordingError::Foreign(path.to_owned()));
        };
        private_files::close_file(&file).map_err(FileError::at("change the mode of", path))?;
        let now = (Instant::now(), SystemTime::now());
        let format = LineFormat::new(std::process::id(), now);
        let separator = if is_whole { "" } else { "\n" };
        let head = format!("{separator}{}", format.head());
        let written = file.write_all(head.as_bytes());
        written.map_err(FileError::at("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            format,
        })
    }

    fn write(&mut self, batch: &MessageBatch, hidden: &HiddenValues) -> io::Result<()> {
        let mut lines = String::new();
        if let (1.., Some(first)) = (batch.dropped, batch.messages.front()) {
            let (dropped, at) = (batch.dropped, first.at);
            self.format.push_dropped(&mut lines, dropped, at);
        }
        for message in &batch.messages {
            self.format.push(&mut lines, message, hidden);
            if lines.len() >= MAX_WRITE {
                self.file.write_all(lines.as_bytes())?;
                lines.clear();
            }
        }
        // In one call, so that lines of other proxies do not interrupt these.
        self.file.write_all(lines.as_bytes())
    }
}

/// Returns `None` if the file holds something else than a recording, and otherwise whether its last line is whole. The
/// line of a proxy that was killed may not be.
fn ends_as_recording(path: &Path) -> io::Result<Option<bool>> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    let mut beginning = (&mut file).take(HEAD.len() as u64);
    beginning.read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(Some(true));
    }
    if head != HEAD.as_bytes() {
        return Ok(None);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(Some(last == *b"\n"))
}

/// Recording in progress; [`finish`](Self::finish) ends it.
#[derive(Debug)]
#[must_use = "only `finish` makes sure that the last messages are written"]
pub(crate) struct Recording {
    recorder: Recorder,
    /// Closes when everything is written; carries no data.
    ended: Receiver<()>,
}

impl Recording {
    /// Starts the thread that writes `file`. It hides the values that `events` hides, and reports an error there, with
    /// which the recording ends.
    pub(crate) fn start(mut file: RecordingFile, events: &EventSender) -> io::Result<Self> {
        let memory = Arc::new(MessageMemory::new(MAX_MEMORY));
        let (done, ended) = mpsc::channel();
        let (written, events) = (memory.clone(), events.clone());
        let thread = thread::Builder::new().name("recording".to_owned());
        thread.spawn(move || {
            let _done = done;
            if let Err(error) = write_all(&mut file, &written, &events.hidden()) {
                written.close();
                while written.take().is_some() {}
                let reason = FileError::at("write", &file.path)(error).to_string();
                events.send(Event::RecordingEnded { reason });
            }
        })?;
        Ok(Self {
            recorder: Recorder {
                memory,
                sessions: Arc::default(),
            },
            ended,
        })
    }

    /// Returns the recorder whose messages are written.
    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Writes all messages recorded so far, or gives up at the deadline.
    pub(crate) fn finish(self) {
        self.recorder.memory.close();
        let _ = self.ended.recv_timeout(FINISH_DEADLINE);
    }
}

/// Writes messages until the memory is closed.
fn write_all(
    file: &mut RecordingFile,
    memory: &MessageMemory,
    hidden: &Mutex<HiddenValues>,
) -> io::Result<()> {
    while let Some(batch) = memory.take() {
        // The lock is also that of the protocol's thread, and a write may hang.
        let hidden = locked(hidden).clone();
        file.write(&batch, &hidden)?;
        memory.pause(PAUSE);
    }
    Ok(())
}
