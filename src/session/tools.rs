//! `tools/call` of a meta-tool.

use serde_json::Value;

use super::Session;
use super::routing::Request;
use crate::jsonrpc::Envelope;
use crate::meta_tools::{self, Meant, load_error};
use crate::server::{ServerHandle, Standing};

impl Session {
    /// Carries out a call of the meta-tool `name`.
    pub(super) fn call_meta_tool(&self, request: Request<'_>, name: &str) {
        let arguments = request.envelope.params.arguments.unwrap_or("{}");
        // Whatever it loads is news.
        self.state().promised_early = true;
        if name == meta_tools::CALL {
            return self.call_by_name(request, arguments);
        }
        let (session, name, arguments, id, era) = (
            self.myself(),
            name.to_owned(),
            arguments.to_owned(),
            request.id.to_owned(),
            request.era,
        );
        self.run(request.id, async move {
            let result = meta_tools::run(&name, &arguments, &session.fleet, era).await;
            session.answer_result(&id, &result);
        });
    }

    /// Makes the call that is meant; the server's answer goes to the client as it is. A server that is
    /// not loaded is loaded first.
    fn call_by_name(&self, request: Request<'_>, arguments: &str) {
        let meant = match Meant::new(arguments, &self.fleet) {
            Ok(meant) => meant,
            Err(error) => return self.refuse_meta_tool(request, error),
        };
        let loaded = self.fleet.loaded(&meant.server);
        let held = |server: &ServerHandle| *server.gate().standing().borrow() == Standing::Held;
        if let Some(server) = loaded.as_ref().filter(|server| !held(server)) {
            return self.make_call(&meant, server, request);
        }
        let (session, line, id, era) = (
            self.myself(),
            request.line.to_owned(),
            request.id.to_owned(),
            request.era,
        );
        self.run(request.id, async move {
            let server = match loaded {
                Some(server) => {
                    let patience = server.spec().timeouts.hold;
                    let _ = tokio::time::timeout(patience, server.answers()).await;
                    Ok((server, true))
                }
                None => session.fleet.load(&meant.server).await,
            };
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
            match server {
                Ok((server, _)) => session.make_call(&meant, &server, request),
                Err(error) => session.refuse_meta_tool(request, load_error(&meant.server, &error)),
            }
        });
    }

    fn make_call(&self, meant: &Meant, server: &ServerHandle, request: Request<'_>) {
        let line = match meant.line(request.line, server, &self.fleet.catalog()) {
            Ok(line) => line,
            Err(error) => return self.refuse_meta_tool(request, error),
        };
        if let Ok(envelope) = Envelope::parse(&line) {
            let (line, envelope) = (&*line, &envelope);
            self.call_tool_of(
                server,
                &meant.tool,
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
