//! `call_dynamic_server_tool`: which call it stands for.

use serde_json::{Value, json};

use super::arguments::{server_name, tool_name};
use crate::jsonrpc::Members;
use crate::server::ServerHandle;

/// The `tools/call` line that is meant by `line`, a call of this meta-tool with raw `arguments`.
/// Everything else in it, such as its progress token, stays.
pub(crate) fn meant(line: &str, arguments: &str, server: &ServerHandle) -> Result<String, Value> {
    let arguments = Members::of(arguments);
    server_name(&arguments, server)?;
    let tool = tool_name(&arguments)?;
    let parameters = match arguments.get("parameters") {
        None | Some("null") => "{}",
        Some(raw) if raw.starts_with('{') => raw,
        Some(_) => {
            let error = "`parameters` must be an object that holds the tool's arguments";
            return Err(json!({ "error": error }));
        }
    };
    let mut message = Members::of(line);
    let params = message.get("params").unwrap_or("{}").to_owned();
    let mut params = Members::of(&params);
    params.set("name", tool);
    params.set("arguments", parameters);
    message.set("params", params.to_string());
    Ok(message.to_string())
}
