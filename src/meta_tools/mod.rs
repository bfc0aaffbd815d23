//! The proxy's own tools: what they are called, and what they do.
//!
//! One function each. Results carry `structuredContent` and the same as text; a failure has
//! `isError: true` and `success: false` with an error that says what to do next.

mod arguments;
mod call;
mod definitions;
mod loaded;
mod reload;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::bridge;
pub(crate) use crate::config::MetaTools as Set;
use crate::event::ToolDiff;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Entry, Era};
use crate::server::ServerHandle;
pub(crate) use call::meant;

/// Calls a tool by name: the way to a tool that the client does not know of yet.
pub(crate) const CALL: &str = "call_dynamic_server_tool";
const RELOAD: &str = "reload_mcp_server";
const LOADED: &str = "get_loaded_servers";
const INFO: &str = "get_tool_info";

/// The meta-tools that a client is offered, ready to be listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer(Arc<[Entry]>);

impl Offer {
    /// What `set` offers.
    pub(crate) fn new(set: Set) -> Self {
        match set {
            Set::None => Self::default(),
            Set::Dev | Set::All => Self(definitions::all().into()),
        }
    }

    /// The tools as entries of `tools/list`.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether the tool `name` is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|entry| entry.name == name)
    }
}

/// Carries out the meta-tool `name` with raw `arguments`; gives the raw result for a client of
/// `era`. [`CALL`] is not carried out here: it becomes the request that is [`meant`].
pub(crate) async fn run(name: &str, arguments: &str, server: &ServerHandle, era: Era) -> String {
    let arguments = Members::of(arguments);
    let outcome = match (arguments::server_name(&arguments, server), name) {
        (Err(error), _) => Err(error),
        (_, RELOAD) => reload::run(server).await.map(|said| said.to_string()),
        (_, LOADED) => Ok(loaded::servers(server).to_string()),
        (_, INFO) => loaded::tool(server, &arguments).await,
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
