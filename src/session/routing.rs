//! Sends requests to their destinations.

use std::sync::Arc;

use super::Session;
use super::route::{Destination, Request, route};
use super::unknown_names::left_out;
use crate::fleet::Catalog;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, Members, OwnedJson, RawJson, Reply,
    ambiguity, is_plain_name,
};
use crate::mcp::{Era, Method, log_level_error, severity, tasks};
use crate::server::{Call, CallProgress, InputSource, ResponseSink, ServerHandle};
use crate::transport::stream::MAX_UNREAD;

impl Session {
    /// Sends a request to its destination. A request for an entry that no server lists waits for the servers that may
    /// have it: those that are starting, and those that may run now.
    pub(super) fn forward(&self, request: Request<'_>) {
        if self.resume(request) {
            return;
        }
        let catalog = self.fleet.catalog();
        let mut destination = route(&catalog, &self.meta_tools, request);
        if let Destination::Listed(server, _) = destination
            && request.method == Method::CallTool
            && self.fleet.should_retry(server)
        {
            // The tools of code that did not run at the last attempt count as unlisted.
            destination = Destination::unlisted_tool(request.name());
        }
        let is_waiting = match &destination {
            Destination::Sole(server, _) => {
                self.fleet.should_retry(server)
                    && self.retry_when_listed(&catalog, request, |_| true)
            }
            Destination::Unlisted { name, uri } => {
                self.retry_when_listed(&catalog, request, |server| {
                    !uri.is_empty() || !name.is_empty() && name.starts_with(&server.spec().prefix)
                })
            }
            _ => false,
        };
        if !is_waiting {
            self.send_to(&catalog, destination, request);
        }
    }

    /// Sends a request to `destination`, which was chosen from `catalog`.
    pub(super) fn send_to(
        &self,
        catalog: &Catalog,
        destination: Destination<'_>,
        request: Request<'_>,
    ) {
        match destination {
            Destination::MetaTool(name) => self.call_meta_tool(request, &name),
            Destination::Sole(server, Some(tool)) => self.call_tool_of(server, &tool, request),
            Destination::Sole(server, None) => self.submit(server, None, request),
            Destination::Listed(server, rename) => self.submit(server, rename.cloned(), request),
            Destination::Rewritten(server, line) => self.submit_line(server, &line, request),
            Destination::Unlisted { name, uri } => {
                self.refuse_unlisted(catalog, &name, &uri, request);
            }
            Destination::AnyServer => self.read_resource(catalog, request),
            Destination::AllServers => self.list_tasks(catalog, request),
            Destination::TaskOwner => self.forward_task(catalog, request),
            Destination::Session => {
                if request.method == Method::SetLevel {
                    let level = request.envelope.params.level;
                    if let Some(error) = log_level_error(level) {
                        return self.answer_error(request.id, &error);
                    }
                    self.fleet.set_level(level);
                } else {
                    self.store_settings(None, request);
                }
                self.answer_result(request.id, "{}");
            }
        }
    }

    /// Calls the tool `name` of `server`, under the server's own name for it.
    pub(super) fn call_tool_of(&self, server: &ServerHandle, name: &str, request: Request<'_>) {
        if !server.admits(name) {
            return self.answer_error(request.id, &left_out(name, &server.spec().name));
        }
        self.submit(server, None, request);
    }

    /// Sends a request about a task to the server that the task id names.
    fn forward_task(&self, catalog: &Catalog, request: Request<'_>) {
        let message = Members::of(request.line);
        let params = message.object("params");
        let task = params.text("taskId").unwrap_or_default();
        let server = tasks::owner(&task).and_then(|(server, _)| catalog.server(&server));
        let Some(server) = server else {
            let message = format!("no loaded server has the task `{task}`");
            return self.answer_error(request.id, &ErrorObject::new(INVALID_PARAMS, message));
        };
        let line = tasks::untag(request.line, &server.spec().name);
        let line = line.as_deref().unwrap_or(request.line);
        self.submit_line(server, line, request);
    }

    /// Sends `line`, which replaces the line of `request`, to `server`.
    pub(super) fn submit_line(&self, server: &ServerHandle, line: &str, request: Request<'_>) {
        if let Ok(envelope) = Envelope::parse(line) {
            self.submit(server, None, request.rewritten(line, &envelope));
        }
    }

    /// Sends a request to `server`; its tool or prompt has the name `rename` there.
    pub(super) fn submit(
        &self,
        server: &ServerHandle,
        rename: Option<OwnedJson>,
        request: Request<'_>,
    ) {
        self.submit_for(self.as_sink(), server, rename, request);
    }

