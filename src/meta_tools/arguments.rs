//! The arguments that several meta-tools share, read from raw JSON; an error says what to give instead.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::fleet::{Fleet, LoadError};
use crate::jsonrpc::{Members, unquoted};
use crate::server::explain;

/// The server that is meant: the one that is named, or the only one. Whether it exists is not said.
pub(super) fn server_name(arguments: &Members<'_>, fleet: &Fleet) -> Result<String, Value> {
    if let Some(name) = given_server(arguments)? {
        return Ok(name);
    }
    let config = fleet.config();
    match &config.servers[..] {
        [only] => Ok(only.name.clone()),
        servers => {
            let names: Vec<&str> = servers.iter().map(|spec| spec.name.as_str()).collect();
            let error = format!(
                "`server_name` is missing; the servers are: {}",
                names.join(", ")
            );
            Err(json!({ "error": error }))
        }
    }
}

/// The server that is named, if one is.
pub(super) fn given_server(arguments: &Members<'_>) -> Result<Option<String>, Value> {
    match arguments.get("server_name").filter(|raw| *raw != "null") {
        None => Ok(None),
        Some(raw) => match unquoted(raw).filter(|_| raw.starts_with('"')) {
            Some(name) => Ok(Some(name.into_owned())),
            None => Err(json!({ "error": "`server_name` must be a string: the name of a server" })),
        },
    }
}

/// A string that must be given, decoded; `what` says what it is.
pub(super) fn text<'a>(
    arguments: &'a Members<'_>,
    name: &str,
    what: &str,
) -> Result<Cow<'a, str>, Value> {
    let raw = arguments.get(name);
    if let Some(text) = raw.filter(|raw| raw.starts_with('"')).and_then(unquoted) {
        return Ok(text);
    }
    let error = match raw {
        Some(_) => format!("`{name}` must be a string: {what}"),
        None => format!("`{name}` is missing: give {what}"),
    };
    Err(json!({ "error": error }))
}

/// Why a server could not be loaded, for a model.
pub(crate) fn load_error(name: &str, error: &LoadError) -> Value {
    match error {
        LoadError::Unknown { there, .. } => {
            let near = crate::fleet::nearest(name, there.iter().map(String::as_str));
            let suggestion = match (&near[..], &there[..]) {
                ([near, ..], _) => format!("did you mean '{near}'?"),
                ([], []) => {
                    "no server is configured: add one to .mcp.json or mcp-proxy.toml".to_owned()
                }
                ([], there) => format!("the servers are: {}", there.join(", ")),
            };
            let error = format!("Server '{name}' not found in the configuration");
            json!({ "error": error, "suggestion": suggestion })
        }
        LoadError::Broken(_, failure) => {
            let error = format!(
                "Server '{name}' failed to start: {}",
                explain(name, failure)
            );
            json!({ "error": error, "stderr": failure.stderr })
        }
        LoadError::Faulty { .. } | LoadError::Disabled(_) | LoadError::Unloaded => {
            json!({ "error": format!("Server '{name}' cannot be loaded: {error}") })
        }
    }
}
