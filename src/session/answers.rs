//! What the proxy answers itself: the introductions and the lists.

use std::borrow::Cow;

use crate::bridge;
use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS, Members, elements};
use crate::mcp::{Era, List, ListKind, generous};
use crate::server::{Handshake, Standing};

use super::{Greeting, Session};

impl Session {
    /// Answers `initialize` with what the server says of itself, as soon as it has said so.
    pub(super) fn initialize(&self, line: &str, id: &str) {
        let params = Members::of(line).get("params").unwrap_or("{}").to_owned();
        let epoch = self.meet_legacy(&params);
        let (session, id) = (self.myself(), id.to_owned());
        self.tasks.spawn(async move {
            let handshake = session.server.introduced(epoch).await;
            let params = Members::of(&params);
            let requested = params.text("protocolVersion").unwrap_or_default();
            let result = session.initialize_result(handshake.as_deref(), &requested);
            session.answer_result(&id, &result);
            let mut state = session.state();
            if state.greeting == Greeting::Asked {
                state.greeting = Greeting::Answered;
            }
        });
    }

    fn initialize_result(&self, handshake: Option<&Handshake>, requested: &str) -> String {
        let Some(handshake) = handshake else {
            self.state().promised_early = true;
            return bridge::initialize_result("{}", requested);
        };
        match handshake.era {
            Era::Legacy => {
                let mut result = Members::of(&handshake.result);
                let capabilities = generous(result.get("capabilities").unwrap_or("{}"));
                result.set("capabilities", capabilities);
                result.to_string()
            }
            Era::Modern => bridge::initialize_result(&handshake.result, requested),
        }
    }

    /// Answers `server/discover` with what the server says of itself, as soon as it has said so.
    pub(super) fn discover(&self, id: &str) {
        let (session, id) = (self.myself(), id.to_owned());
        let epoch = self.state().epoch;
        self.tasks.spawn(async move {
            let result = match session.server.introduced(epoch).await.as_deref() {
                Some(Handshake {
                    era: Era::Modern,
                    result,
                    ..
                }) => {
                    let mut result = Members::of(result);
                    let capabilities = generous(result.get("capabilities").unwrap_or("{}"));
                    result.set("capabilities", capabilities);
                    if session.watching {
                        result.set("ttlMs", "0");
                    }
                    result.to_string()
                }
                Some(Handshake {
                    era: Era::Legacy,
                    result,
                    ..
                }) => bridge::discover_result(result),
                None => {
                    session.state().promised_early = true;
                    bridge::discover_result("{}")
                }
            };
            session.answer_result(&id, &result);
        });
    }

    /// Answers a list: at once, or after a reload that is under way.
    pub(super) fn list(&self, kind: ListKind, envelope: &Envelope<'_>, id: &str, era: Era) {
        if envelope
            .params
            .cursor
            .is_some_and(|cursor| cursor != "null")
        {
            let message = "unknown cursor: the list has one page";
            return self.answer_error(id, &ErrorObject::new(INVALID_PARAMS, message));
        }
        if *self.server.gate().standing().borrow() != Standing::Held {
            return self.answer_list(kind, id, era);
        }
        let (session, id) = (self.myself(), id.to_owned());
        self.tasks.spawn(async move {
            session.server.settled().await;
            session.answer_list(kind, &id, era);
        });
    }

    fn answer_list(&self, kind: ListKind, id: &str, era: Era) {
        let snapshot = self.server.snapshot();
        if snapshot.generation == 0 {
            self.state().promised_early = true;
        }
        let extra = if kind == ListKind::Tools {
            self.offer.entries()
        } else {
            &[]
        };
        match &snapshot.lists[kind.index()] {
            Ok(list) => {
                let result = self.in_era(list.result(kind, extra), era);
                self.answer_result(id, &result);
            }
            // The server's own error, unless there is something to offer in spite of it.
            Err(_) if !extra.is_empty() => {
                let result = self.in_era(List::default().result(kind, extra), era);
                self.answer_result(id, &result);
            }
            Err(error) => self.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)),
        }
    }

    /// A list's result in the form of `era`, whichever era the server wrote it in.
    fn in_era(&self, result: String, era: Era) -> String {
        let modern = Members::of(&result).get("resultType").is_some();
        match era {
            Era::Legacy if modern => {
                let result = legacy_tools(result);
                bridge::legacy_result(&result).unwrap_or(result)
            }
            Era::Legacy => result,
            Era::Modern if modern && !self.watching => result,
            Era::Modern if modern => {
                let mut members = Members::of(&result);
                members.set("ttlMs", "0");
                members.to_string()
            }
            Era::Modern => {
                let info = self.server.server_info();
                bridge::modern_result(&result, true, info.as_deref())
            }
        }
    }
}

/// The result of `tools/list` with each tool as a legacy client may read it; any other as it is.
fn legacy_tools(result: String) -> String {
    let mut members = Members::of(&result);
    let Some(tools) = members.get("tools").and_then(elements) else {
        return result;
    };
    let tools: Vec<_> = tools.into_iter().map(bridge::legacy_entry).collect();
    if tools.iter().all(|tool| matches!(tool, Cow::Borrowed(_))) {
        return result;
    }
    let tools = format!("[{}]", tools.join(","));
    members.set("tools", tools);
    members.to_string()
}
