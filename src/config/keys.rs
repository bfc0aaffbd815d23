//! Keys of `mcp-proxy.toml`, each defined once: type, default and description. Parsing, suggestions, `config show` and
//! the schema all use these tables.

use serde_json::{Value, json};

/// Definition of one key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: ValueKind,
    /// Default value, in a syntax that both TOML and JSON accept.
    pub(super) default: Option<&'static str>,
    /// Description, for the schema.
    pub(super) doc: &'static str,
}

/// Type of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum ValueKind {
    Text,
    Flag,
    /// Whole number within these inclusive bounds.
    Count(usize, usize),
    Duration,
    Size,
    Choice(&'static [&'static str]),
    Texts,
    /// List of calls of tools, or a single one.
    Calls,
    /// List of globs, or a single glob.
    Globs,
    /// Table of names and scalar values.
    Map,
    Section(&'static [Key]),
    /// Sections whose names the user chooses.
    Named(&'static [Key]),
}

use ValueKind::{
    Calls, Choice, Count, Duration, Flag, Globs, Map, Named, Section, Size, Text, Texts,
};

const fn key(
    name: &'static str,
    kind: ValueKind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        doc,
    }
}

/// Whether the word belongs to the file format and so reveals nothing.
pub(super) fn is_known(word: &str) -> bool {
    let of_files = [
        "mcpServers",
        "mcp",
        "context_servers",
        "envFile",
        "true",
        "false",
        "null",
    ];
    of_files.contains(&word) || all().any(|key| key.name == word)
}

/// Whether the word is a key whose value is never a secret.
pub(super) fn is_plain(word: &str) -> bool {
    let is_plain = |kind| match kind {
        Flag | Count(..) | Duration | Size | Choice(_) | Globs => true,
        Text => matches!(word, "cwd" | "prefix"),
        Texts | Calls | Map | Section(_) | Named(_) => false,
    };
    all().any(|key| key.name == word && is_plain(key.kind))
}

/// Whether a key of this name, of a kind that satisfies `is_kind`, is defined. The code asks for keys by name, and a
/// misspelt name would read as an unset key.
pub(super) fn is_defined(name: &str, is_kind: impl Fn(ValueKind) -> bool) -> bool {
    let others = [&TOOLS[..], &CLIENT_SERVER, &CLIENT_DEV];
    let mut keys = all().chain(others.into_iter().flatten());
    keys.any(|key| key.name == name && is_kind(key.kind))
}

fn all() -> impl Iterator<Item = &'static Key> {
    let tables = [&ROOT[..], &PROXY, &WATCH, &INSTALL, &SERVER];
    tables.into_iter().flatten()
}

/// Top-level keys.
#[rustfmt::skip] // A table.
pub(super) static ROOT: [Key; 4] = [
    key("proxy", Section(&PROXY), None, "The proxy itself"),
    key("watch", Section(&WATCH), None, "How files are watched"),
    key("servers", Named(&SERVER), None, "The servers by name; adds to a server of the same name in .mcp.json"),
    key("install", Section(&INSTALL), None, "Whether and from where servers may be installed"),
];

#[rustfmt::skip] // A table.
pub(super) static PROXY: [Key; 8] = [
    key("meta_tools", Choice(&["all", "dev", "none"]), Some("\"dev\""),
        "The proxy's own tools to offer; if the key is absent, `serve` offers all"),
    key("max_name", Count(16, 128), Some("48"), "Maximum length of a tool's name"),
    key("startup_wait", Duration, Some("\"5s\""),
        "Maximum time that the client's first message waits for the first start"),
    key("start_timeout", Duration, Some("\"30s\""),
        "Time limit for a start, until the server has listed its tools"),
    key("hold_timeout", Duration, Some("\"30s\""), "Maximum time that a call waits for a reload"),
    key("drain_timeout", Duration, Some("\"60s\""), "Time limit for calls in flight on the old code"),
    key("max_message", Size, Some("\"64MiB\""), "Maximum size of a message"),
    key("warm_limit", Count(0, 64), Some("4"), "Maximum number of standby processes, of all servers together"),
];

#[rustfmt::skip] // A table.
pub(super) static WATCH: [Key; 2] = [
    key("debounce", Duration, Some("\"30ms\""), "Quiet time after which a save counts"),
    key("ignore", Globs, Some("[]"), "Globs of files that reload no server, relative to each server's cwd"),
];

#[rustfmt::skip] // A table.
pub(super) static INSTALL: [Key; 4] = [
    key("enabled", Flag, Some("true"), "Whether servers may be installed"),
    key("allow", Globs, Some("[]"), "Permitted sources of servers; if empty, all"),
    key("scripts", Flag, Some("false"), "Whether install scripts of packages may run"),
    key("consent", Choice(&["if-possible", "required"]), Some("\"if-possible\""),
        "Whether a model may install through a client that cannot ask its user"),
];

