//! Handles `tools/call` of a meta-tool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::route::Request;
use super::unknown_names::{listed, may_have};
use super::{RelatedRequest, Session};
use crate::bridge;
use crate::jsonrpc::{
    Envelope, Members, OwnedJson, RawId, RawJson, RequestId, notification, quoted,
};
use crate::mcp::Era;
use crate::meta_tools::{self, Caller, ConsentChannel, Progress, ToolCall, load_error};
use crate::server::ServerHandle;

impl Session {
    /// Runs a call of the meta-tool `name`.
    pub(super) fn call_meta_tool(&self, request: Request<'_>, name: &str) {
        let arguments = request.envelope.params.arguments.unwrap_or("{}");
        // Tools that it loads must be announced.
        self.state().is_answered_early = true;
        if name == meta_tools::CALL {
            return self.call_by_name(request, arguments);
        }
        let (session, name, arguments, id) = (
            self.strong_self(),
            name.to_owned(),
            arguments.to_owned(),
            RequestId::from(request.id),
        );
        let caller = self.caller(request);
        self.run(request.id, async move {
            let (offered, fleet) = (&session.meta_tools, &session.fleet);
            let result = meta_tools::run(offered, &name, &arguments, fleet, &caller).await;
            session.answer_result(id.as_raw(), &result);
        });
    }

    /// Returns the client as a meta-tool sees it during `request`.
    fn caller(&self, request: Request<'_>) -> Caller {
        let meta = &request.envelope.params.meta;
        let capabilities = match request.era {
            Era::Legacy => self.declared_capabilities(),
            Era::Modern => meta.client_capabilities.unwrap_or("{}").to_owned(),
        };
        let consent = match request.era {
            _ if !bridge::shows_forms(&Members::of(&capabilities)) => ConsentChannel::Impossible,
            Era::Legacy => {
                let (session, id) = (self.strong_self(), RequestId::from(request.id));
                ConsentChannel::Request(Box::new(move |params| {
                    let (session, id) = (session.clone(), id.clone());
                    let method = "elicitation/create";
                    Box::pin(async move {
                        let asking = session.ask_client(method, Some(&params), id.as_raw());
                        asking.await.ok()
                    })
                }))
            }
            Era::Modern => {
                let message = Members::of(request.line);
                ConsentChannel::Result(meta_tools::consent_response(
                    message.get("params").unwrap_or("{}"),
                ))
            }
        };
        let progress = meta
            .progress_token
            .map(|token| self.progress(request.id, token));
        Caller::new(request.era, consent, progress)
    }

    /// Returns the function that reports progress of the client's request `id`; `token` is its progress token.
    fn progress(&self, id: RawId<'_>, token: RawJson<'_>) -> Progress {
        let (token, id) = (OwnedJson::from(token), RequestId::from(id));
        let session = self.strong_self();
        let count = AtomicU64::new(0);
        Arc::new(move |message| {
            let count = count.fetch_add(1, Ordering::Relaxed) + 1;
            let message = quoted(message);
            let params =
                format!(r#"{{"progressToken":{token},"progress":{count},"message":{message}}}"#);
            let line = notification("notifications/progress", Some(&params));
            let _ = session.send(&line, RelatedRequest::Request(id.as_raw()));
        })
    }

    /// Makes the call that the arguments name; the client gets the server's response unchanged. Loads the server first
    /// if it is not loaded.
    fn call_by_name(&self, request: Request<'_>, arguments: &str) {
        if let Ok(call) = ToolCall::new(arguments, &self.meta_tools)
            && let Ok(name) = call.server(&self.fleet, &self.meta_tools)
            && let Some(server) = self.ready_server(&name)
            && self.send_call(&call, &server, request).is_ok()
        {
            return;
        }
        let (session, arguments) = (self.strong_self(), arguments.to_owned());
        let target = async move { session.load_target(&arguments).await };
        self.run_then(request, target, |session, target, request| {
            let sent = target.and_then(|(call, server)| session.send_call(&call, &server, request));
            if let Err(error) = sent {
                session.refuse_meta_tool(request, error);
            }
        });
    }

    /// Returns the server with that name if it is loaded and ready for requests.
    fn ready_server(&self, server: &str) -> Option<ServerHandle> {
        let server = self.fleet.loaded(server)?;
        (!server.is_held() && !self.fleet.should_retry(&server)).then_some(server)
    }

    /// Returns the call that the arguments name and its server, after loading or waiting for the server.
    async fn load_target(&self, arguments: &str) -> Result<(ToolCall, ServerHandle), Value> {
        let call = ToolCall::new(arguments, &self.meta_tools)?;
        let mut name = call.server(&self.fleet, &self.meta_tools);
        if name.is_err() {
            // The tool may belong to code that is starting, or be new.
            let servers = may_have(&self.fleet.catalog(), &call.tool);
            listed(&self.fleet, &servers).await;
            name = call.server(&self.fleet, &self.meta_tools);
            let held = servers.iter().find_map(ServerHandle::explain_hold);
            name = name.map_err(|error| held.map_or(error, |held| json!({ "error": held })));
        }
        let name = name?;
        if let Some(server) = self.fleet.loaded(&name)
            && !self.fleet.should_retry(&server)
        {
            let max_wait = server.spec().timeouts.hold;
            let ready = async {
                let _ = server.answers().await;
                server.lists_read().await;
            };
            let _ = tokio::time::timeout(max_wait, ready).await;
            return Ok((call, server));
        }
        match self.fleet.load(&name).await {
            Ok((server, _)) => Ok((call, server)),
            Err(error) => Err(load_error(&name, &error)),
        }
    }

    /// Sends the call to `server`. Returns an error if the server lists no such tool now.
    fn send_call(
        &self,
        call: &ToolCall,
        server: &ServerHandle,
        request: Request<'_>,
    ) -> Result<(), Value> {
        let (tool, line) = call.line(request.line, server, &self.fleet.catalog())?;
        if let Ok(envelope) = Envelope::parse(&line) {
            self.call_tool_of(server, &tool, request.rewritten(&line, &envelope));
        }
        Ok(())
    }

    fn refuse_meta_tool(&self, request: Request<'_>, error: Value) {
        self.answer_result(request.id, &meta_tools::result(Err(error), request.era));
    }
}
