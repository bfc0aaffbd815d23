//! Reads and writes pipes, sockets, terminals and files without blocking the protocol.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::future;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use crate::jsonrpc::{Frame, Framer};
use crate::lock::locked;
use system::{LineSource, Sink};
pub(crate) use system::{ReadEnd, WriteEnd, stdin, stdout};

/// Queue length in bytes above which a sender waits in [`Outbox::ready`].
const HIGH_WATER: usize = 1024 * 1024;
/// Number of written bytes above which the queue is compacted before more is queued.
const STALE: usize = 64 * 1024;
/// Message size in bytes above which a message is written immediately, even while corked.
const LARGE: usize = 16 * 1024;

/// Number of bytes kept for a reader that does not read. A single message may exceed it.
pub(crate) const MAX_UNREAD: usize = 16 * 1024 * 1024;
/// Capacity in bytes above which an empty queue is freed.
const MAX_KEPT_CAPACITY: usize = 2 * 1024 * 1024;

/// Reading end of a link, split into lines.
#[derive(Debug)]
pub(crate) struct LineReader {
    source: LineSource,
    framer: Framer,
}

impl std::fmt::Debug for LineSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl LineReader {
    /// Reads `end`; `limit` is the maximum line length in bytes.
    pub(crate) fn new(end: ReadEnd, limit: usize) -> io::Result<Self> {
        Ok(Self {
            source: LineSource::new(end)?,
            framer: Framer::new(limit),
        })
    }

    /// Waits for bytes; returns false at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        let read = self.source.read(self.framer.read_buffer()).await?;
        Ok(read > 0)
    }

    /// Returns the next line that has been read.
    pub(crate) fn next(&mut self) -> Option<Frame<'_>> {
        self.framer.next()
    }

    /// Returns the line last returned by [`next`](Self::next), as an owned value.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.framer.take()
    }

    /// Returns true if more than one line is ready.
    pub(crate) fn has_several(&mut self) -> bool {
        self.framer.several()
    }

    /// Returns the bytes after the last line end, once the stream has ended.
    pub(crate) fn rest(&mut self) -> Option<&[u8]> {
        self.framer.rest()
    }
}

/// Writing end of a link. The caller writes messages directly; a task writes the bytes that the other side does not
/// accept immediately, from a queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<OutboxInner>);

#[derive(Debug)]
struct OutboxInner {
    queue: Mutex<WriteQueue>,
    /// Wakes the writing task when bytes are queued.
    changed: Notify,
    /// Wakes tasks that wait until most of the queue is written.
    drained: Notify,
    /// Wakes tasks that wait for the end. Separate from `drained`, so that messages do not wake them.
    ended: Notify,
}

#[derive(Debug)]
struct WriteQueue {
    /// `None` after [`Outbox::close`] or a failed write.
    sink: Option<Arc<Sink>>,
    bytes: Vec<u8>,
    /// Number of bytes at the start of `bytes` that are already written.
    written: usize,
    /// Number of live [`Cork`]s.
    corks: usize,
    /// True once new messages are refused; queued bytes are still written.
    closing: bool,
}

impl WriteQueue {
    /// Returns the number of queued bytes not yet written.
    fn backlog(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Discards written bytes once they are at least half of the buffer: between a server and a slightly slower client
    /// the queue never becomes empty. On average, each byte is moved at most once.
    fn compact(&mut self) {
        if self.written > STALE && self.written >= self.backlog() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

impl Outbox {
    /// Writes to `end`. Must be called inside a tokio runtime: spawns the task that writes queued bytes.
    pub(crate) fn new(end: WriteEnd) -> io::Result<Self> {
        let queue = WriteQueue {
            sink: Some(Arc::new(Sink::new(end)?)),
            bytes: Vec::new(),
            written: 0,
            corks: 0,
            closing: false,
        };
        let outbox = Self(Arc::new(OutboxInner {
            queue: Mutex::new(queue),
            changed: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
        }));
        tokio::spawn(outbox.clone().write_queued());
        Ok(outbox)
    }

    /// Sends one message made of `parts` and adds the line end. Never blocks. Does nothing after the other side has
    /// closed.
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

    /// Collects messages until the cork is dropped, then writes them together.
    pub(crate) fn cork(&self) -> Cork {
        locked(&self.0.queue).corks += 1;
        Cork(self.clone())
    }

    /// Returns the number of bytes waiting for the other side.
    pub(crate) fn backlog(&self) -> usize {
        locked(&self.0.queue).backlog()
    }

    /// Waits until the other side has read most of the queue.
    pub(crate) async fn ready(&self) {
        self.ready_beyond(HIGH_WATER).await;
    }

    /// Like [`Self::ready`], but waits only if more than `limit` bytes are queued. `limit` should exceed
    /// [`HIGH_WATER`].
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

    /// Closes the writing end after writing the queued bytes; refuses new messages.
    pub(crate) fn close(&self) {
        let mut queue = locked(&self.0.queue);
        queue.closing = true;
        if queue.backlog() == 0 {
            queue.sink = None;
        }
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Returns true after [`Self::close`].
    pub(crate) fn is_closing(&self) -> bool {
        locked(&self.0.queue).closing
    }

    /// Waits until the other side has closed or [`Self::close`] has taken effect.
    pub(crate) async fn closed(&self) {
        loop {
            let ended = self.0.ended.notified();
            let Some(sink) = locked(&self.0.queue).sink.clone() else {
                return;
            };
            tokio::select! {
                () = ended => {}
                () = sink.reader_gone() => return,
            }
        }
    }

    /// Waits until the other side closes without [`Self::close`]; never resolves if `close` is called first.
    pub(crate) async fn reader_closed(&self) {
        self.closed().await;
        if locked(&self.0.queue).closing {
            future::pending::<()>().await;
        }
    }

    fn fail(&self, mut queue: MutexGuard<'_, WriteQueue>) {
        queue.sink = None;
        queue.bytes = Vec::new();
        queue.written = 0;
        drop(queue);
        self.0.changed.notify_one();
        self.0.drained.notify_waiters();
        self.0.ended.notify_waiters();
    }

    /// Writes queued bytes; returns false if the other side currently accepts no more.
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
        if queue.bytes.capacity() > MAX_KEPT_CAPACITY {
            queue.bytes = Vec::new();
        }
        if queue.closing {
            queue.sink = None;
            self.0.ended.notify_waiters();
        }
        true
    }

    /// Runs the writing task; ends when the sink is closed.
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

/// Holds back messages until it is dropped.
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

#[cfg(test)]
#[cfg(unix)]
mod tests;
