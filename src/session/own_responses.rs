//! Requests that the proxy answers itself: the handshakes and the lists.

use std::borrow::Cow;

use crate::bridge;
use crate::fleet::{Catalog, ServerHandshakes};
use crate::jsonrpc::{ErrorObject, INVALID_PARAMS, Members, RawId, Reply, RequestId, elements};
use crate::mcp::{Entry, Era, List, ListKind, generous};
use crate::server::{Handshake, ResponseSink as _, ServerHandle};

use super::Session;
use super::route::Request;
use super::running_calls::has_finished;

impl Session {
    /// Answers `initialize` as soon as the servers have answered their introduction.
    pub(super) fn initialize(&self, line: &str, id: RawId<'_>) {
        let params = Members::of(line).get("params").unwrap_or("{}").to_owned();
        let hello_number = self.register_legacy_client(&params);
        let (session, id) = (self.strong_self(), RequestId::from(id));
        self.tasks.spawn(async move {
            let work = async {
                let handshakes = session.handshakes(hello_number).await;
                let params = Members::of(&params);
                let requested = params.text("protocolVersion").unwrap_or_default();
                let result = session.initialize_result(&handshakes, &requested);
                session.answer_result(id.as_raw(), &result);
            };
            if !has_finished(work).await {
                session.refuse_panicked(id.as_raw());
            }
            session.finish_initialize();
        });
    }

    async fn handshakes(&self, hello_number: u64) -> ServerHandshakes {
        let handshakes = self.fleet.handshakes(hello_number).await;
        if handshakes.missing > 0 {
            self.state().is_answered_early = true;
        }
        handshakes
    }

    fn initialize_result(&self, handshakes: &ServerHandshakes, requested: &str) -> String {
        let only = handshakes.only().filter(|_| self.fleet.is_transparent());
        let Some(handshake) = only else {
            let own_instructions = self.meta_tools.instructions(&self.fleet);
            return bridge::initialize_result(
                &handshakes.combined(Era::Legacy, own_instructions),
                requested,
            );
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

    /// Answers `server/discover` as soon as the servers have answered their introduction.
    pub(super) fn discover(&self, id: RawId<'_>) {
        let (session, id) = (self.strong_self(), RequestId::from(id));
        let hello_number = self.state().hello_number;
        self.tasks.spawn(async move {
            let handshakes = session.handshakes(hello_number).await;
            session.answer_result(id.as_raw(), &session.discover_result(&handshakes));
        });
    }

    fn discover_result(&self, handshakes: &ServerHandshakes) -> String {
        let only = handshakes.only().filter(|_| self.fleet.is_transparent());
        match only {
            Some(Handshake {
                era: Era::Modern,
                result,
                ..
            }) => {
                let mut result = Members::of(result);
                let capabilities = generous(result.get("capabilities").unwrap_or("{}"));
                result.set("capabilities", capabilities);
                if self.fleet.watches() {
                    result.set("ttlMs", "0");
                }
                result.to_string()
            }
            Some(Handshake { result, .. }) => bridge::discover_result(result),
            None => {
                let own_instructions = self.meta_tools.instructions(&self.fleet);
                bridge::discover_result(&handshakes.combined(Era::Modern, own_instructions))
            }
        }
    }

    /// Answers a list request: immediately, or after a reload that is under way.
    pub(super) fn list(&self, kind: ListKind, request: Request<'_>) {
        let (id, era) = (request.id, request.era);
        let cursor = request.envelope.params.cursor;
        if cursor.is_some_and(|cursor| !cursor.is_null()) {
            let message = "unknown cursor: the list has one page";
            return self.answer_error(id, &ErrorObject::new(INVALID_PARAMS, message));
        }
        if self.fleet.is_settled() {
            return self.answer_list(kind, id, era);
        }
        let (session, id) = (self.strong_self(), RequestId::from(id));
        self.tasks.spawn(async move {
            session.fleet.settled(None).await;
            session.answer_list(kind, id.as_raw(), era);
        });
    }

    fn answer_list(&self, kind: ListKind, id: RawId<'_>, era: Era) {
        let catalog = self.fleet.catalog();
        match catalog.sole() {
            Some(server) => self.answer_list_of(server, kind, id, era),
            None => self.answer_combined_list(&catalog, kind, id, era),
        }
    }

    /// Answers with the lists of all servers merged into one, in the order of the configuration.
    fn answer_combined_list(&self, catalog: &Catalog, kind: ListKind, id: RawId<'_>, era: Era) {
        // Entries that servers add later must be announced.
        self.state().is_answered_early = true;
        let own_entries = self.own_entries(kind);
        let shadowed = |entry: &&Entry| own_entries.iter().any(|own| own.name == entry.name);
        let entries = catalog
            .entries(kind)
            .filter(|entry| !shadowed(entry))
            .chain(own_entries);
        let entries: Vec<Cow<'_, str>> = entries
            .map(|entry| match (kind, era) {
                (ListKind::Tools, Era::Legacy) => bridge::legacy_entry(&entry.raw),
                _ => Cow::Borrowed(entry.raw.as_str()),
            })
            .collect();
        let result = format!(r#"{{"{}":[{}]}}"#, kind.member(), entries.join(","));
        let result = match era {
            Era::Legacy => result,
            Era::Modern => bridge::modern_result(&result, true, Some(&bridge::own_info())),
        };
        self.answer_result(id, &result);
    }

    /// Returns the entries that the proxy adds to a list.
    fn own_entries(&self, kind: ListKind) -> &[Entry] {
        match kind {
            ListKind::Tools => self.meta_tools.entries(),
            _ => &[],
        }
    }

    fn answer_list_of(&self, server: &ServerHandle, kind: ListKind, id: RawId<'_>, era: Era) {
        let snapshot = server.snapshot();
        if snapshot.generation == 0 {
            self.state().is_answered_early = true;
        }
        let own_entries = self.own_entries(kind);
        match &snapshot.lists[kind.index()] {
            Ok(list) => {
                let result = self.in_era(server, list.result(kind, own_entries), era);
                self.answer_result(id, &result);
            }
            // Sends the server's own error, unless the proxy has entries to list in spite of it.
            Err(_) if !own_entries.is_empty() => {
                let result = self.in_era(server, List::default().result(kind, own_entries), era);
                self.answer_result(id, &result);
            }
            Err(error) => self.answer(id, Reply::Error(error)),
        }
    }

    /// Converts a list result to the form of `era`, independent of the era the server wrote it in.
    fn in_era(&self, server: &ServerHandle, result: String, era: Era) -> String {
        let modern = Members::of(&result).get("resultType").is_some();
        match era {
            Era::Legacy if modern => {
                let result = legacy_tools(result);
                bridge::legacy_result(&result).unwrap_or(result)
            }
            Era::Legacy => result,
            Era::Modern if modern && !self.fleet.watches() => result,
            Era::Modern if modern => {
                let mut members = Members::of(&result);
                members.set("ttlMs", "0");
                members.to_string()
            }
            Era::Modern => {
                let info = server.server_info();
                bridge::modern_result(&result, true, info.as_deref())
            }
        }
    }
}

/// Converts each tool of a `tools/list` result to its legacy form; returns any other result unchanged.
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

#[cfg(test)]
mod tests;
