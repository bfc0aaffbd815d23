//! Parses the arguments of meta-tools from raw JSON; errors tell the model which arguments to give instead.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Number, Value, json};

use crate::fleet::{Fleet, LoadError, nearest};
use crate::jsonrpc::{Members, elements, unquoted};
use crate::mcp::Entry;
use crate::server::explain;

/// Other names that models use for a parameter. A name that fits several parameters means `tool_name`, if the tool has
/// that parameter. Case and separators are ignored.
const OTHER_NAMES: [(&str, &[&str]); 11] = [
    ("tool_name", &["tool", "name"]),
    ("server_name", &["server", "name", "mcpserver"]),
    (
        "parameters",
        &[
            "arguments",
            "args",
            "params",
            "input",
            "kwargs",
            "toolarguments",
            "toolargs",
            "toolparams",
            "toolparameters",
            "toolinput",
        ],
    ),
    ("query", &["q", "search", "searchquery", "keywords"]),
    (
        "max_results",
        &["limit", "max", "maxresult", "topk", "k", "n"],
    ),
    (
        "git_url",
        &[
            "url",
            "repo",
            "repository",
            "repourl",
            "repositoryurl",
            "giturl",
            "source",
        ],
    ),
    ("env_vars", &["env", "environment", "environmentvariables"]),
    ("server_file", &["file", "entrypoint"]),
    ("requirements_file", &["requirements"]),
    ("overwrite", &["force", "replace"]),
    ("delete_files", &["delete", "removefiles"]),
];

/// Returns the raw `arguments` of a meta-tool with the names and types of its definition. Corrects mistakes with one
/// sensible meaning; returns an error that names any other member, so that no unintended action is taken.
pub(super) fn understood(tool: &Entry, arguments: &str) -> Result<String, Value> {
    let definition = Members::of(&tool.raw);
    let schema = definition.object("inputSchema");
    let properties = schema.object("properties");
    let names: Vec<Cow<'_, str>> = properties.iter().map(|(name, _)| name).collect();
    let required = schema
        .get("required")
        .and_then(elements)
        .unwrap_or_default();
    let Some(given) = object(arguments) else {
        let error = format!("the arguments of {} must be an object", tool.name);
        return Err(json!({ "error": error }));
    };
    let given = Members::of(&given);
    // Defined names first, so that other names cannot take their place.
    let (own, other): (Vec<_>, Vec<_>) = given.iter().partition(|(name, _)| names.contains(name));
    let mut understood = Members::default();
    for (name, raw) in own.into_iter().chain(other) {
        let canonical = names.iter().find(|known| **known == name).or_else(|| {
            let others = names.iter().filter(|known| is_other_name(known, &name));
            others.max_by_key(|known| **known == "tool_name")
        });
        let Some(meant) =
            canonical.filter(|meant| **meant == name || understood.get(meant).is_none())
        else {
            return Err(unknown(tool, &name, &names));
        };
        let must = required
            .iter()
            .any(|raw| unquoted(raw).as_ref() == Some(meant));
        let kinds = properties
            .object(meant)
            .get("type")
            .unwrap_or_default()
            .to_owned();
        if let Some(value) = value(raw, &kinds, must) {
            understood.set(meant, value.into_owned());
        }
    }
    Ok(understood.to_string())
}

/// Returns true if `name` may mean the parameter `parameter`.
fn is_other_name(parameter: &str, name: &str) -> bool {
    let squeezed = |name: &str| name.replace(['_', '-', ' '], "").to_lowercase();
    let name = squeezed(name);
    let listed = OTHER_NAMES.iter().find(|(known, _)| *known == parameter);
    name == squeezed(parameter) || listed.is_some_and(|(_, others)| others.contains(&&*name))
}

/// Returns the raw object, which may also be given as a string; null and empty values give an empty object.
fn object(raw: &str) -> Option<Cow<'_, str>> {
    let raw = match unquoted(raw) {
        Some(text) => Cow::Owned(text.trim().to_owned()),
        None => Cow::Borrowed(raw),
    };
    match &*raw {
        "" | "null" => Some("{}".into()),
        _ if elements(&raw).is_some_and(|elements| elements.is_empty()) => Some("{}".into()),
        _ => {
            // Checks the syntax only: values may exceed the types of this program.
            let is_json = serde_json::from_str::<&RawValue>(&raw).is_ok();
            (is_json && raw.starts_with('{')).then_some(raw)
        }
    }
}

/// Returns a raw value converted to one of the JSON types in the raw `kinds`, or unchanged if it fits none of them.
/// Returns None for an empty value, so that the parameter counts as absent, unless it is required (`must`).
fn value<'a>(raw: &'a str, kinds: &str, must: bool) -> Option<Cow<'a, str>> {
    let may_be = |kind: &str| kinds.contains(kind);
    let is_empty = || {
        let is_list = elements(raw).is_some_and(|elements| elements.is_empty());
        raw == r#""""# || is_list && !may_be("string")
    };
    if !must && (raw == "null" || is_empty()) {
        return None;
    }
    if may_be("object") {
        return Some(object(raw).unwrap_or(Cow::Borrowed(raw)));
    }
    if let Some(text) = unquoted(raw).filter(|_| !may_be("string")) {
        let text = text.trim().to_lowercase();
        let fits = match &*text {
            "true" | "false" => may_be("boolean"),
            number => may_be("integer") && serde_json::from_str::<Number>(number).is_ok(),
        };
        if fits {
            return Some(text.into());
        }
    }
    Some(raw.into())
}

fn unknown(tool: &Entry, name: &str, names: &[Cow<'_, str>]) -> Value {
    let error = format!(
        "unknown parameter `{name}` of {}; nothing was done",
        tool.name
    );
    let near = nearest(name, names.iter().map(|name| &**name));
    let suggestion = match (names, &near[..]) {
        ([], _) => "the tool has no parameters".to_owned(),
        (_, [near, ..]) => format!("did you mean `{near}`?"),
        (names, []) => {
            let its = format!("the parameters are: {}", names.join(", "));
            let holds = names.iter().any(|name| name == "parameters");
            let hint = "; pass the tool's own arguments in `parameters`";
            its + if holds { hint } else { "" }
        }
    };
    json!({ "error": error, "suggestion": suggestion })
}

/// Returns the name of the given server, or of the only one. Does not check that it exists.
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

/// Returns the name of the given server, if there is one.
pub(super) fn given_server(arguments: &Members<'_>) -> Result<Option<String>, Value> {
    match arguments.get("server_name").filter(|raw| *raw != "null") {
        None => Ok(None),
        Some(raw) => match unquoted(raw).filter(|_| raw.starts_with('"')) {
            Some(name) => Ok(Some(name.into_owned())),
            None => Err(json!({ "error": "`server_name` must be a string: the name of a server" })),
        },
    }
}

/// Returns a required string, decoded; `what` describes it in the error.
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

/// Returns the error for a server that could not be loaded, worded for a model.
pub(crate) fn load_error(name: &str, error: &LoadError) -> Value {
    match error {
        LoadError::Unknown {
            available: there, ..
        } => {
            let near = nearest(name, there.iter().map(String::as_str));
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

#[cfg(test)]
mod tests;
