//! `reload_mcp_server`: a reload although no file changed.

use serde_json::{Value, json};

use super::diff_value;
use crate::server::{ServerHandle, explain};

pub(super) async fn run(server: &ServerHandle) -> Result<Value, Value> {
    let name = &server.spec().name;
    match server.reload().await {
        None => {
            Err(json!({ "error": format!("the proxy is shutting down; '{name}' is not reloaded") }))
        }
        Some(Err(failure)) => {
            Err(json!({ "error": explain(name, &failure), "stderr": failure.stderr }))
        }
        Some(Ok((generation, took, diff))) => {
            let snapshot = server.snapshot();
            let tools = snapshot.tool_names();
            Ok(json!({
                "message": format!("Server '{name}' reloaded in {} ms", took.as_millis()),
                "server_name": name,
                "generation": generation,
                "start_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "tool_count": tools.len(),
                "tools": tools,
                "diff": diff_value(&diff),
            }))
        }
    }
}
