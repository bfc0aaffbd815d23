//! Ends of links on Windows. The proxy's pipes to its children are asynchronous. Its own stdin and stdout may not be,
//! so threads read and write them.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::windows::io::{AsHandle as _, OwnedHandle};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::windows::named_pipe::NamedPipeServer;
use tokio::sync::Notify;

use crate::lock::locked;

/// Maximum number of bytes passed to the system or to a thread at a time. The rest stays in the queue, where it counts
/// as unread. Less than 64 KiB: Wine ends a process if a signal interrupts a larger write to a pipe.
const CHUNK: usize = 60 * 1024;
/// Time limit for the last write when the proxy ends; only a client that does not read exceeds it.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Reading end of a link.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    Pipe(NamedPipeServer),
    /// Read by a thread.
    Stdin(tokio::fs::File),
}

/// Writing end of a link.
#[derive(Debug)]
pub(crate) enum WriteEnd {
    Pipe(NamedPipeServer),
    /// Written by a thread.
    Other(File),
}

/// Returns the standard input of the proxy.
pub(crate) fn stdin() -> io::Result<ReadEnd> {
    let file = File::from(io::stdin().as_handle().try_clone_to_owned()?);
    Ok(ReadEnd::Stdin(file.into()))
}

/// Returns the standard output of the proxy.
pub(crate) fn stdout() -> io::Result<WriteEnd> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

impl From<OwnedHandle> for WriteEnd {
    fn from(handle: OwnedHandle) -> Self {
        Self::Other(handle.into())
    }
}

impl From<io::PipeWriter> for WriteEnd {
    fn from(pipe: io::PipeWriter) -> Self {
        OwnedHandle::from(pipe).into()
    }
}

impl From<File> for WriteEnd {
    fn from(file: File) -> Self {
        Self::Other(file)
    }
}

pub(super) struct LineSource(ReadEnd);

impl LineSource {
    #[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
    pub(super) fn new(end: ReadEnd) -> io::Result<Self> {
        Ok(Self(end))
    }

    /// Waits for bytes and appends them to `buffer`; returns 0 at the end of the stream.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let read = match &mut self.0 {
            ReadEnd::Pipe(pipe) => pipe.read_buf(buffer).await,
            ReadEnd::Stdin(stdin) => stdin.read_buf(buffer).await,
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }
}

#[derive(Debug)]
pub(super) enum Sink {
    Pipe(NamedPipeServer),
    Thread(WriterThread),
}

impl Sink {
    pub(super) fn new(end: WriteEnd) -> io::Result<Self> {
        Ok(match end {
            WriteEnd::Pipe(pipe) => Self::Pipe(pipe),
            WriteEnd::Other(file) => Self::Thread(WriterThread::start(file)?),
        })
    }

