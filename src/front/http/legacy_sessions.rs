//! Manages the sessions of legacy clients: `initialize` begins one; DELETE, idleness or shutdown ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::message_queue::SseBody;
use super::responses::{self, ErrorResponse};
use super::session_streams::{SessionStreams, StreamError, StreamReadGuard};
use super::{Front, SESSION_ID};
use crate::jsonrpc::{ErrorObject, INTERNAL_ERROR, INVALID_REQUEST};
use crate::lock::locked;
use crate::mcp::headers::REVISION;
use crate::mcp::{MODERN, is_legacy_version};
use crate::random;
use crate::session::{Session, SessionFactory};

/// Header with the id of the last event that the client received.
const LAST_EVENT: &str = "last-event-id";

/// One client's session and its delivery to the client.
pub(super) struct LegacySession {
    pub(super) session: Arc<Session>,
    pub(super) streams: Arc<SessionStreams>,
    since: Instant,
    /// Permit from [`LegacySessions::permits`]; dropping it allows another session.
    _permit: OwnedSemaphorePermit,
}

/// All sessions by id.
pub(super) struct LegacySessions {
    entries: Mutex<HashMap<String, Arc<LegacySession>>>,
    /// One permit for each session allowed.
    permits: Arc<Semaphore>,
    limit: usize,
    /// Time after which an idle session ends.
    idle: Duration,
    /// Tasks that end sessions.
    ending_tasks: tokio_util::task::TaskTracker,
}

impl LegacySessions {
    pub(super) fn new(limit: usize, idle: Duration) -> Self {
        Self {
            entries: Mutex::default(),
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            idle,
            ending_tasks: tokio_util::task::TaskTracker::new(),
        }
    }

    /// Begins a session and returns it with its id.
    pub(super) async fn begin(
        &self,
        factory: &SessionFactory,
    ) -> Result<(String, Arc<LegacySession>), ErrorResponse> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            let limit = self.limit;
            let message = format!(
                "the limit of {limit} sessions is reached (`--max-sessions`): end a session by DELETE, or wait until \
                 one has been idle for {} s",
                self.idle.as_secs()
            );
            return Err(ErrorResponse::crowded(message));
        };
        let streams = Arc::new(SessionStreams::new());
        let session = factory
            .open(streams.clone(), false)
            .await
            .map_err(|error| ErrorResponse::broken(&error))?;
        let entry = Arc::new(LegacySession {
            session,
            streams,
            since: Instant::now(),
            _permit: permit,
        });
        let id = random::id().map_err(|error| ErrorResponse::broken(&error))?;
        locked(&self.entries).insert(id.clone(), entry.clone());
        Ok((id, entry))
    }

    /// Returns the session that a request names.
    pub(super) fn find(&self, headers: &HeaderMap) -> Result<Arc<LegacySession>, ErrorResponse> {
        let entry = locked(&self.entries).get(id_of(headers)?).cloned();
        if let Some(entry) = &entry {
            entry.streams.touch();
        }
        entry.ok_or_else(|| {
            let message =
                "the session does not exist or has ended: start a new one with `initialize`";
            ErrorResponse::new(StatusCode::NOT_FOUND, INVALID_REQUEST, message)
        })
    }

    /// Returns the session that began last.
    pub(super) fn newest(&self) -> Option<Arc<Session>> {
        let entries = locked(&self.entries);
        let newest = entries.values().max_by_key(|entry| entry.since);
        newest.map(|entry| entry.session.clone())
    }

    /// Ends the session with this id, if it exists.
    pub(super) fn end(&self, id: &str, reason: &str) {
        let Some(entry) = locked(&self.entries).remove(id) else {
            return;
        };
        entry.streams.end(&session_ended());
        let reason = reason.to_owned();
        self.ending_tasks.spawn(async move {
            entry.session.end().await;
            entry.session.report_ended(reason);
        });
    }

    /// Ends sessions that have been idle too long; never returns.
    pub(super) async fn sweep(&self) {
        let pause = (self.idle / 4).clamp(Duration::from_millis(100), Duration::from_secs(30));
        loop {
            tokio::time::sleep(pause).await;
            let now = Instant::now();
            let entries = locked(&self.entries);
            let idle = entries
                .iter()
                .filter(|(_, entry)| entry.streams.idle(now) >= self.idle);
            let idle: Vec<String> = idle.map(|(id, _)| id.clone()).collect();
            drop(entries);
            for id in idle {
                self.end(&id, &format!("idle for {} s", self.idle.as_secs()));
            }
        }
    }

    /// Ends all sessions; resolves when all have ended. Prevents new ones.
    pub(super) async fn end_all(&self) {
        self.permits.close();
        let entries = std::mem::take(&mut *locked(&self.entries));
        for (_, entry) in entries {
            self.ending_tasks.spawn(async move {
                entry.session.end().await;
                entry.streams.end(&session_ended());
            });
        }
        self.ending_tasks.close();
        self.ending_tasks.wait().await;
    }
}

