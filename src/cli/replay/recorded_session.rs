//! Session of a recording, as its client has seen it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::bridge;
use crate::jsonrpc::{Envelope, MessageKind, RawId, RawJson};
use crate::recorder::{RecordedLine, own_line};

/// Message that the client sent without being asked.
#[derive(Debug)]
pub(super) struct ClientMessage {
    pub(super) line: String,
    /// Indexes of the requests that were answered since the previous message.
    pub(super) answered_before: Vec<usize>,
}

/// Request of the client.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    /// Id as it stands in the message.
    pub(super) id: String,
    /// Number of earlier requests with the same id.
    pub(super) earlier: usize,
    /// Method, and the name or URI that it is about.
    pub(super) subject: String,
    sent_us: u64,
    /// True if the proxy passed the request on to a server.
    is_passed_on: bool,
    /// Raw progress token that the server got. The proxy replaces those of clients that share a server.
    pub(super) token: Option<String>,
    pub(super) response: Option<RecordedResponse>,
}

/// Response that the client got.
#[derive(Debug)]
pub(super) struct RecordedResponse {
    /// Whole message; `None` if it was recorded in part.
    pub(super) line: Option<String>,
    /// Time since the request in microseconds.
    pub(super) took_us: u64,
}

/// Request of a server that the client answered.
#[derive(Debug)]
pub(super) struct ServerQuestion {
    id: String,
    pub(super) method: String,
    /// Client's response.
    pub(super) answer: Option<String>,
}

/// Session of one client.
#[derive(Debug, Default)]
pub(super) struct RecordedSession {
    pub(super) name: String,
    pub(super) messages: Vec<ClientMessage>,
    pub(super) requests: Vec<RecordedRequest>,
    pub(super) questions: Vec<ServerQuestion>,
    /// Number of notifications to the client, by their method.
    pub(super) notifications: BTreeMap<String, usize>,
    /// Number of notifications of servers, by their method.
    of_servers: BTreeMap<String, usize>,
    /// True if the recording has messages to servers.
    has_servers: bool,
    /// True if a message of the client was recorded in part, or not at all.
    pub(super) is_incomplete: bool,
    /// Number of values that the requests of a replay had from earlier results of it.
    pub(super) carried: usize,
    /// Requests answered since the last one of `messages`.
    answered: Vec<usize>,
}

/// Returns the sessions of a recording that have requests, in their order. Lines that are not whole do not count.
pub(super) fn sessions(text: &str) -> Vec<RecordedSession> {
    let mut sessions: Vec<RecordedSession> = Vec::new();
    for line in text.lines().map(own_line) {
        let Ok(line) = serde_json::from_str::<RecordedLine<'_>>(&line) else {
            continue;
        };
        if line.dropped.is_some() {
            for session in &mut sessions {
                session.is_incomplete = true;
            }
        }
        let from_client = line.from == "client";
        if !from_client && line.to != "client" {
            if let Some(session) = sessions.iter_mut().find(|it| it.name == line.session) {
                session.take_of_server(&line);
            }
            continue;
        }
        let at = sessions.iter().position(|it| it.name == line.session);
        let at = at.unwrap_or_else(|| {
            sessions.push(RecordedSession {
                name: line.session.to_string(),
                ..RecordedSession::default()
            });
            sessions.len() - 1
        });
        if from_client {
            sessions[at].take_from_client(&line);
        } else {
            sessions[at].take_to_client(&line);
        }
    }
    sessions.retain(|it| !it.requests.is_empty());
    sessions
}

impl RecordedRequest {
    pub(super) fn method(&self) -> &str {
        self.subject.split(' ').next().unwrap_or_default()
    }
}

