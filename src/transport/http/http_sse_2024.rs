//! Implements the transport of revision 2024-11-05: all messages of the server arrive on one stream, whose first event
//! names the address to which messages are posted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, Url};
use tokio::time::timeout;

use super::link_event::LinkError;
use super::link_state::LinkState;
use super::response::one_line;
use super::response::{error_body, is_stream};
use super::sse::SseParser;

/// Time limit for the server to open the stream, and to name the address for messages.
const ENDPOINT: Duration = Duration::from_secs(10);

/// Opens the stream and reads the address for messages. Afterwards the link is lost when the stream ends.
pub(super) async fn begin(link: &Arc<LinkState>) -> Result<(), LinkError> {
    let peer = &link.peer;
    let opened = timeout(ENDPOINT, peer.send(peer.get(None))).await;
    let silent = |_| format!("did not open its event stream at {}", peer.shown());
    let response = match opened.map_err(silent)? {
        Ok(response) if response.status().is_success() && is_stream(&response) => response,
        Ok(response) => {
            let status = response.status();
            return Err(peer.answered(status, &error_body(response).await));
        }
        Err(error) => return Err(peer.unreachable(&error)),
    };
    let mut stream = MessageStream {
        link: link.clone(),
        response,
        events: SseParser::new(link.max_message),
    };
    let found = timeout(ENDPOINT, stream.endpoint()).await;
    let Ok(Some(endpoint)) = found else {
        let shown = peer.shown();
        return Err(format!("sent no valid `endpoint` event at {shown}").into());
    };
    peer.set_endpoint(endpoint);
    link.spawn(stream.follow());
    Ok(())
}

struct MessageStream {
    link: Arc<LinkState>,
    response: Response,
    events: SseParser,
}

impl MessageStream {
    /// Reads until the server names an address; returns it if it has the stream's origin.
    async fn endpoint(&mut self) -> Option<Url> {
        while let Ok(Some(chunk)) = self.response.chunk().await {
            for event in self.events.push(&chunk) {
                let text = std::str::from_utf8(&event.data);
                if let (true, Ok(text)) = (event.endpoint, text) {
                    let base = self.response.url();
                    let url = base.join(text.trim()).ok()?;
                    // The configured headers may only be sent to this origin.
                    return Some(url).filter(|url| url.origin() == base.origin());
                }
            }
        }
        None
    }

    async fn follow(mut self) {
        while let Ok(Some(chunk)) = self.response.chunk().await {
            for event in self.events.push(&chunk) {
                if event.too_long {
                    self.link.report_too_long().await;
                } else if !event.data.is_empty() && !event.endpoint {
                    self.link.report_message(one_line(event.data), None).await;
                }
            }
        }
        let how = "closed its stream".to_owned();
        self.link.mark_lost(&how.into());
    }
}
