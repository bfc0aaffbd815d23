//! Delivers the messages of one legacy session to its client, as responses and as streams that can be resumed.

mod stream;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;

use self::stream::{BYTES, EVENTS, SessionStream};
use super::message_queue::{MessageReceiver, ResponseObserver, queue};
use crate::jsonrpc::{Members, RawId, Reply, RequestId};
use crate::lock::locked;
use crate::session::{Delivery, RelatedRequest, Undelivered};
use crate::transport::stream::Outbox;

/// Maximum number of requests in flight per session.
const REQUESTS: usize = 1000;
/// Maximum number of open streams per session, not counting response streams.
const MAX_GET_STREAMS: usize = 16;
/// First revision in which a stream begins with an event id for resuming.
const PRIMED_SINCE: &str = "2025-11-25";
/// Notifications for a client that has missed more messages than are kept.
const ALL_CHANGED: [&str; 3] = [
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#,
];

/// Delivers a session's messages to its client.
#[derive(Debug)]
pub(super) struct SessionStreams {
    state: Mutex<StreamsState>,
}

#[derive(Debug)]
struct StreamsState {
    streams: BTreeMap<u64, SessionStream>,
    /// Number of the newest stream.
    last: u64,
    /// Stream number for the answer to each request in flight.
    requests: HashMap<RequestId, u64>,
    /// Messages that belong to no request and had no open stream.
    backlog: VecDeque<Bytes>,
    /// True if a message had to be dropped from `backlog`.
    missed: bool,
    /// Id of the `initialize` request.
    initialize_id: Option<RequestId>,
    /// Negotiated revision.
    version: Option<String>,
    last_activity: Instant,
}

/// Reason why a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamError {
    /// Too many requests or streams.
    Crowded,
    /// A request with this id is already in flight.
    Twice,
    /// The client's last event belongs to no stream that is kept.
    Unknown,
}

