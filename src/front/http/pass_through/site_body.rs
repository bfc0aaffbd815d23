//! Body of a response of the server's site.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::server::SiteExchange;

/// Body that fails when its exchange is cut, so that the client does not take it for complete.
#[derive(Debug)]
pub(super) struct SiteBody {
    body: Incoming,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Ends with the body.
    _exchange: SiteExchange,
}

/// Error of a body whose exchange was cut.
#[derive(Debug, thiserror::Error)]
#[error("the server has ended")]
struct Cut;

impl SiteBody {
    /// Returns the response with its body tied to `exchange`.
    pub(super) fn tie(response: Response<Incoming>, mut exchange: SiteExchange) -> Response<Self> {
        if is_event_stream(response.headers()) {
            exchange.become_stream();
        }
        response.map(|body| Self {
            body,
            cut: Box::pin(exchange.cut().clone().cancelled_owned()),
            _exchange: exchange,
        })
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"))
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(Cut))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_err(axum::Error::new)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
