//! Chooses the server that gets a request.

use std::borrow::Cow;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Session;
use super::unknown_names::{does_not_run, left_out};
use crate::fleet::Catalog;
use crate::jsonrpc::{
    Envelope, ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Members, Reply,
    ambiguity, is_plain_name, unquoted,
};
use crate::mcp::{Era, Method, severity, tasks};
use crate::server::{Call, ResponseSink, ServerHandle};
use crate::transport::stream::MAX_UNREAD;

/// A client's request while its server is being chosen.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) line: &'a str,
    pub(super) envelope: &'a Envelope<'a>,
    /// Its raw id.
    pub(super) id: &'a str,
    pub(super) era: Era,
}

impl<'a> Request<'a> {
    /// Returns the URI of the resource that the request names; empty if it names none.
    pub(super) fn uri(&self) -> Cow<'a, str> {
        let uri = self.envelope.params.uri;
        uri.and_then(unquoted).unwrap_or_default()
    }
}

impl Session {
    /// Calls a tool: one of the proxy's own, or that of the server that has it.
    pub(super) fn call_tool(&self, line: &str, envelope: &Envelope<'_>, id: &str, era: Era) {
        let request = Request {
            line,
            envelope,
            id,
            era,
        };
        let name = envelope.params.name.and_then(unquoted).unwrap_or_default();
        if self.meta_tools.has(&name) {
            return self.call_meta_tool(request, &name);
        }
        let catalog = self.fleet.catalog();
        if let Some(server) = catalog.sole() {
            if !self.fleet.should_retry(server) {
                return self.call_tool_of(server, &name, request);
            }
            let owned = name.clone().into_owned();
            let retry = move |session: &Self, server: &ServerHandle, request: Request<'_>| {
                session.call_tool_of(server, &owned, request);
            };
            return self.start_sole(&catalog, request, retry);
        }
        match catalog.find_tool(&name) {
            Some((server, route)) if !self.fleet.should_retry(server) => {
                self.submit(server, Method::CallTool, route.rename.clone(), request);
            }
            _ => self.await_tool(&catalog, &name, request),
        }
    }

    /// Starts the only server, which may run now, and then runs `send` with the request.
    fn start_sole(
        &self,
        catalog: &Catalog,
        request: Request<'_>,
        send: impl Fn(&Self, &ServerHandle, Request<'_>) + Send + 'static,
    ) {
        let retry = move |session: &Self, catalog: &Catalog, request: Request<'_>| {
            if let Some(server) = catalog.sole() {
                send(session, server, request);
            }
        };
        self.retry_when_listed(catalog, request, |_| true, retry);
    }

    /// Calls the tool `name` of `server`, under the server's own name for it.
    pub(super) fn call_tool_of(&self, server: &ServerHandle, name: &str, request: Request<'_>) {
        if !server.admits(name) {
            return self.answer_error(request.id, &left_out(name, &server.spec().name));
        }
        self.submit(server, Method::CallTool, None, request);
    }

    /// Runs `work`, which the client may cancel under the raw id `id`.
    pub(super) fn run(&self, id: &str, work: impl Future<Output = ()> + Send + 'static) {
        let (session, id) = (self.strong_self(), Box::<str>::from(id));
        let token = CancellationToken::new();
        self.state().running_calls.insert(id.clone(), token.clone());
        self.tasks.spawn(async move {
            token.run_until_cancelled(work).await;
            session.state().running_calls.remove(&id);
        });
    }

    /// Sends any other request to its server.
    pub(super) fn forward(&self, line: &str, envelope: &Envelope<'_>, id: &str, era: Era) {
        let request = Request {
            line,
            envelope,
            id,
            era,
        };
        let name = envelope.method.as_deref().unwrap_or_default();
        let method = match Method::of(name) {
            // The modern era has no such methods: the server decides how to answer them.
            method if era == Era::Modern && method.sets_session_state() => Method::Other,
            method => method,
        };
        let catalog = self.fleet.catalog();
        if let Some(server) = catalog.sole() {
            if !self.fleet.should_retry(server) {
                return self.submit(server, method, None, request);
            }
            let retry = move |session: &Self, server: &ServerHandle, request: Request<'_>| {
                session.submit(server, method, None, request);
            };
            return self.start_sole(&catalog, request, retry);
        }
        if let Some((name, uri)) = unlisted_name(&catalog, method, request) {
            let may_have = |server: &ServerHandle| {
                !uri.is_empty() || !name.is_empty() && name.starts_with(&server.spec().prefix)
            };
            let retry = move |session: &Self, catalog: &Catalog, request: Request<'_>| {
                session.route(catalog, method, request);
            };
            if self.retry_when_listed(&catalog, request, may_have, retry) {
                return;
            }
        }
        self.route(&catalog, method, request);
    }

    /// Sends a request to the right one of several servers.
    fn route(&self, catalog: &Catalog, method: Method, request: Request<'_>) {
        let Request {
            line,
            envelope,
            id,
            era,
        } = request;
        let name = envelope.method.as_deref().unwrap_or_default();
        match method {
            Method::GetPrompt => self.get_prompt(catalog, request),
            Method::ReadResource => self.read_resource(catalog, request),
            Method::Subscribe | Method::Unsubscribe => {
                self.subscribe(catalog, method, request);
            }
            Method::Complete => self.complete(catalog, request),
            Method::SetLevel => {
                self.fleet.set_level(envelope.params.level);
                self.answer_result(id, "{}");
            }
            Method::CallTool => self.call_tool(line, envelope, id, era),
            Method::Other if name == "tasks/list" => self.list_tasks(catalog, request),
            Method::Other if name.starts_with("tasks/") => self.forward_task(catalog, request),
            Method::Other => self.forward_unknown(catalog, name, request),
        }
    }

    fn get_prompt(&self, catalog: &Catalog, request: Request<'_>) {
        let name = request
            .envelope
            .params
            .name
            .and_then(unquoted)
            .unwrap_or_default();
        let Some((server, route)) = catalog.prompt(&name) else {
            if let Some(server) = does_not_run(catalog, &name) {
                // The gate of that server knows the reason.
                return self.submit(server, Method::GetPrompt, None, request);
            }
            let message = format!("no loaded server has the prompt `{name}`");
            return self.answer_error(request.id, &ErrorObject::new(INVALID_PARAMS, message));
        };
        self.submit(server, Method::GetPrompt, route.rename.clone(), request);
    }

    /// Stores the client's subscription and notifies the server that has the resource.
    fn subscribe(&self, catalog: &Catalog, method: Method, request: Request<'_>) {
        let uri = request.uri();
        if let Some(server) = catalog.resource(&uri) {
            return self.submit(server, method, None, request);
        }
        self.store_settings(None, method, request.envelope);
        self.answer_result(request.id, "{}");
    }

    /// Sends a completion to the server of the prompt or resource template that the completion refers to.
    fn complete(&self, catalog: &Catalog, request: Request<'_>) {
        let mut message = Members::of(request.line);
        let params = message.get("params").unwrap_or("{}").to_owned();
        let mut params = Members::of(&params);
        let reference = params.get("ref").unwrap_or("{}").to_owned();
        let mut reference = Members::of(&reference);
        let (name, uri) = (
            reference.text("name").unwrap_or_default().into_owned(),
            reference.text("uri").unwrap_or_default().into_owned(),
        );
        let (server, rename) = match (catalog.prompt(&name), catalog.resource(&uri)) {
            (Some((server, route)), _) => (server, route.rename.clone()),
            (None, Some(server)) => (server, None),
            (None, None) => {
                let message = format!("no loaded server can complete `{name}{uri}`");
                let error = ErrorObject::new(INVALID_PARAMS, message);
                return self.answer_error(request.id, &error);
            }
        };
        let Some(name) = rename else {
            return self.submit(server, Method::Complete, None, request);
        };
        reference.set("name", &*name);
        params.set("ref", reference.to_string());
        message.set("params", params.to_string());
        self.submit_line(server, Method::Complete, &message.to_string(), request);
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
        self.submit_line(server, Method::Other, line, request);
    }

    /// Sends a request with an unknown method to the server that has its name or URI.
    fn forward_unknown(&self, catalog: &Catalog, method: &str, request: Request<'_>) {
        let params = &request.envelope.params;
        let text = |raw: Option<&str>| raw.and_then(unquoted).map(Cow::into_owned);
        if let Some(name) = text(params.name)
            && let Some((server, route)) = catalog.tool(&name).or_else(|| catalog.prompt(&name))
        {
            return self.submit(server, Method::Other, route.rename.clone(), request);
        }
        if let Some(uri) = text(params.uri)
            && let Some(server) = catalog.resource(&uri)
        {
            return self.submit(server, Method::Other, None, request);
        }
        if let [server] = &catalog.servers[..] {
            return self.submit(server, Method::Other, None, request);
        }
        let message = format!(
            "`{method}` cannot be routed: it names no tool, prompt or resource of a loaded server"
        );
        self.answer_error(request.id, &ErrorObject::new(METHOD_NOT_FOUND, message));
    }

    /// Sends `line`, which replaces the line of `request`, to `server`.
    fn submit_line(&self, server: &ServerHandle, method: Method, line: &str, request: Request<'_>) {
        if let Ok(envelope) = Envelope::parse(line) {
            let envelope = &envelope;
            self.submit(
                server,
                method,
                None,
                Request {
                    line,
                    envelope,
                    ..request
                },
            );
        }
    }

    /// Sends a request to `server`; its tool or prompt has the raw name `rename` there.
    pub(super) fn submit(
        &self,
        server: &ServerHandle,
        method: Method,
        rename: Option<Arc<str>>,
        request: Request<'_>,
    ) {
        self.submit_for(self.as_sink(), server, method, rename, request);
    }

    /// Sends a request like [`Self::submit`]; `sink` receives the response.
    pub(super) fn submit_for(
        &self,
        sink: Arc<dyn ResponseSink>,
        server: &ServerHandle,
        method: Method,
        rename: Option<Arc<str>>,
        request: Request<'_>,
    ) {
        let Request {
            line,
            envelope,
            id,
            era,
        } = request;
        if server.is_filtered()
            && let Some(error) = ambiguity_error(server, method, request)
        {
            return sink.answer(id, Reply::Error(&error.to_string()));
        }
        self.store_settings(Some(server), method, envelope);
        let several = !self.fleet.is_transparent();
        // A single client of a single server is slowed down by not being read; any other client gets an error.
        let has_backpressure = !several && self.delivery.pipe().is_some();
        if !has_backpressure && let Some(error) = congestion_error(server) {
            return sink.answer(id, Reply::Error(&error.to_string()));
        }
        let call = Call {
            id: id.into(),
            era,
            method,
            min_severity: envelope
                .params
                .meta
                .log_level
                .and_then(unquoted)
                .map(|level| severity(&level)),
            no_cache: self.fleet.watches() && era == Era::Modern && method == Method::ReadResource,
            rename,
            fetched_task: fetched_task(envelope),
            tag_tasks: several,
            progress_token: match self.delivery.pipe() {
                Some(_) => None,
                None => envelope.params.meta.progress_token.map(Into::into),
            },
            retry_line: method.repeatable().then(|| line.into()),
            line: None,
            resends: 0,
            sink,
        };
        server.submit(call, line, envelope);
    }

    /// Stores the settings that every later generation must get too: subscriptions and log level.
    fn store_settings(
        &self,
        server: Option<&ServerHandle>,
        method: Method,
        envelope: &Envelope<'_>,
    ) {
        let uri = || envelope.params.uri.and_then(unquoted).map(Cow::into_owned);
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
            Method::SetLevel => envelope.params.level,
            // A shared session has clients with different log levels.
            _ if self.is_shared => None,
            _ => envelope.params.meta.log_level,
        };
        if let (Some(server), true) = (server, level.is_some() || method == Method::SetLevel) {
            server.change_settings(|settings| settings.level = level.map(ToOwned::to_owned));
        }
    }
}