#[rustfmt::skip] // A table.
pub(super) static SERVER: [Key; 25] = [
    key("command", Text, None,
        "The program; may contain ${VAR} and ${VAR:-default}, as args, env, env_file, cwd, url and headers may"),
    key("args", Texts, None, "Arguments of the program"),
    key("env", Map, None, "Variables added to the inherited environment"),
    key("env_file", Text, None,
        "A file of NAME=value lines with more variables, relative to this file; `env` wins"),
    key("cwd", Text, None, "The working directory, relative to this file; globs are relative to it"),
    key("url", Text, None,
        "URL of a remote server, instead of a command; beside `command`, the URL on which it serves HTTP, with \
         `{port}` for a free port, or `auto`"),
    key("headers", Map, None, "HTTP headers of every request to the server"),
    key("watch", Globs, None,
        "Files to watch; `!` excludes, the last match wins; without the key, the command decides"),
    key("build", Text, None, "A shell command that must succeed before each start"),
    key("reload", Choice(&["overlap", "stop-first"]), Some("\"overlap\""),
        "Order of start and stop when the new code replaces the old"),
    key("on_broken", Choice(&["report", "serve-last-good"]), Some("\"report\""),
        "Answer to calls while the saved code does not run"),
    key("on_bad_tool", Choice(&["report", "leave-out"]), Some("\"report\""),
        "Treatment of a tool for which the connected client would drop all tools of the server"),
    key("rehearse", Calls, None,
        "Calls that new code answers before it goes live, as in `forecast {\"city\": \"Oslo\"}`; they run at each save. \
         `recorded` stands for recent calls of clients to tools without effects"),
    key("rehearse_tools", Texts, None,
        "Tools whose calls by clients may run at each save too, whatever the tools declare"),
    key("on_regression", Choice(&["report", "hold"]), Some("\"report\""),
        "Whether an error in a rehearsed call that was answered before keeps the new code from going live"),
    key("rehearse_timeout", Duration, Some("\"1s\""), "Maximum delay of a reload by its rehearsed calls"),
    key("warm", Choice(&["auto", "off"]), Some("\"auto\""),
        "Whether to keep a standby process, with packages loaded, for the next save"),
    key("era", Choice(&["auto", "legacy", "modern"]), Some("\"auto\""),
        "Protocol era to speak with the server: `legacy` is `initialize`, `modern` revision 2026-07-28"),
    key("prefix", Text, None,
        "Prefix of the tools' names if there are several servers; without the key, the server's name"),
    key("autostart", Flag, Some("true"), "Whether the server starts with the session"),
    key("enabled", Flag, Some("true"), "Whether the proxy uses the server"),
    key("start_timeout", Duration, None, "As in [proxy], for this server"),
    key("hold_timeout", Duration, None, "As in [proxy], for this server"),
    key("drain_timeout", Duration, None, "As in [proxy], for this server"),
    key("tools", Section(&TOOLS), None, "Selection of the server's tools"),
];

#[rustfmt::skip] // A table.
pub(super) static TOOLS: [Key; 2] = [
    key("allow", Globs, Some("[\"*\"]"), "Globs of tools to offer"),
    key("deny", Globs, Some("[]"), "Globs of tools to leave out; wins over allow"),
];

/// Client spellings of supported transports.
#[rustfmt::skip] // A table.
static TRANSPORTS: [&str; 9] = [
    "stdio", "http", "sse", "streamable-http", "streamableHttp", "streamable_http", "streamable", "local", "remote",
];

/// Keys of a server in a client's file, after translation by `clients`.
pub(super) static CLIENT_SERVER: [Key; 11] = [
    key("type", Choice(&TRANSPORTS), None, ""),
    key("command", Text, None, ""),
    key("args", Texts, None, ""),
    key("env", Map, None, ""),
    key("cwd", Text, None, ""),
    key("url", Text, None, ""),
    key("headers", Map, None, ""),
    key("enabled", Flag, None, ""),
    key("env_file", Text, None, ""),
    key("tools", Section(&TOOLS), None, ""),
    key("dev", Section(&CLIENT_DEV), None, ""),
];

static CLIENT_DEV: [Key; 2] = [key("watch", Globs, None, ""), key("build", Text, None, "")];

/// Returns the section that has a key named `name`.
pub(super) fn section_of(name: &str) -> Option<&'static str> {
    let sections: [(&str, &[Key]); 4] = [
        ("[proxy]", &PROXY),
        ("[watch]", &WATCH),
        ("[servers.NAME]", &SERVER),
        ("[install]", &INSTALL),
    ];
    sections
        .into_iter()
        .find(|(_, keys)| keys.iter().any(|key| key.name == name))
        .map(|(section, _)| section)
}

/// Returns the JSON Schema of `mcp-proxy.toml`.
pub(crate) fn schema() -> Value {
    let mut schema = object(&ROOT);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mcp-proxy.toml",
    });
    let Value::Object(mut whole) = head else {
        return schema;
    };
    if let Value::Object(properties) = &mut schema {
        whole.append(properties);
    }
    Value::Object(whole)
}

fn object(keys: &[Key]) -> Value {
    let properties: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), described(key)))
        .collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn described(key: &Key) -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let mut value = match key.kind {
        Text => json!({"type": "string"}),
        Flag => json!({"type": "boolean"}),
        Count(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Duration => {
            json!({"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|min|h)\s*$"})
        }
        Size => {
            json!({"type": "string", "pattern": r"^\s*\d+\s*(B|K|KiB|M|MiB|G|GiB)\s*$"})
        }
        Choice(choices) => json!({"enum": choices}),
        Texts => strings,
        Calls | Globs => json!({"anyOf": [{"type": "string"}, strings]}),
        Map => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
        }
        Section(keys) => object(keys),
        Named(keys) => json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
            "additionalProperties": object(keys),
        }),
    };
    if let Value::Object(value) = &mut value {
        value.insert("description".to_owned(), key.doc.into());
        let default = key.default.and_then(|text| serde_json::from_str(text).ok());
        value.extend(default.map(|default: Value| ("default".to_owned(), default)));
    }
    value
}