/// Returns the session id that a request names.
fn id_of(headers: &HeaderMap) -> Result<&str, ErrorResponse> {
    let mut ids = headers.get_all(SESSION_ID).iter();
    match (ids.next().map(|id| id.to_str()), ids.next()) {
        (Some(Ok(id)), None) => Ok(id),
        (None, _) => Err(ErrorResponse::invalid(
            "the header `Mcp-Session-Id` is missing: start a session with `initialize`, or name a revision without \
             sessions in `params._meta`",
        )),
        _ => Err(ErrorResponse::invalid(
            "the header `Mcp-Session-Id` must occur exactly once, in plain text",
        )),
    }
}

/// Returns true if a request's headers declare the modern era.
pub(super) fn declares_modern(headers: &HeaderMap) -> bool {
    let version = headers.get(REVISION).and_then(|value| value.to_str().ok());
    version.is_some_and(|version| version >= MODERN && is_date(version))
}

fn is_date(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    text.len() == 10 && text.bytes().enumerate().all(fits)
}

/// Returns the error for open requests of a session that ends.
fn session_ended() -> String {
    ErrorObject::new(INTERNAL_ERROR, "the session ended before the response").to_string()
}

/// Checks the revision declared by a request of a session.
pub(super) fn check_revision(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    for value in headers.get_all(REVISION) {
        let known = value.to_str().is_ok_and(is_legacy_version);
        if !known {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let message = format!("unknown revision `{value}` in `MCP-Protocol-Version`");
            return Err(ErrorResponse::invalid(message));
        }
    }
    Ok(())
}

/// Handles GET: opens a stream for messages that belong to no request, or resumes an interrupted stream.
pub(super) fn handle_get(front: &Front, headers: &HeaderMap) -> Result<Response, ErrorResponse> {
    if declares_modern(headers) {
        return Err(ErrorResponse::method());
    }
    let entry = front.0.sessions.find(headers)?;
    check_revision(headers)?;
    if !responses::accepts(headers, "text/event-stream") {
        let message = "a GET must accept text/event-stream";
        return Err(ErrorResponse::unacceptable(message));
    }
    let last = headers
        .get(LAST_EVENT)
        .and_then(|value| value.to_str().ok());
    let stream = match last {
        Some(last) => entry.streams.resume(last),
        None => entry
            .streams
            .open_get_stream()
            .map(|(number, receiver)| (number, receiver, None)),
    };
    let (number, receiver, answers) = stream.map_err(refusal)?;
    let reader = StreamReadGuard::new(entry.streams.clone(), number);
    let mut events = SseBody::new(receiver, Vec::new(), Some(number), answers, reader);
    if entry.streams.is_primed() && last.is_none() {
        events.prime();
    }
    Ok(responses::event_stream(events))
}

/// Returns the error response for a refused stream.
pub(super) fn refusal(error: StreamError) -> ErrorResponse {
    match error {
        StreamError::Crowded => {
            let message = "too many requests in flight or open streams in this session";
            ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, INTERNAL_ERROR, message)
                .with(header::RETRY_AFTER, "1")
        }
        StreamError::Twice => ErrorResponse::invalid("a request with this id is already in flight"),
        StreamError::Unknown => ErrorResponse::invalid(
            "unknown `Last-Event-ID`, or the events after it are no longer stored: open a new stream",
        ),
    }
}

/// Handles DELETE: ends the client's session.
pub(super) fn delete(front: &Front, headers: &HeaderMap) -> Result<Response, ErrorResponse> {
    if declares_modern(headers) {
        return Err(ErrorResponse::method());
    }
    front.0.sessions.find(headers)?;
    front
        .0
        .sessions
        .end(id_of(headers)?, "the client sent DELETE");
    Ok(responses::empty(StatusCode::OK))
}
