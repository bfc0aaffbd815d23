//! Runs one request: sends it to the server and passes its answer back, as a single body or as a stream of events,
//! which a legacy server may interrupt and continue later.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::http_sse_2024::{self, BeginError};
use super::link_event::{Fate, LinkError, LinkEvent};
use super::link_state::{BacklogGuard, LinkState};
use super::peer::{OutgoingMessage, SESSION};
use super::response::{
    HttpRefusal, MAX_ERROR_BODY, coding, error_body, is_session_lost, is_stream, one_line,
};
use super::sse::{SseParser, pause};
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, MessageKind, RawId, RequestId, elements, error_response,
    error_words, is_error_object,
};

/// Number of consecutive failures to resume a stream before it is given up.
pub(super) const MAX_TRIES: usize = 5;

/// Reason why a request gets no answer.
struct ExchangeFailure(Fate, LinkError);

/// Sends a request to the server and passes on all messages of its response. Holds `backlog` until its turn.
pub(super) async fn run(
    link: &Arc<LinkState>,
    number: u64,
    message: &OutgoingMessage,
    backlog: BacklogGuard,
) {
    let mut permit = None;
    if !message.is_listen() {
        permit = link.permit(message).await;
        if permit.is_none() {
            let (fate, how) = (Fate::Superseded, "is busy".to_owned().into());
            return link.report(LinkEvent::Failed { number, fate, how }).await;
        }
    }
    drop(backlog);
    let exchange = Exchange {
        link,
        number,
        message,
    };
    let done = match message.time_limit() {
        Some(limit) => timeout(limit, exchange.run()).await.unwrap_or_else(|_| {
            let how = format!("did not answer within {} s", limit.as_secs());
            Err(ExchangeFailure(Fate::Unknown, how.into()))
        }),
        None => exchange.run().await,
    };
    drop(permit);
    if let Err(ExchangeFailure(fate, how)) = done {
        if message.is_listen()
            && link.failed_listens.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_TRIES
        {
            if !link.has_listened.load(Ordering::Relaxed) {
                // A server that never opened such a stream is not lost without one; it is not asked again.
                let error = ErrorObject::new(INTERNAL_ERROR, format!("the server {how}"));
                return exchange.answer(&error).await;
            }
            link.mark_lost(&how);
        }
        link.report_failed(number, fate, how).await;
    }
}

/// Position in a stream.
#[derive(Default)]
struct StreamPosition {
    /// Id of the last event after which the stream can be resumed.
    last_event_id: Option<String>,
    retry: Option<Duration>,
    has_begun: bool,
}

struct Exchange<'a> {
    link: &'a Arc<LinkState>,
    number: u64,
    message: &'a OutgoingMessage,
}

