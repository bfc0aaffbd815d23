//! The proxy's own tools: what they are called, and what they do.
//!
//! One function each. Results carry `structuredContent` and the same as text; a failure has
//! `isError: true` and `success: false` with an error that says what to do next.

mod arguments;
mod call;
mod definitions;
mod finding;
mod loading;
mod showing;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bridge;
pub(crate) use crate::config::MetaTools as Set;
use crate::event::ToolDiff;
use crate::fleet::Fleet;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Entry, Era};
pub(crate) use arguments::load_error;
pub(crate) use call::Meant;

/// Calls a tool by name: the way to a tool that the client does not know of yet.
pub(crate) const CALL: &str = "call_dynamic_server_tool";
const LOAD: &str = "load_mcp_server_dynamically";
const UNLOAD: &str = "unload_mcp_server";
const RELOAD: &str = "reload_mcp_server";
const LOADED: &str = "get_loaded_servers";
const AVAILABLE: &str = "list_available_servers";
const INSTALLED: &str = "list_installed_mcp_servers";
const SEARCH: &str = "search_tools";
const ALL_TOOLS: &str = "list_all_tools";
const INFO: &str = "get_tool_info";

/// The meta-tools that a client is offered, ready to be listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer(Arc<[Entry]>);

impl Offer {
    /// What `set` offers, where there may be `several` servers.
    pub(crate) fn new(set: Set, several: bool) -> Self {
        Self(definitions::of(set, several).into())
    }

    /// The tools as entries of `tools/list`.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether the tool `name` is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| entry.name == name)
    }

    /// What a model should know to use them with servers that are not loaded; nothing if it cannot load any.
    pub(crate) fn instructions(&self, fleet: &Fleet) -> Option<String> {
        if !fleet.is_lazy() || !self.has(LOAD) {
            return None;
        }
        let config = fleet.config();
        let names: Vec<&str> = config
            .servers
            .iter()
            .map(|spec| spec.name.as_str())
            .collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        Some(format!(
            "MCP servers are loaded when they are needed; configured: {names}. Find a tool with {SEARCH}, call it with {CALL} \
             (which loads its server), or add a server's tools with {LOAD}."
        ))
    }
}

/// Carries out the meta-tool `name` with raw `arguments`; gives the raw result for a client of
/// `era`. [`CALL`] is not carried out here: it becomes the request that is [`Meant`].
pub(crate) async fn run(name: &str, arguments: &str, fleet: &Fleet, era: Era) -> String {
    let arguments = Members::of(arguments);
    let said = |value: Value| value.to_string();
    let outcome = match name {
        LOAD => loading::load(fleet, &arguments).await.map(said),
        UNLOAD => loading::unload(fleet, &arguments).await.map(said),
        RELOAD => loading::reload(fleet, &arguments).await.map(said),
        LOADED => Ok(said(showing::loaded(fleet))),
        AVAILABLE => Ok(said(showing::available(fleet))),
        INSTALLED => Ok(said(showing::installed(fleet))),
        SEARCH => finding::search(fleet, &arguments).map(said),
        ALL_TOOLS => Ok(said(finding::all(fleet))),
        INFO => finding::info(fleet, &arguments).await,
        _ => Err(json!({ "error": format!("`{name}` is no meta-tool") })),
    };
    result(outcome, era)
}

/// A raw tool result of the members of a success (a raw object), or of an error; neither is empty.
pub(crate) fn result(outcome: Result<String, Value>, era: Era) -> String {
    let failed = outcome.is_err();
    let said = outcome.unwrap_or_else(|error| error.to_string());
    let content = said.replacen('{', &format!(r#"{{"success":{},"#, !failed), 1);
    let text = quoted(&content);
    let result = format!(
        r#"{{"content":[{{"type":"text","text":{text}}}],"structuredContent":{content},"isError":{failed}}}"#
    );
    bridge::own_result(&result, era)
}

fn diff_value(diff: &ToolDiff) -> Value {
    let changed: Vec<_> = diff
        .changed
        .iter()
        .map(|(name, members)| json!({ "name": name, "changed": members }))
        .collect();
    json!({ "added": diff.added, "removed": diff.removed, "changed": changed })
}
