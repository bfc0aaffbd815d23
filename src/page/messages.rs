//! The newest messages of all sessions: the lines of the recorder, and the exchanges that they form. A request, its way to
//! a server and its response are one exchange; any other message is one of its own.

mod ended;
mod journal;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::page_recording::PageRecording;
use crate::jsonrpc::unquoted;
use crate::output::rfc3339;
use crate::recorder::{MessageSummary, RecordedLine};
use crate::server::PAGE_ID;
use ended::EndedGenerations;
pub(super) use ended::SessionGeneration;
use journal::ChangeJournal;

/// Limits of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogLimits {
    /// Maximum size of the exchanges with their lines in bytes.
    size: usize,
    /// Maximum number of exchanges.
    exchanges: usize,
}

impl LogLimits {
    /// Limits of a proxy, which may run for days.
    pub(super) const PROXY: Self = Self {
        size: 64 * 1024 * 1024,
        exchanges: 100_000,
    };
    /// Limits of a file. A browser's list has a maximum height, which 500 000 rows of a narrow window almost reach.
    pub(super) const FILE: Self = Self {
        size: 1024 * 1024 * 1024,
        exchanges: 500_000,
    };
}

/// Minimum number of open requests from which on those without an exchange are forgotten.
const MAX_OPEN: usize = 10_000;
/// Maximum length of an id in bytes. Requests with longer ones remain open.
const MAX_ID: usize = 256;

/// Sender of requests and answers that the page makes.
pub(super) const PAGE: &str = "page";

/// Methods of a handshake, by which a generation proves itself.
pub(super) const HANDSHAKE: [&str; 3] =
    ["initialize", "notifications/initialized", "server/discover"];

/// State of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExchangeOutcome {
    /// The request is not answered.
    Open,
    /// The request is not answered, and its receiver has ended.
    Unanswered,
    /// The message is not a request.
    Notice,
    Done,
    /// The answer is an error, in words.
    Failed(String),
}

/// Request with its response, or another message. Times are microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) number: u64,
    pub(super) at: u64,
    /// Id of the process and number of the session.
    pub(super) session: Arc<str>,
    /// Number of the session, after that of the proxy and a dash unless it is the first proxy.
    pub(super) session_name: Arc<str>,
    /// Sender: `client`, `proxy`, `server` or `page`.
    pub(super) from: Arc<str>,
    /// Server and generation that it concerns; empty and 0 if none.
    pub(super) server: Arc<str>,
    pub(super) generation: u64,
    pub(super) method: String,
    /// Name or URI that the request is about.
    pub(super) name: String,
    pub(super) outcome: ExchangeOutcome,
    /// Times at which the server got the request and answered, and at which the exchange ended.
    pub(super) to_server: Option<u64>,
    pub(super) from_server: Option<u64>,
    pub(super) end: Option<u64>,
    /// Length of all its messages in bytes.
    pub(super) bytes: u64,
    /// Recorded lines, in their order.
    pub(super) lines: Vec<Arc<str>>,
    /// True if the client has sent or got one of its messages.
    pub(super) concerns_client: bool,
    /// Part that the page has in it, in words: none, its request, or its answer.
    pub(super) by_page: &'static str,
}

/// The newest messages.
#[derive(Debug)]
pub(super) struct MessageLog {
    limits: LogLimits,
    exchanges: VecDeque<Arc<Exchange>>,
    /// Number of the first exchange.
    first: u64,
    /// Size of the exchanges with their lines in bytes.
    size: usize,
    /// Numbers of the exchanges of open requests, by connection, sender and id.
    open: HashMap<String, u64>,
    /// Number of open requests at which those without an exchange are forgotten next, unless [`MAX_OPEN`] is greater.
    open_limit: usize,
    /// Generations of servers that have ended lately.
    ended: EndedGenerations,
    /// Number of changes so far.
    changes: u64,
    /// Exchanges that the last changes concern.
    journal: ChangeJournal,
    /// Number of messages that the recorder has dropped.
    dropped: u64,
    /// Ids of the processes whose messages it has had: a file may have those of several proxies.
    processes: Vec<String>,
    /// Recording that the user has started on the page.
    pub(super) recording: Option<PageRecording>,
}

