//! File of a recording, and the thread that writes it and passes the same messages to another receiver.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::format::{HEAD, LineFormat, ShownContent};
use super::memory::{MessageBatch, MessageMemory};
use super::{MAX_MEMORY, MAX_UNREAD, RecordedLine, Recorder, recording_head};
use crate::config::HiddenValues;
use crate::event::{Event, EventSender};
use crate::file_error::FileError;
use crate::lock::locked;
use crate::private_files;

/// Time between two writes to a file while messages arrive: one write then serves many messages.
const PAUSE: Duration = Duration::from_millis(5);
/// The same without a file, while the receiver is watched: a person does not see a shorter time, and each wake-up finds
/// cold caches.
const PAUSE_WITHOUT_FILE: Duration = Duration::from_millis(25);
/// Size of the lines in bytes from which on they are written, even if more messages wait.
const MAX_WRITE: usize = 1024 * 1024;
/// Time limit for a receiver that waits for the messages so far, since a file system may hang.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(1);
/// The same without a file: a slow machine reads the largest backlog.
const CATCH_UP_DEADLINE_WITHOUT_FILE: Duration = Duration::from_secs(10);
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
        let separator = if is_whole { "" } else { "\n" };
        let head = format!("{separator}{}", recording_head());
        let written = file.write_all(head.as_bytes());
        written.map_err(FileError::at("write", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes lines in one call, so that lines of other proxies do not interrupt these.
    fn write(&mut self, lines: &str) -> Result<(), FileError> {
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(FileError::at("write", &self.path))
    }
}

/// Messages that a receiver has not got yet. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MessageBacklog {
    memory: Arc<MessageMemory>,
    /// Time limit for [`Self::catch_up`].
    deadline: Duration,
}

impl MessageBacklog {
    /// Passes the messages so far on soon, and asks the receiver again whether it is watched. Does not wait.
    pub(crate) fn request(&self) {
        self.memory.request();
    }

    /// Passes the messages so far on, and waits for that: at most a second if a file is written, or else ten. Blocks.
    pub(crate) fn catch_up(&self) {
        self.memory.catch_up(self.deadline);
    }
}

/// Receiver of recorded messages on the thread of the recorder.
pub(crate) trait MessageReceiver: fmt::Debug + Send + Sync {
    /// Receives the handle to request messages with.
    fn attach(&self, backlog: MessageBacklog);
    /// Returns true if each message is to be passed on soon, and false if only on request: most of the time nobody looks
    /// at messages, and one costs more here than on its way through the proxy.
    fn is_watched(&self) -> bool;
    /// Receives a message, and its line in a recording.
    fn receive(&self, message: &RecordedLine<'_>, line: &str);
    /// Follows the last of some messages.
    fn rest(&self);
}

/// Receivers of the messages.
#[derive(Debug)]
struct RecordingOutputs {
    format: LineFormat,
    file: Option<RecordingFile>,
    copy: Option<Arc<dyn MessageReceiver>>,
    events: EventSender,
}

impl RecordingOutputs {
    /// Passes on a message, and appends its line to the `lines` for the file.
    fn put(&self, message: &RecordedLine<'_>, lines: &mut String) {
        let line = message.to_json();
        if let Some(copy) = &self.copy {
            copy.receive(message, &line);
        }
        if self.file.is_some() {
            lines.push_str(&line);
            lines.push('\n');
        }
    }

    /// Writes lines to the file. One that cannot be written is reported, and gets no more lines.
    fn write_lines(&mut self, lines: &mut String) {
        let written = self.file.as_mut().map(|file| file.write(lines));
        lines.clear();
        if let Some(Err(error)) = written {
            self.file = None;
            let reason = error.to_string();
            self.events.send(Event::RecordingEnded { reason });
        }
    }

    /// Returns true if messages are taken as they come.
    fn is_eager(&self) -> bool {
        self.file.is_some() || self.copy.as_ref().is_some_and(|it| it.is_watched())
    }

    fn write(&mut self, batch: MessageBatch, hidden: &HiddenValues) {
        if batch.messages.is_empty() {
            return;
        }
        let mut lines = String::new();
        if let (1.., Some(first)) = (batch.dropped, batch.messages.front()) {
            self.put(&self.format.dropped(batch.dropped, first.at), &mut lines);
        }
        for message in batch.messages {
            let shown = ShownContent::of(&message, hidden);
            self.put(&self.format.line(&message, &shown), &mut lines);
            if lines.len() >= MAX_WRITE {
                self.write_lines(&mut lines);
            }
        }
        self.write_lines(&mut lines);
        if let Some(copy) = &self.copy {
            copy.rest();
        }
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
    /// Starts the thread that writes the messages to `file`, if there is one, and passes them to `copy`. It hides the
    /// values that `events` hides, and reports an error of the file there, which ends the recording.
    pub(crate) fn start(
        file: Option<RecordingFile>,
        copy: Option<Arc<dyn MessageReceiver>>,
        events: &EventSender,
    ) -> io::Result<Self> {
        let (max_size, deadline) = match file {
            Some(_) => (MAX_MEMORY, CATCH_UP_DEADLINE),
            None => (MAX_UNREAD, CATCH_UP_DEADLINE_WITHOUT_FILE),
        };
        let memory = Arc::new(MessageMemory::new(max_size));
        if let Some(copy) = &copy {
            copy.attach(MessageBacklog {
                memory: memory.clone(),
                deadline,
            });
        }
        let (done, ended) = mpsc::channel();
        let written = memory.clone();
        let mut outputs = RecordingOutputs {
            format: LineFormat::of_this_process(),
            file,
            copy,
            events: events.clone(),
        };
        let thread = thread::Builder::new().name("recording".to_owned());
        thread.spawn(move || {
            let _done = done;
            write_all(&mut outputs, &written);
            // Without a receiver, nothing is kept in memory any more.
            written.close();
            while written.take(true).is_some() {}
        })?;
        Ok(Self {
            recorder: Recorder { memory },
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

/// Writes messages until the memory is closed or no receiver is left.
fn write_all(outputs: &mut RecordingOutputs, memory: &MessageMemory) {
    let hidden = outputs.events.hidden();
    while (outputs.file.is_some() || outputs.copy.is_some())
        && let Some(batch) = memory.take(outputs.is_eager())
    {
        // The lock is also that of the protocol's thread, and a write may hang.
        let hidden = locked(&hidden).clone();
        let end = batch.end;
        outputs.write(batch, &hidden);
        memory.finish(end);
        memory.pause(match outputs.file {
            Some(_) => PAUSE,
            None => PAUSE_WITHOUT_FILE,
        });
    }
}
