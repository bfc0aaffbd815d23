//! `get_loaded_servers` and `get_tool_info`: what there is.

use serde_json::{Value, json};

use super::arguments::tool_name;
use super::{CALL, diff_value};
use crate::jsonrpc::{Members, quoted, unquoted};
use crate::mcp::ListKind;
use crate::server::ServerHandle;

pub(super) fn servers(server: &ServerHandle) -> Value {
    let (snapshot, status) = (server.snapshot(), server.status());
    let tools = snapshot.tool_names();
    let server = json!({
        "name": server.spec().name,
        "status": status.state,
        "generation": snapshot.generation,
        "tool_count": tools.len(),
        "tools": tools,
        "reloads": status.reloads,
        "start_ms": u64::try_from(snapshot.took.as_millis()).unwrap_or(u64::MAX),
        "uptime_s": snapshot.since.map(|since| since.elapsed().as_secs()),
        "last_diff": diff_value(&snapshot.diff),
        "last_error": status.last_error,
        "watch": server.spec().watch,
    });
    json!({ "servers": [server], "count": 1 })
}

/// The raw object that describes a tool in the server's own bytes, or an error.
pub(super) async fn tool(server: &ServerHandle, arguments: &Members<'_>) -> Result<String, Value> {
    let name = unquoted(tool_name(arguments)?).unwrap_or_default();
    server.settled().await;
    let snapshot = server.snapshot();
    let Some(entry) = snapshot
        .list(ListKind::Tools)
        .and_then(|tools| tools.find(&name))
    else {
        return Err(json!({
            "error": format!("Tool '{name}' not found"),
            "suggestion": format!("the tools are: {}", snapshot.tool_names().join(", ")),
        }));
    };
    let server_name = &server.spec().name;
    let mut tool = Members::of(&entry.raw);
    tool.set("server", quoted(server_name));
    if tool.get("description").is_none() {
        tool.set("description", "\"\"");
    }
    let arguments: Vec<_> = Members::of(&entry.raw)
        .object("inputSchema")
        .object("properties")
        .iter()
        .map(|(name, _)| name.into_owned())
        .collect();
    let call_with = format!(
        "{CALL}('{server_name}', '{name}', {{{}}})",
        arguments.join(", ")
    );
    Ok(format!(
        r#"{{"tool":{tool},"generation":{},"call_with":{}}}"#,
        snapshot.generation,
        quoted(&call_with)
    ))
}