impl SessionStreams {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(StreamsState {
                streams: BTreeMap::new(),
                last: 0,
                requests: HashMap::new(),
                backlog: VecDeque::new(),
                missed: false,
                initialize_id: None,
                version: None,
                last_activity: Instant::now(),
            }),
        }
    }

    /// Returns the negotiated revision, once it is known.
    pub(super) fn version(&self) -> Option<String> {
        self.state().version.clone()
    }

    /// Returns true if streams begin with an event that only has an id.
    pub(super) fn is_primed(&self) -> bool {
        self.state().is_primed()
    }

    /// Records the id of the client's `initialize` request.
    pub(super) fn set_initialize_id(&self, id: RawId<'_>) {
        self.state().initialize_id = Some(id.into());
    }

    /// Begins the response to the requests with these ids. Returns its stream number and its receiver. With
    /// `answers_only` it can carry no other messages.
    pub(super) fn open(
        &self,
        ids: &[RawId<'_>],
        answers_only: bool,
    ) -> Result<(u64, MessageReceiver), StreamError> {
        let mut state = self.state();
        state.last_activity = Instant::now();
        if state.requests.len() + ids.len() > REQUESTS {
            return Err(StreamError::Crowded);
        }
        let twice = |at: usize| {
            ids[..at].contains(&ids[at]) || state.requests.contains_key(ids[at].as_str())
        };
        if (0..ids.len()).any(twice) {
            return Err(StreamError::Twice);
        }
        let (sender, receiver) = queue();
        let mut stream = SessionStream::new(sender, Some(ids.len()));
        stream.answers_only = answers_only;
        let number = state.add(stream);
        for id in ids {
            state.requests.insert((*id).into(), number);
        }
        Ok((number, receiver))
    }

    /// Begins a stream for messages that belong to no request.
    pub(super) fn open_get_stream(&self) -> Result<(u64, MessageReceiver), StreamError> {
        let mut state = self.state();
        state.last_activity = Instant::now();
        let get_streams = state.streams.values().filter(|it| it.answers.is_none());
        if get_streams.filter(|it| it.is_read()).count() >= MAX_GET_STREAMS {
            return Err(StreamError::Crowded);
        }
        let (sender, receiver) = queue();
        let number = state.add(SessionStream::new(sender, None));
        state.catch_up(number);
        Ok((number, receiver))
    }

    /// Resumes a stream after the event with the id `last` (`<stream>-<event>`).
    pub(super) fn resume(
        &self,
        last: &str,
    ) -> Result<(u64, MessageReceiver, Option<usize>), StreamError> {
        let mut state = self.state();
        state.last_activity = Instant::now();
        let (number, event) = last.split_once('-').ok_or(StreamError::Unknown)?;
        let number: u64 = number.parse().map_err(|_| StreamError::Unknown)?;
        let event: u64 = event.parse().map_err(|_| StreamError::Unknown)?;
        let resumable = |it: &&mut SessionStream| it.resumable && event <= it.events;
        let stream = state.streams.get_mut(&number).filter(resumable);
        let stream = stream.ok_or(StreamError::Unknown)?;
        if stream.has_lost(event) && stream.answers.is_none() {
            // The gap must not go unnoticed: a new stream will report that everything may have changed.
            state.streams.remove(&number);
            state.missed = true;
            return Err(StreamError::Unknown);
        }
        let (sender, receiver) = queue();
        let missed = stream.log.iter().filter(|item| item.event > event);
        let answered = missed.clone().filter(|item| item.answer.is_some()).count();
        for item in missed {
            let _ = sender.push(item.clone());
        }
        let answers = stream.answers.map(|open| open + answered);
        stream.sender = Some(sender);
        stream.written = false;
        if stream.answers.is_none() {
            state.catch_up(number);
        }
        Ok((number, receiver, answers))
    }

    /// Records that the client has received event ids of this stream.
    pub(super) fn mark_resumable(&self, number: u64) {
        if let Some(stream) = self.state().streams.get_mut(&number) {
            stream.resumable = true;
        }
    }

    /// Records that the stream has no reader any more; `written` is true if it was written to the client completely.
    fn reader_gone(&self, number: u64, written: bool) {
        let mut state = self.state();
        state.last_activity = Instant::now();
        if let Some(stream) = state.streams.get_mut(&number) {
            stream.written |= written;
            if !stream.resumable {
                state.streams.remove(&number);
            } else if !stream.is_read() {
                stream.sender = None;
            }
        }
        state.drop_oldest();
    }

    /// Records activity of the client.
    pub(super) fn touch(&self) {
        self.state().last_activity = Instant::now();
    }

    /// Ends every response; open requests get `error`.
    pub(super) fn end(&self, error: &str) {
        let open: Vec<RequestId> = self.state().requests.keys().cloned().collect();
        for id in open {
            self.answer(id.as_raw(), Reply::Error(error));
        }
        self.state().streams.clear();
    }

    /// Returns the time since the client's last activity or open stream, at the time `now`.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let mut state = self.state();
        if state.streams.values().any(SessionStream::is_read) {
            state.last_activity = now;
        }
        now.saturating_duration_since(state.last_activity)
    }

    fn state(&self) -> MutexGuard<'_, StreamsState> {
        locked(&self.state)
    }
}

impl StreamsState {
    fn is_primed(&self) -> bool {
        let version = self.version.as_deref();
        version.is_some_and(|version| version >= PRIMED_SINCE)
    }

    fn add(&mut self, stream: SessionStream) -> u64 {
        self.last += 1;
        self.streams.insert(self.last, stream);
        self.last
    }

    /// Writes the backlog to a stream, preceded by [`ALL_CHANGED`] if messages were dropped.
    fn catch_up(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if std::mem::take(&mut self.missed) {
            for line in ALL_CHANGED {
                stream.write(Bytes::from_static(line.as_bytes()), None);
            }
        }
        for message in self.backlog.drain(..) {
            stream.write(message, None);
        }
    }

    fn drop_oldest(&mut self) {
        let mut counts = [(0, 0); 3];
        let mut forgotten = Vec::new();
        for (number, stream) in self.streams.iter().rev() {
            let Some(reason) = stream.keep_reason() else {
                continue;
            };
            let (count, size) = &mut counts[reason as usize];
            (*count, *size) = (*count + 1, *size + stream.size);
            let (most, bytes) = reason.limits();
            if *count > 1 && (*count > most || *size > bytes) {
                forgotten.push(*number);
            }
        }
        for number in forgotten {
            self.streams.remove(&number);
        }
    }

