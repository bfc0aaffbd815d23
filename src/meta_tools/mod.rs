//! The proxy's own tools: what they are called, and what they do.
//!
//! One function each. Results carry `structuredContent` and the same as text; a failure has
//! `isError: true` and `success: false` with an error that says what to do next.

mod arguments;
mod call;
mod caller;
mod consent;
mod definitions;
mod finding;
mod installing;
mod loading;
mod showing;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use crate::bridge;
pub(crate) use crate::config::MetaTools as Set;
use crate::config::Surroundings;
use crate::event::ToolDiff;
use crate::fleet::Fleet;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Entry, Era};
pub(crate) use arguments::load_error;
pub(crate) use call::Meant;
pub(crate) use caller::{Caller, Progress, Question};
use consent::Questions;
pub(crate) use consent::brought;
use installing::Said;

/// Calls a tool by name: the way to a tool that the client does not know of yet.
pub(crate) const CALL: &str = "call_dynamic_server_tool";
const INSTALL: &str = "install_mcp_server_from_git";
const INSTALL_AND_LOAD: &str = "install_and_load_mcp_server";
const UNINSTALL: &str = "uninstall_mcp_server";
const LOAD: &str = "load_mcp_server_dynamically";
const UNLOAD: &str = "unload_mcp_server";
const RELOAD: &str = "reload_mcp_server";
const LOADED: &str = "get_loaded_servers";
const AVAILABLE: &str = "list_available_servers";
const INSTALLED: &str = "list_installed_mcp_servers";
const SEARCH: &str = "search_tools";
const ALL_TOOLS: &str = "list_all_tools";
const INFO: &str = "get_tool_info";

/// Why nothing is installed for whoever calls.
const OPEN: &str = "Servers are neither installed nor uninstalled over HTTP without a token, since other users of this \
    machine could have their code run so. Ask the person who started mcp-proxy to give it `--token-file FILE`, or to let \
    clients in by a socket with `--http unix:PATH`";

/// The meta-tools that a client is offered, ready to be listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    entries: Arc<[Entry]>,
    /// Nothing where nothing can be installed.
    workshop: Option<Workshop>,
    /// Whoever calls may be another user, for whom nothing is installed.
    is_open: bool,
}

/// Where servers are installed.
#[derive(Debug, Clone)]
struct Workshop {
    /// What leads to the configuration that they are registered in.
    around: Surroundings,
    /// What is being worked on, also for callers that are gone.
    tasks: TaskTracker,
    questions: Questions,
}

impl Offer {
    /// What `set` offers, where there may be `several` servers, and more of them may be installed into the
    /// configuration that `around` leads to.
    /// `is_open` where other users can call them.
    pub(crate) fn new(
        set: Set,
        several: bool,
        around: Option<Surroundings>,
        is_open: bool,
    ) -> Self {
        Self {
            entries: definitions::of(set, several, around.is_some()).into(),
            workshop: around.map(|around| Workshop {
                around,
                tasks: TaskTracker::new(),
                questions: Questions::default(),
            }),
            is_open,
        }
    }

    /// Waits until nothing is worked on any more for calls that are over.
    pub(crate) async fn idle(&self) {
        if let Some(workshop) = &self.workshop {
            workshop.tasks.close();
            workshop.tasks.wait().await;
        }
    }

    /// The tools as entries of `tools/list`.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the tool `name` is one of them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Returns the raw `arguments` with the names and types that the meta-tool `name` defines. The error names a member
    /// that it does not define.
    fn understood(&self, name: &str, arguments: &str) -> Result<String, Value> {
        let tool = self.entries.iter().find(|entry| entry.name == name);
        let tool = tool.ok_or_else(|| json!({ "error": format!("`{name}` is no meta-tool") }))?;
        arguments::understood(tool, arguments)
    }

    /// What a model should know to use them with servers that are not loaded; nothing if it cannot load any. Where there
    /// is no server at all, why.
    pub(crate) fn instructions(&self, fleet: &Fleet) -> Option<String> {
        if let Some(reason) = fleet.without_servers().filter(|_| !fleet.is_lazy()) {
            return Some(reason);
        }
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

/// Carries out the meta-tool `name` of `offer` with raw `arguments`; gives the raw result. [`CALL`] is
/// not carried out here: it becomes the request that is [`Meant`].
pub(crate) async fn run(
    offer: &Offer,
    name: &str,
    arguments: &str,
    fleet: &Fleet,
    caller: &Caller,
) -> String {
    let understood = match offer.understood(name, arguments) {
        Ok(understood) => understood,
        Err(error) => return result(Err(error), caller.era),
    };
    let arguments = Members::of(&understood);
    let said = |value: Value| value.to_string();
    let outcome = match (name, &offer.workshop) {
        (LOAD, _) => loading::load(fleet, &arguments).await.map(said),
        (UNLOAD, _) => loading::unload(fleet, &arguments).await.map(said),
        (RELOAD, _) => loading::reload(fleet, &arguments).await.map(said),
        (LOADED, _) => Ok(said(showing::loaded(fleet))),
        (AVAILABLE, _) => Ok(said(showing::available(fleet))),
        (INSTALLED, workshop) => Ok(said(showing::installed(fleet, workshop.as_ref()))),
        (SEARCH, _) => {
            // It reads files and weighs every word of thousands of tools: nobody's calls wait for that.
            let (fleet, raw) = (fleet.clone(), understood.clone());
            let found = spawn_blocking(move || finding::search(&fleet, &Members::of(&raw)));
            let stopped =
                |error| Err(json!({ "error": format!("the search was stopped: {error}") }));
            found.await.unwrap_or_else(stopped).map(said)
        }
        (ALL_TOOLS, _) => Ok(said(finding::all(fleet))),
        (INFO, _) => finding::info(fleet, &arguments, offer).await,
        (UNINSTALL | INSTALL | INSTALL_AND_LOAD, _) if offer.is_open => {
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
                Ok(Said::Done(value)) => Ok(said(value)),
                Ok(Said::Question(result)) => return result,
                Err(error) => Err(error),
            }
        }
        _ => Err(json!({ "error": format!("`{name}` is no meta-tool") })),
    };
    result(outcome, caller.era)
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
