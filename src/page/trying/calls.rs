//! Calls of tools that the page makes: on their way to a server, through its gate like those of a client, and the
//! newest of them with their answers.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::bridge::{Identity, own_info};
use crate::fleet::Fleet;
use crate::jsonrpc::{Envelope, Members, RawId, Reply, RequestId, quoted, request};
use crate::lock::locked;
use crate::mcp::{Era, Method};
use crate::page::data::PageData;
use crate::rehearsal::Answer;
use crate::server::{Call, InputSource, PAGE_ID, ResponseSink, ServerHandle};
use crate::transport::stream::Outbox;

/// Maximum number of calls that are kept.
const MAX_CALLS: usize = 50;
/// Size in bytes of arguments and answers beyond which the oldest calls are forgotten.
const MAX_SIZE: usize = 32 * 1024 * 1024;

/// A tool with arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TriedTool {
    /// Number of the session.
    pub(super) session: u64,
    pub(super) server: String,
    pub(super) tool: String,
    /// Arguments, a raw JSON object on one line.
    pub(super) arguments: String,
}

/// Call that the page makes, and the receiver of its response.
#[derive(Debug)]
pub(super) struct PageCall {
    pub(super) number: u64,
    pub(super) tried: TriedTool,
    /// Number of the call whose answer this one is compared with.
    pub(super) before: Option<u64>,
    began: Instant,
    /// Generation that got the call; 0 if none has.
    generation: AtomicU64,
    state: Mutex<PageCallState>,
    data: Arc<PageData>,
    /// The calls that this one is kept among.
    known: Weak<Mutex<KnownCalls>>,
}

/// State of a call.
#[derive(Debug, Clone)]
pub(super) enum PageCallState {
    Open,
    Cancelled,
    Answered(Arc<PageAnswer>),
}

/// Response to a call.
#[derive(Debug)]
pub(super) struct PageAnswer {
    line: String,
    /// Time from the call to the response.
    pub(super) took: Duration,
    /// Found when the page first shows it: a long line takes a while to parse.
    outcome: OnceLock<(PageOutcome, Range<usize>)>,
}

/// Outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageOutcome {
    Result,
    /// Result that reports an error.
    ToolError,
    Error,
}

impl PageAnswer {
    fn new(line: String, took: Duration) -> Self {
        Self {
            line,
            took,
            outcome: OnceLock::new(),
        }
    }

    /// Returns the outcome with the raw result or the raw error.
    pub(super) fn outcome(&self) -> (PageOutcome, &str) {
        let (outcome, place) = self.outcome.get_or_init(|| {
            let message = Members::of(&self.line);
            let is_error = |result: &str| Members::of(result).get("isError") == Some("true");
            let (outcome, raw) = match (message.original("result"), message.original("error")) {
                (Some(result), _) if is_error(result) => (PageOutcome::ToolError, result),
                (Some(result), _) => (PageOutcome::Result, result),
                (None, error) => (PageOutcome::Error, error.unwrap_or(&self.line)),
            };
            let start = raw.as_ptr() as usize - self.line.as_ptr() as usize;
            (outcome, start..start + raw.len())
        });
        (*outcome, &self.line[place.clone()])
    }

    /// Returns the answer for comparisons.
    pub(super) fn compared(&self) -> Answer {
        match self.outcome() {
            (PageOutcome::Error, error) => Answer::of_error(error),
            (_, result) => Answer::of_result(result),
        }
    }
}

impl PageCall {
    /// Returns the state.
    pub(super) fn state(&self) -> PageCallState {
        locked(&self.state).clone()
    }

    /// Returns the generation that got the call; `None` if none has.
    pub(super) fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::Relaxed)).filter(|it| *it > 0)
    }

    /// Returns the id of the request.
    pub(super) fn id(&self) -> RequestId {
        RequestId::of_text(&format!("{PAGE_ID}{}", self.number))
    }

    /// Sends the call to `server`; `gives_input` if the user gives input for it. Must be called on the runtime of the
    /// servers.
    pub(super) fn send(self: &Arc<Self>, server: &ServerHandle, gives_input: bool) {
        if !matches!(self.state(), PageCallState::Open) {
            return;
        }
        let TriedTool {
            tool, arguments, ..
        } = &self.tried;
        let id = self.id();
        if !server.admits(tool) {
            let message = format!("`tools` of the configuration excludes the tool `{tool}`");
            let error = format!(r#"{{"code":-32602,"message":{}}}"#, quoted(&message));
            return self.answer(id.as_raw(), Reply::Error(&error));
        }
        // The answer is shown as the server words it.
        let era = server.connection().map_or(Era::Legacy, |it| it.era());
        let mut params = format!(r#"{{"name":{},"arguments":{arguments}}}"#, quoted(tool));
        if era == Era::Modern {
            let identity = Identity {
                client_info: Some(own_info()),
                ..Identity::default()
            };
            params = identity.identify(&params, None);
        }
        let line = request(id.as_raw(), "tools/call", Some(&params));
        match Envelope::parse(&line) {
            Ok(envelope) => {
                let mut call = Call::new(self.clone(), id.clone(), era, Method::CallTool);
                call.input_source = InputSource::of(gives_input);
                server.submit(call, &line, &envelope);
            }
            Err(error) => {
                let message = format!("the call is not a message: {error}");
                let error = format!(r#"{{"code":-32602,"message":{}}}"#, quoted(&message));
                self.answer(id.as_raw(), Reply::Error(&error));
            }
        }
    }

    /// Cancels the call if it is open. Must be called on the runtime of the servers.
    pub(super) fn cancel(self: &Arc<Self>, fleet: Option<&Fleet>) {
        {
            let mut state = locked(&self.state);
            if !matches!(*state, PageCallState::Open) {
                return;
            }
            *state = PageCallState::Cancelled;
        }
        if let Some(fleet) = fleet {
            let id = self.id();
            let params = format!(
                r#"{{"requestId":{},"reason":"cancelled on the page"}}"#,
                id.as_raw()
            );
            let sink: Arc<dyn ResponseSink> = self.clone();
            fleet.cancel(&sink, id.as_raw(), &params);
        }
        self.data.wake();
    }

    /// Returns the number of bytes that it takes.
    fn size(&self) -> usize {
        let answer = match &*locked(&self.state) {
            PageCallState::Answered(answer) => answer.line.len(),
            PageCallState::Open | PageCallState::Cancelled => 0,
        };
        answer + self.tried.arguments.len()
    }
}

impl ResponseSink for PageCall {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }

    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let line = reply.with_id(id, |parts| parts.concat());
        let line = String::from_utf8(line).unwrap_or_default();
        {
            let mut state = locked(&self.state);
            if matches!(*state, PageCallState::Open) {
                let answer = PageAnswer::new(line, self.began.elapsed());
                *state = PageCallState::Answered(Arc::new(answer));
            }
        }
        if let Some(known) = self.known.upgrade() {
            locked(&known).forget();
        }
        self.data.wake();
    }

    fn is_page(&self) -> bool {
        true
    }

    fn sent_to(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }
}