impl MessageLog {
    /// Creates an empty log.
    pub(super) fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            exchanges: VecDeque::new(),
            first: 0,
            size: 0,
            open: HashMap::new(),
            open_limit: 0,
            ended: EndedGenerations::default(),
            changes: 0,
            journal: ChangeJournal::default(),
            dropped: 0,
            processes: Vec::new(),
            recording: None,
        }
    }

    /// Adds a line of the recorder. Returns an error if it is none.
    #[cfg(test)]
    pub(super) fn add(&mut self, line: &str) -> Result<(), serde_json::Error> {
        let recorded = serde_json::from_str::<RecordedLine<'_>>(line)?;
        self.add_recorded(&recorded, line);
        Ok(())
    }

    /// Adds a message of the recorder with its line. Returns true if it belongs to the user's recording.
    pub(super) fn add_recorded(&mut self, recorded: &RecordedLine<'_>, line: &str) -> bool {
        self.changes += 1;
        let dropped = recorded.dropped.unwrap_or_default();
        self.dropped = self.dropped.saturating_add(dropped);
        if recorded.from.is_empty() {
            return false;
        }
        let summary = MessageSummary::of(recorded);
        let number = self.exchange_of(recorded, &summary);
        let number = number.unwrap_or_else(|| self.begin(recorded, &summary));
        if let Some(exchange) = self.get_mut(number) {
            exchange.add(recorded, &summary, line.into());
            self.size += line.len();
        }
        self.journal.add(self.changes, number);
        let exchange = self.get(number).filter(|_| recorded.to == "server");
        if exchange.is_some_and(|it| self.ended.have_got(it)) {
            self.give_up([number]);
        }
        let recording = self.recording.as_mut();
        let is_recorded = recording.is_some_and(|it| it.count(number, line.len()));
        self.shrink();
        is_recorded
    }

    /// Returns the exchange that a message belongs to, if there is one.
    fn exchange_of(&mut self, line: &RecordedLine<'_>, summary: &MessageSummary) -> Option<u64> {
        if summary.is_response {
            let key = key(line, &line.to, summary.id.as_deref()?);
            return self.open.remove(&key);
        }
        // A request that passes on one of the client.
        let id = line.client_id.filter(|_| line.to == "server")?;
        let of_client = format!("{}  0 client {}", line.session, bare(id.get()));
        let number = self.open.get(&of_client).copied()?;
        self.open
            .insert(key(line, "proxy", summary.id.as_deref()?), number);
        Some(number)
    }

    fn begin(&mut self, line: &RecordedLine<'_>, summary: &MessageSummary) -> u64 {
        let number = self.next_number();
        let is_request = summary.id.is_some() && !summary.is_response;
        let id = summary.id.as_deref().filter(|id| id.len() <= MAX_ID);
        if let Some(id) = id.filter(|_| is_request) {
            // Another process of the same generation, or another request, takes the id.
            let former = self.open.insert(key(line, &line.from, id), number);
            self.give_up(former);
        }
        let session_name = self.session_name(&line.session);
        let (method, name) = summary.text.split_once(' ').unwrap_or((&summary.text, ""));
        self.size += size_of::<Exchange>();
        self.exchanges.push_back(Arc::new(Exchange {
            number,
            at: line.time_us,
            session: (*line.session).into(),
            session_name,
            from: sender(line).into(),
            server: "".into(),
            generation: 0,
            method: method.to_owned(),
            name: name.to_owned(),
            outcome: if is_request {
                ExchangeOutcome::Open
            } else {
                ExchangeOutcome::Notice
            },
            to_server: None,
            from_server: None,
            end: None,
            bytes: 0,
            lines: Vec::new(),
            concerns_client: false,
            by_page: "",
        }));
        number
    }

    /// Ends all open requests.
    pub(super) fn end_requests(&mut self) {
        self.changes += 1;
        self.give_up(self.open.values().copied().collect::<Vec<_>>());
    }

    /// Ends the open requests of the proxy and the page to a generation, also those that come later.
    pub(super) fn end_generation(&mut self, ended: SessionGeneration) {
        self.changes += 1;
        let open = self.open.values().copied();
        let is_to = |number: &u64| self.get(*number).is_some_and(|it| ended.has_got(it));
        let requests: Vec<u64> = open.filter(is_to).collect();
        self.give_up(requests);
        self.ended.add(ended);
    }

    /// Keeps the requests to a generation open from now on.
    pub(super) fn begin_generation(&mut self, started: &SessionGeneration) {
        self.ended.remove(started);
    }

    fn give_up(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            if let Some(exchange) = self.get_mut(number)
                && exchange.outcome == ExchangeOutcome::Open
            {
                exchange.outcome = ExchangeOutcome::Unanswered;
                self.journal.add(self.changes, number);
            }
        }
    }

    /// Returns the name of a session for people.
    fn session_name(&mut self, session: &str) -> Arc<str> {
        let (process, number) = session.split_once('-').unwrap_or(("", session));
        let known = self.processes.iter().position(|it| it == process);
        let index = known.unwrap_or_else(|| {
            self.processes.push(process.to_owned());
            self.processes.len() - 1
        });
        match index {
            0 => number.into(),
            _ => format!("{}-{number}", index + 1).into(),
        }
    }

    /// Returns the number of the next exchange.
    pub(super) fn next_number(&self) -> u64 {
        self.first + self.exchanges.len() as u64
    }

    /// Removes the oldest exchanges that exceed the limits.
    fn shrink(&mut self) {
        let limits = self.limits;
        while (self.size > limits.size || self.exchanges.len() > limits.exchanges)
            && self.exchanges.len() > 1
            && let Some(oldest) = self.exchanges.pop_front()
        {
            self.first += 1;
            self.size -= oldest.size();
            if let Some(recording) = &mut self.recording {
                recording.forget(oldest.number);
            }
        }
        if self.open.len() > self.open_limit.max(MAX_OPEN) {
            let first = self.first;
            self.open.retain(|_, number| *number >= first);
            self.open_limit = 2 * self.open.len();
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Exchange> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.exchanges.get_mut(index).map(Arc::make_mut)
    }

    /// Returns an exchange.
    pub(super) fn get(&self, number: u64) -> Option<&Arc<Exchange>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.exchanges.get(index)
    }

    /// Returns the exchanges, the oldest first.
    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = &Arc<Exchange>> + ExactSizeIterator + Clone {
        self.exchanges.iter()
    }

    /// Returns the times of the first and the last message, in microseconds since 1970.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let last = self
            .exchanges
            .iter()
            .map(|it| it.end.unwrap_or(it.at))
            .max()?;
        Some((self.exchanges.iter().map(|it| it.at).min()?, last))
    }

    /// Returns a number that grows with each change.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the exchanges that have changed after the change `since`, the oldest first; `None` if too many changes
    /// have followed it.
    pub(super) fn changed_since(&self, since: u64) -> Option<Vec<&Arc<Exchange>>> {
        let changed = self.journal.since(since)?;
        Some(changed.iter().filter_map(|it| self.get(*it)).collect())
    }

    /// Returns the number of messages that are no longer known.
    pub(super) fn forgotten(&self) -> u64 {
        self.first.saturating_add(self.dropped)
    }
}

