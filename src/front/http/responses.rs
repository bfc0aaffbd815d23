//! Builds responses: JSON if the answer is the first message, an event stream if other messages precede it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::message_queue::{MessageReceiver, QueuedMessage, ResponseObserver, SseBody};
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_REQUEST, InvalidMessage, PARSE_ERROR, RawId,
    RequestId, error_response,
};

/// Time without an answer after which the response begins as a stream: clients time out silent requests.
const SILENCE: Duration = Duration::from_secs(15);
/// The same time for a client that can resume the stream.
const PRIMED_SILENCE: Duration = Duration::from_secs(1);

/// Error response to a refused request.
#[derive(Debug)]
pub(super) struct ErrorResponse(Box<ErrorResponseParts>);

#[derive(Debug)]
struct ErrorResponseParts {
    status: StatusCode,
    /// Id of the request, if known.
    id: Option<RequestId>,
    error: ErrorObject,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ErrorResponse {
    pub(super) fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Self::of(status, ErrorObject::new(code, message))
    }

    /// Refuses with the given error object.
    pub(super) fn of(status: StatusCode, error: ErrorObject) -> Self {
        Self(Box::new(ErrorResponseParts {
            status,
            id: None,
            error,
            headers: Vec::new(),
        }))
    }

    /// Refuses an invalid request.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message)
    }

    /// Refuses a body that is not JSON.
    pub(super) fn no_json(reason: &str) -> Self {
        let message = format!("the body is not valid JSON: {reason}");
        Self::new(StatusCode::BAD_REQUEST, PARSE_ERROR, message)
    }

    /// Refuses the body `line`, which is not one message.
    pub(super) fn no_message(error: &InvalidMessage, line: &str) -> Self {
        match error {
            InvalidMessage::Json(reason) => Self::no_json(reason),
            InvalidMessage::Shape => {
                let message = "the message has no `method`, `result` or `error`";
                Self::invalid(message).to(Envelope::id_in(line))
            }
            InvalidMessage::Batch => Self::invalid(error.to_string()),
        }
    }

    /// Refuses an HTTP method that the endpoint does not support.
    pub(super) fn method() -> Self {
        let message = "send messages by POST";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, message)
            .with(header::ALLOW, "POST, GET, DELETE")
    }

    /// Refuses a client that does not accept the content type of the response.
    pub(super) fn unacceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, INVALID_REQUEST, message)
    }

    /// Reports an internal error of the proxy.
    pub(super) fn broken(error: &dyn std::error::Error) -> Self {
        let message = error.to_string();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR, message)
    }

    /// Refuses a request because of too much load; the client may retry.
    pub(super) fn crowded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, message)
            .with(header::RETRY_AFTER, "1")
    }

    /// Reports that the server has not answered the request properly.
    pub(super) fn bad_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, INTERNAL_ERROR, message)
    }

    /// Sets the id of the request.
    pub(super) fn to(mut self, id: Option<RawId<'_>>) -> Self {
        self.0.id = id.map(RequestId::from);
        self
    }

    /// Returns the response with its message as plain text, for requests that are no messages.
    pub(super) fn into_plain_text(self) -> Response {
        let mut response = Response::new(Body::from(self.0.error.message));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(self.0.headers);
        response
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let id = self.0.id.as_ref().map_or(RawId::NULL, RequestId::as_raw);
        let body = error_response(id, &self.0.error);
        let mut response = json(self.0.status, body.into());
        response.headers_mut().extend(self.0.headers);
        response
    }
}

/// Content types that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptedTypes {
    /// Both, as the protocol requires.
    Both,
    /// Only JSON: the response cannot carry messages before the answer.
    Json,
    /// Only event streams.
    Events,
}

impl AcceptedTypes {
    /// Returns the content types accepted by `headers`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ErrorResponse> {
        let takes = |kind| accepts(headers, kind);
        match (takes("application/json"), takes("text/event-stream")) {
            (true, true) => Ok(Self::Both),
            (true, false) => Ok(Self::Json),
            (false, true) => Ok(Self::Events),
            (false, false) => Err(ErrorResponse::unacceptable(
                "a POST must accept application/json and text/event-stream",
            )),
        }
    }
}