/// The newest calls of the page.
#[derive(Debug, Default)]
pub(super) struct PageCalls(Arc<Mutex<KnownCalls>>);

#[derive(Debug, Default)]
struct KnownCalls {
    calls: VecDeque<Arc<PageCall>>,
    /// Number of calls so far.
    count: u64,
}

impl PageCalls {
    /// Adds a call, which is not sent. Forgets the oldest of too many.
    pub(super) fn add(
        &self,
        tried: TriedTool,
        before: Option<u64>,
        data: &Arc<PageData>,
    ) -> Arc<PageCall> {
        let mut known = locked(&self.0);
        known.count += 1;
        let call = Arc::new(PageCall {
            number: known.count,
            tried,
            before,
            began: Instant::now(),
            generation: AtomicU64::new(0),
            state: Mutex::new(PageCallState::Open),
            data: data.clone(),
            known: Arc::downgrade(&self.0),
        });
        known.calls.push_back(call.clone());
        known.forget();
        call
    }

    /// Returns the call of this number, if it is still known.
    pub(super) fn get(&self, number: u64) -> Option<Arc<PageCall>> {
        let known = locked(&self.0);
        known.calls.iter().find(|it| it.number == number).cloned()
    }

    /// Returns the calls, the newest first.
    pub(super) fn newest(&self) -> Vec<Arc<PageCall>> {
        locked(&self.0).calls.iter().rev().cloned().collect()
    }
}

impl KnownCalls {
    /// Forgets the oldest of too many.
    fn forget(&mut self) {
        // The last answer stays beside the new one.
        while self.calls.len() > 2 && (self.calls.len() > MAX_CALLS || self.size() > MAX_SIZE) {
            self.calls.pop_front();
        }
    }

    fn size(&self) -> usize {
        self.calls.iter().map(|it| it.size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried() -> TriedTool {
        TriedTool {
            session: 1,
            server: "weather".to_owned(),
            tool: "forecast".to_owned(),
            arguments: "{}".to_owned(),
        }
    }

    #[test]
    fn the_oldest_calls_are_forgotten() {
        let (calls, data) = (PageCalls::default(), PageData::new("run".to_owned()));
        for number in 1..=60 {
            assert_eq!(calls.add(tried(), None, &data).number, number);
        }
        assert!(calls.get(10).is_none() && calls.get(11).is_some());
        let long = format!(r#"{{"result":"{}"}}"#, "x".repeat(MAX_SIZE / 2));
        for number in [59, 60] {
            let call = calls.get(number).unwrap();
            let id = call.id();
            call.answer(id.as_raw(), Reply::Error(&long));
            assert!(matches!(call.state(), PageCallState::Answered(..)));
        }
        // The answers alone exceed the limit.
        assert_eq!(calls.newest().len(), 2);
        calls.add(tried(), None, &data);
        calls.add(tried(), None, &data);
        assert_eq!(
            calls
                .newest()
                .iter()
                .map(|it| it.number)
                .collect::<Vec<_>>(),
            [62, 61, 60]
        );
    }

    #[test]
    fn an_answer_after_the_end_changes_nothing() {
        let (calls, data) = (PageCalls::default(), PageData::new("run".to_owned()));
        let call = calls.add(tried(), None, &data);
        call.cancel(None);
        call.answer(RawId::from("1"), Reply::Result("{}"));
        assert!(matches!(call.state(), PageCallState::Cancelled));
    }

    #[test]
    fn an_outcome_is_a_part_of_the_response() {
        for (line, outcome, raw) in [
            (
                r#"{"id":1,"result": {"é":1} }"#,
                PageOutcome::Result,
                r#"{"é":1}"#,
            ),
            (
                r#"{"result":{"isError":true},"id":1}"#,
                PageOutcome::ToolError,
                r#"{"isError":true}"#,
            ),
            (
                r#"{"id":1,"error":{"a":1}}"#,
                PageOutcome::Error,
                r#"{"a":1}"#,
            ),
            (r#"{"id":1}"#, PageOutcome::Error, r#"{"id":1}"#),
        ] {
            let answer = PageAnswer::new(line.to_owned(), Duration::ZERO);
            assert_eq!(answer.outcome(), (outcome, raw));
        }
    }
}
