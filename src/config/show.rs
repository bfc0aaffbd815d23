//! Display of the configuration, for people and scripts: each value as written, with its origin. Secrets are hidden, as
//! are all values of `env` and `headers` apart from variables and authentication schemes.

use std::fmt::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::files::RawConfig;
use super::keys::{self, Key, ValueKind};
use super::location::{FileSpan, Located, values};
use super::secrets::{guarded, line, redacted, shown_words};
use super::section::{Section, Setting};

/// File form of a loaded configuration.
#[derive(Debug, Default)]
pub(crate) struct ConfigDisplay {
    files: Vec<PathBuf>,
    written: RawConfig,
}

/// Command or address of a server, as written, and the files that define it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerOutline {
    pub(crate) name: String,
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    pub(crate) url: Option<String>,
    pub(crate) files: Vec<PathBuf>,
}

/// Effective value of one key.
struct EffectiveValue {
    /// Path of the table, as in `[servers.weather]`.
    table: Vec<String>,
    /// Path of the key, as in `env.API_KEY`.
    key: Vec<String>,
    value: Value,
    origin: String,
}

impl ConfigDisplay {
    pub(super) fn new(files: &[PathBuf], written: RawConfig) -> Self {
        let files = files.to_vec();
        Self { files, written }
    }

    /// Formats the configuration as `mcp-proxy.toml`, without secrets; `origin` adds a comment with the origin to each
    /// value.
    pub(crate) fn toml(&self, origin: bool) -> String {
        let mut text = String::new();
        for file in &self.files {
            let _ = writeln!(text, "# {}", file.display());
        }
        if self.files.is_empty() {
            text.push_str("# no configuration file was found\n");
        }
        let mut table = Vec::new();
        for line in self.lines() {
            if line.table != table {
                let _ = writeln!(text, "\n[{}]", dotted(&line.table));
                table.clone_from(&line.table);
            }
            let value = format!("{} = {}", dotted(&line.key), toml_text(&line.value));
            let _ = if origin {
                writeln!(text, "{value:<40} # {}", line.origin)
            } else {
                writeln!(text, "{value}")
            };
        }
        text
    }

    /// Formats the configuration as one object; with `origin`, each value is an object of `value` and `origin`.
    pub(crate) fn json(&self, origin: bool) -> Value {
        let mut whole = Map::new();
        let files = self.files.iter().map(|file| file.display().to_string());
        whole.insert("files".to_owned(), files.collect());
        for line in self.lines() {
            let value = if origin {
                json!({"value": line.value, "origin": line.origin})
            } else {
                line.value
            };
            let path: Vec<String> = line.table.into_iter().chain(line.key).collect();
            insert(&mut whole, &path, value);
        }
        Value::Object(whole)
    }

    /// Returns every server of the files, runnable or not.
    pub(crate) fn outlines(&self) -> Vec<ServerOutline> {
        let servers = self.written.servers.iter();
        servers
            .map(|(name, section)| ServerOutline {
                name: name.value.clone(),
                command: command_line(section),
                url: section.text("url").map(|(url, _)| guarded(url)),
                files: self.files_with(name, section),
            })
            .collect()
    }

    /// Returns the files that contain a setting of the server `name`.
    fn files_with(&self, name: &Located<String>, section: &Section) -> Vec<PathBuf> {
        let places = section.settings.iter().map(|(_, setting)| &setting.at);
        let places: Vec<&FileSpan> = places.chain([&name.at]).collect();
        let says = |file: &&PathBuf| places.iter().any(|at| at.source.path == **file);
        self.files.iter().filter(says).cloned().collect()
    }

