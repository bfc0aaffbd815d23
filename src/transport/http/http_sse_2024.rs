//! Implements the transport of revision 2024-11-05: all messages of the server arrive on one stream, whose first event
//! names the address to which messages are posted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, Url};
use tokio::time::timeout;

use super::link_event::LinkError;
use super::link_state::LinkState;
use super::peer::Peer;
use super::response::{error_body, is_stream, one_line, without_secrets};
use super::sse::SseParser;

/// Time limit for the server to open the stream, and to name the address for messages.
const ENDPOINT: Duration = Duration::from_secs(10);

/// Reason why messages cannot be posted.
#[derive(Debug)]
pub(super) enum BeginError {
    /// The server does not use this transport, or cannot be reached.
    Other(LinkError),
    /// The server uses this transport, but incorrectly.
    Endpoint(LinkError),
}

impl From<BeginError> for LinkError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Other(error) | BeginError::Endpoint(error) => error,
        }
    }
}

/// Opens the stream and reads the address for messages. Afterwards the link is lost when the stream ends.
pub(super) async fn begin(link: &Arc<LinkState>) -> Result<(), BeginError> {
    let peer = &link.peer;
    let response = open(peer).await.map_err(BeginError::Other)?;
    let mut stream = MessageStream {
        link: link.clone(),
        response,
        events: SseParser::new(link.max_message),
    };
    let shown = peer.shown();
    let Ok(Some(endpoint)) = timeout(ENDPOINT, stream.endpoint()).await else {
        let how = format!("sent no valid `endpoint` event at {shown}");
        return Err(BeginError::Other(how.into()));
    };
    // The configured headers may only be sent to this origin.
    if endpoint.origin() != stream.response.url().origin() {
        let how = format!(
            "names {} as the address for messages in its `endpoint` event at {shown}: messages are sent only to the \
             origin of the configured `url`",
            without_secrets(endpoint)
        );
        return Err(BeginError::Endpoint(how.into()));
    }
    peer.set_endpoint(endpoint);
    link.spawn(stream.follow());
    Ok(())
}

/// Opens the stream.
async fn open(peer: &Peer) -> Result<Response, LinkError> {
    let opened = timeout(ENDPOINT, peer.send(peer.get(None))).await;
    let silent = |_| format!("did not open its event stream at {}", peer.shown());
    match opened.map_err(silent)? {
        Ok(response) if response.status().is_success() && is_stream(&response) => Ok(response),
        Ok(response) => {
            let status = response.status();
            Err(peer.answered(status, &error_body(response).await))
        }
        Err(error) => Err(peer.unreachable(&error)),
    }
}

struct MessageStream {
    link: Arc<LinkState>,
    response: Response,
    events: SseParser,
}

impl MessageStream {
    /// Reads until the server names an address; returns it if it is valid.
    async fn endpoint(&mut self) -> Option<Url> {
        while let Ok(Some(chunk)) = self.response.chunk().await {
            for event in self.events.push(&chunk) {
                let text = std::str::from_utf8(&event.data);
                if let (true, Ok(text)) = (event.endpoint, text) {
                    return self.response.url().join(text.trim()).ok();
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
