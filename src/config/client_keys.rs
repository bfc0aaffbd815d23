//! Translation of servers in clients' files: each client has its own keys for the same settings.
//!
//! Keys without a meaning for the proxy are ignored. A key gets a note if it would affect the server but is not
//! supported, if it belongs in `mcp-proxy.toml`, or if it looks misspelt.

use super::fault::Fault;
use super::findings::Findings;
use super::keys;
use super::location::Located;
use super::node::{Entries, Node, Value};
use crate::suggestions::nearest;

/// Meaning of a client's key.
#[derive(Debug, Clone, Copy)]
enum KeyMeaning {
    /// Same as this key of `keys::CLIENT_SERVER`.
    Is(&'static str),
    /// Opposite of `enabled`.
    Disabled,
    /// Tools to offer exclusively.
    Allowed,
    /// Tools not to offer.
    Denied,
    /// Name of the variable that holds a bearer token.
    TokenVariable,
    /// Header names, each with the name of the variable that holds its value.
    HeaderVariables,
    /// Unsupported, with the reason and an alternative.
    Lacking(&'static str),
}

use KeyMeaning::{Allowed, Denied, Disabled, HeaderVariables, Is, Lacking, TokenVariable};

/// Client keys with a meaning for the proxy. A comment names the clients that use the following keys.
#[rustfmt::skip] // A table.
const KEYS: [(&str, KeyMeaning); 38] = [
    ("type", Is("type")),
    // FastMCP, Cline.
    ("transport", Is("type")),
    ("transportType", Is("type")),
    ("command", Is("command")),
    ("args", Is("args")),
    ("env", Is("env")),
    // Goose.
    ("cmd", Is("command")),
    ("envs", Is("env")),
    // OpenCode.
    ("environment", Is("env")),
    // VS Code, Cursor.
    ("envFile", Is("env_file")),
    ("cwd", Is("cwd")),
    ("url", Is("url")),
    // Windsurf, Gemini CLI.
    ("serverUrl", Is("url")),
    ("httpUrl", Is("url")),
    ("headers", Is("headers")),
    // Codex.
    ("http_headers", Is("headers")),
    ("env_http_headers", HeaderVariables),
    ("bearer_token_env_var", TokenVariable),
    ("dev", Is("dev")),
    // Codex, OpenCode, Zed.
    ("enabled", Is("enabled")),
    // Cline, Roo, Kiro, Windsurf.
    ("disabled", Disabled),
    // Copilot.
    ("tools", Allowed),
    // Codex, Gemini CLI.
    ("enabled_tools", Allowed),
    ("enabledTools", Allowed),
    ("allowedTools", Allowed),
    ("includeTools", Allowed),
    ("disabled_tools", Denied),
    ("disabledTools", Denied),
    ("excludeTools", Denied),
    ("headersHelper", Lacking("mcp-proxy runs no program for headers; write them into `headers`")),
    ("oauth", Lacking(NO_LOGIN)),
    ("auth", Lacking(NO_LOGIN)),
    ("authProviderType", Lacking(NO_LOGIN)),
    ("sandbox", Lacking(NO_SANDBOX)),
    ("sandboxEnabled", Lacking(NO_SANDBOX)),
    ("experimental_environment", Lacking(ONLY_HERE)),
    ("environment_id", Lacking(ONLY_HERE)),
    ("watchPaths", Lacking("write globs into `watch` of the server in mcp-proxy.toml")),
];

const NO_LOGIN: &str = "mcp-proxy cannot log in; write a token into `headers`";
const NO_SANDBOX: &str = "mcp-proxy starts the server without a sandbox; put one into `command`";

const ONLY_HERE: &str = "mcp-proxy starts every server on this machine";

/// Keys that mark an entry as a server.
const WAYS: [&str; 4] = ["command", "url", "serverUrl", "httpUrl"];

/// Whether `node` has a command or an address.
pub(super) fn is_server(node: &Node) -> bool {
    WAYS.iter().any(|key| node.get(key).is_some())
}

/// Returns advice on replacing the client's key `key` in `mcp-proxy.toml`; `None` if no client uses the key.
pub(super) fn spelling(key: &str) -> Option<String> {
    let (_, meaning) = KEYS.iter().find(|(name, _)| *name == key)?;
    Some(match meaning {
        Is("type") => "remove the key; the proxy detects the transport".to_owned(),
        Is("dev") => "write `watch`".to_owned(),
        Is(ours) => format!("write `{ours}`"),
        Disabled => "write `enabled = false`".to_owned(),
        Allowed => "write `tools = { allow = [\"…\"] }`".to_owned(),
        Denied => "write `tools = { deny = [\"…\"] }`".to_owned(),
        TokenVariable => "write `headers = { Authorization = \"Bearer ${VARIABLE}\" }`".to_owned(),
        HeaderVariables => "write `headers = { NAME = \"${VARIABLE}\" }`".to_owned(),
        Lacking(why) => (*why).to_owned(),
    })
}

/// Translates one server of a client's file. Unsupported keys become notes, wrong values faults.
pub(super) fn translated(findings: &mut Findings<'_>, node: &Node) -> Node {
    let Value::Table(entries) = &node.value else {
        return node.clone();
    };
    let mut ours = TranslatedServer {
        entries: Vec::new(),
        findings,
    };
    for (key, value) in entries {
        if !matches!(value.value, Value::Null) {
            ours.take(key, value);
        }
    }
    node.with(Value::Table(ours.entries))
}

/// Translated entries of one server.
struct TranslatedServer<'a, 'f> {
    entries: Entries,
    findings: &'a mut Findings<'f>,
}

impl TranslatedServer<'_, '_> {
    fn take(&mut self, key: &Located<String>, value: &Node) {
        let Some((_, meaning)) = KEYS.iter().find(|(name, _)| *name == key.value) else {
            return self.unknown(key);
        };
        match (meaning, &value.value) {
            (Is("command"), Value::List(words)) => self.command_line(key, value, words),
            (Is("command"), Value::Table(parts)) => self.command_parts(parts),
            (Is(name), _) => self.put(name, key, value.clone()),
            (Disabled, Value::Flag(disabled)) => {
                self.put("enabled", key, value.with(Value::Flag(!disabled)));
            }
            (Disabled, _) => self.wrong(key, value, "true or false"),
            (Allowed, Value::Table(entries)) => self.tools_table(key, value, entries),
            // An unsupported key that is `false` requests nothing.
            (Lacking(_), Value::Flag(false)) => {}
            // An empty list means no tool in the client's file, but any tool in `allow`.
            (Allowed, Value::List(none)) if none.is_empty() => {
                self.put_tools("deny", key, value.with(Value::Text("*".to_owned())));
            }
            (Allowed, _) => self.put_tools("allow", key, value.clone()),
            (Denied, _) => self.put_tools("deny", key, value.clone()),
            (TokenVariable, Value::Text(name)) => {
                let token = value.with(Value::Text(format!("Bearer ${{{name}}}")));
                self.put_headers(key, vec![(key.named("Authorization"), token)]);
            }
            (TokenVariable, _) => self.wrong(key, value, "a string"),
            (HeaderVariables, Value::Table(headers)) => {
                let variable = |(header, value): &(Located<String>, Node)| {
                    let Value::Text(name) = &value.value else {
                        return (header.clone(), value.clone());
                    };
                    let text = format!("${{{name}}}");
                    (header.clone(), value.with(Value::Text(text)))
                };
                self.put_headers(key, headers.iter().map(variable).collect());
            }
            (HeaderVariables, _) => self.wrong(key, value, "a table"),
            (Lacking(why), _) => self.note(key, &format!("is not supported: {why}")),
        }
    }

    /// Splits a command line into the program and its arguments.
    fn command_line(&mut self, key: &Located<String>, whole: &Node, words: &[Node]) {
        let [program, args @ ..] = words else {
            return self.put("command", key, whole.with(Value::Text(String::new())));
        };
        self.put("command", key, program.clone());
        if !args.is_empty() {
            self.put("args", key, whole.with(Value::List(args.to_vec())));
        }
    }

    /// Reads a command in Zed's former format, a table with program, arguments and variables.
    fn command_parts(&mut self, parts: &Entries) {
        let is_set = |(_, value): &&(_, Node)| !matches!(value.value, Value::Null);
        for (key, value) in parts.iter().filter(is_set) {
            match key.value.as_str() {
                "path" => self.put("command", key, value.clone()),
                "args" => self.put("args", key, value.clone()),
                "env" => self.put("env", key, value.clone()),
                _ => {}
            }
        }
    }

    /// Takes a selection of tools in the form of `mcp-proxy.toml`. In Codex's file, `tools` is a table of approvals, one
    /// table for each tool, which concern only the client.
    fn tools_table(&mut self, key: &Located<String>, whole: &Node, entries: &Entries) {
        let mut selection = Entries::new();
        for (name, value) in entries {
            if matches!(value.value, Value::Table(_) | Value::Null) {
                continue;
            }
            let known = keys::TOOLS.iter().map(|it| it.name);
            if known.clone().any(|it| it == name.value) {
                selection.push((name.clone(), value.clone()));
            } else if let Some(near) = nearest(&name.value, known).first() {
                self.note(name, &format!("is ignored; did you mean `{near}`?"));
            }
        }
        if !selection.is_empty() {
            self.put("tools", key, whole.with(Value::Table(selection)));
        }
    }

    fn put_headers(&mut self, key: &Located<String>, headers: Entries) {
        let at = key.at.clone();
        let value = Value::Table(headers);
        self.put("headers", key, Node { at, value });
    }

    fn put_tools(&mut self, list: &str, key: &Located<String>, tools: Node) {
        let at = tools.at.clone();
        let value = Value::Table(vec![(key.named(list), tools)]);
        self.put("tools", key, Node { at, value });
    }

    /// Adds the value of `key` under `name`, the translated key. With an earlier value, tables are joined, `false` wins
    /// among flags, and blank text yields; other values that differ are a fault.
    fn put(&mut self, name: &str, key: &Located<String>, value: Node) {
        debug_assert!(keys::is_defined(name, |_| true), "{name}");
        let is_blank =
            |node: &Node| matches!(&node.value, Value::Text(text) if text.trim().is_empty());
        let known = self.entries.iter().position(|(it, _)| it.value == name);
        let Some(at) = known else {
            return self.entries.push((key.named(name), value));
        };
        let (before, old) = &mut self.entries[at];
        let is_same = match (&old.value, &value.value) {
            (Value::Flag(_), Value::Flag(_)) | (Value::Table(_), Value::Table(_)) => false,
            _ => old.at.text() == value.at.text(),
        };
        if is_same || is_blank(&value) {
            return;
        }
        if is_blank(old) {
            *old = value;
            return;
        }
        match (&mut old.value, value.value) {
            (Value::Table(old), Value::Table(new)) => old.extend(new),
            (Value::Flag(enabled), Value::Flag(also)) => *enabled &= also,
            _ => {
                let (one, other) = (before.at.text(), key.at.text());
                let message = format!("{one} and {other} have different values");
                let fault = Fault::new(&key.at, message.replace('"', "`"));
                self.findings.fault(fault.help("remove one of them"));
            }
        }
    }

    fn wrong(&mut self, key: &Located<String>, value: &Node, expected: &str) {
        self.findings.wrong(&key.value, value, expected);
    }

    /// Adds a note for a key of `mcp-proxy.toml` or a misspelt key; ignores other keys.
    fn unknown(&mut self, key: &Located<String>) {
        let known = KEYS.iter().map(|(name, _)| *name);
        if keys::SERVER.iter().any(|it| it.name == key.value) {
            self.note(
                key,
                "is ignored here; move the key to [servers.NAME] in mcp-proxy.toml",
            );
        } else if let Some(near) = nearest(&key.value, known).first() {
            self.note(key, &format!("is ignored; did you mean `{near}`?"));
        }
    }

    fn note(&mut self, key: &Located<String>, says: &str) {
        let text = format!("`{}` {says}", key.value);
        self.findings.note(&key.at, &text);
    }
}