    /// Sends a message that cannot be sent in the response of its request, to the newest open GET stream. A request may
    /// also use an open response stream; all else is queued. Returns false if a request does not fit into the queue, or
    /// if the client waits for answers and can receive no request meanwhile.
    fn send_elsewhere(&mut self, message: Bytes, is_request: bool) -> bool {
        let mut streams = self.streams.values_mut().rev();
        let get_stream = streams.find(|it| it.answers.is_none() && it.is_read());
        let stream = match get_stream {
            None if is_request => {
                let mut streams = self.streams.values_mut().rev();
                streams.find(|it| it.takes_messages())
            }
            get_stream => get_stream,
        };
        if let Some(stream) = stream {
            stream.write(message, None);
            return true;
        }
        if is_request && self.streams.values().any(SessionStream::is_read) {
            return false;
        }
        // A notification of the same change is already queued.
        if is_repeatable(&message) && self.backlog.contains(&message) {
            return true;
        }
        let size: usize = self.backlog.iter().map(Bytes::len).sum();
        if self.backlog.len() < EVENTS && size + message.len() <= BYTES {
            self.backlog.push_back(message);
            return true;
        }
        self.missed |= !is_request;
        !is_request
    }
}

/// Returns true if a repetition of this message carries no new information.
fn is_repeatable(message: &[u8]) -> bool {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let members = Members::of(text);
    let method = members.text("method").unwrap_or_default();
    method.ends_with("/list_changed") || method == "notifications/resources/updated"
}

impl Delivery for SessionStreams {
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let mut state = self.state();
        let is_initialize = state.initialize_id.as_ref().is_some_and(|it| *it == id);
        if let (true, Reply::Result(result)) = (is_initialize, reply) {
            let result = Members::of(result);
            let version = result.text("protocolVersion");
            state.version = version.map(std::borrow::Cow::into_owned);
            state.initialize_id = None;
        }
        let number = state.requests.remove(id.as_str());
        let Some(stream) = number.and_then(|number| state.streams.get_mut(&number)) else {
            return;
        };
        let message = reply.with_id(id, |parts| parts.concat());
        stream.write(message.into(), Some(StatusCode::OK));
    }

    fn pause(&self, id: RawId<'_>) {
        let mut state = self.state();
        let primed = state.is_primed();
        let number = state.requests.get(id.as_str()).copied();
        if let Some(stream) = number.and_then(|number| state.streams.get_mut(&number))
            && (primed || (stream.resumable && stream.events > 0))
        {
            stream.sender = None;
        }
    }

    fn send(&self, line: &str, related: RelatedRequest<'_>) -> Result<(), Undelivered> {
        let message = Bytes::copy_from_slice(line.as_bytes());
        let mut state = self.state();
        let number = match related {
            RelatedRequest::Request(id) => state.requests.get(id.as_str()).copied(),
            RelatedRequest::Listen(_) | RelatedRequest::Nothing => None,
        };
        if let Some(stream) = number.and_then(|number| state.streams.get_mut(&number))
            && !stream.answers_only
        {
            stream.write(message, None);
            return Ok(());
        }
        let is_request = Members::of(line).get("id").is_some();
        if matches!(related, RelatedRequest::Request(_)) && !is_request {
            // The client has left, accepts only the answer, or has it: only a request may reach the client elsewhere.
            return Ok(());
        }
        if state.send_elsewhere(message, is_request) {
            Ok(())
        } else {
            Err(Undelivered)
        }
    }

    fn pipe(&self) -> Option<&Outbox> {
        None
    }
}

/// Reader of one stream; on drop it reports to the session's streams that the client no longer reads it.
#[derive(Debug)]
pub(super) struct StreamReadGuard {
    streams: Arc<SessionStreams>,
    number: u64,
    written: bool,
}

impl StreamReadGuard {
    pub(super) fn new(streams: Arc<SessionStreams>, number: u64) -> Self {
        Self {
            streams,
            number,
            written: false,
        }
    }
}

impl ResponseObserver for StreamReadGuard {
    fn written(&mut self) {
        self.written = true;
    }
}

impl Drop for StreamReadGuard {
    fn drop(&mut self) {
        self.streams.reader_gone(self.number, self.written);
    }
}

#[cfg(test)]
mod tests;
