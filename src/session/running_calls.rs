//! Work of the session for requests, which their clients may cancel.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio_util::sync::CancellationToken;

use super::Session;
use super::route::Request;
use crate::jsonrpc::{Envelope, ErrorObject, INTERNAL_ERROR, RawId, RequestId};

/// Error for a request whose handling panicked.
const PANICKED: &str = "mcp-proxy panicked while it handled the request; please report this with the panic message on \
    its stderr";

/// Running work, by the ids of the requests. A request whose work has begun another one has only that one here.
#[derive(Debug, Default)]
pub(super) struct RunningCalls {
    /// Number of the newest work.
    newest: u64,
    /// True once the session ends.
    is_closed: bool,
    calls: HashMap<RequestId, (u64, CancellationToken)>,
}

impl RunningCalls {
    /// Adds the work for the request `id`; returns its number, and the token that ends it. None if the session ends.
    fn begin(&mut self, id: RequestId) -> Option<(u64, CancellationToken)> {
        if self.is_closed {
            return None;
        }
        self.newest += 1;
        let token = CancellationToken::new();
        self.calls.insert(id, (self.newest, token.clone()));
        Some((self.newest, token))
    }

    /// Removes the work of this `number` for the request `id`, which has ended.
    fn end(&mut self, id: &RequestId, number: u64) {
        if self
            .calls
            .get(id)
            .is_some_and(|(newest, _)| *newest == number)
        {
            self.calls.remove(id);
        }
    }

    /// Cancels the work for the request `id`; returns false if there is none.
    pub(super) fn cancel(&mut self, id: RawId<'_>) -> bool {
        let removed = self.calls.remove(id.as_str());
        removed.inspect(|(_, token)| token.cancel()).is_some()
    }

    /// Cancels all work, and begins no more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        for (_, (_, token)) in self.calls.drain() {
            token.cancel();
        }
    }

    /// Returns true if there is work for the request `id`.
    #[cfg(test)]
    pub(super) fn has(&self, id: &str) -> bool {
        self.calls.contains_key(id)
    }

    /// Returns true if there is no work.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}

impl Session {
    /// Runs `work`, which the client may cancel under `id` and which answers the request. If it panics, answers with an
    /// error instead.
    pub(super) fn run(&self, id: RawId<'_>, work: impl Future<Output = ()> + Send + 'static) {
        let (session, id) = (self.strong_self(), RequestId::from(id));
        let begun = self.state().running_calls.begin(id.clone());
        let Some((number, token)) = begun else {
            let message = "the session ended before the request was handled";
            let error = ErrorObject::new(INTERNAL_ERROR, message);
            return self.answer_error(id.as_raw(), &error);
        };
        self.tasks.spawn(async move {
            let finished = token.run_until_cancelled(has_finished(work)).await;
            if finished == Some(false) {
                session.refuse_panicked(id.as_raw());
            }
            session.state().running_calls.end(&id, number);
            if finished.is_some() && token.is_cancelled() {
                // The client cancelled the request while the last step of the work sent it on.
                session.cancel(id.as_raw(), "{}");
            }
        });
    }

    /// Runs `work`, which the client may cancel, and then `finish` with its output and the request.
    pub(super) fn run_then<T: Send + 'static>(
        &self,
        request: Request<'_>,
        work: impl Future<Output = T> + Send + 'static,
        finish: impl FnOnce(&Self, T, Request<'_>) + Send + 'static,
    ) {
        let (line, id) = (request.line.to_owned(), RequestId::from(request.id));
        let (session, era) = (self.strong_self(), request.era);
        self.run(request.id, async move {
            let output = work.await;
            if let Ok(envelope) = Envelope::parse(&line) {
                finish(
                    &session,
                    output,
                    Request::new(&line, &envelope, id.as_raw(), era),
                );
            }
        });
    }

    /// Answers the request `id`, whose handling panicked.
    pub(super) fn refuse_panicked(&self, id: RawId<'_>) {
        self.answer_error(id, &ErrorObject::new(INTERNAL_ERROR, PANICKED));
    }
}

/// Runs `work` to its end; returns false if it panics.
pub(super) async fn has_finished(work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(Poll::Ready(false), |poll| poll.map(|()| true))
    })
    .await
}
