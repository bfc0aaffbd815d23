//! Handles clients of the modern era: every request stands alone; all share one session of the proxy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::Front;
use super::message_queue::{
    MessageReceiver, MessageSender, QueuedMessage, ResponseObserver, queue,
};
use super::responses::{self, AcceptedTypes, ErrorResponse, ResponseFormat};
use crate::jsonrpc::{
    Envelope, METHOD_NOT_FOUND, Members, MessageKind, RawId, RawJson, Reply, RequestId,
};
use crate::lock::locked;
use crate::mcp::{HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_REVISION, headers as rules};
use crate::session::{Delivery, RelatedRequest, Session, Undelivered};
use crate::transport::stream::Outbox;

/// Maximum number of requests in flight, including open streams.
const MAX_REQUESTS: usize = 10_000;
/// Event number for this era, whose events have no ids because an interrupted stream is not resumed.
const UNNUMBERED: u64 = 0;

/// Requests in flight of all modern clients, by an id assigned by the proxy: different clients may use the same id at
/// the same time.
#[derive(Debug, Default)]
pub(super) struct ModernRequests {
    open: Mutex<HashMap<RequestId, ModernRequest>>,
    last: AtomicU64,
}

/// One request in flight.
#[derive(Debug)]
struct ModernRequest {
    /// The client's id.
    id: RequestId,
    /// `None` once the client has left too much unread.
    sender: Option<MessageSender>,
}

impl ModernRequests {
    /// Registers the client's request `id`; returns the proxy's id and the receiver of its response, or `None` if too
    /// many requests are in flight.
    pub(super) fn open(&self, id: RawId<'_>) -> Option<(RequestId, MessageReceiver)> {
        let mut open = locked(&self.open);
        if open.len() >= MAX_REQUESTS {
            return None;
        }
        let key = RequestId::from(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let (sender, receiver) = queue();
        let request = ModernRequest {
            id: id.into(),
            sender: Some(sender),
        };
        open.insert(key.clone(), request);
        Some((key, receiver))
    }

    /// Forgets a request; returns false if it was answered.
    fn close(&self, key: RawId<'_>) -> bool {
        locked(&self.open).remove(key.as_str()).is_some()
    }

    /// Ends every response.
    pub(super) fn end(&self) {
        locked(&self.open).clear();
    }

    fn push(&self, key: RawId<'_>, line: &str) {
        let mut open = locked(&self.open);
        let Some(request) = open.get_mut(key.as_str()) else {
            return;
        };
        let item = QueuedMessage {
            event: UNNUMBERED,
            message: Bytes::copy_from_slice(line.as_bytes()),
            answer: None,
        };
        // Without a sender the response ends, and dropping its [`CancelGuard`] cancels the request.
        request.sender.take_if(|sender| sender.push(item).is_err());
    }
}

impl Delivery for ModernRequests {
    fn answer(&self, id: RawId<'_>, reply: Reply<'_>) {
        let Some(request) = locked(&self.open).remove(id.as_str()) else {
            return;
        };
        let message = reply.with_id(request.id.as_raw(), |parts| parts.concat());
        let item = QueuedMessage {
            event: UNNUMBERED,
            message: message.into(),
            answer: Some(reply.error().map_or(StatusCode::OK, status)),
        };
        if let Some(sender) = request.sender {
            let _ = sender.push(item);
        }
    }

    fn send(&self, line: &str, related: RelatedRequest<'_>) -> Result<(), Undelivered> {
        match related {
            RelatedRequest::Request(key) | RelatedRequest::Listen(key) => self.push(key, line),
            RelatedRequest::Nothing => {}
        }
        Ok(())
    }

    fn pipe(&self) -> Option<&Outbox> {
        None
    }
}

/// Returns the HTTP status for an answer with this error.
fn status(error: &str) -> StatusCode {
    let members = Members::of(error);
    let code = members.get("code").and_then(|code| code.parse().ok());
    match code {
        Some(METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
        Some(HEADER_MISMATCH | MISSING_CAPABILITY | UNSUPPORTED_REVISION) => {
            StatusCode::BAD_REQUEST
        }
        _ => StatusCode::OK,
    }
}

/// Cancels a request whose client disconnects before the answer.
#[derive(Debug)]
struct CancelGuard {
    key: RequestId,
    requests: Arc<ModernRequests>,
    session: Arc<Session>,
}

impl ResponseObserver for CancelGuard {
    fn written(&mut self) {}
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let key = self.key.as_raw();
        if self.requests.close(key) {
            let params = r#"{"reason":"the client closed the stream"}"#;
            self.session.cancel(key, params);
        }
    }
}

/// Checks that the headers of a request match its body.
fn check(
    session: &Session,
    headers: &HeaderMap,
    line: &str,
    envelope: &Envelope<'_>,
) -> Result<(), ErrorResponse> {
    let get = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect()
    };
    let params = Members::of(line).original("params").unwrap_or("{}");
    let is_call = envelope.method.as_deref() == Some("tools/call");
    let name = envelope
        .params
        .name
        .filter(|_| is_call)
        .and_then(RawJson::text);
    let tool = name.and_then(|name| session.fleet().catalog().mirrored(&name));
    rules::check(envelope, params, tool.as_deref(), get)
        .map_err(|error| ErrorResponse::of(StatusCode::BAD_REQUEST, error))
}

/// Handles a message that names its own revision.
pub(super) async fn take(
    front: &Front,
    headers: &HeaderMap,
    line: &str,
    envelope: &Envelope<'_>,
    accepted: AcceptedTypes,
) -> Result<Response, ErrorResponse> {
    let Some(id) = envelope
        .id
        .filter(|_| envelope.kind() == MessageKind::Request)
    else {
        return Ok(responses::empty(StatusCode::ACCEPTED));
    };
    let session = front
        .modern_session()
        .await
        .map_err(|refusal| refusal.to(Some(id)))?;
    check(&session, headers, line, envelope).map_err(|refusal| refusal.to(Some(id)))?;
    let Some((key, receiver)) = front.0.modern_requests.open(id) else {
        return Err(ErrorResponse::crowded("too many requests in flight").to(Some(id)));
    };
    let guard = CancelGuard {
        key: key.clone(),
        requests: front.0.modern_requests.clone(),
        session: session.clone(),
    };
    session.take_request(line, envelope, key.as_raw());
    let format = ResponseFormat {
        answers: 1,
        batch: false,
        stream: None,
        primed: false,
        accepted,
    };
    let response = responses::respond(receiver, format, guard, || {}).await;
    response.map_err(|refusal| refusal.to(Some(id)))
}
