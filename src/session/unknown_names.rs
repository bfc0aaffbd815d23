//! Handles requests that name a tool or prompt no server lists: waits for code that is starting, or explains the error.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::Session;
use super::route::{Request, route};
use crate::bridge::tool_error;
use crate::config::ServerSpec;
use crate::fleet::{Catalog, Fleet, nearest};
use crate::jsonrpc::{ErrorObject, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND};
use crate::mcp::{Method, WithheldEntry};
use crate::meta_tools::{CALL, OfferedMetaTools};
use crate::server::ServerHandle;

impl Session {
    /// Routes a request again once the servers that `may_have` the requested entry have listed their entries: those that
    /// are starting, and those that report changed lists. Returns false if there is no such server.
    pub(super) fn retry_when_listed(
        &self,
        catalog: &Catalog,
        request: Request<'_>,
        may_have: impl Fn(&ServerHandle) -> bool,
    ) -> bool {
        let among = catalog.servers.iter().filter(|server| may_have(server));
        let servers: Vec<_> = among.cloned().collect();
        if servers.is_empty() {
            return false;
        }
        let fleet = self.fleet.clone();
        let listed = async move { listed(&fleet, &servers).await };
        self.run_then(request, listed, |session, (), request| {
            let catalog = session.fleet.catalog();
            let destination = route(&catalog, &session.meta_tools, request);
            session.send_to(&catalog, destination, request);
        });
        true
    }

    /// Answers a request for an entry that no server lists. If only a server whose code does not run can have it, that
    /// server's gate gives the reason; if a server that has not become ready in time may have it, the error says so.
    pub(super) fn refuse_unlisted(
        &self,
        catalog: &Catalog,
        name: &str,
        uri: &str,
        request: Request<'_>,
    ) {
        let server = match (request.method, &catalog.servers[..]) {
            (Method::CallTool | Method::GetPrompt, _) => does_not_run(catalog, name),
            (Method::Other, [only]) => Some(only),
            _ => None,
        };
        if let Some(server) = server {
            return self.submit(server, None, request);
        }
        let invalid = |message| ErrorObject::new(INVALID_PARAMS, message);
        let is_named = matches!(request.method, Method::CallTool | Method::GetPrompt);
        let mut owners = catalog
            .servers
            .iter()
            .filter(|server| is_named && name.starts_with(&server.spec().prefix));
        if let Some(message) = owners.find_map(ServerHandle::explain_hold) {
            return match request.method {
                Method::CallTool => {
                    self.answer_result(request.id, &tool_error(&message, request.era));
                }
                _ => self.answer_error(request.id, &ErrorObject::new(INTERNAL_ERROR, message)),
            };
        }
        let error = match request.method {
            Method::CallTool => unknown_tool(&self.fleet, catalog, name, &self.meta_tools),
            Method::GetPrompt => invalid(format!("no loaded server has the prompt `{name}`")),
            Method::Complete => invalid(format!("no loaded server can complete `{name}{uri}`")),
            _ => {
                let method = request.envelope.method.as_deref().unwrap_or_default();
                let message = format!(
                    "`{method}` cannot be routed: it names no tool, prompt or resource of a loaded server"
                );
                ErrorObject::new(METHOD_NOT_FOUND, message)
            }
        };
        self.answer_error(request.id, &error);
    }
}

/// Waits until these servers have listed their entries: those that are starting, and those that report changed lists.
/// Waits at most as long as a call may be held.
pub(super) async fn listed(fleet: &Fleet, servers: &[ServerHandle]) {
    let max_waits = servers.iter().map(|server| server.spec().timeouts.hold);
    #[expect(
        clippy::disallowed_methods,
        reason = "the session has no other clock for its one time limit"
    )]
    let deadline = Instant::now() + max_waits.max().unwrap_or_default();
    for server in servers {
        if fleet.should_retry(server) {
            let name = server.spec().name.clone();
            let _ = tokio::time::timeout_at(deadline, fleet.load(&name)).await;
        }
        let listed = async {
            let _ = server.answers().await;
            server.lists_read().await;
        };
        let _ = tokio::time::timeout_at(deadline, listed).await;
    }
}

/// Returns the loaded servers that may have the tool `name`, as clients name it or under its own name: those whose
/// prefix it has, or else all.
pub(super) fn may_have(catalog: &Catalog, name: &str) -> Vec<ServerHandle> {
    let servers = catalog.servers.iter();
    let of_prefix = servers.filter(|server| is_prefix(&server.spec().prefix, name));
    let of_prefix: Vec<ServerHandle> = of_prefix.cloned().collect();
    match &of_prefix[..] {
        [] => catalog.servers.clone(),
        _ => of_prefix,
    }
}

/// Returns the error for a tool no loaded server has: names the server whose filter leaves it out, or servers that
/// had it or may have it, and similar tools.
fn unknown_tool(
    fleet: &Fleet,
    catalog: &Catalog,
    name: &str,
    offered: &OfferedMetaTools,
) -> ErrorObject {
    if let Some((server, own)) = catalog.left_out(name).next() {
        return left_out(&own, &server.spec().name);
    }
    if let Some((server, withheld)) = catalog.withheld(name) {
        return withheld_error(&withheld, &server.spec().name, offered);
    }
    let mut message = format!("no loaded server has the tool `{name}`");
    if let Some(reason) = fleet.without_servers() {
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
    let config = fleet.config();
    let may_have =
        |spec: &&ServerSpec| is_prefix(&spec.prefix, name) && catalog.server(&spec.name).is_none();
    if let Some(spec) = config.servers.iter().find(may_have) {
        let advice = if offered.has(CALL) {
            "load it, or call the tool with `call_dynamic_server_tool`, which loads it"
        } else {
            "nothing loads it while `meta_tools` is \"none\" and its `autostart` is false"
        };
        let _ = write!(
            message,
            "; the server `{}` is not loaded: {advice}",
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

/// Returns the error for a tool that the filter of `server` leaves out.
pub(super) fn left_out(tool: &str, server: &str) -> ErrorObject {
    let message =
        format!("tool `{tool}` is excluded by `tools` of `{server}` in the configuration");
    ErrorObject::new(INVALID_PARAMS, message)
}

/// Returns the error for a tool of `server` that the client is not offered.
fn withheld_error(tool: &WithheldEntry, server: &str, offered: &OfferedMetaTools) -> ErrorObject {
    let way = if offered.has(CALL) {
        "; `call_dynamic_server_tool` still calls it"
    } else {
        ""
    };
    let WithheldEntry { entry, reason } = tool;
    let message = format!(
        "tool `{}` of `{server}` is left out: {reason}{way}",
        entry.name
    );
    ErrorObject::new(INVALID_PARAMS, message)
}

/// Returns the server whose code does not run and that alone can have the tool or prompt `name`.
fn does_not_run<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a ServerHandle> {
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
