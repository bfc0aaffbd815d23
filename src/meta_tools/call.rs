//! `call_dynamic_server_tool`: finds the server and tool that a call names.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::arguments::{given_server, text};
use super::tool_search::{loading_advice, servers_without_tools};
use super::{ALL_TOOLS, CALL, LOAD, LOADED, OfferedMetaTools, SEARCH};
use crate::config::{RehearsedCall, ServerSpec};
use crate::fleet::{Catalog, Fleet, nearest, public_name};
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Entry, ListKind};
use crate::server::ServerHandle;

/// Maximum number of tools for an error to list by name; beyond it, the error suggests a search.
const FEW: usize = 20;

/// The call that the arguments name.
#[derive(Debug)]
pub(crate) struct ToolCall {
    /// Name of the server if the caller gave it.
    server: Option<String>,
    /// Name of the tool as the caller gave it.
    pub(crate) tool: String,
    /// Raw arguments of the tool.
    parameters: String,
    /// True if new code is to answer the call before it goes live, false if no longer.
    rehearse: Option<bool>,
}

impl ToolCall {
    /// Parses the raw `arguments` of this meta-tool.
    pub(crate) fn new(arguments: &str, offered: &OfferedMetaTools) -> Result<Self, Value> {
        let arguments = offered.understood(CALL, arguments)?;
        let arguments = Members::of(&arguments);
        let tool = text(&arguments, "tool_name", "the name of a tool")?.into_owned();
        let parameters = match arguments.get("parameters") {
            None | Some("null") => "{}",
            Some(raw) if raw.starts_with('{') => raw,
            Some(_) => {
                let error = "`parameters` must be an object with the tool's arguments";
                return Err(json!({ "error": error }));
            }
        };
        Ok(Self {
            server: given_server(&arguments)?,
            tool,
            parameters: parameters.to_owned(),
            rehearse: match arguments.get("rehearse") {
                None | Some("null") => None,
                Some("true") => Some(true),
                Some("false") => Some(false),
                Some(_) => {
                    let error = "`rehearse` must be true or false; nothing was done";
                    return Err(json!({ "error": error }));
                }
            },
        })
    }

    /// Returns the name of the server, whether it is loaded or not: the given one, or the only one that has the tool.
    pub(crate) fn server(
        &self,
        fleet: &Fleet,
        offered: &OfferedMetaTools,
    ) -> Result<String, Value> {
        let given = self.server.clone().map(Ok);
        given.unwrap_or_else(|| owner(&self.tool, fleet, offered))
    }

    /// Returns the server's own name for the tool, and the `tools/call` line for `server`, made from `line`, the call
    /// of this meta-tool. All other members, such as the progress token, stay. Changes the rehearsed calls of the server
    /// if the caller wishes. Returns an error if the server has no such tool now, or may not rehearse it.
    pub(crate) fn line(
        &self,
        line: &str,
        server: &ServerHandle,
        catalog: &Catalog,
    ) -> Result<(String, String), Value> {
        let tool = own_name(&self.tool, server, catalog)?;
        if let Some(wanted) = self.rehearse {
            let call = RehearsedCall {
                tool: tool.clone(),
                arguments: self.parameters.replace(['\n', '\r'], " "),
            };
            let suggestion = "call it without `rehearse`";
            let refused = |error| json!({ "error": error, "suggestion": suggestion });
            server.rehearse(call, wanted).map_err(refused)?;
        }
        let mut message = Members::of(line);
        let params = message.get("params").unwrap_or("{}").to_owned();
        let mut params = Members::of(&params);
        params.set("name", quoted(&tool));
        params.set("arguments", self.parameters.as_str());
        message.set("params", params.to_string());
        Ok((tool, message.to_string()))
    }
}

