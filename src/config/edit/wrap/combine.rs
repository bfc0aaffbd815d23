//! Puts one server, such as the proxy, in place of several others in a client's file, and puts the others back.
//!
//! The new entry takes the place of the first of the others, and the text of the others takes the place of the new entry.
//! JSON and TOML with a header for each server can be edited this way.

use serde_json::{Map, Value as Plain, json};

use super::super::super::client_variables::VariableForm;
use super::super::super::node::{Node, Value};
use super::super::{NewServer, json, plain, take_out, toml};
use super::tables::table;
use super::{
    ClientFile, CommandParts, ConfigDocument, EditError, EntryKind, EntryPath, FileFormat,
};

/// Keys without which some clients refuse an entry: VS Code and `OpenCode`, Zed, `OpenCode`.
const REQUIRED: [&str; 3] = ["type", "source", "enabled"];

impl ClientFile {
    /// Returns the value of a server as JSON.
    pub(crate) fn value(&self, path: &EntryPath) -> Option<Plain> {
        self.server(path).map(json_value)
    }

    /// Returns the value of a server as JSON, its variables of this form written as `${VAR}`; `None` also if only the
    /// client can replace one.
    pub(crate) fn value_in_braces(
        &self,
        path: &EntryPath,
        variables: VariableForm,
    ) -> Option<Plain> {
        let server = variables.node_in_braces(self.server(path)?).ok()?;
        Some(json_value(&server))
    }

    /// Returns the text with the server at `new`, which runs `words`, in place of the servers `names` of the same table;
    /// at least one name is required.
    pub(crate) fn combined(
        &self,
        new: &EntryPath,
        words: &[String],
        names: &[String],
    ) -> Result<String, EditError> {
        let refusal = || self.refusal(&of(new, &names[0]));
        if self.server(new).is_some() {
            return Err(refusal());
        }
        let first = self.exchanged(new, words, &names[0]);
        let mut text = first.ok_or_else(refusal)?;
        for name in &names[1..] {
            let file = Self::parse(&self.document.source.path, &text)?;
            text = file.without(&of(new, name)).ok_or_else(refusal)?;
        }
        let rest = |file: &Self, names: &[String]| rest(&file.document, &new.keys, names);
        let is_proved = |after: &Self| {
            let is_command = matches!(after.kind(new), Some(EntryKind::Command(it)) if it == words);
            is_command && rest(after, std::slice::from_ref(&new.name)) == rest(self, names)
        };
        self.proved_edit(&text, is_proved).ok_or_else(refusal)
    }

    /// Returns the text with the servers `names`, as `before` has them, in place of the server at `new`.
    pub(crate) fn separated(
        &self,
        new: &EntryPath,
        before: &Self,
        names: &[String],
    ) -> Result<String, EditError> {
        let refusal = || self.refusal(new);
        let text = self.replaced_by_text(new, before, names);
        let rest = |file: &Self, names: &[String]| rest(&file.document, &new.keys, names);
        let values = |file: &Self| -> Vec<Option<Plain>> {
            names
                .iter()
                .map(|name| file.value(&of(new, name)))
                .collect()
        };
        let is_proved = |after: &Self| {
            rest(after, names) == rest(self, std::slice::from_ref(&new.name))
                && values(after) == values(before)
        };
        let proved = text.and_then(|text| self.proved_edit(&text, is_proved));
        proved.ok_or_else(refusal)
    }

    /// Returns the text with the new server in place of the server `name`; `None` if the form is not supported.
    fn exchanged(&self, new: &EntryPath, words: &[String], name: &str) -> Option<String> {
        let document = &self.document;
        match document.form {
            FileFormat::Json => {
                let (table, at) = self.position(&of(new, name))?;
                let value = entry_like(&table[at].1, words)?;
                Some(json::exchanged(document, &table[at], &new.name, &value))
            }
            FileFormat::Toml => {
                let server = NewServer {
                    command: words[0].clone(),
                    args: words[1..].to_vec(),
                    ..NewServer::default()
                };
                toml::exchanged(document, name, &new.name, &server)
            }
            FileFormat::Yaml => None,
        }
    }

