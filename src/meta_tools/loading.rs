//! `load_mcp_server_dynamically`, `unload_mcp_server`, `reload_mcp_server`.

use serde_json::{Value, json};

use super::arguments::{load_error, server_name};
use super::diff_value;
use crate::fleet::{Fleet, nearest};
use crate::jsonrpc::Members;
use crate::mcp::ListKind;
use crate::server::{ServerHandle, explain};

/// Action on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerAction {
    Load,
    Reload,
    Unload,
}

/// Acts on the server `name` as the meta-tool for this action does. Returns the result or the error of the tool.
pub(crate) async fn act(fleet: &Fleet, action: ServerAction, name: &str) -> Result<Value, Value> {
    let arguments = json!({ "server_name": name }).to_string();
    let arguments = Members::of(&arguments);
    match action {
        ServerAction::Load => load(fleet, &arguments).await,
        ServerAction::Reload => reload(fleet, &arguments).await,
        ServerAction::Unload => unload(fleet, &arguments).await,
    }
}

pub(super) async fn load(fleet: &Fleet, arguments: &Members<'_>) -> Result<Value, Value> {
    let name = server_name(arguments, fleet)?;
    let loaded = fleet.load(&name).await;
    let (server, before) = loaded.map_err(|error| load_error(&name, &error))?;
    let message = if before {
        format!("Server '{name}' already loaded")
    } else {
        format!("Server '{name}' loaded successfully")
    };
    described(&message, &name, &server)
}

pub(super) async fn unload(fleet: &Fleet, arguments: &Members<'_>) -> Result<Value, Value> {
    let name = server_name(arguments, fleet)?;
    if fleet.unload(&name).await {
        return Ok(json!({ "message": format!("Server '{name}' unloaded successfully") }));
    }
    let catalog = fleet.catalog();
    let loaded: Vec<String> = catalog
        .servers
        .iter()
        .map(|it| it.spec().name.clone())
        .collect();
    let near = nearest(&name, loaded.iter().map(String::as_str));
    let suggestion = match (&near[..], &loaded[..]) {
        ([near, ..], _) => format!("did you mean '{near}'?"),
        ([], []) => "no server is loaded".to_owned(),
        ([], loaded) => format!("the loaded servers are: {}", loaded.join(", ")),
    };
    Err(json!({ "error": format!("Server '{name}' not loaded"), "suggestion": suggestion }))
}

/// Reloads a server, or loads it if it is not loaded.
pub(super) async fn reload(fleet: &Fleet, arguments: &Members<'_>) -> Result<Value, Value> {
    let name = server_name(arguments, fleet)?;
    fleet.reread().await;
    let Some(server) = fleet.loaded(&name) else {
        return load(fleet, arguments).await;
    };
    match server.reload().await {
        None => {
            Err(json!({ "error": format!("Server '{name}' is stopping and was not reloaded") }))
        }
        Some(Err(failure)) => {
            Err(json!({ "error": explain(&name, &failure), "stderr": failure.stderr }))
        }
        Some(Ok(reloaded)) => {
            let took = reloaded.took.as_millis();
            let message = format!("Server '{name}' reloaded in {took} ms");
            let mut value = described(&message, &name, &server)?;
            value["generation"] = reloaded.generation.into();
            value["diff"] = diff_value(&reloaded.diff);
            if let Some(rehearsal) = reloaded.rehearsal {
                value["rehearsal"] = rehearsal.value();
            }
            Ok(value)
        }
    }
}

/// Returns the result for a running server; an error if it cannot list its tools.
fn described(message: &str, name: &str, server: &ServerHandle) -> Result<Value, Value> {
    let snapshot = server.snapshot();
    if let Err(error) = &snapshot.lists[ListKind::Tools.index()] {
        let error =
            format!("Server '{name}' runs, but answers `tools/list` with an error: {error}");
        return Err(json!({ "error": error }));
    }
    let tools = snapshot.tool_names();
    Ok(json!({
        "message": message,
        "server_name": name,
        "tools": tools,
        "tool_count": tools.len(),
        "generation": snapshot.generation,
        "start_ms": u64::try_from(snapshot.took.as_millis()).unwrap_or(u64::MAX),
    }))
}
