//! How the messages of one session reach its client: responses and streams, which can be resumed.

mod stream;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;

use self::stream::{BYTES, EVENTS, Stream};
use super::feed::{Feed, Reader, feed};
use crate::jsonrpc::{Members, Reply};
use crate::lock::locked;
use crate::session::{About, Delivery, Undelivered};
use crate::transport::stream::Outbox;

/// So many requests of a session may be in flight.
const REQUESTS: usize = 1000;
/// So many streams of a session may be open beside those of requests.
const STANDING: usize = 16;
/// From this revision on a stream begins with an id that a client can come back by.
const PRIMED_SINCE: &str = "2025-11-25";
/// What is told to a client that has missed more than is kept.
const ALL_CHANGED: [&str; 3] = [
    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#,
];

/// How a session's messages reach its client.
#[derive(Debug)]
pub(super) struct Room {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    streams: BTreeMap<u64, Stream>,
    /// Number of the newest stream.
    last: u64,
    /// The requests in flight by their raw ids, and the streams that their answers go to.
    requests: HashMap<Box<str>, u64>,
    /// What concerns no request and had no stream to go to.
    backlog: VecDeque<Bytes>,
    /// Something of that had to be dropped.
    missed: bool,
    /// The raw id of the `initialize` request.
    greeting: Option<Box<str>>,
    /// The revision that was agreed on.
    version: Option<String>,
    used: Instant,
}

/// Why a stream cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// There are too many.
    Crowded,
    /// A request of this id is in flight.
    Twice,
    /// The last event that the client has got is of no stream that is kept.
    Unknown,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                streams: BTreeMap::new(),
                last: 0,
                requests: HashMap::new(),
                backlog: VecDeque::new(),
                missed: false,
                greeting: None,
                version: None,
                used: Instant::now(),
            }),
        }
    }

    /// The revision that was agreed on, once it was.
    pub(super) fn version(&self) -> Option<String> {
        self.state().version.clone()
    }

    /// Whether streams begin with an event that only has an id.
    pub(super) fn is_primed(&self) -> bool {
        self.state().is_primed()
    }

    /// Learns under which raw id the client introduces itself.
    pub(super) fn greet(&self, id: &str) {
        self.state().greeting = Some(id.into());
    }

    /// Begins the response to the requests of these raw ids. Gives its number and what it is to bring.
    pub(super) fn open(&self, ids: &[&str]) -> Result<(u64, Feed), Denied> {
        let mut state = self.state();
        state.used = Instant::now();
        if state.requests.len() + ids.len() > REQUESTS {
            return Err(Denied::Crowded);
        }
        let twice =
            |at: usize| ids[..at].contains(&ids[at]) || state.requests.contains_key(ids[at]);
        if (0..ids.len()).any(twice) {
            return Err(Denied::Twice);
        }
        let (feeder, feed) = feed();
        let number = state.add(Stream::new(feeder, Some(ids.len())));
        for id in ids {
            state.requests.insert((*id).into(), number);
        }
        Ok((number, feed))
    }

    /// Begins a stream for what concerns no request.
    pub(super) fn stand(&self) -> Result<(u64, Feed), Denied> {
        let mut state = self.state();
        state.used = Instant::now();
        let standing = state.streams.values().filter(|it| it.answers.is_none());
        if standing.filter(|it| it.is_read()).count() >= STANDING {
            return Err(Denied::Crowded);
        }
        let (feeder, feed) = feed();
        let number = state.add(Stream::new(feeder, None));
        state.catch_up(number);
        Ok((number, feed))
    }

    /// Goes on with a stream behind the event of the id `last` (`<stream>-<event>`).
    pub(super) fn resume(&self, last: &str) -> Result<(u64, Feed, Option<usize>), Denied> {
        let mut state = self.state();
        state.used = Instant::now();
        let (number, event) = last.split_once('-').ok_or(Denied::Unknown)?;
        let number: u64 = number.parse().map_err(|_| Denied::Unknown)?;
        let event: u64 = event.parse().map_err(|_| Denied::Unknown)?;
        let resumable = |it: &&mut Stream| it.resumable && event <= it.events;
        let stream = state.streams.get_mut(&number).filter(resumable);
        let stream = stream.ok_or(Denied::Unknown)?;
        if stream.has_lost(event) && stream.answers.is_none() {
            // It must not look as if nothing were missing. A new stream will say what may have changed.
            state.streams.remove(&number);
            state.missed = true;
            return Err(Denied::Unknown);
        }
        let (feeder, feed) = feed();
        let missed = stream.log.iter().filter(|item| item.event > event);
        let answered = missed.clone().filter(|item| item.answer.is_some()).count();
        for item in missed {
            let _ = feeder.push(item.clone());
        }
        let answers = stream.answers.map(|open| open + answered);
        stream.feeder = Some(feeder);
        stream.written = false;
        if stream.answers.is_none() {
            state.catch_up(number);
        }
        Ok((number, feed, answers))
    }

    /// The client has been given ids of the stream's events.
    pub(super) fn promise(&self, number: u64) {
        if let Some(stream) = self.state().streams.get_mut(&number) {
            stream.resumable = true;
        }
    }

    /// Nobody reads the stream any more; `written` tells that all of it was written to the client.
    fn leave(&self, number: u64, written: bool) {
        let mut state = self.state();
        state.used = Instant::now();
        if let Some(stream) = state.streams.get_mut(&number) {
            stream.written |= written;
            if !stream.resumable {
                state.streams.remove(&number);
            } else if !stream.is_read() {
                stream.feeder = None;
            }
        }
        state.forget_the_oldest();
    }

    /// The client is alive.
    pub(super) fn touch(&self) {
        self.state().used = Instant::now();
    }

    /// Ends every response; what was asked and has no answer yet gets the raw `error`.
    pub(super) fn end(&self, error: &str) {
        let open: Vec<Box<str>> = self.state().requests.keys().cloned().collect();
        for id in open {
            self.answer(&id, Reply::Error(error));
        }
        self.state().streams.clear();
    }

    /// For how long nothing was heard of the client and none of its streams was open, at the time `now`.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let mut state = self.state();
        if state.streams.values().any(Stream::is_read) {
            state.used = now;
        }
        now.saturating_duration_since(state.used)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn is_primed(&self) -> bool {
        let version = self.version.as_deref();
        version.is_some_and(|version| version >= PRIMED_SINCE)
    }

    fn add(&mut self, stream: Stream) -> u64 {
        self.last += 1;
        self.streams.insert(self.last, stream);
        self.last
    }

    /// Writes to a stream what had none to go to.
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

    fn forget_the_oldest(&mut self) {
        let mut counts = [(0, 0); 3];
        let mut forgotten = Vec::new();
        for (number, stream) in self.streams.iter().rev() {
            let Some(kept) = stream.kept() else { continue };
            let (count, size) = &mut counts[kept as usize];
            (*count, *size) = (*count + 1, *size + stream.size);
            let (most, bytes) = kept.limits();
            if *count > 1 && (*count > most || *size > bytes) {
                forgotten.push(*number);
            }
        }
        for number in forgotten {
            self.streams.remove(&number);
        }
    }

    /// Sends what concerns no request: to the newest stream that is read. What asks for an answer may go
    /// to the response of a request as well; anything else waits. False if a question finds no room to wait.
    fn spread(&mut self, message: Bytes, asks: bool) -> bool {
        let read = |stream: &&mut Stream| stream.is_read();
        let mut streams = self.streams.values_mut().rev();
        let standing = streams.find(|it| it.answers.is_none() && it.is_read());
        let stream = match standing {
            None if asks => self.streams.values_mut().rev().find(read),
            standing => standing,
        };
        if let Some(stream) = stream {
            stream.write(message, None);
            return true;
        }
        // A list that changed twice has changed.
        if is_news(&message) && self.backlog.contains(&message) {
            return true;
        }
        let size: usize = self.backlog.iter().map(Bytes::len).sum();
        if self.backlog.len() < EVENTS && size + message.len() <= BYTES {
            self.backlog.push_back(message);
            return true;
        }
        self.missed |= !asks;
        !asks
    }
}