/// Returns the only server that has `tool`, under the name that clients use or under its own; loaded servers take
/// precedence.
fn owner(tool: &str, fleet: &Fleet, offer: &OfferedMetaTools) -> Result<String, Value> {
    let catalog = fleet.catalog();
    if let Some(server) = catalog.sole() {
        return Ok(server.spec().name.clone());
    }
    if let Some((server, _)) = find(tool, &catalog, None)? {
        return Ok(server.spec().name.clone());
    }
    let remembered = remembered(tool, fleet, None)?;
    let (server, _) = remembered.ok_or_else(|| missing(tool, fleet, None, offer))?;
    Ok(server)
}

/// Returns the only loaded server that has `tool`, under the name that clients use or under its own, and its own name
/// for it. Considers only `among` if given. Returns an error if there are several.
pub(super) fn find(
    tool: &str,
    catalog: &Catalog,
    among: Option<&ServerHandle>,
) -> Result<Option<(ServerHandle, String)>, Value> {
    let is_meant = |server: &ServerHandle| among.is_none_or(|only| only.is(server));
    if let Some((server, own)) = catalog.own_name(tool)
        && is_meant(server)
    {
        return Ok(Some((server.clone(), own.into_owned())));
    }
    let lists = |server: &&ServerHandle| {
        let snapshot = server.snapshot();
        let has = snapshot
            .list(ListKind::Tools)
            .is_some_and(|tools| tools.find(tool).is_some());
        has && is_meant(server)
    };
    let owners: Vec<&ServerHandle> = catalog.servers.iter().filter(lists).collect();
    match &owners[..] {
        [] => Ok(None),
        [owner] => Ok(Some(((*owner).clone(), tool.to_owned()))),
        owners => {
            let names = owners.iter().map(|server| server.spec().name.clone());
            Err(ambiguous(tool, &names.collect::<Vec<_>>()))
        }
    }
}

/// Returns the only server that does not run now and last had `tool`, under the name that clients use or under its own,
/// and the tool. Considers only `server` if given. Returns an error if there are several.
pub(super) fn remembered(
    tool: &str,
    fleet: &Fleet,
    server: Option<&str>,
) -> Result<Option<(String, Entry)>, Value> {
    let config = fleet.config();
    let public = |spec: &ServerSpec, own: &str| public_name(&spec.prefix, own, config.max_name);
    let is_meant = |spec: &&ServerSpec| {
        let loaded = fleet.loaded(&spec.name);
        let runs = loaded.is_some_and(|server| server.snapshot().generation > 0);
        !runs && server.is_none_or(|server| server == spec.name)
    };
    let had = config.servers.iter().filter(is_meant).filter_map(|spec| {
        let entries = fleet.cached_tools(spec)?;
        let of_client = || entries.iter().find(|it| public(spec, &it.name) == tool);
        let own = entries.iter().find(|it| it.name == tool);
        Some((spec.name.clone(), own.or_else(of_client)?.clone()))
    });
    let mut had: Vec<(String, Entry)> = had.collect();
    if had.len() > 1 {
        let names: Vec<String> = had.into_iter().map(|(server, _)| server).collect();
        return Err(ambiguous(tool, &names));
    }
    Ok(had.pop())
}

fn ambiguous(tool: &str, servers: &[String]) -> Value {
    let error = format!(
        "Several servers have a tool '{tool}': {}",
        servers.join(", ")
    );
    json!({ "error": error, "suggestion": "name one of them in `server_name`" })
}

/// Returns the error for a tool that the filter of `server` leaves out.
pub(super) fn left_out(tool: &str, server: &str) -> Value {
    let error = format!("Tool '{tool}' is excluded by `tools` of `{server}` in the configuration");
    json!({ "error": error, "suggestion": "a person can change `tools` (`allow`, `deny`) there" })
}