impl Exchange {
    fn add(&mut self, line: &RecordedLine<'_>, summary: &MessageSummary, stored: Arc<str>) {
        self.bytes = self.bytes.saturating_add(line.bytes);
        self.lines.push(stored);
        self.concerns_client |= line.from == "client" || line.to == "client";
        if sender(line) == PAGE {
            self.by_page = if summary.is_response {
                "answered by the page"
            } else {
                "by the page"
            };
        }
        if !line.server.is_empty() {
            if *self.server != *line.server {
                self.server = (*line.server).into();
            }
            self.generation = line.generation;
        }
        if line.to == "server" && !summary.is_response {
            self.to_server = Some(line.time_us);
        }
        if !summary.is_response || self.outcome == ExchangeOutcome::Notice {
            return;
        }
        if line.from == "server" {
            self.from_server = Some(line.time_us);
        }
        // The response that the sender of the request gets.
        if *line.to == *self.from || *self.from == *PAGE && line.to == "proxy" {
            self.end = Some(line.time_us);
            self.outcome = if summary.is_error {
                ExchangeOutcome::Failed(summary.text.clone())
            } else {
                ExchangeOutcome::Done
            };
        }
    }

    /// Returns its size in memory, of which short messages have most.
    fn size(&self) -> usize {
        size_of::<Self>() + self.lines.iter().map(|line| line.len()).sum::<usize>()
    }

    /// Returns the time of its first message as in the log.
    pub(super) fn time(&self) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_micros(self.at))
    }

    /// Returns the time from the request to its response in microseconds.
    pub(super) fn took(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.at))
    }

    /// Returns the times in microseconds until the server got the request, until it answered, and until the client got
    /// the answer.
    pub(super) fn parts(&self) -> Option<[u64; 3]> {
        let (to, from, end) = (self.to_server?, self.from_server?, self.end?);
        Some([
            to.saturating_sub(self.at),
            from.saturating_sub(to),
            end.saturating_sub(from),
        ])
    }
}

/// Returns the sender of a message; a request or an answer of the page has no message before that to the server.
pub(super) fn sender<'a>(line: &'a RecordedLine<'_>) -> &'a str {
    let id = line.client_id.and_then(|id| unquoted(id.get()));
    let is_of_page = id.is_some_and(|id| id.starts_with(PAGE_ID));
    if is_of_page && line.from == "proxy" {
        PAGE
    } else {
        &line.from
    }
}

/// Returns the key of a request by its connection, its sender and its id.
fn key(line: &RecordedLine<'_>, sender: &str, id: &str) -> String {
    let (server, generation) = (&line.server, line.generation);
    format!(
        "{} {server} {generation} {sender} {}",
        line.session,
        bare(id)
    )
}

/// Returns an id without quotes: some servers return every id as a string.
fn bare(id: &str) -> &str {
    id.trim_matches('"')
}

#[cfg(test)]
mod tests;
