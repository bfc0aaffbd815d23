//! Decides where a client's request goes, without sending it: no I/O, no locks.

use std::borrow::Cow;

use crate::fleet::Catalog;
use crate::jsonrpc::{Envelope, Members, OwnedJson, RawId, RawJson, unquoted};
use crate::mcp::{Era, Method};
use crate::meta_tools::OfferedMetaTools;
use crate::server::ServerHandle;

/// A client's request on its way to a server.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) line: &'a str,
    /// The line as the client sent it: a meta-tool's call has another one for the server.
    pub(super) client_line: &'a str,
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) id: RawId<'a>,
    pub(super) era: Era,
    pub(super) method: Method,
}

impl<'a> Request<'a> {
    /// Creates a request from its line, which `envelope` was parsed from.
    pub(super) fn new(line: &'a str, envelope: &'a Envelope<'a>, id: RawId<'a>, era: Era) -> Self {
        let method = match Method::of(envelope.method.as_deref().unwrap_or_default()) {
            // The modern era has no such methods: the server decides how to answer them.
            method if era == Era::Modern && method.sets_session_state() => Method::Other,
            method => method,
        };
        Self {
            line,
            client_line: line,
            envelope,
            id,
            era,
            method,
        }
    }

    /// Returns the request with another line for the server, which `envelope` was parsed from.
    pub(super) fn rewritten(self, line: &'a str, envelope: &'a Envelope<'a>) -> Self {
        Self {
            client_line: self.client_line,
            ..Self::new(line, envelope, self.id, self.era)
        }
    }

    /// Returns the name of the tool or prompt in `params`; empty if there is none.
    pub(super) fn name(&self) -> Cow<'a, str> {
        let name = self.envelope.params.name;
        name.and_then(RawJson::text).unwrap_or_default()
    }

    /// Returns the URI of the resource in `params`; empty if there is none.
    pub(super) fn uri(&self) -> Cow<'a, str> {
        let uri = self.envelope.params.uri;
        uri.and_then(RawJson::text).unwrap_or_default()
    }
}

/// Destination of a request.
pub(super) enum Destination<'a> {
    /// The proxy itself: a call of the meta-tool with this name.
    MetaTool(Cow<'a, str>),
    /// The only server, which clients see unchanged. If the request is a call, the name of its tool.
    Sole(&'a ServerHandle, Option<Cow<'a, str>>),
    /// The server of the requested entry, and the server's own name for the entry; None if clients use the same.
    Listed(&'a ServerHandle, Option<&'a OwnedJson>),
    /// The server of the requested entry, which gets this line instead.
    Rewritten(&'a ServerHandle, String),
    /// Unknown: no server lists an entry with this name or URI.
    Unlisted {
        name: Cow<'a, str>,
        uri: Cow<'a, str>,
    },
    /// The first server that knows the resource, which no server lists.
    AnyServer,
    /// All servers with tasks.
    AllServers,
    /// The server that the task's id names.
    TaskOwner,
    /// The session, which stores a setting for all servers.
    Session,
}

impl<'a> Destination<'a> {
    /// Returns the destination of a call of a tool that no server lists.
    pub(super) fn unlisted_tool(name: Cow<'a, str>) -> Self {
        let uri = "".into();
        Self::Unlisted { name, uri }
    }
}

/// Returns the destination of `request`, if the servers are those of `catalog`.
pub(super) fn route<'a>(
    catalog: &'a Catalog,
    meta_tools: &OfferedMetaTools,
    request: Request<'a>,
) -> Destination<'a> {
    let (name, is_call) = (request.name(), request.method == Method::CallTool);
    if is_call && meta_tools.has(&name) {
        return Destination::MetaTool(name);
    }
    if let Some(server) = catalog.sole() {
        return Destination::Sole(server, is_call.then_some(name));
    }
    let entry = match request.method {
        Method::CallTool => catalog.find_tool(&name),
        Method::GetPrompt => catalog.prompt(&name),
        Method::Complete => return route_completion(catalog, request.line),
        Method::SetLevel => return Destination::Session,
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe => None,
        Method::Other => match request.envelope.method.as_deref() {
            Some("tasks/list") => return Destination::AllServers,
            Some(method) if method.starts_with("tasks/") => return Destination::TaskOwner,
            _ => catalog.tool(&name).or_else(|| catalog.prompt(&name)),
        },
    };
    if let Some((server, route)) = entry {
        return Destination::Listed(server, route.rename.as_ref());
    }
    if is_call {
        return Destination::unlisted_tool(name);
    }
    let uri = request.uri();
    match (request.method, catalog.owner(&uri)) {
        (Method::GetPrompt, _) | (Method::Other, None) => Destination::Unlisted { name, uri },
        (_, Some(server)) => Destination::Listed(server, None),
        (Method::ReadResource, None) => Destination::AnyServer,
        (_, None) => Destination::Session,
    }
}

/// Returns the destination of the completion in `line`: the server of the prompt or the resource template that it
/// refers to.
fn route_completion<'a>(catalog: &'a Catalog, line: &'a str) -> Destination<'a> {
    let mut message = Members::of(line);
    let mut params = Members::of(message.original("params").unwrap_or("{}"));
    let mut reference = Members::of(params.original("ref").unwrap_or("{}"));
    let text = |member| {
        let value = reference.original(member);
        value.and_then(unquoted).unwrap_or_default()
    };
    let (name, uri) = (text("name"), text("uri"));
    let Some((server, route)) = catalog.prompt(&name) else {
        return match catalog.resource(&uri) {
            Some(server) => Destination::Listed(server, None),
            None => Destination::Unlisted { name, uri },
        };
    };
    let Some(rename) = &route.rename else {
        return Destination::Listed(server, None);
    };
    reference.set("name", rename.as_raw().as_str());
    params.set("ref", reference.to_string());
    message.set("params", params.to_string());
    Destination::Rewritten(server, message.to_string())
}

#[cfg(test)]
mod tests;