impl RecordedSession {
    fn take_from_client(&mut self, line: &RecordedLine<'_>) {
        let message = line.message.map_or("", RawValue::get);
        let Ok(envelope) = Envelope::parse(message) else {
            self.is_incomplete |= line.message.is_none();
            return;
        };
        let id = envelope.id.map(|id| id.as_str().to_owned());
        match (envelope.kind(), id) {
            (MessageKind::Response, id) => {
                let open =
                    |it: &&mut ServerQuestion| it.answer.is_none() && Some(&it.id) == id.as_ref();
                if let Some(question) = self.questions.iter_mut().find(open) {
                    question.answer = Some(message.to_owned());
                }
                return;
            }
            (MessageKind::Request, Some(id)) => {
                let of = envelope.params.name.or(envelope.params.uri);
                let of = of.and_then(RawJson::text);
                let method = envelope.method.as_deref().unwrap_or_default();
                let subject = of.map_or_else(|| method.to_owned(), |of| format!("{method} {of}"));
                let earlier = self.requests.iter().filter(|it| it.id == id).count();
                self.requests.push(RecordedRequest {
                    id,
                    earlier,
                    subject,
                    sent_us: line.time_us,
                    // A call that its client repeats with input may be at its server already.
                    is_passed_on: bridge::request_state(message).is_some(),
                    token: None,
                    response: None,
                });
            }
            _ => {}
        }
        self.messages.push(ClientMessage {
            line: message.to_owned(),
            answered_before: std::mem::take(&mut self.answered),
        });
    }

    fn take_to_client(&mut self, line: &RecordedLine<'_>) {
        let whole = line.message.map(RawValue::get);
        let Some(Ok(envelope)) = whole.map(Envelope::parse) else {
            if let (Some(id), None) = Envelope::of_ends(line.text.as_deref().unwrap_or(""), "") {
                self.answer(id.as_raw().as_str(), None, line.time_us);
            }
            return;
        };
        let id = envelope.id.map_or("", RawId::as_str);
        let method = envelope.method.as_deref().unwrap_or_default().to_owned();
        match envelope.kind() {
            MessageKind::Response => self.answer(id, whole, line.time_us),
            MessageKind::Request => self.questions.push(ServerQuestion {
                id: id.to_owned(),
                method,
                answer: None,
            }),
            MessageKind::Notification => *self.notifications.entry(method).or_default() += 1,
        }
    }

    /// Takes a message between the proxy and a server.
    fn take_of_server(&mut self, line: &RecordedLine<'_>) {
        self.has_servers = true;
        if let Some(id) = line.client_id.map(RawValue::get) {
            let is_meant = |it: &&mut RecordedRequest| it.response.is_none() && it.id == id;
            if let Some(request) = self.requests.iter_mut().find(is_meant) {
                request.is_passed_on = true;
                let passed_on = line.message.and_then(|it| Envelope::parse(it.get()).ok());
                let token = passed_on.and_then(|it| it.params.meta.progress_token);
                request.token = token.map(|it| it.as_str().to_owned());
            }
        }
        let message = line.message.filter(|_| line.from == "server");
        let Some(Ok(envelope)) = message.map(|it| Envelope::parse(it.get())) else {
            return;
        };
        if matches!(envelope.kind(), MessageKind::Notification) {
            let method = envelope.method.as_deref().unwrap_or_default().to_owned();
            *self.of_servers.entry(method).or_default() += 1;
        }
    }

    /// Returns the number of notifications with this method that the client got from servers. The proxy sends some of
    /// its own, such as those of lists that a save changed.
    pub(super) fn passed_on(&self, method: &str) -> usize {
        let number = |of: &BTreeMap<String, usize>| of.get(method).copied().unwrap_or_default();
        let received = number(&self.notifications);
        if self.has_servers {
            received.min(number(&self.of_servers))
        } else {
            received
        }
    }

    /// Returns true if the proxy answered a call of a tool itself: one of its own tools, or while code did not run.
    pub(super) fn is_own(&self, request: &RecordedRequest) -> bool {
        self.has_servers && !request.is_passed_on && request.subject.starts_with("tools/call")
    }

