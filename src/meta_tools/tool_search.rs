//! `search_tools`, `list_all_tools`, `get_tool_info`: find tools and describe them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::arguments::{given_server, text};
use super::call::{find, left_out, missing, remembered};
use super::{CALL, LOAD, OfferedMetaTools};
use crate::config::ServerSpec;
use crate::fleet::Fleet;
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{Entry, ListKind};
use crate::search::{Document, Index};

/// Default number of search results.
const RESULTS: usize = 10;
/// Number of characters of a description in a list.
const SHOWN: usize = 100;

pub(super) fn search(fleet: &Fleet, arguments: &Members<'_>) -> Result<Value, Value> {
    let query = text(arguments, "query", "a description of the task")?;
    let max = match arguments.get("max_results").filter(|raw| *raw != "null") {
        None => RESULTS,
        Some(raw) => whole(raw)
            .ok_or_else(|| json!({ "error": "`max_results` must be an integer of at least 1" }))?,
    };
    let mut documents = Vec::new();
    for (server, loaded, entries) in everything(fleet) {
        documents.extend(
            entries
                .iter()
                .map(|entry| (loaded, document(&server, entry))),
        );
    }
    let index = Index::new(documents.iter().map(|(_, document)| document.clone()));
    let tools: Vec<Value> = index
        .search(&query, max)
        .into_iter()
        .map(|hit| {
            let (loaded, document) = &documents[hit.document];
            json!({
                "tool": document.name,
                "server": document.server,
                "description": document.description,
                "score": (hit.score * 100.0).round() / 100.0,
                "loaded": loaded,
            })
        })
        .collect();
    let mut found = json!({
        "query": query,
        "count": tools.len(),
        "tools": tools,
        "tip": format!("Use {CALL}(server_name, tool_name, parameters) to call any of these tools"),
    });
    let unknown = servers_without_tools(fleet);
    if let Some(advice) = loading_advice(&unknown) {
        found["note"] = advice.into();
        found["servers_not_searched"] = json!(unknown);
    }
    Ok(found)
}

/// Returns the configured servers whose tools are unknown: they have not run yet with their present definition.
pub(super) fn servers_without_tools(fleet: &Fleet) -> Vec<String> {
    let config = fleet.config();
    let is_unknown = |spec: &&ServerSpec| {
        let loaded = fleet.loaded(&spec.name);
        let has_run = loaded.is_some_and(|server| server.snapshot().generation > 0);
        !has_run && fleet.cached_tools(spec).is_none()
    };
    let unknown = config.servers.iter().filter(is_unknown);
    unknown.map(|spec| spec.name.clone()).collect()
}

/// Returns the sentence that says how to see the tools of these servers; None if there are none.
pub(super) fn loading_advice(servers: &[String]) -> Option<String> {
    (!servers.is_empty()).then(|| {
        let names = servers.join(", ");
        format!(
            "The tools of these servers are unknown until they are loaded: {names}. Use {LOAD}(server_name) to load \
             one and to see its tools"
        )
    })
}

/// Parses a positive whole number; `5.0` is accepted too.
fn whole(raw: &str) -> Option<usize> {
    let digits = raw.split_once('.').map_or(raw, |(whole, fraction)| {
        let is_whole = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
        if is_whole { whole } else { raw }
    });
    digits.parse().ok().filter(|number| *number > 0)
}

/// Returns the known tools of every configured server: the server's name, true if it is loaded, its tools for models
/// under its own names.
fn everything(fleet: &Fleet) -> Vec<(String, bool, Vec<Entry>)> {
    let config = fleet.config();
    let tools = |spec: &ServerSpec| match fleet.loaded(&spec.name) {
        Some(server) if server.snapshot().generation > 0 => {
            let snapshot = server.snapshot();
            let tools = snapshot.list(ListKind::Tools);
            (
                true,
                tools.map(|list| list.entries.clone()).unwrap_or_default(),
            )
        }
        loaded => (
            loaded.is_some(),
            fleet.cached_tools(spec).unwrap_or_default(),
        ),
    };
    config
        .servers
        .iter()
        .map(|spec| {
            let (loaded, mut entries) = tools(spec);
            entries.retain(|tool| !tool.is_hidden_from_models());
            (spec.name.clone(), loaded, entries)
        })
        .collect()
}

fn document(server: &str, entry: &Entry) -> Document {
    let raw = Members::of(&entry.raw);
    let text = |name| raw.text(name).unwrap_or_default().into_owned();
    Document {
        server: server.to_owned(),
        name: entry.name.clone(),
        title: text("title"),
        description: text("description"),
        parameters: parameters(&entry.raw),
    }
}

fn parameters(raw: &str) -> Vec<String> {
    let tool = Members::of(raw);
    let schema = tool.object("inputSchema");
    let properties = schema.object("properties");
    properties
        .iter()
        .map(|(name, _)| name.into_owned())
        .collect()
}