/// Whether saying it twice says no more than once.
fn is_news(message: &[u8]) -> bool {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let members = Members::of(text);
    let method = members.text("method").unwrap_or_default();
    method.ends_with("/list_changed") || method == "notifications/resources/updated"
}

impl Delivery for Room {
    fn answer(&self, id: &str, reply: Reply<'_>) {
        let mut state = self.state();
        if let (true, Reply::Result(result)) = (state.greeting.as_deref() == Some(id), reply) {
            let result = Members::of(result);
            let version = result.text("protocolVersion");
            state.version = version.map(std::borrow::Cow::into_owned);
            state.greeting = None;
        }
        let number = state.requests.remove(id);
        let Some(stream) = number.and_then(|number| state.streams.get_mut(&number)) else {
            return;
        };
        let message = reply.under(id, |parts| parts.concat());
        stream.write(message.into(), Some(StatusCode::OK));
    }

    fn pause(&self, id: &str) {
        let mut state = self.state();
        let primed = state.is_primed();
        let number = state.requests.get(id).copied();
        if let Some(stream) = number.and_then(|number| state.streams.get_mut(&number))
            && (primed || (stream.resumable && stream.events > 0))
        {
            stream.feeder = None;
        }
    }

    fn send(&self, line: &str, about: About<'_>) -> Result<(), Undelivered> {
        let message = Bytes::copy_from_slice(line.as_bytes());
        let mut state = self.state();
        let number = match about {
            About::Request(id) => state.requests.get(id).copied(),
            About::Listen(_) | About::Nothing => None,
        };
        if let Some(stream) = number.and_then(|number| state.streams.get_mut(&number)) {
            stream.write(message, None);
            return Ok(());
        }
        let asks = Members::of(line).get("id").is_some();
        if matches!(about, About::Request(_)) && !asks {
            // Its client has gone, or it was answered: only a question may still reach the client elsewhere.
            return Ok(());
        }
        if state.spread(message, asks) {
            Ok(())
        } else {
            Err(Undelivered)
        }
    }

    fn pipe(&self) -> Option<&Outbox> {
        None
    }
}

/// Tells a session's streams that the client reads one of them no more.
#[derive(Debug)]
pub(super) struct Reading {
    room: Arc<Room>,
    number: u64,
    written: bool,
}

impl Reading {
    pub(super) fn new(room: Arc<Room>, number: u64) -> Self {
        Self {
            room,
            number,
            written: false,
        }
    }
}

impl Reader for Reading {
    fn written(&mut self) {
        self.written = true;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.room.leave(self.number, self.written);
    }
}

#[cfg(test)]
mod tests;