    fn answer(&mut self, id: &str, line: Option<&str>, time_us: u64) {
        let is_open = |it: &RecordedRequest| it.response.is_none() && it.id == id;
        if let Some(at) = self.requests.iter().position(is_open) {
            let request = &mut self.requests[at];
            request.response = Some(RecordedResponse {
                line: line.map(ToOwned::to_owned),
                took_us: time_us.saturating_sub(request.sent_us),
            });
            self.answered.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDING: &str = r#"{"mcp_proxy_recording":1,"version":"0.1.0","pid":7,"time_us":0}
{"time_us":0,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"id":1,"method":"initialize"}}
{"time_us":40,"from":"proxy","to":"client","session":"7-1","bytes":9,"message":{"id":1,"result":{}}}
{"time_us":50,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"method":"notifications/initialized"}}
{"time_us":60,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"id":"a","method":"tools/call","params":{"name":"ask"}}}
{"time_us":60,"from":"proxy","to":"server","session":"7-1","server":"weather","generation":1,"client_id":"a","bytes":9,"message":{"id":3,"method":"x"}}
{"time_us":61,"from":"server","to":"proxy","session":"7-1","server":"weather","generation":1,"bytes":9,"message":{"method":"notifications/y"}}
{"time_us":62,"from":"proxy","to":"client","session":"7-1","bytes":9,"message":{"method":"notifications/y"}}
{"time_us":70,"from":"proxy","to":"client","session":"7-1","bytes":9,"message":{"id":1,"method":"roots/list"}}
{"time_us":80,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"id":1,"result":{"roots":[]}}}
{"time_us":90,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"id":1,"method":"ping"}}
{"time_us":90,"from":"client","to":"proxy","session":"7-1","bytes":9,"message":{"id":2,"method":"tools/call","params":{"name":"get_loaded_servers"}}}
{"time_us":90,"from":"proxy","to":"client","session":"7-1","bytes":9,"message":{"method":"notifications/x"}}
{"time_us":95,"from":"proxy","to":"client","session":"7-1","bytes":9999999,"text":"{\"id\":\"a\",\"result\":{"}
{"time_us":95,"from":"client","to":"proxy","session":"7-2","bytes":9,"text":"oops"}
{"time_us":96,"fr"#;

    #[test]
    fn a_session_is_what_its_client_has_seen() {
        let sessions = sessions(RECORDING);
        let [session] = &sessions[..] else {
            panic!("{sessions:?}")
        };
        let sent = session.messages.iter().map(|it| &it.answered_before[..]);
        assert_eq!(sent.collect::<Vec<_>>(), [&[][..], &[0], &[], &[], &[]]);
        let requests = session.requests.iter().map(|it| {
            let took = it.response.as_ref().map(|response| response.took_us);
            (it.subject.as_str(), it.id.as_str(), it.earlier, took)
        });
        let expected = [
            ("initialize", "1", 0, Some(40)),
            ("tools/call ask", "\"a\"", 0, Some(35)),
            ("ping", "1", 1, None),
            ("tools/call get_loaded_servers", "2", 0, None),
        ];
        assert_eq!(requests.collect::<Vec<_>>(), expected);
        let in_part = session.requests[1].response.as_ref();
        assert!(in_part.is_some_and(|it| it.line.is_none()));
        assert_eq!(session.questions[0].method, "roots/list");
        let answer = session.questions[0].answer.as_deref();
        assert_eq!(answer, Some(r#"{"id":1,"result":{"roots":[]}}"#));
        assert_eq!(session.notifications["notifications/x"], 1);
        // No server sent it.
        assert_eq!(session.passed_on("notifications/x"), 0);
        assert_eq!(session.passed_on("notifications/y"), 1);
        let own = session.requests.iter().map(|it| session.is_own(it));
        assert_eq!(own.collect::<Vec<_>>(), [false, false, false, true]);
        assert!(!session.is_incomplete);
    }
}
