//! Handles `tools/call` of a meta-tool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::routing::Request;
use super::{RelatedRequest, Session};
use crate::jsonrpc::{Envelope, Members, notification, quoted};
use crate::mcp::Era;
use crate::meta_tools::{self, Caller, ConsentChannel, Progress, ToolCall, load_error};
use crate::server::{GateStatus, ServerHandle};

impl Session {
    /// Runs a call of the meta-tool `name`.
    pub(super) fn call_meta_tool(&self, request: Request<'_>, name: &str) {
        let arguments = request.envelope.params.arguments.unwrap_or("{}");
        // Tools that it loads must be announced.
        self.state().answered_early = true;
        if name == meta_tools::CALL {
            return self.call_by_name(request, arguments);
        }
        let (session, name, arguments, id) = (
            self.myself(),
            name.to_owned(),
            arguments.to_owned(),
            request.id.to_owned(),
        );
        let caller = self.caller(request);
        self.run(request.id, async move {
            let (offer, fleet) = (&session.offer, &session.fleet);
            let result = meta_tools::run(offer, &name, &arguments, fleet, &caller).await;
            session.answer_result(&id, &result);
        });
    }

    /// Returns the client as a meta-tool sees it during `request`.
    fn caller(&self, request: Request<'_>) -> Caller {
        let meta = &request.envelope.params.meta;
        let capabilities = match request.era {
            // The identity is for modern servers and lacks capabilities that they could not use.
            Era::Legacy => {
                let state = self.state();
                let introduction = Members::of(state.hello.initialize.as_deref().unwrap_or("{}"));
                introduction.get("capabilities").unwrap_or("{}").to_owned()
            }
            Era::Modern => meta.client_capabilities.unwrap_or("{}").to_owned(),
        };
        let question = match request.era {
            _ if !shows_forms(&capabilities) => ConsentChannel::Impossible,
            Era::Legacy => {
                let (session, id) = (self.myself(), request.id.to_owned());
                ConsentChannel::Request(Box::new(move |params| {
                    let (session, id) = (session.clone(), id.clone());
                    let method = "elicitation/create";
                    Box::pin(async move { session.ask_client(method, &params, &id).await })
                }))
            }
            Era::Modern => {
                let message = Members::of(request.line);
                ConsentChannel::Result(meta_tools::brought(message.get("params").unwrap_or("{}")))
            }
        };
        let progress = meta
            .progress_token
            .map(|token| self.progress(request.id, token));
        Caller::new(request.era, question, progress)
    }

    /// Returns the function that reports progress of the client's request `id`; `token` is its raw progress token.
    fn progress(&self, id: &str, token: &str) -> Progress {
        let (session, token, id) = (self.myself(), token.to_owned(), id.to_owned());
        let count = AtomicU64::new(0);
        Arc::new(move |message| {
            let count = count.fetch_add(1, Ordering::Relaxed) + 1;
            let message = quoted(message);
            let params =
                format!(r#"{{"progressToken":{token},"progress":{count},"message":{message}}}"#);
            let line = notification("notifications/progress", Some(&params));
            let _ = session.out.send(&line, RelatedRequest::Request(&id));
        })
    }

    /// Makes the call that the arguments name; the client gets the server's response unchanged. Loads the server first
    /// if it is not loaded.
    fn call_by_name(&self, request: Request<'_>, arguments: &str) {
        match ToolCall::new(arguments, &self.fleet, &self.offer) {
            Ok(meant) => {
                if let Some(server) = self.ready(&meant.server) {
                    return self.make_call(&meant, &server, request);
                }
            }
            Err(error) if self.fleet.is_settled() => return self.refuse_meta_tool(request, error),
            Err(_) => {}
        }
        let (session, line, arguments, id, era) = (
            self.myself(),
            request.line.to_owned(),
            arguments.to_owned(),
            request.id.to_owned(),
            request.era,
        );
        self.run(request.id, async move {
            let reached = session.load_target(&arguments).await;
            let Ok(envelope) = Envelope::parse(&line) else {
                return;
            };
            let (line, envelope, id) = (&*line, &envelope, &*id);
            let request = Request {
                line,
                envelope,
                id,
                era,
            };
            match reached {
                Ok((meant, server)) => session.make_call(&meant, &server, request),
                Err(error) => session.refuse_meta_tool(request, error),
            }
        });
    }

    /// Returns the server with that name if it is loaded and ready for requests.
    fn ready(&self, server: &str) -> Option<ServerHandle> {
        let server = self.fleet.loaded(server)?;
        let held = *server.gate().status().borrow() == GateStatus::Held;
        (!held && !self.fleet.is_worth_a_try(&server)).then_some(server)
    }

    /// Returns the call that the arguments name and its server, after loading or waiting for the server.
    async fn load_target(&self, arguments: &str) -> Result<(ToolCall, ServerHandle), Value> {
        let mut meant = ToolCall::new(arguments, &self.fleet, &self.offer);
        if meant.is_err() {
            // The tool may belong to code that is starting.
            self.fleet.settled().await;
            meant = ToolCall::new(arguments, &self.fleet, &self.offer);
        }
        let meant = meant?;
        if let Some(server) = self.fleet.loaded(&meant.server)
            && !self.fleet.is_worth_a_try(&server)
        {
            let patience = server.spec().timeouts.hold;
            let _ = tokio::time::timeout(patience, server.answers()).await;
            return Ok((meant, server));
        }
        match self.fleet.load(&meant.server).await {
            Ok((server, _)) => Ok((meant, server)),
            Err(error) => Err(load_error(&meant.server, &error)),
        }
    }

    fn make_call(&self, meant: &ToolCall, server: &ServerHandle, request: Request<'_>) {
        let (tool, line) = match meant.line(request.line, server, &self.fleet.catalog()) {
            Ok(made) => made,
            Err(error) => return self.refuse_meta_tool(request, error),
        };
        if let Ok(envelope) = Envelope::parse(&line) {
            let (line, envelope) = (&*line, &envelope);
            self.call_tool_of(
                server,
                &tool,
                Request {
                    line,
                    envelope,
                    ..request
                },
            );
        }
    }

    fn refuse_meta_tool(&self, request: Request<'_>, error: Value) {
        self.answer_result(request.id, &meta_tools::result(Err(error), request.era));
    }
}

/// Returns true if a client with these raw capabilities can show a form to its user. An `elicitation` without modes
/// means forms; one that names only `url` excludes them.
fn shows_forms(capabilities: &str) -> bool {
    let capabilities = Members::of(capabilities);
    let Some(raw) = capabilities.get("elicitation") else {
        return false;
    };
    let ways = Members::of(raw);
    raw.starts_with('{') && (ways.get("form").is_some() || ways.get("url").is_none())
}

#[cfg(test)]
mod tests;
