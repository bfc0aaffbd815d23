//! Requests that are sent again once the user of a modern client has opened URLs, as the error of a server requires. The
//! client gets the URLs as a request for input.

use std::sync::Arc;
use std::time::Duration;

use super::super::Session;
use super::super::route::Request;
use super::{NextStep, ParkedCalls, UrlsOfCall};
use crate::bridge::{self, RequiredUrls};
use crate::jsonrpc::{Envelope, Members, Reply};
use crate::server::{Connection, ParkedRound, ResponseSink};

/// Maximum number of completed URLs that are remembered.
const MAX_COMPLETED: usize = 64;
/// Maximum length in bytes of the id of a completed URL that is remembered.
const MAX_URL_ID: usize = 1024;
/// Time for the server to report that the user is done, before the request is sent again without that.
const COMPLETION_TIME: Duration = Duration::from_secs(10);

impl ParkedCalls {
    /// Forgets the completed URLs of `server` with these `ids`; returns false if not all of them are completed.
    fn take_completed(&mut self, server: &str, ids: &[String]) -> bool {
        let urls = &mut self.completed_urls;
        let is_of = |(of, done): &(Arc<str>, String), id: &String| **of == *server && done == id;
        let all = ids.iter().all(|id| urls.iter().any(|url| is_of(url, id)));
        if all {
            // A server may require the same URL again later.
            urls.retain(|url| !ids.iter().any(|id| is_of(url, id)));
        }
        all
    }
}

impl Session {
    /// Requests that the client's user opens `urls`. If the client cannot be asked, its request ends with `error`.
    pub(in super::super) fn ask_for_urls(
        &self,
        from: &Connection,
        round: ParkedRound,
        urls: RequiredUrls,
        error: &str,
    ) {
        let digests = self.digests(round.line());
        let state = {
            let mut state = self.state();
            let calls = &mut state.parked_calls;
            let key = calls.new_state(&from.server, digests.client);
            key.inspect(|key| {
                let urls = UrlsOfCall {
                    server: from.server.clone(),
                    line: round.line().into(),
                    urls,
                    error: error.to_owned(),
                };
                self.keep(calls, key, digests, NextStep::AfterUrls(urls));
            })
        };
        match state {
            Ok(state) => round.send(&state),
            Err(_) => round.refuse(error),
        }
    }

    /// Sends a request again if its user has accepted the URLs, once the server reports that the user is done.
    pub(super) fn send_after_urls(
        &self,
        waiting: UrlsOfCall,
        request: Request<'_>,
        responses: &Members<'_>,
    ) {
        if !waiting.urls.are_accepted(responses) {
            return self.answer(request.id, Reply::Error(&waiting.error));
        }
        let line = bridge::with_input_of(&waiting.line, request.client_line);
        let session = self.strong_self();
        self.send_later(&line, request, async move {
            let completed = session.urls_completed(&waiting.server, &waiting.urls.ids);
            let _ = tokio::time::timeout(COMPLETION_TIME, completed).await;
        });
    }

    /// Sends `line`, which replaces that of `request`, after `work`.
    pub(super) fn send_later(
        &self,
        line: &str,
        request: Request<'_>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Ok(envelope) = Envelope::parse(line) {
            let request = Request::new(line, &envelope, request.id, request.era);
            self.run_then(request, work, |session, (), request| {
                session.forward(request);
            });
        }
    }

    /// Waits until `server` has reported the URLs with these `ids` as completed, and forgets that.
    async fn urls_completed(&self, server: &str, ids: &[String]) {
        let signal = self.state().parked_calls.url_completed.clone();
        loop {
            let completed = signal.notified();
            if self.state().parked_calls.take_completed(server, ids) {
                return;
            }
            completed.await;
        }
    }

    /// Records that the user is done with the URL that the notification in `line` names.
    pub(in super::super) fn take_completed_url(&self, from: &Connection, line: &str) {
        let message = Members::of(line);
        let params = message.object("params");
        let id = params.text("elicitationId");
        let Some(id) = id.filter(|id| id.len() <= MAX_URL_ID) else {
            return;
        };
        let mut state = self.state();
        let calls = &mut state.parked_calls;
        if calls.completed_urls.len() >= MAX_COMPLETED {
            calls.completed_urls.pop_front();
        }
        let url = (Arc::clone(&from.server), id.into_owned());
        calls.completed_urls.push_back(url);
        calls.url_completed.notify_waiters();
    }
}