pub(super) fn all(fleet: &Fleet) -> Value {
    let catalog = fleet.catalog();
    let mut tools = Vec::new();
    let mut servers = Vec::new();
    for server in &catalog.servers {
        let (snapshot, name) = (server.snapshot(), server.spec().name.clone());
        let list = snapshot.list(ListKind::Tools);
        let tools_of_server = list.into_iter().flat_map(|list| &list.entries);
        for entry in tools_of_server.filter(|tool| !tool.is_hidden_from_models()) {
            let description = Members::of(&entry.raw)
                .text("description")
                .unwrap_or_default()
                .into_owned();
            let description: String = description.chars().take(SHOWN).collect();
            tools.push((entry.name.clone(), name.clone(), description));
        }
        servers.push(name);
    }
    tools.sort();
    let tools: Vec<Value> = tools
        .into_iter()
        .map(|(name, server, description)| {
            json!({ "name": name, "server": server, "description": description })
        })
        .collect();
    let config = fleet.config();
    let names = config.server_names().into_iter();
    let unloaded: Vec<_> = names
        .filter(|name| !servers.iter().any(|it| it == name))
        .collect();
    let mut list = json!({
        "count": tools.len(),
        "tools": tools,
        "server_count": servers.len(),
        "servers": servers,
    });
    if !unloaded.is_empty() {
        list["servers_not_loaded"] = json!(unloaded);
        list["note"] =
            format!("Use {LOAD}(server_name) to load a server and to see its tools").into();
    }
    list
}

/// Returns the raw object that describes a tool in the server's own bytes, or an error. The last-known definition is
/// used if the server is not loaded. A note says if newer code than that of the definition is starting or does not run.
pub(super) async fn info(
    fleet: &Fleet,
    arguments: &Members<'_>,
    offered: &OfferedMetaTools,
) -> Result<String, Value> {
    let name = text(arguments, "tool_name", "the name of a tool")?;
    let given = given_server(arguments)?;
    fleet.settled(given.as_deref()).await;
    fleet.lists_read(given.as_deref()).await;
    let server = given.as_deref().and_then(|given| fleet.loaded(given));
    let catalog = fleet.catalog();
    let found = match (&given, &server) {
        (Some(_), None) => None,
        _ => find(&name, &catalog, server.as_ref())?,
    };
    if let Some((server, own)) = found {
        let (snapshot, spec) = (server.snapshot(), server.spec());
        let described = snapshot.list(ListKind::Tools).and_then(|tools| {
            let state = LoadedState {
                generation: snapshot.generation,
                left_out: tools.reason_withheld(&own),
                lag: server.explain_lag(),
            };
            Some(describe(&spec.name, tools.find(&own)?, Some(&state)))
        });
        return described.ok_or_else(|| json!({ "error": format!("Tool '{name}' not found") }));
    }
    if let Some((server, entry)) = remembered(&name, fleet, given.as_deref())? {
        return Ok(describe(&server, &entry, None));
    }
    Err(match given.filter(|_| server.is_none()) {
        Some(given) if leaves_out(fleet, &given, &name) => left_out(&name, &given),
        Some(given) => json!({
            "error": format!("Tool '{name}' of server '{given}' is unknown"),
            "suggestion": "load the server with load_mcp_server_dynamically(); list_available_servers() lists the \
             servers",
        }),
        None => missing(&name, fleet, server.as_ref(), offered),
    })
}

/// Returns true if the filter of the configured server `server` leaves out the tool.
fn leaves_out(fleet: &Fleet, server: &str, tool: &str) -> bool {
    let config = fleet.config();
    let spec = config.servers.iter().find(|spec| spec.name == server);
    spec.is_some_and(|spec| !spec.tools.compile().admits(tool))
}

/// State of a loaded server that concerns the definition of a tool.
struct LoadedState<'a> {
    /// Generation that the definition is of.
    generation: u64,
    /// Reason why clients are not offered the tool, if they are not.
    left_out: Option<&'a str>,
    /// State of newer code, if the generation is not that of the saved code.
    lag: Option<String>,
}

/// Returns `entry` with its server and an example call; without a state the server is not loaded.
fn describe(server: &str, entry: &Entry, loaded: Option<&LoadedState<'_>>) -> String {
    let mut tool = Members::of(&entry.raw);
    tool.set("server", quoted(server));
    if tool.get("description").is_none() {
        tool.set("description", "\"\"");
    }
    let arguments = parameters(&entry.raw).join(", ");
    let call_with = format!(
        "{CALL}(server_name='{server}', tool_name='{}', parameters={{{arguments}}})",
        entry.name
    );
    let mut described = format!(r#"{{"tool":{tool}"#);
    match loaded {
        Some(state) => _ = write!(described, r#","generation":{}"#, state.generation),
        None => described += r#","loaded":false"#,
    }
    let _ = write!(described, r#","call_with":{}"#, quoted(&call_with));
    if let Some(reason) = loaded.and_then(|it| it.left_out) {
        let _ = write!(described, r#","left_out":{}"#, quoted(reason));
    }
    if let Some(LoadedState {
        generation,
        lag: Some(lag),
        ..
    }) = loaded
    {
        let note = format!("this is the definition of generation {generation}: {lag}");
        let _ = write!(described, r#","note":{}"#, quoted(&note));
    }
    described + "}"
}

#[cfg(test)]
mod tests;