impl Exchange<'_> {
    async fn run(&self) -> Result<(), ExchangeFailure> {
        if let Some(how) = self.link.loss_reason() {
            return Err(ExchangeFailure(Fate::Unsent, how));
        }
        let peer = &self.link.peer;
        if peer.is_configured_as_2024() && !peer.has_one_stream() {
            let begun = http_sse_2024::begin(self.link).await;
            begun.map_err(|how| ExchangeFailure(Fate::Unsent, how.into()))?;
        }
        let mut response = self.post().await?;
        if !response.status().is_success() {
            let refusal = HttpRefusal::of(response).await;
            let may_use_sse_2024 = self.message.method == "initialize"
                && !peer.has_one_stream()
                && refusal.may_be_of_sse_2024();
            if !may_use_sse_2024 {
                return self.refused(refusal).await;
            }
            match http_sse_2024::begin(self.link).await {
                Ok(()) => {}
                Err(BeginError::Other(_)) => return self.refused(refusal).await,
                Err(BeginError::Endpoint(how)) => return Err(ExchangeFailure(Fate::Unsent, how)),
            }
            response = self.post().await?;
            if !response.status().is_success() {
                return self.refused(HttpRefusal::of(response).await).await;
            }
        }
        if peer.has_one_stream() {
            // The answer arrives on that stream.
            return Ok(());
        }
        if let Some(coding) = coding(&response) {
            let answered = peer.answered(response.status(), "");
            let how = format!("{answered} with the unrequested content encoding `{coding}`");
            return Err(ExchangeFailure(Fate::Unknown, how.into()));
        }
        if self.message.method == "initialize" {
            peer.begin_session(response.headers().get(SESSION).cloned());
        }
        if is_stream(&response) {
            if self.message.is_listen() {
                self.link.failed_listens.store(0, Ordering::Relaxed);
                self.link.has_listened.store(true, Ordering::Relaxed);
            }
            self.follow(response).await
        } else {
            // Some servers send no content type or an incorrect one: the body shows whether it is the answer.
            self.take_whole(response).await
        }
    }

    async fn post(&self) -> Result<Response, ExchangeFailure> {
        let peer = &self.link.peer;
        let is_busy = self.link.is_busy(usize::from(!self.message.is_listen()));
        let sent = peer.send(peer.post(self.message, is_busy)).await;
        sent.map_err(|error| {
            let how = peer.unreachable(&error);
            if error.is_connect() {
                self.link.mark_lost(&how);
                ExchangeFailure(Fate::Unsent, how)
            } else {
                ExchangeFailure(Fate::Unknown, how)
            }
        })
    }

    /// Handles an unsuccessful response. Passes on a JSON-RPC error in the body; but for a handshake request, an error
    /// with a status such as 401, 429, 3xx or 5xx reveals nothing about the server's era and is not passed on.
    async fn refused(&self, refusal: HttpRefusal) -> Result<(), ExchangeFailure> {
        let HttpRefusal {
            status,
            body,
            redirect,
        } = refusal;
        if self.reports_lost_session(status, &body) {
            return Err(self.session_lost());
        }
        let mut how = self.link.peer.answered(status, &error_words(&body));
        self.link.record_refusal(self.message, &how);
        let line = one_line(body.into_bytes());
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
        if let Some(error) = error.filter(|_| !inconclusive || !self.message.is_handshake()) {
            let line = error_response_of(self.number, error);
            self.deliver(line).await;
            return Ok(());
        }
        if status.is_redirection() {
            how.reason = match redirect {
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
                Ok(Some(chunk)) if bytes.len() + chunk.len() > self.link.max_message => {
                    return self.too_long().await;
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        let words = error_words(&String::from_utf8_lossy(
            &bytes[..bytes.len().min(MAX_ERROR_BODY)],
        ));
        if !bytes.is_empty() && self.take(bytes, true).await? {
            return Ok(());
        }
        let answered = self.link.peer.answered(status, &words);
        let how = format!("{answered} (not the response to `{}`)", self.message.method);
        Err(ExchangeFailure(Fate::Unknown, how.into()))
    }

    /// Reads an answer from a stream. If the stream ends before the answer, resumes it after the last event that has an
    /// id.
    async fn follow(&self, response: Response) -> Result<(), ExchangeFailure> {
        let mut position = StreamPosition::default();
        let mut next = Some(response);
        let mut tries = 0;
        loop {
            let ended = match next.take() {
                Some(response) => match self.read(response, &mut position).await? {
                    ReadOutcome::Answered => return Ok(()),
                    ReadOutcome::Ended(how) => how,
                },
                None => self.disconnected().into(),
            };
            let Some(last) = position
                .last_event_id
                .as_deref()
                .filter(|_| !self.link.peer.is_modern())
            else {
                return Err(ExchangeFailure(Fate::Unknown, ended));
            };
            self.link.report(LinkEvent::Paused(self.number)).await;
            sleep(pause(position.retry)).await;
            match self.resume(last).await {
                Ok(response) => (next, tries) = (Some(response), 0),
                Err(Some(how)) => return Err(ExchangeFailure(Fate::Unknown, how)),
                Err(None) if tries + 1 >= MAX_TRIES => {
                    return Err(ExchangeFailure(Fate::Unknown, ended));
                }
                Err(None) => tries += 1,
            }
        }
    }

    /// Requests the stream after the event `last`. The error is a reason, or `None` if a retry may succeed.
    async fn resume(&self, last: &str) -> Result<Response, Option<LinkError>> {
        let peer = &self.link.peer;
        match peer.send(peer.get(Some(last))).await {
            Ok(response) if response.status().is_success() && is_stream(&response) => Ok(response),
            Ok(response) if response.status().is_server_error() => Err(None),
            Ok(response) => {
                let status = response.status();
                let body = error_body(response).await;
                if is_session_lost(peer, status, &body, None) {
                    return Err(Some(self.session_lost().1));
                }
                Err(Some(peer.answered(status, "")))
            }
            Err(error) if error.is_connect() => {
                let how = peer.unreachable(&error);
                self.link.mark_lost(&how);
                Err(Some(how))
            }
            Err(_) => Err(None),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        position: &mut StreamPosition,
    ) -> Result<ReadOutcome, ExchangeFailure> {
        let mut events = SseParser::new(self.link.max_message);
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(ReadOutcome::Ended(self.disconnected().into())),
                Err(error) => {
                    let ExchangeFailure(_, how) = self.broken(&error);
                    return Ok(ReadOutcome::Ended(how));
                }
            };
            for event in events.push(&chunk) {
                position.retry = event.retry.or(position.retry);
                if event.too_long {
                    self.too_long().await?;
                    return Ok(ReadOutcome::Answered);
                }
                if !event.data.is_empty() && self.take(event.data, !position.has_begun).await? {
                    return Ok(ReadOutcome::Answered);
                }
                position.has_begun = true;
                // Only after delivery: the server must resend an event that was not passed on.
                position.last_event_id = event.id.or(position.last_event_id.take());
            }
        }
    }

    /// Passes a message on; returns true if it, or one of a batch, answers the request. Only the first message can report
    /// that the session is lost: after it, the request may have been executed.
    async fn take(&self, bytes: Vec<u8>, is_first: bool) -> Result<bool, ExchangeFailure> {
        let line = one_line(bytes);
        let action = if let Ok(envelope) = Envelope::parse(&line) {
            let may_refuse = is_first && envelope.error.is_some();
            if may_refuse && self.reports_lost_session(StatusCode::OK, &line) {
                return Err(self.session_lost());
            }
            self.action_for(&envelope)
        } else {
            // A batch, or not a message.
            let all = elements(&line).into_iter().flatten();
            let mut all = all.filter_map(|message| Envelope::parse(message).ok());
            let answered = all.any(|envelope| self.is_answer(&envelope));
            MessageAction::Passes { answered }
        };
        let (line, answered) = match action {
            MessageAction::Passes { answered } => (line, answered),
            MessageAction::Answer(line) => (line, true),
            MessageAction::Nothing => return Ok(false),
        };
        self.deliver(line).await;
        Ok(answered)
    }

    fn action_for(&self, envelope: &Envelope<'_>) -> MessageAction {
        if envelope.kind() != MessageKind::Response {
            return MessageAction::Passes { answered: false };
        }
        let answered = self.is_answer(envelope);
        if envelope.id.is_none_or(RawId::is_null) {
            let error = envelope.error.filter(|error| is_error_object(error));
            return error.map_or(MessageAction::Nothing, |error| {
                MessageAction::Answer(error_response_of(self.number, error))
            });
        }
        if let Some(Err(error)) = envelope.outcome()
            && answered
            && !is_error_object(error)
        {
            let message = format!(
                "the server's error is not a JSON-RPC error: {}",
                error_words(error)
            );
            let error = ErrorObject::new(INTERNAL_ERROR, message);
            return MessageAction::Answer(error_response(self.id().as_raw(), &error));
        }
        if answered && self.message.method == "initialize" {
            self.link
                .peer
                .take_revision(envelope.result.unwrap_or("{}"));
        }
        MessageAction::Passes { answered }
    }

    fn is_answer(&self, envelope: &Envelope<'_>) -> bool {
        envelope.kind() == MessageKind::Response
            && envelope.id.and_then(RawId::lenient_number) == Some(self.number)
    }

    /// Returns true if a response with this body reports that the server does not know the session of the request.
    fn reports_lost_session(&self, status: StatusCode, body: &str) -> bool {
        self.message.method != "initialize"
            && is_session_lost(&self.link.peer, status, body, Some(self.number))
    }

    fn session_lost(&self) -> ExchangeFailure {
        let how = LinkError::session_lost();
        self.link.mark_lost(&how);
        ExchangeFailure(Fate::Unsent, how)
    }

    async fn deliver(&self, line: String) {
        self.link.report_message(line, Some(self.number)).await;
    }

    async fn too_long(&self) -> Result<(), ExchangeFailure> {
        let message = "the server's response is longer than `--max-message` allows";
        self.answer(&ErrorObject::new(INTERNAL_ERROR, message))
            .await;
        Ok(())
    }

    /// Answers the request in place of the server.
    async fn answer(&self, error: &ErrorObject) {
        let line = error_response(self.id().as_raw(), error);
        self.deliver(line).await;
    }

    fn id(&self) -> RequestId {
        self.number.into()
    }

    fn disconnected(&self) -> String {
        format!(
            "disconnected during its response at {}",
            self.link.peer.shown()
        )
    }

    fn broken(&self, error: &reqwest::Error) -> ExchangeFailure {
        let how = format!("{}: {}", self.disconnected(), super::causes(error));
        ExchangeFailure(Fate::Unknown, how.into())
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
    /// The stream ended before the answer.
    Ended(LinkError),
}

/// Builds the response to the request `number` with the error object `error`.
fn error_response_of(number: u64, error: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{number},"error":{error}}}"#)
}
