//! The proxy's own tools: their definitions and implementations.
//!
//! Each is one function. Results carry `structuredContent` and the same content as text; a failure has `isError: true`
//! and `success: false` with an error that names the next step.

mod arguments;
mod call;
mod caller;
mod consent;
mod definitions;
mod installing;
mod loading;
mod server_listing;
#[cfg(test)]
mod tests;
mod tool_search;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use crate::bridge;
use crate::config::ConfigContext;
pub(crate) use crate::config::MetaToolSet as Set;
use crate::event::{ContractChange, ToolDiff};
use crate::fleet::Fleet;
use crate::jsonrpc::{Members, quoted};
use crate::lock::locked;
use crate::mcp::{Entry, Era};
pub(crate) use arguments::load_error;
pub(crate) use call::ToolCall;
pub(crate) use caller::{Caller, ConsentChannel, Progress};
use consent::ConsentQuestions;
pub(crate) use consent::consent_response;
use installing::InstallToolOutcome;
pub(crate) use loading::{ServerAction, act};

/// Meta-tool that calls a tool by name, including tools that the client does not know yet.
pub(crate) const CALL: &str = "call_dynamic_server_tool";
const INSTALL: &str = "install_mcp_server_from_git";
const INSTALL_AND_LOAD: &str = "install_and_load_mcp_server";
const UNINSTALL: &str = "uninstall_mcp_server";
/// Starts a server.
pub(crate) const LOAD: &str = "load_mcp_server_dynamically";
/// Stops a server.
pub(crate) const UNLOAD: &str = "unload_mcp_server";
const RELOAD: &str = "reload_mcp_server";
const LOADED: &str = "get_loaded_servers";
const AVAILABLE: &str = "list_available_servers";
const INSTALLED: &str = "list_installed_mcp_servers";
const SEARCH: &str = "search_tools";
const ALL_TOOLS: &str = "list_all_tools";
const INFO: &str = "get_tool_info";

/// Error for callers that may not install or uninstall.
const OPEN: &str = "Servers cannot be installed or uninstalled over HTTP without a token, because other users of this \
    machine could run their own code that way. Ask the person who started mcp-proxy to pass `--token-file FILE`, or to \
    listen on a socket with `--http unix:PATH`";

/// Meta-tools that a client is offered, as list entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfferedMetaTools {
    entries: Arc<[Entry]>,
    /// None where no servers can be installed.
    install_resources: Option<InstallResources>,
    /// True if the caller may be another user, who may not install servers.
    is_open: bool,
}

/// Resources for installing servers.
#[derive(Debug, Clone)]
struct InstallResources {
    /// Information that leads to the configuration in which servers are registered.
    around: ConfigContext,
    /// Running tasks, including those whose caller has gone.
    tasks: TaskTracker,
    questions: ConsentQuestions,
}

impl OfferedMetaTools {
    /// Creates the meta-tools of `set`. `several`: there may be more than one server. `around` leads to the
    /// configuration that servers can be installed into, if any. `is_open`: other users can call the tools.
    pub(crate) fn new(
        set: Set,
        several: bool,
        around: Option<ConfigContext>,
        is_open: bool,
    ) -> Self {
        Self {
            entries: definitions::of(set, several, around.is_some()).into(),
            install_resources: around.map(|around| InstallResources {
                around,
                tasks: TaskTracker::new(),
                questions: ConsentQuestions::default(),
            }),
            is_open,
        }
    }

    /// Waits until no task runs for a finished call.
    pub(crate) async fn idle(&self) {
        if let Some(resources) = &self.install_resources {
            resources.tasks.close();
            resources.tasks.wait().await;
        }
    }

    /// Returns the tools as entries of `tools/list`.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns true if the tool `name` is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Returns the raw `arguments` with the names and types that the meta-tool `name` defines. The error names a member
    /// that it does not define.
    fn understood(&self, name: &str, arguments: &str) -> Result<String, Value> {
        let tool = self.entries.iter().find(|entry| entry.name == name);
        let tool =
            tool.ok_or_else(|| json!({ "error": format!("`{name}` is not a meta-tool") }))?;
        arguments::understood(tool, arguments)
    }

