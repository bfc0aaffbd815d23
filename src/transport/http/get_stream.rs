//! Reads the stream for server-initiated messages of a legacy server. Opened after the handshake and reopened after
//! each interruption, which load balancers cause at any time.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use tokio::time::sleep;

use super::exchange::MAX_TRIES;
use super::link_event::{LinkError, LinkEvent};
use super::link_state::LinkState;
use super::response::{error_body, is_session_lost, is_stream, one_line};
use super::sse::{SseParser, pause};

/// Follows the stream until the server offers none or can no longer be reached.
pub(super) async fn run(link: Arc<LinkState>) {
    let (mut last, mut retry) = (None, None);
    let mut opened = false;
    let mut failures = 0;
    loop {
        let resumed = last.is_some();
        match open(&link, last.as_deref(), opened).await {
            OpenOutcome::Stream(response) => {
                if opened && !resumed {
                    link.report(LinkEvent::Resumed).await;
                }
                (opened, failures) = (true, 0);
                read(&link, response, &mut last, &mut retry).await;
            }
            OpenOutcome::None => return,
            // A server that never opened this stream may not support it.
            OpenOutcome::Later(_) if !opened => return,
            OpenOutcome::Later(how) if failures + 1 >= MAX_TRIES => return link.mark_lost(&how),
            OpenOutcome::Later(_) => failures += 1,
        }
        let factor = 2u32.saturating_pow(failures.try_into().unwrap_or(u32::MAX));
        sleep(pause(retry).saturating_mul(factor)).await;
    }
}

enum OpenOutcome {
    Stream(Response),
    /// The server does not offer this stream, or the link is lost.
    None,
    /// The stream may be available later; contains the current reason.
    Later(LinkError),
}

/// Opens the stream; `was_open` says that the server has offered it before. Only then can a refusal mean that the session
/// is unknown: servers without this stream answer in any way.
async fn open(link: &LinkState, last: Option<&str>, was_open: bool) -> OpenOutcome {
    let peer = &link.peer;
    let response = match peer.send(peer.get(last)).await {
        Ok(response) => response,
        Err(error) => {
            let how = peer.unreachable(&error);
            if error.is_connect() {
                link.mark_lost(&how);
                return OpenOutcome::None;
            }
            return OpenOutcome::Later(how);
        }
    };
    let status = response.status();
    if status.is_success() && is_stream(&response) {
        return OpenOutcome::Stream(response);
    }
    if status.is_server_error() {
        return OpenOutcome::Later(peer.answered(status, ""));
    }
    if was_open
        && !status.is_success()
        && is_session_lost(peer, status, &error_body(response).await, None)
    {
        link.mark_lost(&LinkError::session_lost());
    }
    OpenOutcome::None
}

/// Reads the stream to its end; stores the position and the retry time for resuming in `last` and `retry`.
async fn read(
    link: &LinkState,
    mut response: Response,
    last: &mut Option<String>,
    retry: &mut Option<Duration>,
) {
    let mut events = SseParser::new(link.max_message);
    while let Ok(Some(chunk)) = response.chunk().await {
        for event in events.push(&chunk) {
            *retry = event.retry.or(*retry);
            if event.too_long {
                link.report_too_long().await;
            } else if !event.data.is_empty() {
                link.report_message(one_line(event.data), None).await;
            }
            *last = event.id.or(last.take());
        }
    }
}