/// Returns the task whose result a request asks for.
fn fetched_task(envelope: &Envelope<'_>) -> Option<Box<str>> {
    let id = envelope.params.task_id?;
    let is_fetch = envelope.method.as_deref() == Some("tasks/result");
    unquoted(id).filter(|_| is_fetch).map(Into::into)
}

/// Returns the name and the URI of a request if no server lists them; None if a server does, or if the lists do not
/// decide where this method goes.
fn unlisted_name(
    catalog: &Catalog,
    method: Method,
    request: Request<'_>,
) -> Option<(String, String)> {
    let text = |raw: Option<&str>| raw.and_then(unquoted).unwrap_or_default().into_owned();
    let params = &request.envelope.params;
    let (name, uri) = match method {
        Method::GetPrompt | Method::Other => (text(params.name), text(params.uri)),
        Method::Complete => {
            let message = Members::of(request.line);
            let params = message.object("params");
            let reference = params.object("ref");
            (text(reference.get("name")), text(reference.get("uri")))
        }
        _ => return None,
    };
    let known = catalog.prompt(&name).is_some()
        || catalog.tool(&name).is_some()
        || catalog.resource(&uri).is_some();
    (!known).then_some((name, uri))
}

/// Returns the error for a request that a server could read as a call of a tool its configuration leaves out.
fn ambiguity_error(
    server: &ServerHandle,
    method: Method,
    request: Request<'_>,
) -> Option<ErrorObject> {
    let unnamed = method == Method::CallTool && !is_plain_name(request.envelope.params.name);
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
