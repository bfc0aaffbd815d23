//! Handles POST: reads one message of a client or a batch, and determines its era.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body::{Body as _, Frame};
use serde_json::value::RawValue;

use super::connections::ConnectionState;
use super::large_messages::LargePermit;
use super::legacy_sessions::declares_modern;
use super::responses::{self, AcceptedTypes, ErrorResponse};
use super::{Front, legacy, modern};
use crate::jsonrpc::{
    Envelope, INVALID_PARAMS, INVALID_REQUEST, InvalidMessage, Members, MessageKind,
};

/// Time limit for the next bytes of a body.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Size in bytes above which a body counts as large; the number of large bodies in transit is limited.
const SMALL: usize = 1024 * 1024;

/// Handles the message of a POST and returns its response.
pub(super) async fn take(front: &Front, request: Request) -> Result<Response, ErrorResponse> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    check_kind(&headers)?;
    let accepted = AcceptedTypes::of(&headers)?;
    let body = read(front, &headers, body).await?;
    request_arrived(&parts.extensions);
    let text =
        std::str::from_utf8(&body).map_err(|error| ErrorResponse::no_json(&error.to_string()))?;
    let line = in_one_line(text)?;
    match Envelope::parse(&line) {
        Ok(envelope) => {
            check_shape(&line, &envelope)?;
            check_answerable(accepted, &envelope)?;
            take_one(front, &headers, &line, &envelope, accepted).await
        }
        Err(InvalidMessage::Batch) => legacy::take_batch(front, &headers, &line, accepted).await,
        Err(error) => Err(ErrorResponse::no_message(&error, &line)),
    }
}

/// Records that the request with these extensions has arrived completely.
pub(super) fn request_arrived(extensions: &Extensions) {
    if let Some(state) = extensions.get::<Arc<ConnectionState>>() {
        state.request_arrived();
    }
}

/// Reads a body, with limits on its length and its pauses.
async fn read(
    front: &Front,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Vec<u8>, ErrorResponse> {
    let limit = front.0.max_message;
    let too_long = || {
        let message =
            format!("the message is longer than {limit} bytes, the limit set by `--max-message`");
        ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, message)
    };
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    let announced: usize = announced.unwrap_or_default();
    if announced > limit {
        return Err(too_long());
    }
    let mut permit: Option<LargePermit<'_>> = None;
    let mut bytes = Vec::with_capacity(announced.min(SMALL));
    while let Some(frame) = next_frame(&mut body, permit.as_ref()).await? {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(too_long());
        }
        if bytes.len() + data.len() > SMALL && permit.is_none() {
            let crowded = || ErrorResponse::crowded("too many large messages in flight");
            permit = Some(front.0.large_messages.reserve().await.ok_or_else(crowded)?);
            bytes.reserve_exact(announced.saturating_sub(bytes.len()));
        }
        if let Some(permit) = &permit {
            permit.add_bytes(data.len());
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

async fn next_frame(
    body: &mut Body,
    permit: Option<&LargePermit<'_>>,
) -> Result<Option<Frame<Bytes>>, ErrorResponse> {
    let late =
        |message: String| ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, INVALID_REQUEST, message);
    let next = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
    let aborted = async {
        match permit {
            Some(permit) => permit.aborted().await,
            None => std::future::pending().await,
        }
    };
    let next = tokio::select! {
        next = tokio::time::timeout(BODY_READ_TIMEOUT, next) => next,
        () = aborted => {
            let message = "the body arrived too slowly while other large messages waited";
            return Err(late(message.to_owned()));
        }
    };
    match next {
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(error))) => Err(ErrorResponse::invalid(format!(
            "the body is incomplete: {error}"
        ))),
        Err(_) => Err(late(format!(
            "the body timed out: no data for {} s",
            BODY_READ_TIMEOUT.as_secs()
        ))),
    }
}

/// Returns the text as one line, since servers treat a line end as the end of a message. Between JSON tokens a line end
/// is only white space; inside a string it is an error.
pub(super) fn in_one_line(text: &str) -> Result<Cow<'_, str>, ErrorResponse> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return Ok(text.into());
    }
    serde_json::from_str::<&RawValue>(text)
        .map_err(|error| ErrorResponse::no_json(&error.to_string()))?;
    Ok(text.replace(['\n', '\r'], " ").into())
}

/// Checks for `application/json`, which a browser page cannot send without a preflight request.
pub(super) fn check_kind(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        let message = "the header `Content-Type` must be application/json";
        return Err(ErrorResponse::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            INVALID_REQUEST,
            message,
        ));
    }
    Ok(())
}

/// Refuses `subscriptions/listen`, whose response is a stream, if the client accepts no event streams.
fn check_answerable(accepted: AcceptedTypes, envelope: &Envelope<'_>) -> Result<(), ErrorResponse> {
    if accepted == AcceptedTypes::Json && envelope.method.as_deref() == Some("subscriptions/listen")
    {
        let message =
            "the response to `subscriptions/listen` is a stream: accept text/event-stream";
        return Err(ErrorResponse::unacceptable(message).to(envelope.id));
    }
    Ok(())
}

/// Refuses a request that cannot be answered.
pub(super) fn check_shape(line: &str, envelope: &Envelope<'_>) -> Result<(), ErrorResponse> {
    let odd = envelope
        .id
        .filter(|id| envelope.method.is_some() && !id.is_string_or_number());
    if odd.is_some() {
        return Err(ErrorResponse::invalid(
            "`id` is neither a string nor a number",
        ));
    }
    let named = envelope.method.is_none()
        || Members::of(line)
            .get("method")
            .is_some_and(|raw| raw.starts_with('"'));
    if named {
        return Ok(());
    }
    Err(ErrorResponse::invalid("`method` is not a string").to(envelope.id))
}

async fn take_one(
    front: &Front,
    headers: &HeaderMap,
    line: &str,
    envelope: &Envelope<'_>,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    if envelope.params.meta.protocol_version.is_some() {
        return modern::take(front, headers, line, envelope, accepted).await;
    }
    // Only the legacy era has `initialize`, whose body names the revisions that the client requests.
    if !declares_modern(headers) || envelope.method.as_deref() == Some("initialize") {
        let to_request =
            |refusal: ErrorResponse| refusal.to(envelope.id.filter(|_| envelope.method.is_some()));
        let taken = legacy::take(front, headers, line, envelope, accepted).await;
        return taken.map_err(to_request);
    }
    if envelope.kind() != MessageKind::Request {
        // Over HTTP the modern era has only requests: closing the stream cancels a request.
        return Ok(responses::empty(StatusCode::ACCEPTED));
    }
    let message = "a request of revision 2026-07-28 must also name it in `params._meta` as \
        `io.modelcontextprotocol/protocolVersion`";
    let refusal = ErrorResponse::new(StatusCode::BAD_REQUEST, INVALID_PARAMS, message);
    Err(refusal.to(envelope.id))
}