    fn without(&self, path: &EntryPath) -> Option<String> {
        let document = &self.document;
        match document.form {
            FileFormat::Json => {
                let (_, at) = self.position(path)?;
                let table = table(&document.tree, &path.keys)?;
                Some(json::without(document, table, at))
            }
            FileFormat::Toml => Some(toml::remove(document, &path.name)),
            FileFormat::Yaml => None,
        }
    }

    fn replaced_by_text(&self, new: &EntryPath, before: &Self, names: &[String]) -> Option<String> {
        match self.document.form {
            FileFormat::Json => {
                let (entries, at) = self.position(new)?;
                let text = |name: &String| {
                    let (entries, at) = before.position(&of(new, name))?;
                    let (key, server) = &entries[at];
                    let span = key.at.span.start..server.at.span.end;
                    before.document.text().get(span).map(str::to_owned)
                };
                let texts: Vec<String> = names.iter().map(text).collect::<Option<_>>()?;
                Some(json::with_texts(&self.document, &entries[at], &texts))
            }
            FileFormat::Toml => {
                let text = |name: &String| toml::text_of(&before.document, name);
                let texts: String = names.iter().map(text).collect::<Option<_>>()?;
                toml::with_text(&self.document, &new.name, &texts)
            }
            FileFormat::Yaml => None,
        }
    }

    /// Returns the entries of the table of servers, and the index of the server at `path`.
    fn position(&self, path: &EntryPath) -> Option<(&[super::NodeEntry], usize)> {
        let table = table(&self.document.tree, &path.keys)?;
        let Value::Table(entries) = &table.value else {
            return None;
        };
        let at = entries.iter().position(|(key, _)| key.value == path.name)?;
        Some((entries, at))
    }
}

/// Returns the place of the server `name` in the table of `path`.
fn of(path: &EntryPath, name: &str) -> EntryPath {
    EntryPath {
        name: name.to_owned(),
        ..path.clone()
    }
}

/// Returns the tree without the servers `names`.
fn rest(document: &ConfigDocument, keys: &[String], names: &[String]) -> Plain {
    let mut rest = plain(&document.tree);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for name in names {
        take_out(&mut rest, &keys, name);
    }
    rest
}

/// Returns an entry that runs `words` in the form of `server`.
fn entry_like(server: &Node, words: &[String]) -> Option<Plain> {
    let mut entry = Map::new();
    for key in REQUIRED {
        let value = server.get(key).map(json_value);
        entry.extend(value.map(|value| (key.to_owned(), value)));
    }
    // Copilot CLI refuses an entry without it; elsewhere such a list is a filter.
    let tools = server.get("tools").map(json_value);
    let tools = tools.filter(|tools| *tools == json!(["*"]));
    entry.extend(tools.map(|tools| ("tools".to_owned(), tools)));
    let apart = |program: &str| json!({ program: words[0], "args": words[1..] });
    let command = match CommandParts::of(server)? {
        CommandParts::Together(_) => json!({ "command": words }),
        CommandParts::Apart { program, .. } if program.0.value == "path" => {
            json!({ "command": apart("path") })
        }
        CommandParts::Apart { program, .. } => apart(&program.0.value),
    };
    entry.extend(command.as_object()?.clone());
    Some(entry.into())
}