    /// Writes bytes without blocking; returns the number of bytes that are accepted now.
    pub(super) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut chunk = Vec::new();
        for part in parts {
            let free = CHUNK - chunk.len();
            chunk.extend_from_slice(&part[..part.len().min(free)]);
        }
        let result = match self {
            Self::Pipe(pipe) => pipe.try_write(&chunk),
            Self::Thread(thread) => thread.try_write(chunk),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Waits until bytes may be accepted.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Pipe(pipe) => pipe.writable().await,
            Self::Thread(thread) => {
                thread
                    .wait_until(|state| state != WriterState::Writing)
                    .await;
                Ok(())
            }
        }
    }

    /// Waits until the reader is gone. For the proxy's own stdout, only a failed write shows that.
    pub(super) async fn reader_gone(&self) {
        match self {
            // A child cannot write to its stdin, so reading can only end.
            Self::Pipe(pipe) => {
                while pipe.readable().await.is_ok() {
                    match pipe.try_read(&mut [0]) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        _ => return,
                    }
                }
            }
            Self::Thread(thread) => {
                thread
                    .wait_until(|state| state == WriterState::Failed)
                    .await
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Idle,
    Writing,
    Failed,
}

/// Thread that writes one chunk at a time. Dropping it waits for the last chunk, for a limited time.
#[derive(Debug)]
pub(super) struct WriterThread {
    chunks: mpsc::Sender<Vec<u8>>,
    shared: Arc<WriterShared>,
}

#[derive(Debug)]
struct WriterShared {
    state: Mutex<WriterState>,
    /// Wakes tasks after each write.
    written: Notify,
    /// Wakes the thread that drops the writer.
    last: Condvar,
}

impl WriterThread {
    fn start(mut file: File) -> io::Result<Self> {
        let (chunks, queue) = mpsc::channel::<Vec<u8>>();
        let shared = Arc::new(WriterShared {
            state: Mutex::new(WriterState::Idle),
            written: Notify::new(),
            last: Condvar::new(),
        });
        let writer = shared.clone();
        let write_all = move || {
            for chunk in queue {
                let state = match file.write_all(&chunk) {
                    Ok(()) => WriterState::Idle,
                    Err(_) => WriterState::Failed,
                };
                *locked(&writer.state) = state;
                writer.written.notify_waiters();
                writer.last.notify_all();
            }
        };
        thread::Builder::new()
            .name("stdout".into())
            .spawn(write_all)?;
        Ok(Self { chunks, shared })
    }

    fn try_write(&self, chunk: Vec<u8>) -> io::Result<usize> {
        let mut state = locked(&self.shared.state);
        match *state {
            WriterState::Failed => return Err(io::ErrorKind::BrokenPipe.into()),
            WriterState::Writing => return Err(io::ErrorKind::WouldBlock.into()),
            WriterState::Idle => {}
        }
        let count = chunk.len();
        if self.chunks.send(chunk).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        *state = WriterState::Writing;
        Ok(count)
    }

    async fn wait_until(&self, condition: impl Fn(WriterState) -> bool) {
        loop {
            let written = self.shared.written.notified();
            if condition(*locked(&self.shared.state)) {
                return;
            }
            written.await;
        }
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        let state = locked(&self.shared.state);
        let is_writing = |state: &mut WriterState| *state == WriterState::Writing;
        let waited = self
            .shared
            .last
            .wait_timeout_while(state, LAST_WRITE, is_writing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::io::PipeReader;
    use std::time::Duration;

    use tokio::time::timeout;

    use crate::transport::pipe;
    use crate::transport::stream::{LineReader, Outbox};

    const DEADLINE: Duration = Duration::from_secs(60);

    fn read_all(
        mut reader: impl std::io::Read + Send + 'static,
    ) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        })
    }

    /// Sends messages that exceed all buffers; returns the bytes that must arrive.
    fn send_all(outbox: &Outbox) -> Vec<u8> {
        let mut expected = Vec::new();
        for number in 0..50_u8 {
            let text = vec![b'a' + number % 26; 1 + usize::from(number) * 9973];
            outbox.send([&text, b"x", b""]);
            expected.extend_from_slice(&text);
            expected.extend_from_slice(b"x\n");
        }
        outbox.close();
        expected
    }

    #[tokio::test]
    async fn a_thread_writes_everything_in_order() {
        let (reader, writer) = std::io::pipe().unwrap();
        let outbox = Outbox::new(writer.into()).unwrap();
        let arrived = read_all(reader);
        let expected = send_all(&outbox);
        timeout(DEADLINE, outbox.closed()).await.unwrap();
        drop(outbox);
        assert!(arrived.join().unwrap() == expected);
    }

    #[tokio::test]
    async fn a_failed_write_shows_that_the_reader_is_gone() {
        let (reader, writer): (PipeReader, _) = std::io::pipe().unwrap();
        let outbox = Outbox::new(writer.into()).unwrap();
        drop(reader);
        outbox.send([b"x", b"", b""]);
        timeout(DEADLINE, outbox.reader_closed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_pipe_to_a_child_takes_everything_and_shows_its_end() {
        let (writer, reader) = pipe::to_child().unwrap();
        let outbox = Outbox::new(writer).unwrap();
        let arrived = read_all(reader);
        let expected = send_all(&outbox);
        timeout(DEADLINE, outbox.closed()).await.unwrap();
        // The last write ends while the runtime runs.
        let joined = tokio::task::spawn_blocking(|| arrived.join().unwrap());
        assert!(timeout(DEADLINE, joined).await.unwrap().unwrap() == expected);

        let (writer, reader) = pipe::to_child().unwrap();
        let outbox = Outbox::new(writer).unwrap();
        drop(reader);
        timeout(DEADLINE, outbox.reader_closed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_pipe_from_a_child_is_read_to_its_end() {
        let (reader, mut writer) = pipe::from_child().unwrap();
        let mut lines = LineReader::new(reader, 1 << 20).unwrap();
        let write = std::thread::spawn(move || {
            for number in 0..1000 {
                let line = format!("{number:>5000}\n");
                std::io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
            }
        });
        let mut count = 0;
        while timeout(DEADLINE, lines.fill()).await.unwrap().unwrap() {
            while let Some(frame) = lines.next() {
                let crate::jsonrpc::Frame::Line(line) = frame else {
                    panic!("too long");
                };
                let text = str::from_utf8(line).unwrap();
                assert_eq!(text.trim(), count.to_string());
                count += 1;
            }
        }
        assert_eq!(count, 1000);
        write.join().unwrap();
    }
}
