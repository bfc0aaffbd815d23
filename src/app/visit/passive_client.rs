//! Stand-in for a client during a visit: refuses the server's requests, and reports its progress and log messages as
//! events.

use std::sync::{Arc, Mutex};

use crate::bridge::RequiredUrls;
use crate::event::{Event, EventSender};
use crate::jsonrpc::{Envelope, ErrorObject, METHOD_NOT_FOUND, Members, RawId, Reply, unquoted};
use crate::lock::locked;
use crate::server::{Client, Connection, InputRound, ParkedRound, ResponseSink};
use crate::transport::stream::Outbox;

/// Client that answers nothing. Notifications other than progress and log messages are ignored.
#[derive(Debug)]
pub(super) struct PassiveClient {
    server: String,
    events: EventSender,
    /// Methods of the server's requests.
    requested: Mutex<Vec<String>>,
}

impl PassiveClient {
    /// Creates the stand-in client of the server named `server`.
    pub(super) fn new(server: String, events: EventSender) -> Self {
        Self {
            server,
            events,
            requested: Mutex::default(),
        }
    }

    /// Returns the methods of the server's requests since the last call.
    pub(super) fn take_requested(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.requested))
    }
}

impl ResponseSink for PassiveClient {
    fn pipe(&self) -> Option<&Outbox> {
        None
    }

    fn answer(&self, _id: RawId<'_>, _reply: Reply<'_>) {}
}

impl Client for PassiveClient {
    fn deliver_request(
        &self,
        from: &Arc<Connection>,
        _line: &str,
        envelope: &Envelope<'_>,
        _on: Option<u64>,
    ) {
        let method = envelope.method.as_deref().unwrap_or_default();
        locked(&self.requested).push(method.to_owned());
        let message = format!(
            "`{method}` is not available: the server runs from a shell, without an MCP client"
        );
        from.refuse(
            envelope.id.unwrap_or(RawId::NULL),
            &ErrorObject::new(METHOD_NOT_FOUND, message),
        );
    }

    fn deliver_notification(
        &self,
        _from: &Arc<Connection>,
        line: &str,
        envelope: &Envelope<'_>,
        _on: Option<u64>,
    ) {
        let message = Members::of(line);
        let params = message.object("params");
        let server = self.server.clone();
        match envelope.method.as_deref() {
            Some("notifications/progress") => self.events.send(Event::Progress {
                server,
                text: progress(&params),
            }),
            Some("notifications/message") => self.events.send(Event::LogMessage {
                server,
                level: params.text("level").unwrap_or_default().into_owned(),
                text: data(params.get("data").unwrap_or_default()),
            }),
            _ => {}
        }
    }

    // A visit makes its calls in the server's era, in which the result says that it requests input.
    fn request_input(&self, _from: &Arc<Connection>, _round: InputRound) {}

    fn request_urls(&self, _: &Connection, _: ParkedRound, _: RequiredUrls, _: &str) {}

    fn withdraw_requests(&self, _from: &Connection) {}
}

/// Formats a progress notification: `3/10 fetching`.
fn progress(params: &Members<'_>) -> String {
    let mut text = params.get("progress").unwrap_or("?").to_owned();
    if let Some(total) = params.get("total").filter(|total| *total != "null") {
        text += "/";
        text += total;
    }
    if let Some(message) = params.text("message") {
        text += " ";
        text += &message;
    }
    text
}

/// Returns the logged text: a string, the member `msg` of an object (as sent by the Python SDK), or raw JSON.
fn data(raw: &str) -> String {
    let object = Members::of(raw);
    let text = unquoted(raw).or_else(|| object.text("msg"));
    text.map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_read_as_a_person_would_say_them() {
        for (params, text) in [
            (
                r#"{"progress":3,"total":10,"message":"fetching"}"#,
                "3/10 fetching",
            ),
            (r#"{"progress":0.5,"total":null}"#, "0.5"),
            ("{}", "?"),
        ] {
            assert_eq!(progress(&Members::of(params)), text, "{params}");
        }
        for (raw, text) in [
            (r#""plain""#, "plain"),
            (r#"{"msg":"wrapped","extra":null}"#, "wrapped"),
            (r#"{"n":1}"#, r#"{"n":1}"#),
        ] {
            assert_eq!(data(raw), text, "{raw}");
        }
    }
}
