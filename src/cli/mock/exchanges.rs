//! Requests of recorded clients with the messages that answered them, found by method and parameters.

use std::collections::VecDeque;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::jsonrpc::{Envelope, Members, MessageKind, RawId, RawJson};
use crate::recorder::{RecordedLine, own_line};

/// Methods that are found without their parameters: these describe the client.
const OF_ANY_CLIENT: [&str; 2] = ["initialize", "server/discover"];

/// Request with the messages that the client got for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    /// Session and raw id of the request.
    session: String,
    pub(super) id: String,
    /// Raw progress token of the request.
    pub(super) token: Option<String>,
    /// Requests and notifications to the client before the response.
    pub(super) before: Vec<String>,
    pub(super) response: RecordedOutcome,
}

/// Response to a recorded request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum RecordedOutcome {
    #[default]
    None,
    /// The message is too long to be recorded whole.
    Part,
    Whole(String),
}

/// Equal requests in their order.
#[derive(Debug)]
struct EqualRequests {
    method: String,
    params: Value,
    exchanges: VecDeque<Exchange>,
}

/// Exchanges of all sessions of a recording.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Vec<EqualRequests>);

impl Exchanges {
    /// Reads a recording. Lines that are not whole do not count.
    pub(super) fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut open: Vec<(usize, Exchange)> = Vec::new();
        for line in text.lines().map(own_line) {
            let Ok(line) = serde_json::from_str::<RecordedLine<'_>>(&line) else {
                continue;
            };
            if line.from == "client" {
                found.take_from_client(&line, &mut open);
            } else if line.to == "client" {
                found.take_to_client(&line, &mut open);
            }
        }
        for (at, exchange) in open {
            found.0[at].exchanges.push_back(exchange);
        }
        found
    }

    /// Returns true if no client has sent a request.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next exchange of a request with this method and these raw parameters; the last one stays.
    pub(super) fn next(&mut self, method: &str, params: Option<&str>) -> Option<Exchange> {
        let params = comparable(method, params);
        let is_meant = |it: &&mut EqualRequests| it.method == method && it.params == params;
        let equal = self.0.iter_mut().find(is_meant)?;
        if equal.exchanges.len() > 1 {
            equal.exchanges.pop_front()
        } else {
            equal.exchanges.front().cloned()
        }
    }

    /// Returns the parameters of all requests with this method, as JSON.
    pub(super) fn params_of(&self, method: &str) -> Vec<String> {
        let of_method = self.0.iter().filter(|it| it.method == method);
        of_method.map(|it| it.params.to_string()).collect()
    }

    fn take_from_client(&mut self, line: &RecordedLine<'_>, open: &mut Vec<(usize, Exchange)>) {
        let message = line.message.map_or("", RawValue::get);
        let Ok(envelope) = Envelope::parse(message) else {
            return;
        };
        let (MessageKind::Request, Some(id)) = (envelope.kind(), envelope.id) else {
            return;
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        let message = Members::of(message);
        let params = comparable(method, message.get("params"));
        let is_equal = |it: &EqualRequests| it.method == method && it.params == params;
        let at = self.0.iter().position(is_equal).unwrap_or_else(|| {
            self.0.push(EqualRequests {
                method: method.to_owned(),
                params,
                exchanges: VecDeque::new(),
            });
            self.0.len() - 1
        });
        let token = envelope.params.meta.progress_token;
        let exchange = Exchange {
            session: line.session.to_string(),
            id: id.as_str().to_owned(),
            token: token.map(|it| it.as_str().to_owned()),
            ..Exchange::default()
        };
        open.push((at, exchange));
    }

    fn take_to_client(&mut self, line: &RecordedLine<'_>, open: &mut Vec<(usize, Exchange)>) {
        let whole = line.message.map(RawValue::get);
        let Some(Ok(envelope)) = whole.map(Envelope::parse) else {
            if let (Some(id), None) = Envelope::of_ends(line.text.as_deref().unwrap_or(""), "") {
                self.answer(line, id.as_raw(), RecordedOutcome::Part, open);
            }
            return;
        };
        let message = whole.unwrap_or_default();
        if matches!(envelope.kind(), MessageKind::Response) {
            let id = envelope.id.unwrap_or(RawId::NULL);
            return self.answer(line, id, RecordedOutcome::Whole(message.to_owned()), open);
        }
        let method = envelope.method.as_deref().unwrap_or_default();
        let of_session = open.iter_mut().map(|(_, it)| it);
        let mut of_session = of_session.filter(|it| it.session == line.session);
        let subscription = envelope.params.meta.subscription_id.map(RawJson::as_str);
        let related = if method == "notifications/progress" {
            let token = progress_token(message);
            of_session.find(|it| it.token.is_some() && it.token == token)
        } else if subscription.is_some() {
            of_session.find(|it| Some(&*it.id) == subscription)
        } else {
            of_session.next_back()
        };
        if let Some(exchange) = related {
            exchange.before.push(message.to_owned());
        }
    }

    fn answer(
        &mut self,
        line: &RecordedLine<'_>,
        id: RawId<'_>,
        response: RecordedOutcome,
        open: &mut Vec<(usize, Exchange)>,
    ) {
        let is_answered =
            |(_, it): &(usize, Exchange)| it.session == line.session && it.id == id.as_str();
        if let Some(at) = open.iter().position(is_answered) {
            let (at, mut exchange) = open.remove(at);
            exchange.response = response;
            self.0[at].exchanges.push_back(exchange);
        }
    }
}

/// Returns the raw token of a progress notification.
pub(super) fn progress_token(message: &str) -> Option<String> {
    let message = Members::of(message);
    let params = message.object("params");
    params.get("progressToken").map(ToOwned::to_owned)
}

/// Members of parameters that differ between equal requests: they describe the client, or are what its user answered.
const VARYING: [&str; 2] = ["_meta", "inputResponses"];

/// Returns parameters without members that vary. An object without members equals none.
fn comparable(method: &str, params: Option<&str>) -> Value {
    let raw = params.filter(|_| !OF_ANY_CLIENT.contains(&method));
    let parsed = raw.map(|raw| serde_json::from_str(raw).unwrap_or_else(|_| raw.into()));
    match parsed {
        Some(Value::Object(mut members)) => {
            members.retain(|name, _| !VARYING.contains(&name.as_str()));
            if members.is_empty() {
                Value::Null
            } else {
                Value::Object(members)
            }
        }
        parsed => parsed.unwrap_or_default(),
    }
}
