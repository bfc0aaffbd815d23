//! Bytes in and out of a pipe, a socket, a terminal or a file, without blocking the protocol.

use std::fs::File;
use std::future;
use std::io::{self, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::FileType;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::jsonrpc::{Frame, Framer};
use crate::lock::locked;

/// A sender waits in [`Outbox::ready`] while more bytes than this are queued.
const HIGH_WATER: usize = 1024 * 1024;
/// A longer stretch of written bytes is given up before more is queued.
const STALE: usize = 64 * 1024;
/// Above this many bytes a message is written at once, even while corked.
const LARGE: usize = 16 * 1024;
/// A queue that grew beyond this is given back when it is empty.
const KEEP: usize = 2 * 1024 * 1024;
/// What a pipe is made to hold, four times the default: large messages need fewer turns. All pipes
/// of a user share a quota of 64 MiB, so not more.
#[cfg(target_os = "linux")]
const PIPE: usize = 256 * 1024;

/// The reading end of a link, cut into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    source: Source,
    framer: Framer,
}

enum Source {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
    /// A terminal or a file, read by a thread.
    Other(Box<dyn AsyncRead + Send + Unpin>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Lines {
    /// Reads `fd`; `limit` is the longest line in bytes.
    pub(crate) fn new(fd: OwnedFd, limit: usize) -> io::Result<Self> {
        let source = match file_type(&fd)? {
            FileType::Fifo => Source::Pipe(pipe::Receiver::from_owned_fd(widened(fd))?),
            FileType::Socket => Source::Socket(socket(fd)?),
            _ => Source::Other(Box::new(tokio::fs::File::from_std(File::from(fd)))),
        };
        Ok(Self {
            source,
            framer: Framer::new(limit),
        })
    }

    /// Waits for bytes; false at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        let room = self.framer.room();
        let read = match &mut self.source {
            Source::Pipe(pipe) => pipe.read_buf(room).await?,
            Source::Socket(socket) => socket.read_buf(room).await?,
            Source::Other(other) => other.read_buf(room).await?,
        };
        Ok(read > 0)
    }

    /// The next line that has been read.
    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        self.framer.next()
    }

    /// The line that [`next`](Self::next) has handed out last, to keep.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.framer.take()
    }

    /// Whether more than one line is ready.
    pub(crate) fn several(&mut self) -> bool {
        self.framer.several()
    }

    /// What stands behind the last line end at the end of the stream.
    pub(crate) fn rest(&mut self) -> Option<&[u8]> {
        self.framer.rest()
    }
}

/// The writing end of a link. Messages are written straight from the caller; what the other side
/// does not take at once is queued and written by a task. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Mutex<Queue>,
    /// Wakes the writing task when something is queued.
    changed: Notify,
    /// Wakes those who wait until most of it is written.
    drained: Notify,
    /// Wakes those who wait for the end. Apart from `drained`, so that messages do not wake them.
    ended: Notify,
}

#[derive(Debug)]
struct Queue {
    /// Nothing after [`Outbox::close`] or a failed write.
    sink: Option<Arc<Sink>>,
    bytes: Vec<u8>,
    /// How many of `bytes` are written.
    written: usize,
    /// How many [`Cork`]s there are.
    corks: usize,
    /// No new messages; what is queued is still written.
    closing: bool,
}

impl Queue {
    /// How many bytes wait.
    fn backlog(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Gives up what is written, once it is half of all: between a server and a client that is a
    /// little slower the queue is never empty. Moves no byte more often than once on average.
    fn compact(&mut self) {
        if self.written > STALE && self.written >= self.backlog() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[derive(Debug)]
enum Sink {
    Pipe(pipe::Sender),
    Socket(UnixStream),
    /// A terminal or a file: written at once, it does not keep anyone waiting for long.
    Other(Mutex<File>),
}

impl Sink {
    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = match self {
            Self::Pipe(pipe) => pipe.try_write_vectored(parts),
            Self::Socket(socket) => socket.try_write_vectored(parts),
            Self::Other(file) => locked(file).write_vectored(parts),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Pipe(pipe) => pipe.writable().await,
            Self::Socket(socket) => socket.writable().await,
            Self::Other(_) => Ok(()),
        }
    }

    /// Waits until nobody reads any more, where that can be told without writing.
    async fn unread(&self) {
        match self {
            Self::Pipe(pipe) => _ = pipe.ready(Interest::ERROR).await,
            Self::Socket(_) | Self::Other(_) => future::pending().await,
        }
    }
}

impl Outbox {
    /// Writes to `fd`. Must be called inside a runtime: it starts the task that writes what is queued.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let sink = match file_type(&fd)? {
            FileType::Fifo => Sink::Pipe(pipe::Sender::from_owned_fd(widened(fd))?),
            FileType::Socket => Sink::Socket(socket(fd)?),
            _ => Sink::Other(Mutex::new(File::from(fd))),
        };
        let queue = Queue {
            sink: Some(Arc::new(sink)),
            bytes: Vec::new(),
            written: 0,
            corks: 0,
            closing: false,
        };
        let outbox = Self(Arc::new(Inner {
            queue: Mutex::new(queue),
            changed: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
        }));
        tokio::spawn(outbox.clone().write_queued());
        Ok(outbox)
    }