/// Converts a value to JSON.
fn json_value(node: &Node) -> Plain {
    match &node.value {
        Value::Null => Plain::Null,
        Value::Flag(flag) => (*flag).into(),
        Value::Number(text) => {
            let number = serde_json::from_str::<serde_json::Number>(text);
            number.map_or_else(|_| text.as_str().into(), Plain::Number)
        }
        Value::Text(text) => text.as_str().into(),
        Value::Date | Value::Reference => node.at.text().into(),
        Value::List(items) => items.iter().map(json_value).collect(),
        Value::Table(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, node)| (key.value.clone(), json_value(node)));
            Plain::Object(entries.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NEW: [&str; 3] = ["/p", "serve", "x"];

    fn words() -> Vec<String> {
        NEW.map(str::to_owned).to_vec()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn path(key: &str) -> EntryPath {
        EntryPath {
            keys: vec![key.to_owned()],
            name: "mcp-proxy".to_owned(),
        }
    }

    /// Asserts the text after a combination of the servers `a` and `c`, and after the separation of a changed text.
    #[track_caller]
    fn check(file: &str, key: &str, text: &str, combined: &str, separated: &str) {
        let parse = |text: &str| ClientFile::parse(Path::new(file), text).unwrap();
        let before = parse(text);
        let names = strings(&["a", "c"]);
        let after = before.combined(&path(key), &words(), &names).unwrap();
        assert_eq!(after, combined);
        let newer = after.replace("changes", "changed");
        let restored = parse(&newer)
            .separated(&path(key), &before, &names)
            .unwrap();
        assert_eq!(restored, separated.replace("changes", "changed"));
    }

    #[test]
    fn servers_in_json_are_combined_and_separated() {
        check(
            "mcp.json",
            "servers",
            "{\n  \"servers\": {\n    // changes\n    \"a\": {\"type\": \"stdio\", \"command\": \"x\", \"env\": {\"K\": \"1\"}}, // of a\n    \"b\": {\"url\": \"u\"},\n    // of c\n    \"c\": {\n      \"command\": \"y\", // why\n    }\n  }\n}\n",
            "{\n  \"servers\": {\n    // changes\n    \"mcp-proxy\": {\n      \"type\": \"stdio\",\n      \"command\": \"/p\",\n      \"args\": [\"serve\", \"x\"]\n    }, // of a\n    \"b\": {\"url\": \"u\"}\n    // of c\n  }\n}\n",
            "{\n  \"servers\": {\n    // changes\n    \"a\": {\"type\": \"stdio\", \"command\": \"x\", \"env\": {\"K\": \"1\"}},\n    \"c\": {\n      \"command\": \"y\", // why\n    }, // of a\n    \"b\": {\"url\": \"u\"}\n    // of c\n  }\n}\n",
        );
        check(
            "opencode.json",
            "mcp",
            r#"{"mcp": {"a": {"type": "local", "command": ["x", "1"]}, "c": {"type": "local", "command": ["y"]}}, "changes": 1}"#,
            r#"{"mcp": {"mcp-proxy": {"type": "local", "command": ["/p", "serve", "x"]}}, "changes": 1}"#,
            r#"{"mcp": {"a": {"type": "local", "command": ["x", "1"]}, "c": {"type": "local", "command": ["y"]}}, "changes": 1}"#,
        );
    }

    #[test]
    fn servers_in_toml_are_combined_and_separated() {
        check(
            "config.toml",
            "mcp_servers",
            "# changes\n[mcp_servers.a] # own\ncommand = 'x'\n\n[mcp_servers.a.env]\nK = '1'\n\n[mcp_servers.b]\nurl = 'u'\n\n[mcp_servers.c]\ncommand = 'y'\n",
            "# changes\n[mcp_servers.mcp-proxy]\ncommand = \"/p\"\nargs = [\"serve\", \"x\"]\n\n[mcp_servers.b]\nurl = 'u'\n",
            "# changes\n[mcp_servers.a] # own\ncommand = 'x'\n\n[mcp_servers.a.env]\nK = '1'\n[mcp_servers.c]\ncommand = 'y'\n\n[mcp_servers.b]\nurl = 'u'\n",
        );
    }

    #[test]
    fn other_forms_are_refused() {
        for (file, key, text) in [
            (
                "config.yaml",
                "extensions",
                "extensions:\n  a:\n    cmd: x\n  c:\n    cmd: y\n",
            ),
            (
                "config.toml",
                "mcp_servers",
                "mcp_servers = { a = { command = 'x' }, c = { command = 'y' } }\n",
            ),
            (
                "mcp.json",
                "servers",
                r#"{"servers": {"a": {"command": "x"}, "c": {"command": "x"}, "mcp-proxy": {}}}"#,
            ),
        ] {
            let file = ClientFile::parse(Path::new(file), text).unwrap();
            let refused = file.combined(&path(key), &words(), &strings(&["a", "c"]));
            assert!(matches!(refused, Err(EditError::Entry { .. })), "{text}");
        }
    }

    #[test]
    fn values_keep_their_types() {
        let text = "[mcp_servers.a]\ncommand = 'x'\nstartup_timeout_sec = 2.5\nenabled = true\nenv = { N = '1' }\n";
        let file = ClientFile::parse(Path::new("config.toml"), text).unwrap();
        let path = of(&path("mcp_servers"), "a");
        let expected = json!({
            "command": "x", "startup_timeout_sec": 2.5, "enabled": true, "env": {"N": "1"},
        });
        assert_eq!(file.value(&path).unwrap(), expected);
    }
}
