//! Handles requests that name a tool or prompt no server lists: waits for code that is starting, or explains the error.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::Session;
use super::routing::Request;
use crate::config::ServerSpec;
use crate::fleet::{Catalog, nearest};
use crate::jsonrpc::{Envelope, ErrorObject, INVALID_PARAMS};
use crate::mcp::Method;
use crate::server::ServerHandle;

impl Session {
    /// Handles a call of an unlisted tool: the tool may belong to a server that is starting, or that may run now.
    pub(super) fn await_tool(&self, catalog: &Catalog, name: &str, request: Request<'_>) {
        let owned = name.to_owned();
        let may_have = |server: &ServerHandle| name.starts_with(&server.spec().prefix);
        let is_waiting = self.retry_when_listed(
            catalog,
            request,
            may_have,
            move |session, catalog, request| match catalog.find_tool(&owned) {
                Some((server, route)) => {
                    session.submit(server, Method::CallTool, route.rename.clone(), request);
                }
                None => session.refuse_tool(catalog, &owned, request),
            },
        );
        if !is_waiting {
            self.refuse_tool(catalog, name, request);
        }
    }

    /// Answers a call of an unlisted tool. If only a server whose code does not run can have it, that server's gate
    /// gives the reason.
    fn refuse_tool(&self, catalog: &Catalog, name: &str, request: Request<'_>) {
        match does_not_run(catalog, name) {
            Some(server) => self.submit(server, Method::CallTool, None, request),
            None => self.answer_error(request.id, &self.unknown_tool(catalog, name)),
        }
    }

    /// Runs `retry` with a request that matches no list, once the servers that are starting have listed their entries.
    /// Returns false if no server that `may_have` the requested entry is starting.
    pub(super) fn retry_when_listed(
        &self,
        catalog: &Catalog,
        request: Request<'_>,
        may_have: impl Fn(&ServerHandle) -> bool,
        retry: impl FnOnce(&Self, &Catalog, Request<'_>) + Send + 'static,
    ) -> bool {
        let starting = |server: &&ServerHandle| {
            (server.is_held() || self.fleet.should_retry(server)) && may_have(server)
        };
        let servers: Vec<_> = catalog.servers.iter().filter(starting).cloned().collect();
        let max_waits = servers.iter().map(|server| server.spec().timeouts.hold);
        let Some(max_wait) = max_waits.max() else {
            return false;
        };
        let (session, line, id, era) = (
            self.strong_self(),
            request.line.to_owned(),
            request.id.to_owned(),
            request.era,
        );
        self.run(request.id, async move {
            #[expect(
                clippy::disallowed_methods,
                reason = "the session has no other clock for its one time limit"
            )]
            let deadline = Instant::now() + max_wait;
            for server in servers {
                if session.fleet.should_retry(&server) {
                    let name = server.spec().name.clone();
                    let load = session.fleet.load(&name);
                    let _ = tokio::time::timeout_at(deadline, load).await;
                }
                let _ = tokio::time::timeout_at(deadline, server.answers()).await;
            }
            if let Ok(envelope) = Envelope::parse(&line) {
                let (line, envelope, id) = (&*line, &envelope, &*id);
                let request = Request {
                    line,
                    envelope,
                    id,
                    era,
                };
                retry(&session, &session.fleet.catalog(), request);
            }
        });
        true
    }

    /// Returns the error for a tool no loaded server has: names the server whose filter leaves it out, or servers that
    /// had it or may have it, and similar tools.
    fn unknown_tool(&self, catalog: &Catalog, name: &str) -> ErrorObject {
        if let Some((server, own)) = catalog.left_out(name).next() {
            return left_out(&own, &server.spec().name);
        }
        let mut message = format!("no loaded server has the tool `{name}`");
        if let Some(reason) = self.fleet.without_servers() {
            let _ = write!(message, ": {reason}");
        }
        if let Some((server, own)) = catalog.removed_tool(name) {
            let (server, added) = (&server.spec().name, &server.snapshot().diff.added);
            let _ = write!(
                message,
                "; the last reload of `{server}` removed its `{own}`"
            );
            if !added.is_empty() {
                let _ = write!(message, " and added `{}`", added.join("`, `"));
            }
        }
        let config = self.fleet.config();
        let may_have = |spec: &&ServerSpec| {
            is_prefix(&spec.prefix, name) && catalog.server(&spec.name).is_none()
        };
        if let Some(spec) = config.servers.iter().find(may_have) {
            let _ = write!(
                message,
                "; the server `{}` is not loaded: load it, or call the tool with `call_dynamic_server_tool`, which \
                 loads it",
                spec.name
            );
        }
        let candidates = catalog.names_of_own(name);
        if !candidates.is_empty() {
            let servers = format!(
                "several servers have a tool `{name}`: call `{}`",
                candidates.join("` or `")
            );
            return ErrorObject::new(INVALID_PARAMS, servers);
        }
        let mut similar = nearest(name, catalog.tool_names());
        if similar.is_empty() {
            let own: Vec<_> = catalog.own_names().collect();
            let bare = nearest(name, own.iter().map(|(_, own)| &**own));
            similar = bare
                .into_iter()
                .flat_map(|own| catalog.names_of_own(own))
                .take(3)
                .collect();
        }
        if !similar.is_empty() {
            let _ = write!(message, "; did you mean `{}`?", similar.join("` or `"));
        }
        ErrorObject::new(INVALID_PARAMS, message)
    }
}

/// Returns the error for a tool that the filter of `server` leaves out.
pub(super) fn left_out(tool: &str, server: &str) -> ErrorObject {
    let message =
        format!("tool `{tool}` is excluded by `tools` of `{server}` in the configuration");
    ErrorObject::new(INVALID_PARAMS, message)
}

/// Returns the server whose code does not run and that alone can have the tool or prompt `name`.
pub(super) fn does_not_run<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a ServerHandle> {
    catalog
        .servers
        .iter()
        .find(|server| is_prefix(&server.spec().prefix, name) && server.refusal().is_some())
}

/// Returns true if a tool or prompt of a server with this prefix can be called `name`.
fn is_prefix(prefix: &str, name: &str) -> bool {
    !prefix.is_empty()
        && name
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with("__"))
}