    /// Sends one message made of `parts`; the line end is added. Never blocks. After the other side
    /// has gone, nothing happens.
    pub(crate) fn send(&self, parts: [&[u8]; 3]) {
        let mut queue = locked(&self.0.queue);
        if queue.closing {
            return;
        }
        let Some(sink) = queue.sink.clone() else {
            return;
        };
        let [a, b, c] = parts;
        let all = [a, b, c, b"\n"];
        let length: usize = all.iter().map(|part| part.len()).sum();
        let waiting = queue.backlog() > 0;
        let mut sent = 0;
        if !waiting && (queue.corks == 0 || length > LARGE) {
            match sink.try_write(&all.map(IoSlice::new)) {
                Ok(count) => sent = count,
                Err(_) => return self.fail(queue),
            }
        }
        if sent == length {
            return;
        }
        queue.compact();
        for part in all {
            let skip = sent.min(part.len());
            queue.bytes.extend_from_slice(&part[skip..]);
            sent -= skip;
        }
        if queue.corks == 0 {
            drop(queue);
            self.0.changed.notify_one();
        }
    }

    /// Gathers messages until the cork is dropped, then writes them at once.
    pub(crate) fn cork(&self) -> Cork {
        locked(&self.0.queue).corks += 1;
        Cork(self.clone())
    }

    /// How many bytes wait for the other side.
    pub(crate) fn backlog(&self) -> usize {
        locked(&self.0.queue).backlog()
    }

    /// Waits until the other side has taken most of what is queued.
    pub(crate) async fn ready(&self) {
        self.ready_beyond(HIGH_WATER).await;
    }

    /// As [`Self::ready`], but only if more than `limit` bytes are queued, which is to be above the
    /// usual limit.
    pub(crate) async fn ready_beyond(&self, limit: usize) {
        loop {
            let drained = self.0.drained.notified();
            {
                let queue = locked(&self.0.queue);
                if queue.sink.is_none() || queue.backlog() <= limit {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Closes the writing end once what is queued is written; nothing more is accepted.
    pub(crate) fn close(&self) {
        let mut queue = locked(&self.0.queue);
        queue.closing = true;
        if queue.backlog() == 0 {
            queue.sink = None;
        }
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Waits until the other side is gone or [`Self::close`] has taken effect.
    pub(crate) async fn closed(&self) {
        loop {
            let ended = self.0.ended.notified();
            let Some(sink) = locked(&self.0.queue).sink.clone() else {
                return;
            };
            tokio::select! {
                () = ended => {}
                () = sink.unread() => return,
            }
        }
    }

    /// Waits until the other side is gone without [`Self::close`]; for ever if that comes first.
    pub(crate) async fn deserted(&self) {
        self.closed().await;
        if locked(&self.0.queue).closing {
            future::pending::<()>().await;
        }
    }

    fn fail(&self, mut queue: MutexGuard<'_, Queue>) {
        queue.sink = None;
        queue.bytes = Vec::new();
        queue.written = 0;
        drop(queue);
        self.0.changed.notify_one();
        self.0.drained.notify_waiters();
        self.0.ended.notify_waiters();
    }

    /// Writes what is queued; false if the other side takes no more now.
    fn flush(&self) -> bool {
        let mut queue = locked(&self.0.queue);
        while queue.backlog() > 0 {
            let Some(sink) = queue.sink.clone() else {
                break;
            };
            match sink.try_write(&[IoSlice::new(&queue.bytes[queue.written..])]) {
                Ok(0) => return false,
                Ok(count) => {
                    let above = queue.backlog() > HIGH_WATER;
                    queue.written += count;
                    if above && queue.backlog() <= HIGH_WATER {
                        self.0.drained.notify_waiters();
                    }
                }
                Err(_) => {
                    self.fail(queue);
                    return true;
                }
            }
        }
        queue.bytes.clear();
        queue.written = 0;
        if queue.bytes.capacity() > KEEP {
            queue.bytes = Vec::new();
        }
        if queue.closing {
            queue.sink = None;
            self.0.ended.notify_waiters();
        }
        true
    }

    /// The writing task: ends when the sink is closed.
    async fn write_queued(self) {
        loop {
            if self.flush() {
                if locked(&self.0.queue).sink.is_none() {
                    return;
                }
                self.0.changed.notified().await;
                continue;
            }
            let Some(sink) = locked(&self.0.queue).sink.clone() else {
                return;
            };
            tokio::select! {
                _ = sink.writable() => {}
                () = self.0.changed.notified() => {}
            }
        }
    }
}

/// Holds messages back until it is dropped.
#[derive(Debug)]
pub(crate) struct Cork(Outbox);

impl Drop for Cork {
    fn drop(&mut self) {
        let last = {
            let mut queue = locked(&self.0.0.queue);
            queue.corks -= 1;
            queue.corks == 0 && queue.backlog() > 0
        };
        if last && !self.0.flush() {
            self.0.0.changed.notify_one();
        }
    }
}

fn file_type(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// The pipe with room for [`PIPE`] bytes, if the system grants it.
fn widened(fd: OwnedFd) -> OwnedFd {
    #[cfg(target_os = "linux")]
    if rustix::pipe::fcntl_getpipe_size(&fd).is_ok_and(|size| size < PIPE)
        && let Err(error) = rustix::pipe::fcntl_setpipe_size(&fd, PIPE)
    {
        tracing::debug!(%error, "a pipe keeps its size");
    }
    fd
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

#[cfg(test)]
mod tests;
