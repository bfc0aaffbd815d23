//! Relation between messages of the server and requests of the client.

use std::sync::Arc;

use super::Connection;
use crate::jsonrpc::{Envelope, Members, RawJson, RequestId, request_number, splice};
use crate::lock::locked;
use crate::mcp::severity_of;

impl Connection {
    /// Delivers progress to the client, under the client's own token.
    pub(super) fn take_progress(
        self: &Arc<Self>,
        line: &str,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) {
        let params = Members::of(line).original("params").unwrap_or("{}");
        let token = Members::of(params)
            .original("progressToken")
            .unwrap_or_default();
        let known = request_number(token).and_then(|number| {
            let mut pending = locked(&self.pending);
            let call = pending.open_call(number)?;
            let (is_translated, began_anew) = (call.era != self.era(), call.input_rounds > 0);
            let Some(progress) = &mut call.progress else {
                // The tokens of these calls are always replaced.
                return is_translated.then_some((number, None));
            };
            let value = Members::of(params).original("progress").unwrap_or_default();
            let is_new = progress.advance(value, began_anew);
            Some((number, is_new.then(|| progress.token.clone())))
        });
        let (number, own) = match known {
            Some((number, Some(own))) => (number, own),
            // The client has had more, does not want progress, or has yet to repeat its request.
            Some((_, None)) => return,
            None => {
                return self
                    .client
                    .deliver_notification(self, line, envelope, related_number);
            }
        };
        let line = splice(line, &mut [(token, own.as_raw().as_str())]);
        if let Ok(envelope) = Envelope::parse(&line) {
            self.client
                .deliver_notification(self, &line, &envelope, Some(number));
        }
    }

    /// Returns the client's id of the request that a message of the server belongs to: the request
    /// `related_number`, the request named by its progress token, or the only one in flight.
    pub(crate) fn related(
        &self,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> Option<RequestId> {
        let pending = locked(&self.pending);
        let token = envelope.params.meta.progress_token;
        let named = token.and_then(RawJson::request_number);
        [related_number, named]
            .into_iter()
            .flatten()
            .find_map(|number| pending.call(number))
            .or_else(|| pending.only_call())
            .map(|call| call.id.clone())
    }

    /// Returns true if a request in flight asked for log messages of the severity of the one in `envelope`.
    pub(crate) fn wants_log(&self, envelope: &Envelope<'_>) -> bool {
        let severity = severity_of(envelope);
        let pending = locked(&self.pending);
        let mut calls = pending
            .requests
            .keys()
            .filter_map(|number| pending.call(*number));
        calls.any(|call| call.min_severity.is_some_and(|least| least <= severity))
    }

    /// Returns the client's id of the request that a log message belongs to, as in [`Self::related`], if that request
    /// asked for messages of its severity.
    pub(crate) fn request_for_log(
        &self,
        envelope: &Envelope<'_>,
        related_number: Option<u64>,
    ) -> Option<RequestId> {
        let id = self.related(envelope, related_number)?;
        let pending = locked(&self.pending);
        let calls = pending
            .requests
            .keys()
            .filter_map(|number| pending.call(*number));
        let min_severity = calls
            .filter(|call| call.id == id)
            .find_map(|call| call.min_severity)?;
        (severity_of(envelope) >= min_severity).then_some(id)
    }
}
