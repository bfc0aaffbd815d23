//! Handles clients of the legacy era: each has a session, which its first message begins.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::oneshot;

use super::legacy_sessions::{self, LegacySession, check_revision, declares_modern};
use super::responses::{self, AcceptedTypes, ErrorResponse, ResponseFormat};
use super::session_streams::StreamReadGuard;
use super::{Front, SESSION_ID};
use crate::jsonrpc::{Envelope, ErrorObject, Members, MessageKind, RawId, Reply, elements, quoted};
use crate::mcp::{LATEST_LEGACY, WITH_BATCHES, is_legacy_version};
use crate::session::Delivery as _;

/// Error code for a request that its client has cancelled; outside the range reserved by JSON-RPC.
const CANCELLED: i64 = -1;

/// Handles a message of a session, or the one that begins it.
pub(super) async fn take(
    front: &Front,
    headers: &HeaderMap,
    line: &str,
    envelope: &Envelope<'_>,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    let is_initialize =
        envelope.kind() == MessageKind::Request && envelope.method.as_deref() == Some("initialize");
    let entry = match front.0.sessions.find(headers) {
        // A client that starts again may still name its session of before.
        Err(_) if is_initialize => return begin(front, line, accepted).await,
        entry => entry?,
    };
    check_revision(headers)?;
    take_all(&entry, &[(line, envelope)], false, accepted).await
}

/// Handles a batch of messages.
pub(super) async fn take_batch(
    front: &Front,
    headers: &HeaderMap,
    text: &str,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    let no_batches = || {
        let message = "batches of messages are allowed only in a session of revision 2025-03-26";
        ErrorResponse::invalid(message)
    };
    if declares_modern(headers) || !headers.contains_key(SESSION_ID) {
        return Err(no_batches());
    }
    let entry = front.0.sessions.find(headers)?;
    check_revision(headers)?;
    if entry.streams.version().as_deref() != Some(WITH_BATCHES) {
        return Err(no_batches());
    }
    let messages = elements(text).filter(|messages| !messages.is_empty());
    let messages =
        messages.ok_or_else(|| ErrorResponse::invalid("the batch is empty or not valid JSON"))?;
    let parse = |message| match Envelope::parse(message) {
        Ok(envelope) => Ok((message, envelope)),
        Err(error) => Err(ErrorResponse::invalid(format!(
            "invalid message in the batch: {error}"
        ))),
    };
    let messages: Vec<_> = messages.into_iter().map(parse).collect::<Result<_, _>>()?;
    let messages: Vec<_> = messages.iter().map(|(text, it)| (*text, it)).collect();
    take_all(&entry, &messages, true, accepted).await
}

/// Begins a session with the `initialize` request on `line`. Runs in its own task: a client that disconnects must not
/// leave a partial session, or one whose id no client knows.
async fn begin(
    front: &Front,
    line: &str,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    let (front, line) = (front.clone(), negotiable(line).into_owned());
    let (sender, response) = oneshot::channel();
    tokio::spawn(async move {
        let begun = front.0.sessions.begin(&front.0.session_factory).await;
        let (id, entry) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return drop(sender.send(Err(refusal))),
        };
        let response = match Envelope::parse(&line) {
            Ok(envelope) => take_all(&entry, &[(&line, &envelope)], false, accepted).await,
            Err(error) => Err(ErrorResponse::no_message(&error, &line)),
        };
        let response = response.map(|mut response| {
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(SESSION_ID, id);
            }
            response
        });
        let refused = response.is_err();
        if sender.send(response).is_err() || refused {
            front
                .0
                .sessions
                .end(&id, "the client disconnected during `initialize`");
        }
    });
    let gone = |_| ErrorResponse::crowded("the proxy is shutting down");
    response.await.map_err(gone)?
}

/// Returns an `initialize` request whose revision a session here can have: instead of an unknown one, which the server
/// might accept, the newest one is requested.
fn negotiable(line: &str) -> Cow<'_, str> {
    let mut message = Members::of(line);
    let mut params = Members::of(message.original("params").unwrap_or("{}"));
    let requested = params.text("protocolVersion");
    if requested.is_none_or(|revision| is_legacy_version(&revision)) {
        return line.into();
    }
    params.set("protocolVersion", quoted(LATEST_LEGACY));
    message.set("params", params.to_string());
    message.to_string().into()
}

async fn take_all(
    entry: &LegacySession,
    messages: &[(&str, &Envelope<'_>)],
    batch: bool,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    let requests = messages
        .iter()
        .filter(|(_, it)| it.kind() == MessageKind::Request);
    let ids: Vec<RawId<'_>> = requests.filter_map(|(_, it)| it.id).collect();
    if ids.is_empty() {
        if entry.session.is_congested() {
            let message = "the server does not read its input, and its backlog is full";
            return Err(ErrorResponse::crowded(message));
        }
        for (line, envelope) in messages {
            entry.session.take(line, envelope);
            answer_cancelled(entry, envelope);
        }
        return Ok(responses::empty(StatusCode::ACCEPTED));
    }
    let answers_only = accepted == AcceptedTypes::Json;
    let (number, receiver) = entry
        .streams
        .open(&ids, answers_only)
        .map_err(legacy_sessions::refusal)?;
    let guard = StreamReadGuard::new(entry.streams.clone(), number);
    for (line, envelope) in messages {
        if let (Some("initialize"), Some(id)) = (envelope.method.as_deref(), envelope.id) {
            entry.streams.set_initialize_id(id);
        }
        entry.session.take(line, envelope);
        answer_cancelled(entry, envelope);
    }
    let format = ResponseFormat {
        answers: ids.len(),
        batch,
        stream: Some(number),
        primed: entry.streams.is_primed(),
        accepted,
    };
    responses::respond(receiver, format, guard, || {
        entry.streams.mark_resumable(number);
    })
    .await
}

/// Answers a cancelled request with an error: the server need not answer it, but HTTP requires a response.
fn answer_cancelled(entry: &LegacySession, envelope: &Envelope<'_>) {
    if envelope.method.as_deref() == Some("notifications/cancelled")
        && let Some(id) = envelope.params.request_id
    {
        let error = ErrorObject::new(CANCELLED, "the client cancelled the request");
        entry.streams.answer(id, Reply::Error(&error.to_string()));
    }
}