    fn lines(&self) -> Vec<EffectiveValue> {
        let root = &self.written.root;
        let none = Section::default();
        let proxy = root.section("proxy").map_or(&none, |(it, _)| it);
        let mut lines = Vec::new();
        for key in &keys::ROOT {
            if let ValueKind::Section(keys) = key.kind {
                let section = root.section(key.name).map_or(&none, |(it, _)| it);
                let table = [key.name.to_owned()];
                add_section(&mut lines, &table, &[], section, keys, &none);
            }
        }
        for (name, section) in &self.written.servers {
            let table = ["servers".to_owned(), name.value.clone()];
            add_section(&mut lines, &table, &[], section, &keys::SERVER, proxy);
        }
        lines
    }
}

/// Adds the effective values of one section: from the section, else from `common`, else the default.
fn add_section(
    lines: &mut Vec<EffectiveValue>,
    table: &[String],
    above: &[String],
    section: &Section,
    keys: &[Key],
    common: &Section,
) {
    for key in keys {
        let path = [above, &[key.name.to_owned()]].concat();
        let mut add = |key: Vec<String>, value, origin: String| {
            lines.push(EffectiveValue {
                table: table.to_vec(),
                key,
                value,
                origin,
            });
        };
        match section.get(key.name).or_else(|| common.get(key.name)) {
            Some(Located {
                value: Setting::Map(map),
                ..
            }) => {
                for (name, value) in map {
                    let path = [&path[..], std::slice::from_ref(&name.value)].concat();
                    // Env variables and headers may be secrets under any name.
                    add(path, redacted(&value.value).into(), origin_of(&value.at));
                }
            }
            Some(Located {
                value: Setting::Section(inner),
                ..
            }) => {
                if let ValueKind::Section(keys) = key.kind {
                    add_section(lines, table, &path, inner, keys, &Section::default());
                }
            }
            Some(setting) => add(path, plain(key, setting), origin_of(&setting.at)),
            None => {
                let default = key.default.and_then(|text| serde_json::from_str(text).ok());
                if let Some(default) = default {
                    add(path, default, "default".to_owned());
                }
            }
        }
    }
}

fn command_line(section: &Section) -> Vec<String> {
    let program = section.text("command").map(|(it, _)| line(it));
    let args = section
        .texts("args")
        .map(|(args, _)| shown_words(values(args)));
    program
        .into_iter()
        .chain(args.into_iter().flatten())
        .collect()
}

fn origin_of(at: &FileSpan) -> String {
    let (line, _) = at.line_and_column();
    format!("{}:{line}", at.source.path.display())
}

fn plain(key: &Key, setting: &Located<Setting>) -> Value {
    match &setting.value {
        Setting::Text(text) => line(text).into(),
        Setting::Flag(flag) => (*flag).into(),
        Setting::Count(count) => (*count).into(),
        Setting::Choice(choice) => (*choice).into(),
        // Keeps the unit chosen by the user.
        Setting::Duration(_) | Setting::Size(_) => {
            setting.at.text().trim_matches(['"', '\'']).into()
        }
        Setting::Texts(list) if key.name == "args" => shown_words(values(list)).into(),
        Setting::Texts(list) => list.iter().map(|it| it.value.as_str()).collect(),
        Setting::Map(_) | Setting::Section(_) | Setting::Named(_) => Value::Null,
    }
}

fn insert(map: &mut Map<String, Value>, path: &[String], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        map.insert(first.clone(), value);
    } else if let Value::Object(inner) = map.entry(first).or_insert_with(|| json!({})) {
        insert(inner, rest, value);
    }
}

/// Formats a key path in TOML syntax.
pub(super) fn dotted(keys: &[String]) -> String {
    let is_bare = |key: &str| {
        !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    let quoted = keys.iter().map(|key| {
        if is_bare(key) {
            key.clone()
        } else {
            Value::from(key.as_str()).to_string()
        }
    });
    quoted.collect::<Vec<_>>().join(".")
}

/// Formats a value in TOML syntax: JSON syntax, with spaces in lists for readability.
pub(super) fn toml_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_text).collect();
            format!("[{}]", items.join(", "))
        }
        // The only character that JSON permits unescaped and TOML does not.
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}
