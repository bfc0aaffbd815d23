//! The arguments that several meta-tools share, read from raw JSON; an error says what to give instead.

use serde_json::{Value, json};

use crate::jsonrpc::{Members, unquoted};
use crate::server::ServerHandle;

/// Whether `server_name` means `server`: its name, null or nothing.
pub(super) fn server_name(arguments: &Members<'_>, server: &ServerHandle) -> Result<(), Value> {
    let name = &server.spec().name;
    let Some(raw) = arguments.get("server_name").filter(|raw| *raw != "null") else {
        return Ok(());
    };
    let error = match unquoted(raw) {
        Some(given) if *given == **name => return Ok(()),
        Some(given) => format!("Server '{given}' not found; the only server is '{name}'"),
        None => format!("`server_name` must be '{name}', or may be left out"),
    };
    Err(json!({ "error": error }))
}

/// The raw string `tool_name`.
pub(super) fn tool_name<'a>(arguments: &'a Members<'_>) -> Result<&'a str, Value> {
    let error = match arguments.get("tool_name") {
        Some(raw) if raw.starts_with('"') => return Ok(raw),
        Some(_) => "`tool_name` must be a string: the name of a tool",
        None => "`tool_name` is missing: give the name of a tool",
    };
    Err(json!({ "error": error }))
}
