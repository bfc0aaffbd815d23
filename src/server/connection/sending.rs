//! Requests of clients on their way to the server.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::call::{Call, CallProgress, InputSource};
use super::super::recent_calls::CallRecorder;
use super::Connection;
use crate::bridge;
use crate::jsonrpc::{
    Envelope, ErrorObject, METHOD_NOT_FOUND, OwnedJson, RawId, RawJson, Reply, splice,
};
use crate::lock::locked;
use crate::mcp::{Era, Method, log_level_error, severity};

/// Changes of a request for the server, besides the id.
#[derive(Debug)]
pub(super) struct Rewrites {
    /// False if the request must be translated.
    is_same_era: bool,
    /// True if the person's capabilities are added to those of the client.
    adds_capabilities: bool,
    /// Server's own name of the tool or prompt.
    rename: Option<OwnedJson>,
    /// True if the server gets another progress token.
    replaces_token: bool,
}

impl Connection {
    /// Sets the recorder of clients' calls, if new code rehearses them.
    pub(in crate::server) fn set_call_recorder(&self, recorder: Option<Arc<CallRecorder>>) {
        locked(&self.pending).call_recorder = recorder;
    }

    /// Sends a client's request under an id of this connection. Returns the call if the generation has ended.
    pub(crate) fn call(
        &self,
        mut call: Call,
        line: &str,
        envelope: &Envelope<'_>,
    ) -> Result<(), Call> {
        let same_era = call.era == self.era();
        if !same_era && self.era() == Era::Modern && call.method.sets_session_state() {
            // A modern server gets these settings with every request and with the listen stream.
            if call.method == Method::SetLevel {
                let level = envelope.params.level;
                if let Some(error) = log_level_error(level) {
                    call.reply(Reply::Error(&error.to_string()));
                    return Ok(());
                }
                locked(&self.identity).log_level = level.map(OwnedJson::from);
            }
            call.reply(Reply::Result("{}"));
            return Ok(());
        }
        if !same_era
            && self.era() == Era::Legacy
            && let Some(error) = refusal_of_modern(&call, line, envelope)
        {
            call.reply(Reply::Error(&error.to_string()));
            return Ok(());
        }
        if call.has_stand_in() && !self.client.has_stand_in() {
            call.input_source = InputSource::Client;
        }
        let may_begin_anew = !same_era || call.has_stand_in();
        if may_begin_anew && call.progress.is_none() {
            call.progress = CallProgress::of(envelope);
        }
        let rewrites = self.rewrites(&call);
        let number = {
            let mut pending = locked(&self.pending);
            if pending.closed {
                return Err(call);
            }
            call.sink.sent_to(self.generation);
            let is_tool = call.method == Method::CallTool;
            let may_need_line = self.is_http()
                || self.may_request_input(&call)
                || is_tool && !pending.former_tools.is_empty();
            if may_need_line && call.line.is_none() {
                call.line = Some(line.into());
            }
            // A call that is sent again may have the check of former code.
            call.result_check = None;
            let mut recorded = None;
            if is_tool && (pending.call_recorder.is_some() || !pending.result_checks.is_empty()) {
                let own_name = call.rename.as_ref().map(OwnedJson::as_raw);
                let name = own_name.or(envelope.params.name).and_then(RawJson::text);
                call.result_check = name
                    .as_ref()
                    .and_then(|name| pending.result_checks.of(name));
                let recorder = pending.call_recorder.as_ref();
                recorded = recorder.and_then(|recorder| recorder.sent(name.as_ref()?, line));
            }
            let number = pending.insert_call(call);
            let recorded = recorded.map(|recorded| (number, recorded));
            pending.recorded_calls.extend(recorded);
            number
        };
        if let (false, Some(level)) = (same_era, envelope.params.meta.log_level) {
            self.set_level(level);
        }
        self.write_call(number, line, envelope, rewrites);
        Ok(())
    }

    /// Returns the changes of a client's request for the server.
    pub(super) fn rewrites(&self, call: &Call) -> Rewrites {
        let is_same_era = call.era == self.era();
        Rewrites {
            is_same_era,
            // A server of the other era gets the capabilities of its handshake.
            adds_capabilities: is_same_era && call.era == Era::Modern && call.has_stand_in(),
            rename: call.rename.clone(),
            replaces_token: call.progress.is_some(),
        }
    }

    /// Writes a client's request under the id `number`.
    pub(super) fn write_call(
        &self,
        number: u64,
        line: &str,
        envelope: &Envelope<'_>,
        rewrites: Rewrites,
    ) {
        if rewrites.adds_capabilities {
            let line = bridge::with_stand_in_declared(line);
            if let Ok(envelope) = Envelope::parse(&line) {
                let adds_capabilities = false;
                let rewrites = Rewrites {
                    adds_capabilities,
                    ..rewrites
                };
                return self.write_call(number, &line, &envelope, rewrites);
            }
        }
        let same_era = rewrites.is_same_era;
        let rename = rewrites.rename.zip(envelope.params.name);
        let token = envelope.params.meta.progress_token;
        let token = token.filter(|_| rewrites.replaces_token);
        let mut digits = [0; 20];
        let id = RawId::of_number(number, &mut digits);
        match (same_era, envelope.id, rename) {
            (true, Some(old), None) if token.is_none() => {
                self.send(old.replaced(line, id), Some(number));
            }
            (same, old, rename) => {
                let mut changes: Vec<(&str, &str)> = Vec::with_capacity(3);
                changes.extend(
                    rename
                        .as_ref()
                        .map(|(own, name)| (name.as_str(), own.as_raw().as_str())),
                );
                changes.extend(token.map(|token| (token.as_str(), id.as_str())));
                let line = if let (true, Some(old)) = (same, old) {
                    changes.push((old.as_str(), id.as_str()));
                    splice(line, &mut changes)
                } else {
                    let line = splice(line, &mut changes);
                    bridge::request(&line, id, self.era(), &locked(&self.identity))
                };
                self.send([line.as_bytes(), b"", b""], Some(number));
            }
        }
    }

    /// Sets the log level of a legacy server for a modern request. The server has a single level, so it gets the lowest
    /// that any request has asked for.
    fn set_level(&self, level: RawJson<'_>) {
        let mut identity = locked(&self.identity);
        let before = identity.log_level.as_ref();
        let before = before.map(OwnedJson::as_raw).and_then(severity);
        if before.is_some_and(|before| severity(level).is_none_or(|level| before <= level)) {
            return;
        }
        identity.log_level = Some(level.into());
        drop(identity);
        let params = format!(r#"{{"level":{}}}"#, level.as_str());
        // The response is ignored: an error has no consequence here.
        let _ = self.send_own("logging/setLevel", Some(&params), oneshot::channel().0);
    }
}

/// Returns the error for a request of the modern era that a legacy server would take for something else.
fn refusal_of_modern(call: &Call, line: &str, envelope: &Envelope<'_>) -> Option<ErrorObject> {
    let method = envelope.method.as_deref().unwrap_or_default();
    if Method::of(method).sets_session_state() {
        let message = format!("revision 2026-07-28 has no `{method}`");
        return Some(ErrorObject::new(METHOD_NOT_FOUND, message));
    }
    let level = envelope.params.meta.log_level;
    if level.is_some()
        && let Some(error) = log_level_error(level)
    {
        return Some(error);
    }
    // A request with the state of a parked call does not come here. With any other state the server would execute the
    // call anew, without the input that its client believes to have given.
    let is_continued = call.method.may_request_input() && bridge::request_state(line).is_some();
    is_continued.then(bridge::invalid_state)
}
