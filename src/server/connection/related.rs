//! Relation between messages of the server and requests of the client.

use std::sync::Arc;

use super::Connection;
use crate::jsonrpc::{Envelope, Members, request_number, splice};
use crate::lock::locked;
use crate::mcp::severity;

impl Connection {
    /// Delivers progress to the client, under the client's own token.
    pub(super) fn take_progress(
        self: &Arc<Self>,
        line: &str,
        envelope: &Envelope<'_>,
        on: Option<u64>,
    ) {
        let params = Members::of(line).original("params").unwrap_or("{}");
        let token = Members::of(params)
            .original("progressToken")
            .unwrap_or_default();
        let known = request_number(token).and_then(|number| {
            let table = locked(&self.table);
            let own = table.call(number)?.token.clone()?;
            Some((number, own))
        });
        let Some((number, own)) = known else {
            return self.client.notify(self, line, envelope, on);
        };
        let line = splice(line, &mut [(token, &own)]);
        if let Ok(envelope) = Envelope::parse(&line) {
            self.client.notify(self, &line, &envelope, Some(number));
        }
    }

    /// Returns the client's raw id of the request that a message of the server belongs to: the request `on`, the
    /// request named by its progress token, or the only one in flight.
    pub(crate) fn related(&self, envelope: &Envelope<'_>, on: Option<u64>) -> Option<Box<str>> {
        let table = locked(&self.table);
        let token = envelope.params.meta.progress_token;
        let named = token.and_then(request_number);
        [on, named]
            .into_iter()
            .flatten()
            .find_map(|number| table.call(number))
            .or_else(|| table.only_call())
            .map(|call| call.id.clone())
    }

    /// Returns true if a request in flight asked for log messages.
    pub(crate) fn wants_logs(&self) -> bool {
        let table = locked(&self.table);
        let mut numbers = table.waiting.keys();
        numbers.any(|number| table.call(*number).is_some_and(|call| call.logs.is_some()))
    }

    /// Returns the client's raw id of the request that a log message of this level belongs to, as in [`Self::related`],
    /// if that request asked for the level.
    pub(crate) fn wanting_log(
        &self,
        envelope: &Envelope<'_>,
        on: Option<u64>,
        level: &str,
    ) -> Option<Box<str>> {
        let id = self.related(envelope, on)?;
        let table = locked(&self.table);
        let calls = table
            .waiting
            .keys()
            .filter_map(|number| table.call(*number));
        let wanted = calls
            .filter(|call| call.id == id)
            .find_map(|call| call.logs)?;
        (severity(level) >= wanted).then_some(id)
    }
}