    /// Returns instructions for a model on tools of unloaded servers; None if the model cannot load servers. If no
    /// server exists at all, returns the reason.
    pub(crate) fn instructions(&self, fleet: &Fleet) -> Option<String> {
        let without = fleet.without_servers();
        if without.is_some() && !fleet.is_lazy() {
            return without;
        }
        if !fleet.is_lazy() || !self.has(LOAD) {
            return None;
        }
        let names = match without {
            Some(reason) => format!("none ({reason})"),
            None => fleet.config().server_names().join(", "),
        };
        Some(format!(
            "MCP servers are loaded on demand; configured servers: {names}. Find a tool with {SEARCH}, call it with \
             {CALL} (which loads its server), or add a server's tools with {LOAD}."
        ))
    }
}

/// Runs the meta-tool `name` of `offered` with raw `arguments`; returns the raw result. [`CALL`] is not run here: it
/// becomes the request of a [`ToolCall`].
pub(crate) async fn run(
    offered: &OfferedMetaTools,
    name: &str,
    arguments: &str,
    fleet: &Fleet,
    caller: &Caller,
) -> String {
    let understood = match offered.understood(name, arguments) {
        Ok(understood) => understood,
        Err(error) => return result(Err(error), caller.era),
    };
    let arguments = Members::of(&understood);
    let hidden = fleet.hidden();
    let to_text = |mut value: Value| {
        locked(&hidden).hide_in(&mut value);
        value.to_string()
    };
    let outcome = match (name, &offered.install_resources) {
        (LOAD, _) => loading::load(fleet, &arguments).await.map(to_text),
        (UNLOAD, _) => loading::unload(fleet, &arguments).await.map(to_text),
        (RELOAD, _) => loading::reload(fleet, &arguments).await.map(to_text),
        (LOADED, _) => Ok(to_text(server_listing::loaded(fleet))),
        (AVAILABLE, _) => Ok(to_text(server_listing::available(fleet).await)),
        (INSTALLED, workshop) => {
            let installed = server_listing::installed(fleet, workshop.as_ref());
            Ok(to_text(installed.await))
        }
        (SEARCH, _) => {
            // The search reads files and weighs every word of thousands of tools: it must not delay calls.
            let (fleet, raw) = (fleet.clone(), understood.clone());
            let found = spawn_blocking(move || tool_search::search(&fleet, &Members::of(&raw)));
            let stopped = |error| Err(json!({ "error": format!("the search failed: {error}") }));
            found.await.unwrap_or_else(stopped).map(|it| it.to_string())
        }
        (ALL_TOOLS, _) => Ok(tool_search::all(fleet).to_string()),
        (INFO, _) => tool_search::info(fleet, &arguments, offered).await,
        (UNINSTALL | INSTALL | INSTALL_AND_LOAD, _) if offered.is_open => {
            Err(json!({ "error": OPEN }))
        }
        (UNINSTALL | INSTALL | INSTALL_AND_LOAD, Some(workshop)) => {
            let done = if name == UNINSTALL {
                installing::uninstall(fleet, workshop, &arguments, caller).await
            } else {
                let load = name == INSTALL_AND_LOAD;
                installing::install(fleet, workshop, &arguments, caller, load).await
            };
            match done {
                Ok(InstallToolOutcome::Done(value)) => Ok(to_text(value)),
                Ok(InstallToolOutcome::Question(result)) => return result,
                Err(error) => Err(error),
            }
        }
        _ => Err(json!({ "error": format!("`{name}` is not a meta-tool") })),
    };
    let outcome = outcome.map_err(|mut error| {
        locked(&hidden).hide_in(&mut error);
        error
    });
    result(outcome, caller.era)
}

/// Returns a raw tool result with the members of a success (a raw object) or of an error; neither is empty.
pub(crate) fn result(outcome: Result<String, Value>, era: Era) -> String {
    let failed = outcome.is_err();
    let members = outcome.unwrap_or_else(|error| error.to_string());
    let content = members.replacen('{', &format!(r#"{{"success":{},"#, !failed), 1);
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
    let contract: Vec<_> = diff.contract.iter().map(ContractChange::value).collect();
    json!({
        "added": diff.added,
        "removed": diff.removed,
        "changed": changed,
        "contract": contract,
        "left_out": diff.left_out,
    })
}
