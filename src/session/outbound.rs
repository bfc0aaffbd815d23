//! To the client: what servers ask and tell.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::listen::untagged;
use super::{Asked, Greeting, Session};
use crate::jsonrpc::{
    Envelope, ErrorObject, METHOD_NOT_FOUND, Members, notification, request, splice,
};
use crate::mcp::{Era, ListKind, tasks};
use crate::server::{Client, Connection};
use crate::transport::stream::Outbox;

impl Client for Session {
    fn outbox(&self) -> &Outbox {
        &self.out
    }

    fn ask(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>) {
        let id = envelope.id.unwrap_or("null");
        if !self.is_legacy() {
            let method = envelope.method.as_deref().unwrap_or_default();
            let message = format!(
                "`{method}` cannot be passed on: the client speaks revision 2026-07-28, in which a server asks by an \
                 `input_required` result and not by a request"
            );
            return from.refuse(id, &ErrorObject::new(METHOD_NOT_FOUND, message));
        }
        // Several servers may use the same token at the same time.
        let token = envelope
            .params
            .meta
            .progress_token
            .filter(|_| !self.fleet.is_transparent());
        let number = {
            let mut state = self.state();
            state.last_asked += 1;
            let number = state.last_asked;
            state.asked.insert(
                number,
                Asked {
                    connection: from.clone(),
                    id: id.into(),
                    token: token.map(Into::into),
                },
            );
            number.to_string()
        };
        let mut parts = vec![(id, &*number)];
        parts.extend(token.map(|token| (token, &*number)));
        let line = splice(line, &mut parts);
        self.send_when_initialized(self.tagged(from, &line).unwrap_or(line));
    }

    fn notify(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>) {
        let tagged = self.tagged(from, line);
        let line = tagged.as_deref().unwrap_or(line);
        match envelope.method.as_deref().unwrap_or_default() {
            "notifications/cancelled" => self.withdraw(from, line, envelope),
            "notifications/message" if from.era() == Era::Legacy && !self.is_legacy() => {
                // In the modern era log messages belong to a request that asked for them.
                if from.wants_logs() {
                    self.send(line);
                }
            }
            "notifications/progress" | "notifications/message" => self.send(line),
            "notifications/resources/updated"
                if from.era() == Era::Legacy && self.state().listens.is_empty() =>
            {
                self.send_when_initialized(line.to_owned());
            }
            "notifications/resources/updated" => {
                self.resource_updated(Members::of(line).get("params").unwrap_or("{}"));
            }
            method if envelope.params.meta.subscription_id.is_some() => {
                let params = Members::of(line).get("params").unwrap_or("{}").to_owned();
                let lines: Vec<_> = self
                    .state()
                    .listens
                    .iter()
                    .map(|listen| listen.tagged(method, &params))
                    .collect();
                for line in lines {
                    self.send(&line);
                }
                if self.is_legacy() {
                    self.send_when_initialized(notification(method, Some(&untagged(&params))));
                }
            }
            _ => self.send_when_initialized(line.to_owned()),
        }
    }

    fn forget(&self, from: &Connection) {
        let mut void = Vec::new();
        self.state().asked.retain(|number, asked| {
            let gone = std::ptr::eq(&raw const *asked.connection, from);
            if gone {
                void.push(*number);
            }
            !gone
        });
        for number in void {
            let params = format!(r#"{{"requestId":{number},"reason":"the server was restarted"}}"#);
            self.send_when_initialized(notification("notifications/cancelled", Some(&params)));
        }
    }

    fn lists_changed(&self, kinds: &[ListKind], first: bool) {
        self.fleet.refresh();
        self.follow_resources();
        let state = self.state();
        if first && !state.promised_early {
            return;
        }
        let legacy = state.hello.initialize.is_some();
        let mut lines = Vec::new();
        for kind in kinds {
            lines.extend(legacy.then(|| (true, notification(kind.notification(), None))));
            let hearing = state.listens.iter().filter(|listen| listen.hears(*kind));
            lines.extend(hearing.map(|listen| (false, listen.tagged(kind.notification(), "{}"))));
        }
        drop(state);
        for (bare, line) in lines {
            if bare {
                self.send_when_initialized(line);
            } else {
                self.send(&line);
            }
        }
    }

    fn resources_renewed(&self, server: &str) {
        self.resources_updated_of(server);
    }
}

impl Session {
    /// Sends a line that a legacy client must not get before its introduction is over.
    pub(super) fn send_when_initialized(&self, line: String) {
        let mut state = self.state();
        if matches!(state.greeting, Greeting::Asked | Greeting::Answered) {
            return state.early.push(line);
        }
        drop(state);
        self.send(&line);
    }

    /// Asks the client something of the proxy's own; `params` is raw. Gives the line of its answer. A question
    /// whose answer nobody waits for any more is withdrawn.
    pub(super) async fn ask_client(&self, method: &str, params: &str) -> Option<String> {
        let (sender, answer) = oneshot::channel();
        let number = {
            let mut state = self.state();
            state.last_asked += 1;
            let number = state.last_asked;
            state.asking.insert(number, sender);
            number
        };
        let _open = OpenQuestion {
            session: self.myself(),
            number,
        };
        self.send_when_initialized(request(&number.to_string(), method, Some(params)));
        answer.await.ok()
    }

    /// The line with its ids of tasks told apart from those of other servers; nothing if it has none.
    fn tagged(&self, from: &Connection, line: &str) -> Option<String> {
        if self.fleet.is_transparent() {
            return None;
        }
        tasks::tag(line, &from.server)
    }

    /// A server no longer wants the answer to what it asked.
    fn withdraw(&self, from: &Arc<Connection>, line: &str, envelope: &Envelope<'_>) {
        let Some(id) = envelope.params.request_id else {
            return;
        };
        let mut state = self.state();
        let same = |asked: &Asked| Arc::ptr_eq(&asked.connection, from) && *asked.id == *id;
        let Some(number) = state
            .asked
            .iter()
            .find_map(|(number, asked)| same(asked).then_some(*number))
        else {
            return;
        };
        state.asked.remove(&number);
        drop(state);
        self.send_when_initialized(splice(line, &mut [(id, &number.to_string())]));
    }
}

/// A question of the proxy's own to the client.
struct OpenQuestion {
    session: Arc<Session>,
    number: u64,
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        let unanswered = self.session.state().asking.remove(&self.number).is_some();
        if unanswered {
            let params = format!(r#"{{"requestId":{}}}"#, self.number);
            let line = notification("notifications/cancelled", Some(&params));
            self.session.send_when_initialized(line);
        }
    }
}
