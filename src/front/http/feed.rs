//! The way from whoever has something for a client to the response that brings it.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval_at};

/// A client that leaves more bytes than this of one response unread gets no more of it.
const UNREAD: usize = 16 * 1024 * 1024;
/// After so long without a message a stream carries a comment: proxies and clients give up silent ones.
const SILENCE: Duration = Duration::from_secs(15);
/// A message up to this many bytes is copied into one piece with what stands around it.
const SMALL: usize = 16 * 1024;

/// One message for a client.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its number among those of its stream, from 1, where they are numbered.
    pub(super) event: u64,
    pub(super) message: Bytes,
    /// The HTTP status that it deserves if it answers a request.
    pub(super) answer: Option<StatusCode>,
}

/// Why a feed takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// The writing end.
#[derive(Debug)]
pub(super) struct Feeder {
    sender: mpsc::UnboundedSender<Item>,
    queued: Arc<AtomicUsize>,
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Feed {
    receiver: mpsc::UnboundedReceiver<Item>,
    queued: Arc<AtomicUsize>,
}

/// Both ends. What is queued between them is bounded by its size in bytes.
pub(super) fn feed() -> (Feeder, Feed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let feeder = Feeder {
        sender,
        queued: queued.clone(),
    };
    (feeder, Feed { receiver, queued })
}

impl Feeder {
    /// Passes a message on. An error if nobody reads it, or not fast enough: it must be dropped then.
    pub(super) fn push(&self, item: Item) -> Result<(), Gone> {
        let size = item.message.len();
        // One message may be larger than all that may wait.
        if self.queued.fetch_add(size, Ordering::Relaxed) > UNREAD {
            return Err(Gone);
        }
        self.sender.send(item).map_err(|_| Gone)
    }

    /// Whether somebody reads.
    pub(super) fn is_read(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Feed {
    /// The next message; nothing when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Item> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.receiver.poll_recv(cx).map(|item| {
            if let Some(item) = &item {
                self.queued.fetch_sub(item.message.len(), Ordering::Relaxed);
            }
            item
        })
    }
}

/// Whoever reads a response. Being dropped means that no more of it is read.
pub(super) trait Reader: Send + Unpin + 'static {
    /// All of it was written.
    fn written(&mut self);
}

/// A response as server-sent events.
#[derive(Debug)]
pub(super) struct Events<G> {
    feed: Feed,
    /// Bytes that come before the next message.
    ahead: std::collections::VecDeque<Bytes>,
    /// The stream's number, if its events have ids.
    stream: Option<u64>,
    /// Answers that are still to come; nothing if the stream ends with its feed.
    answers: Option<usize>,
    silence: Interval,
    reader: G,
}

impl<G: Reader> Events<G> {
    /// What `feed` gives after `first`. `stream` is its number if events are to have ids, `answers` how many
    /// answers end it.
    pub(super) fn new(
        feed: Feed,
        first: Vec<Item>,
        stream: Option<u64>,
        answers: Option<usize>,
        reader: G,
    ) -> Self {
        let mut events = Self {
            feed,
            ahead: std::collections::VecDeque::new(),
            stream,
            answers,
            silence: interval_at(Instant::now() + SILENCE, SILENCE),
            reader,
        };
        for item in first {
            events.frame(&item);
        }
        events
    }

    /// Begins with an event without data, by whose id a client can come back that has got no other.
    pub(super) fn primed(mut self) -> Self {
        if let Some(stream) = self.stream {
            let event = format!("id: {stream}-0\nretry: 1000\ndata: \n\n");
            self.ahead.push_front(event.into());
        }
        self
    }

    /// The body of a response.
    pub(super) fn into_body(self) -> Body {
        Body::new(self)
    }

    fn frame(&mut self, item: &Item) {
        if let (Some(answers), Some(_)) = (&mut self.answers, item.answer) {
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
            return self.ahead.extend(pieces);
        }
        let mut event = head.into_bytes();
        event.extend_from_slice(&message);
        event.extend_from_slice(b"\n\n");
        self.ahead.push_back(event.into());
    }
}

/// A message without carriage returns, which would end a line of an event. In JSON they are nothing but space.
fn in_one_line(message: &Bytes) -> Bytes {
    if memchr::memchr(b'\r', message).is_none() {
        return message.clone();
    }
    let blank = |byte: &u8| if *byte == b'\r' { b' ' } else { *byte };
    message.iter().map(blank).collect()
}

impl<G: Reader> http_body::Body for Events<G> {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(bytes) = self.ahead.pop_front() {
                self.silence.reset();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.answers == Some(0) {
                self.reader.written();
                return Poll::Ready(None);
            }
            match self.feed.poll_next(cx) {
                Poll::Ready(Some(item)) => self.frame(&item),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    std::task::ready!(self.silence.poll_tick(cx));
                    self.ahead.push_back(Bytes::from_static(b":\n\n"));
                }
            }
        }
    }
}