/// Format of the response to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseFormat {
    /// Number of answers.
    pub(super) answers: usize,
    /// True if the answers are sent as an array.
    pub(super) batch: bool,
    /// Number of the stream, if its events have ids.
    pub(super) stream: Option<u64>,
    /// True if the response is always a stream and begins with an event that has only an id, which lets a client resume
    /// it after an interruption.
    pub(super) primed: bool,
    pub(super) accepted: AcceptedTypes,
}

/// Waits for the first message and responds accordingly. Calls `on_stream` if the response becomes a stream. The error
/// does not name the request.
pub(super) async fn respond<R: ResponseObserver>(
    mut receiver: MessageReceiver,
    format: ResponseFormat,
    observer: R,
    on_stream: impl FnOnce(),
) -> Result<Response, ErrorResponse> {
    if format.accepted == AcceptedTypes::Json {
        let answers = answers(&mut receiver, format.answers).await?;
        return Ok(complete_answer(answers, format.batch));
    }
    let max_wait = if format.primed {
        PRIMED_SILENCE
    } else {
        SILENCE
    };
    let mut first: Vec<QueuedMessage> = Vec::new();
    while first.len() < format.answers {
        match tokio::time::timeout(max_wait, receiver.next()).await {
            Ok(Some(item)) => {
                let precedes = item.answer.is_none();
                first.push(item);
                if precedes {
                    break;
                }
            }
            // The client will resume the stream.
            Ok(None) if format.primed => break,
            Ok(None) => return Err(ended()),
            Err(_) => break,
        }
    }
    let complete = first.len() == format.answers && first.iter().all(|it| it.answer.is_some());
    if complete && !format.primed && format.accepted == AcceptedTypes::Both {
        return Ok(complete_answer(first, format.batch));
    }
    on_stream();
    let mut events = SseBody::new(
        receiver,
        first,
        format.stream,
        Some(format.answers),
        observer,
    );
    if format.primed {
        events.prime();
    }
    Ok(event_stream(events))
}

/// Collects `count` answers for a client that accepts only JSON, and drops the notifications before them.
async fn answers(
    receiver: &mut MessageReceiver,
    count: usize,
) -> Result<Vec<QueuedMessage>, ErrorResponse> {
    let mut answers = Vec::new();
    while answers.len() < count {
        let item = receiver.next().await.ok_or_else(ended)?;
        if item.answer.is_some() {
            answers.push(item);
        }
    }
    Ok(answers)
}

fn complete_answer(mut answers: Vec<QueuedMessage>, batch: bool) -> Response {
    if !batch && let Some(item) = answers.pop() {
        return json(item.answer.unwrap_or(StatusCode::OK), item.message);
    }
    let mut body = Vec::new();
    for item in answers {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(&item.message);
    }
    body.push(b']');
    json(StatusCode::OK, body.into())
}

fn ended() -> ErrorResponse {
    let message =
        "the session ended before the response, or the client left too much of the stream unread";
    ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, INTERNAL_ERROR, message)
}

/// Returns a JSON response.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Returns a response of server-sent events.
pub(super) fn event_stream<R: ResponseObserver>(events: SseBody<R>) -> Response {
    let mut response = Response::new(Body::new(events));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns a response without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns the response to a CORS preflight request.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let allowed = response.headers_mut();
    let methods = HeaderValue::from_static("POST, GET, DELETE");
    allowed.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(requested) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        allowed.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
    }
    response
}

/// Returns true if the client accepts `kind`. A client without an `Accept` header accepts anything.
pub(super) fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let mut accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|kind| {
            kind.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .peekable();
    let family = kind.split('/').next().unwrap_or_default();
    let fits = |it: String| it == kind || it == "*/*" || it == format!("{family}/*");
    accepted.peek().is_none() || accepted.any(fits)
}
