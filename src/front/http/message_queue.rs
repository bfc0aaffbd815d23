//! Queues messages for a client and writes them as a response.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval_at};

use crate::transport::stream::MAX_UNREAD;

/// Time without a message after which a stream carries a comment: proxies and clients close silent streams.
const SILENCE: Duration = Duration::from_secs(15);
/// Maximum size in bytes of a message that is copied into one buffer with its event fields.
const SMALL: usize = 16 * 1024;

/// One message for a client.
#[derive(Debug, Clone)]
pub(super) struct QueuedMessage {
    /// Event number in its stream, from 1, if the events have ids.
    pub(super) event: u64,
    pub(super) message: Bytes,
    /// HTTP status for the message if it answers a request.
    pub(super) answer: Option<StatusCode>,
}

/// Error: the queue accepts no more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueClosed;

/// Writing end of a queue.
#[derive(Debug)]
pub(super) struct MessageSender {
    sender: mpsc::UnboundedSender<QueuedMessage>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Reading end of a queue.
#[derive(Debug)]
pub(super) struct MessageReceiver {
    receiver: mpsc::UnboundedReceiver<QueuedMessage>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Creates both ends of a queue, which is limited by its size in bytes.
pub(super) fn queue() -> (MessageSender, MessageReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let message_sender = MessageSender {
        sender,
        queued_bytes: queued_bytes.clone(),
    };
    (
        message_sender,
        MessageReceiver {
            receiver,
            queued_bytes,
        },
    )
}

impl MessageSender {
    /// Queues a message. Returns an error if the reader has gone or is too slow; the caller must drop the sender then.
    pub(super) fn push(&self, item: QueuedMessage) -> Result<(), QueueClosed> {
        let size = item.message.len();
        // A single message may exceed the limit.
        if self.queued_bytes.fetch_add(size, Ordering::Relaxed) > MAX_UNREAD {
            return Err(QueueClosed);
        }
        self.sender.send(item).map_err(|_| QueueClosed)
    }

    /// Returns true if the queue has a reader.
    pub(super) fn is_read(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl MessageReceiver {
    /// Returns the next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<QueuedMessage> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<QueuedMessage>> {
        self.receiver.poll_recv(cx).map(|item| {
            if let Some(item) = &item {
                self.queued_bytes
                    .fetch_sub(item.message.len(), Ordering::Relaxed);
            }
            item
        })
    }
}

/// Observer of a client that reads a response. Dropped once the client reads no more of it.
pub(super) trait ResponseObserver: Send + Unpin + 'static {
    /// Called when the response is written completely.
    fn written(&mut self);
}

/// Response as server-sent events.
#[derive(Debug)]
pub(super) struct SseBody<G> {
    receiver: MessageReceiver,
    /// Bytes to write before the next message.
    pending: std::collections::VecDeque<Bytes>,
    /// Number of the stream, if its events have ids.
    stream: Option<u64>,
    /// Number of outstanding answers; `None` if the stream ends with its queue.
    outstanding: Option<usize>,
    silence: Interval,
    observer: G,
}

impl<G: ResponseObserver> SseBody<G> {
    /// Creates a response from `first` and then `receiver`. `stream` is its number if events have ids. The response
    /// ends after `outstanding` answers.
    pub(super) fn new(
        receiver: MessageReceiver,
        first: Vec<QueuedMessage>,
        stream: Option<u64>,
        outstanding: Option<usize>,
        observer: G,
    ) -> Self {
        let mut events = Self {
            receiver,
            pending: std::collections::VecDeque::new(),
            stream,
            outstanding,
            silence: interval_at(Instant::now() + SILENCE, SILENCE),
            observer,
        };
        for item in first {
            events.push_event(&item);
        }
        events
    }

    /// Starts with an event without data, whose id lets a client resume before it has received any other event.
    pub(super) fn prime(&mut self) {
        if let Some(stream) = self.stream {
            let event = format!("id: {stream}-0\nretry: 1000\ndata: \n\n");
            self.pending.push_front(event.into());
        }
    }

    fn push_event(&mut self, item: &QueuedMessage) {
        if let (Some(answers), Some(_)) = (&mut self.outstanding, item.answer) {
            *answers -= 1;
        }
        let mut head = String::from("event: message\n");
        if let Some(stream) = self.stream {
            let _ = writeln!(head, "id: {stream}-{}", item.event);
        }
        head += "data: ";
        let message = in_one_line(&item.message);
        if message.len() > SMALL {
            let pieces = [head.into(), message, Bytes::from_static(b"\n\n")];
            return self.pending.extend(pieces);
        }
        let mut event = head.into_bytes();
        event.extend_from_slice(&message);
        event.extend_from_slice(b"\n\n");
        self.pending.push_back(event.into());
    }
}

/// Returns a message without carriage returns, which would end a line of an event. In JSON they are only white space.
fn in_one_line(message: &Bytes) -> Bytes {
    if memchr::memchr(b'\r', message).is_none() {
        return message.clone();
    }
    let blank = |byte: &u8| if *byte == b'\r' { b' ' } else { *byte };
    message.iter().map(blank).collect()
}

impl<G: ResponseObserver> http_body::Body for SseBody<G> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(bytes) = self.pending.pop_front() {
                self.silence.reset();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.outstanding == Some(0) {
                self.observer.written();
                return Poll::Ready(None);
            }
            match self.receiver.poll_next(cx) {
                Poll::Ready(Some(item)) => self.push_event(&item),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    std::task::ready!(self.silence.poll_tick(cx));
                    self.pending.push_back(Bytes::from_static(b":\n\n"));
                }
            }
        }
    }
}
