//! Runs one request: sends it to the server and passes its answer back, as a single body or as a stream of events,
//! which a legacy server may interrupt and continue later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::http_sse_2024;
use super::link::{BacklogGuard, Fate, LinkEvent, LinkInner};
use super::peer::{OutgoingMessage, SESSION};
use super::response::{ERROR, coding, first_words, is_stream, one_line, redirect};
use super::sse::{SseParser, pause};
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, MessageKind, elements, error_response, error_words,
    is_error_object, request_number,
};

/// Sentence fragment for a legacy server that has lost the session.
pub(super) const FORGOTTEN: &str = "no longer knows the session";
/// Time limit for the answer to requests other than `tools/call`, `subscriptions/listen` and `tasks/result`.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of consecutive failures to resume a stream before it is given up.
pub(super) const TRIES: usize = 5;

/// Reason why a request gets no answer.
struct ExchangeFailure(Fate, String);

/// Sends a request to the server and passes on all messages of its response. Holds `waits` until its turn.
pub(super) async fn run(
    inner: &Arc<LinkInner>,
    number: u64,
    said: &OutgoingMessage,
    waits: BacklogGuard,
) {
    let slot = if said.listens() {
        None
    } else {
        inner.slots.acquire().await.ok()
    };
    drop(waits);
    let exchange = Exchange {
        inner,
        number,
        said,
    };
    let limit = match said.method.as_str() {
        "tools/call" | "subscriptions/listen" | "tasks/result" => None,
        _ => Some(RESPONSE_TIMEOUT),
    };
    let done = match limit {
        Some(limit) => timeout(limit, exchange.run()).await.unwrap_or_else(|_| {
            let how = format!("did not answer within {} s", limit.as_secs());
            Err(ExchangeFailure(Fate::Unknown, how))
        }),
        None => exchange.run().await,
    };
    drop(slot);
    if let Err(ExchangeFailure(fate, how)) = done {
        if said.listens() && inner.unheard.fetch_add(1, Ordering::Relaxed) + 1 >= TRIES {
            if !inner.heard.load(Ordering::Relaxed) {
                // A server that never opened such a stream is not lost without one; it is not asked again.
                let error = ErrorObject::new(INTERNAL_ERROR, format!("the server {how}"));
                return exchange.answer(&error).await;
            }
            inner.lose(&how);
        }
        inner.fail(number, fate, how).await;
    }
}

/// Returns true if a response with this `status` and `body` means that the named session no longer exists. Servers
/// based on a widely copied example report this as 400.
pub(super) fn forgets(inner: &LinkInner, status: StatusCode, body: &str) -> bool {
    let in_session = inner.peer.session().is_some() && !inner.peer.is_modern();
    let says_so = || {
        let body = body.to_lowercase();
        body.contains("session") || body.contains("not initialized")
    };
    in_session
        && (status == StatusCode::NOT_FOUND || (status == StatusCode::BAD_REQUEST && says_so()))
}

/// Position in a stream.
#[derive(Default)]
struct StreamPosition {
    /// Id of the last event after which the stream can be resumed.
    last: Option<String>,
    retry: Option<Duration>,
}

struct Exchange<'a> {
    inner: &'a Arc<LinkInner>,
    number: u64,
    said: &'a OutgoingMessage,
}