/// Returns the error for a tool that no server has: the filter that leaves it out, or how it got lost and similar
/// tools. Considers the filter of `among` only, if given.
pub(super) fn missing(
    tool: &str,
    fleet: &Fleet,
    among: Option<&ServerHandle>,
    offered: &OfferedMetaTools,
) -> Value {
    let catalog = fleet.catalog();
    let is_meant = |server: &ServerHandle| among.is_none_or(|only| only.is(server));
    if let Some((server, own)) = catalog.left_out(tool).find(|(it, _)| is_meant(it)) {
        return left_out(&own, &server.spec().name);
    }
    let mut names: Vec<String> = catalog.tool_names().map(ToOwned::to_owned).collect();
    for server in &catalog.servers {
        let snapshot = server.snapshot();
        names.extend(snapshot.tool_names().into_iter().map(ToOwned::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    let near = nearest(tool, names.iter().map(String::as_str));
    let suggestion = if !near.is_empty() {
        format!("did you mean '{}'?", near.join("' or '"))
    } else if (1..=FEW).contains(&names.len()) {
        format!("the tools are: {}", names.join(", "))
    } else if offered.has(SEARCH) {
        format!("Use {SEARCH}() or {ALL_TOOLS}() to find available tools")
    } else {
        format!("Use {LOADED}() to list the tools")
    };
    let error = format!("Tool '{tool}' not found{}", lost(tool, &catalog.servers));
    let mut missing = json!({ "error": error, "suggestion": suggestion });
    let loading = loading_advice(&servers_without_tools(fleet));
    let loading = loading.filter(|_| near.is_empty() && offered.has(LOAD));
    let lagging = catalog.servers.iter().filter(|it| is_meant(it));
    let lagging = lagging.filter_map(ServerHandle::explain_lag);
    let notes: Vec<String> = lagging.chain(loading).collect();
    if !notes.is_empty() {
        missing["note"] = notes.join("\n").into();
    }
    missing
}

/// Returns the server's own name for `tool`, offered or left out; an error if it has no such tool now.
fn own_name(tool: &str, server: &ServerHandle, catalog: &Catalog) -> Result<String, Value> {
    let snapshot = server.snapshot();
    if server.refusal().is_some() {
        // The gate gives the reason why its code does not run, which matters more.
        return Ok(tool.to_owned());
    }
    // A server that cannot list its tools may still have it.
    let Some(tools) = snapshot
        .list(ListKind::Tools)
        .filter(|_| snapshot.generation > 0)
    else {
        return Ok(tool.to_owned());
    };
    if tools.find(tool).is_some() {
        return Ok(tool.to_owned());
    }
    if let Some((owner, own)) = catalog.own_name(tool)
        && owner.is(server)
    {
        return Ok(own.into_owned());
    }
    // The session refuses a tool that is left out.
    if let Some((_, own)) = catalog.left_out(tool).find(|(owner, _)| owner.is(server)) {
        return Ok(own);
    }
    if !server.admits(tool) {
        return Ok(tool.to_owned());
    }
    let name = &server.spec().name;
    let error = format!(
        "Server '{name}' has no tool '{tool}'{}",
        lost(tool, std::slice::from_ref(server))
    );
    let near = nearest(tool, snapshot.tool_names());
    let suggestion = if near.is_empty() {
        format!(
            "the server's tools are: {}",
            snapshot.tool_names().join(", ")
        )
    } else {
        format!("did you mean '{}'?", near.join("' or '"))
    };
    Err(json!({ "error": error, "suggestion": suggestion }))
}

/// Returns a text on the last reloads that removed the tool; empty if none did.
fn lost(tool: &str, servers: &[ServerHandle]) -> String {
    let mut text = String::new();
    for server in servers {
        let (snapshot, name) = (server.snapshot(), server.spec().name.clone());
        if snapshot.diff.removed.iter().any(|removed| removed == tool) {
            let _ = write!(text, ": the last reload of '{name}' removed it");
            if !snapshot.diff.added.is_empty() {
                let _ = write!(text, " and added {}", snapshot.diff.added.join(", "));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