    /// Sends a request like [`Self::submit`]; `sink` receives the response.
    pub(super) fn submit_for(
        &self,
        sink: Arc<dyn ResponseSink>,
        server: &ServerHandle,
        rename: Option<OwnedJson>,
        request: Request<'_>,
    ) {
        if server.is_filtered()
            && let Some(error) = ambiguity_error(server, request)
        {
            return sink.answer(request.id, Reply::Error(&error.to_string()));
        }
        self.store_settings(Some(server), request);
        let several = !self.fleet.is_transparent();
        // A single client of a single server is slowed down by not being read; any other client gets an error.
        let has_backpressure = !several && self.delivery.pipe().is_some();
        if !has_backpressure && let Some(error) = congestion_error(server) {
            return sink.answer(request.id, Reply::Error(&error.to_string()));
        }
        let mut call = self.new_call(sink, request);
        call.rename = rename;
        call.may_retry = request.method.repeatable();
        call.line = call.may_retry.then(|| request.line.into());
        if self.delivery.pipe().is_none() {
            call.progress = CallProgress::of(request.envelope);
        }
        // A legacy server may request it by requests of its own, and any server by an error.
        if request.era == Era::Modern && request.method.may_request_input() {
            if self.asks_for_roots(&call.sink, server, request) {
                return;
            }
            call.input = Some(Box::new(self.input_grant(request)));
        }
        server.submit(call, request.line, request.envelope);
    }

    /// Creates the call of a request that is sent once and whose response goes to `sink`.
    pub(super) fn new_call(&self, sink: Arc<dyn ResponseSink>, request: Request<'_>) -> Call {
        let Request {
            envelope,
            era,
            method,
            ..
        } = request;
        Call {
            min_severity: envelope.params.meta.log_level.and_then(severity),
            no_cache: self.fleet.watches() && era == Era::Modern && method == Method::ReadResource,
            fetched_task: fetched_task(envelope),
            tag_tasks: !self.fleet.is_transparent(),
            input_source: InputSource::of(self.is_helped(request)),
            ..Call::new(sink, request.id.into(), era, method)
        }
    }

    /// Stores the settings that every later generation must get too: subscriptions and log level.
    fn store_settings(&self, server: Option<&ServerHandle>, request: Request<'_>) {
        let (method, params) = (request.method, &request.envelope.params);
        let uri = || params.uri.and_then(RawJson::text);
        let level = match method {
            Method::Subscribe | Method::Unsubscribe => {
                let Some(uri) = uri() else { return };
                let subscribes = method == Method::Subscribe;
                self.state().subscriptions.set(&uri, subscribes);
                return match server {
                    Some(server) => server.follow(&uri, subscribes),
                    None => self.send_subscriptions(),
                };
            }
            Method::SetLevel => params.level,
            // A shared session has clients with different log levels.
            _ if self.is_shared => None,
            _ => params.meta.log_level,
        };
        // The server refuses an unknown level, and later generations must not get it.
        let level = level.filter(|level| severity(*level).is_some());
        if let (Some(server), Some(level)) = (server, level) {
            server.change_settings(|settings| settings.level = Some(level.into()));
        }
    }
}

/// Returns the task whose result a request asks for.
fn fetched_task(envelope: &Envelope<'_>) -> Option<Box<str>> {
    let id = envelope.params.task_id?;
    let is_fetch = envelope.method.as_deref() == Some("tasks/result");
    id.text().filter(|_| is_fetch).map(Into::into)
}

/// Returns the error for a request that a server could read as a call of a tool its configuration leaves out.
fn ambiguity_error(server: &ServerHandle, request: Request<'_>) -> Option<ErrorObject> {
    let unnamed =
        request.method == Method::CallTool && !is_plain_name(request.envelope.params.name);
    let why = ambiguity(request.line)
        .or_else(|| unnamed.then(|| "has no string `params.name`".to_owned()))?;
    let server = &server.spec().name;
    let message = format!(
        "the request {why}, so `{server}` could read it as a call of a tool that `tools` of `{server}` excludes; it \
         was not sent. Write each of `id`, `method`, `params` and `params.name` exactly once, in this spelling"
    );
    Some(ErrorObject::new(INVALID_PARAMS, message))
}

/// Returns the error for a server that does not read its input.
pub(super) fn congestion_error(server: &ServerHandle) -> Option<ErrorObject> {
    let connection = server.connection()?;
    (connection.link().backlog() > MAX_UNREAD).then(|| {
        let name = &server.spec().name;
        let message = format!(
            "`{name}` does not read its input: its backlog exceeds {} MiB. This request was not sent; check the \
             server, or reload it",
            MAX_UNREAD / 1024 / 1024
        );
        ErrorObject::new(INTERNAL_ERROR, message)
    })
}