impl Exchange<'_> {
    async fn run(&self) -> Result<(), ExchangeFailure> {
        if let Some(how) = self.inner.loss() {
            return Err(ExchangeFailure(Fate::Unsent, how));
        }
        let peer = &self.inner.peer;
        if peer.is_said_to_be_old() && !peer.has_one_stream() {
            let begun = http_sse_2024::begin(self.inner).await;
            begun.map_err(|how| ExchangeFailure(Fate::Unsent, how))?;
        }
        let response = self.post().await?;
        let status = response.status();
        if !status.is_success() {
            let redirect = redirect(&response);
            let words = first_words(response).await;
            if !self.may_be_old(status, &words) || http_sse_2024::begin(self.inner).await.is_err() {
                return self.refused(status, words, redirect).await;
            }
            let status = self.post().await?.status();
            return if status.is_success() {
                Ok(())
            } else {
                self.refused(status, words, redirect).await
            };
        }
        if let Some(coding) = coding(&response) {
            let answered = peer.answered(status, "");
            let how = format!("{answered} with the unrequested content encoding `{coding}`");
            return Err(ExchangeFailure(Fate::Unknown, how));
        }
        if peer.has_one_stream() {
            // The answer arrives on that stream.
            return Ok(());
        }
        if self.said.method == "initialize" {
            peer.begin_session(response.headers().get(SESSION).cloned());
        }
        if is_stream(&response) {
            if self.said.listens() {
                self.inner.unheard.store(0, Ordering::Relaxed);
                self.inner.heard.store(true, Ordering::Relaxed);
            }
            self.follow(response).await
        } else {
            // Some servers send no content type or an incorrect one: the body shows whether it is the answer.
            self.take_whole(response).await
        }
    }

    async fn post(&self) -> Result<Response, ExchangeFailure> {
        let peer = &self.inner.peer;
        let sent = peer.post(self.said).send().await;
        sent.map_err(|error| {
            let how = peer.unreachable(&error);
            if error.is_connect() {
                self.inner.lose(&how);
                ExchangeFailure(Fate::Unsent, how)
            } else {
                ExchangeFailure(Fate::Unknown, how)
            }
        })
    }

    /// Returns true if a server of revision 2024-11-05 would respond like this to a message posted to its stream.
    fn may_be_old(&self, status: StatusCode, body: &str) -> bool {
        let statuses = [
            StatusCode::BAD_REQUEST,
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
        ];
        self.said.method == "initialize"
            && statuses.contains(&status)
            && !self.inner.peer.has_one_stream()
            && Envelope::parse(body).is_err()
    }

    /// Handles an unsuccessful response. Passes on a JSON-RPC error in the body; but for a handshake request, an error
    /// with a status such as 401, 429, 3xx or 5xx reveals nothing about the server's era and is not passed on.
    /// `redirect` is the address that the response redirects to.
    async fn refused(
        &self,
        status: StatusCode,
        body: String,
        redirect: Option<String>,
    ) -> Result<(), ExchangeFailure> {
        if forgets(self.inner, status, &body) && self.said.method != "initialize" {
            self.inner.lose(FORGOTTEN);
            return Err(ExchangeFailure(Fate::Unsent, FORGOTTEN.to_owned()));
        }
        let line = one_line(body.clone().into_bytes());
        let envelope = Envelope::parse(&line).ok();
        let error = envelope
            .as_ref()
            .and_then(|it| it.error.filter(|error| is_error_object(error)));
        let busy = matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        let inconclusive = busy || status.is_server_error() || status.is_redirection();
        if let Some(error) = error.filter(|_| !inconclusive || !self.said.introduces()) {
            let line = error_response_of(self.number, error);
            self.deliver(line).await;
            return Ok(());
        }
        let how = self.inner.peer.answered(status, &error_words(&body));
        if status.is_redirection() {
            let how = match redirect {
                Some(to) => {
                    format!("{how}: redirect to {to}; set this as `url` in the configuration")
                }
                None => format!("{how}: redirect without a valid `Location`"),
            };
            return Err(ExchangeFailure(Fate::Refused, how));
        }
        if busy {
            return Err(ExchangeFailure(Fate::Refused, how));
        }
        if inconclusive {
            return Err(ExchangeFailure(Fate::Unknown, how));
        }
        let error = ErrorObject::new(INTERNAL_ERROR, format!("the server {how}"));
        self.answer(&error).await;
        Ok(())
    }

    /// Reads an answer that is a single body.
    async fn take_whole(&self, mut response: Response) -> Result<(), ExchangeFailure> {
        let status = response.status();
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > self.inner.limit => {
                    return self.too_long().await;
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        let words = error_words(&String::from_utf8_lossy(&bytes[..bytes.len().min(ERROR)]));
        if !bytes.is_empty() && self.take(bytes).await {
            return Ok(());
        }
        let answered = self.inner.peer.answered(status, &words);
        let how = format!("{answered} (not the response to `{}`)", self.said.method);
        Err(ExchangeFailure(Fate::Unknown, how))
    }

    /// Reads an answer from a stream. If the stream ends before the answer, resumes it after the last event that has an
    /// id.
    async fn follow(&self, response: Response) -> Result<(), ExchangeFailure> {
        let mut place = StreamPosition::default();
        let mut next = Some(response);
        let mut tries = 0;
        loop {
            let ended = match next.take() {
                Some(response) => match self.read(response, &mut place).await? {
                    ReadOutcome::Answered => return Ok(()),
                    ReadOutcome::Ended(how) => how,
                },
                None => self.broke_off(),
            };
            let Some(last) = place
                .last
                .as_deref()
                .filter(|_| !self.inner.peer.is_modern())
            else {
                return Err(ExchangeFailure(Fate::Unknown, ended));
            };
            self.inner.tell(LinkEvent::Paused(self.number)).await;
            sleep(pause(place.retry)).await;
            match self.resume(last).await {
                Ok(response) => (next, tries) = (Some(response), 0),
                Err(Some(how)) => return Err(ExchangeFailure(Fate::Unknown, how)),
                Err(None) if tries + 1 >= TRIES => {
                    return Err(ExchangeFailure(Fate::Unknown, ended));
                }
                Err(None) => tries += 1,
            }
        }
    }

    /// Requests the stream after the event `last`. The error is a reason, or `None` if a retry may succeed.
    async fn resume(&self, last: &str) -> Result<Response, Option<String>> {
        let peer = &self.inner.peer;
        match peer.get(Some(last)).send().await {
            Ok(response) if response.status().is_success() && is_stream(&response) => Ok(response),
            Ok(response) if response.status().is_server_error() => Err(None),
            Ok(response) => {
                let status = response.status();
                if forgets(self.inner, status, &first_words(response).await) {
                    self.inner.lose(FORGOTTEN);
                    return Err(Some(FORGOTTEN.to_owned()));
                }
                Err(Some(peer.answered(status, "")))
            }
            Err(error) if error.is_connect() => {
                let how = peer.unreachable(&error);
                self.inner.lose(&how);
                Err(Some(how))
            }
            Err(_) => Err(None),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        place: &mut StreamPosition,
    ) -> Result<ReadOutcome, ExchangeFailure> {
        let mut events = SseParser::new(self.inner.limit);
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(ReadOutcome::Ended(self.broke_off())),
                Err(error) => {
                    let ExchangeFailure(_, how) = self.broken(&error);
                    return Ok(ReadOutcome::Ended(how));
                }
            };
            for event in events.push(&chunk) {
                place.retry = event.retry.or(place.retry);
                if event.too_long {
                    self.too_long().await?;
                    return Ok(ReadOutcome::Answered);
                }
                if !event.data.is_empty() && self.take(event.data).await {
                    return Ok(ReadOutcome::Answered);
                }
                // Only after delivery: the server must resend an event that was not passed on.
                place.last = event.id.or(place.last.take());
            }
        }
    }

    /// Passes a message on; returns true if it, or one message of a batch, answers the request.
    async fn take(&self, bytes: Vec<u8>) -> bool {
        let line = one_line(bytes);
        let what = if let Ok(envelope) = Envelope::parse(&line) {
            self.meaning(&envelope)
        } else {
            // A batch, or not a message.
            let all = elements(&line).into_iter().flatten();
            let mut all = all.filter_map(|message| Envelope::parse(message).ok());
            let answered = all.any(|envelope| self.is_answer(&envelope));
            MessageAction::Passes { answered }
        };
        let (line, answered) = match what {
            MessageAction::Passes { answered } => (line, answered),
            MessageAction::Answer(line) => (line, true),
            MessageAction::Nothing => return false,
        };
        self.deliver(line).await;
        answered
    }

    fn meaning(&self, envelope: &Envelope<'_>) -> MessageAction {
        if envelope.kind() != MessageKind::Response {
            return MessageAction::Passes { answered: false };
        }
        let answered = self.is_answer(envelope);
        if envelope.id.is_none_or(|id| id == "null") {
            let error = envelope.error.filter(|error| is_error_object(error));
            return error.map_or(MessageAction::Nothing, |error| {
                MessageAction::Answer(error_response_of(self.number, error))
            });
        }
        if let Some(error) = envelope
            .error
            .filter(|error| answered && !is_error_object(error))
        {
            let message = format!(
                "the server's error is not a JSON-RPC error: {}",
                error_words(error)
            );
            let error = ErrorObject::new(INTERNAL_ERROR, message);
            return MessageAction::Answer(error_response(&self.number.to_string(), &error));
        }
        if answered && self.said.method == "initialize" {
            self.inner
                .peer
                .take_revision(envelope.result.unwrap_or("{}"));
        }
        MessageAction::Passes { answered }
    }

    fn is_answer(&self, envelope: &Envelope<'_>) -> bool {
        envelope.kind() == MessageKind::Response
            && envelope.id.and_then(request_number) == Some(self.number)
    }

    async fn deliver(&self, line: String) {
        let on = Some(self.number);
        self.inner.tell(LinkEvent::Message { line, on }).await;
    }

    async fn too_long(&self) -> Result<(), ExchangeFailure> {
        let message = "the server's response is longer than `--max-message` allows";
        self.answer(&ErrorObject::new(INTERNAL_ERROR, message))
            .await;
        Ok(())
    }

    /// Answers the request in place of the server.
    async fn answer(&self, error: &ErrorObject) {
        let line = error_response(&self.number.to_string(), error);
        self.deliver(line).await;
    }

    fn broke_off(&self) -> String {
        format!(
            "disconnected during its response at {}",
            self.inner.peer.shown()
        )
    }

    fn broken(&self, error: &reqwest::Error) -> ExchangeFailure {
        let how = format!("{}: {}", self.broke_off(), super::causes(error));
        ExchangeFailure(Fate::Unknown, how)
    }
}

/// Handling of a message.
enum MessageAction {
    /// The message is passed on; `answered` is true if it is or contains the answer.
    Passes {
        answered: bool,
    },
    /// This line is passed on as the answer.
    Answer(String),
    Nothing,
}

/// Result of reading a stream.
enum ReadOutcome {
    Answered,
    /// The stream ended before the answer; a sentence fragment.
    Ended(String),
}

/// Builds the response to the request `number` with the raw error object `error`.
fn error_response_of(number: u64, error: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{number},"error":{error}}}"#)
}
