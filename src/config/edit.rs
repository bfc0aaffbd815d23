//! Adds one server to a configuration file, removes it or changes its command; leaves every other byte unchanged.
//!
//! `json` and `toml` compute the text ranges to replace from the tree of `node`, so comments, order, indentation and
//! line endings stay as they are. `place` reads and writes the file. The result is parsed and compared with the
//! original before it is written. `remove` restores the bytes from before `add`, with exceptions named in `json`; where
//! the text alone does not show the former state, `add` leaves a blank line as a mark. `wrap` changes the command.

mod atomic_write;
mod json;
mod toml;
mod wrap;

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::fault::Fault;
use super::location::ConfigFile;
use super::node::{self, Node, Value};
use super::server_tables::{self, ServerTable};
use super::{ConfigContext, discover};
use crate::file_error::FileError;

pub(crate) use atomic_write::rewrite;
pub(crate) use wrap::{ClientFile, EntryKind, EntryPath};

/// Entry to write. Strings are written verbatim, so `${VAR}` is expanded on reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewServer {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Absolute path, or a path relative to the file.
    pub(crate) cwd: Option<String>,
    /// Globs relative to `cwd`.
    pub(crate) watch: Vec<String>,
    /// Shell command that must succeed before each start.
    pub(crate) build: Option<String>,
}

/// Result of an addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerAddition {
    /// Edited file, with symlinks resolved.
    pub(crate) file: PathBuf,
    /// Whether the file was created.
    pub(crate) created: bool,
    /// Whether a server of this name was replaced.
    pub(crate) replaced: bool,
}

/// Error of an edit.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    #[error("invalid server name `{0}`: use only A-Z, a-z, 0-9, `_` and `-`")]
    Name(String),
    #[error("server `{name}` already exists in {}", file.display())]
    Exists { name: String, file: PathBuf },
    #[error("{0}")]
    Broken(Box<Fault>),
    #[error(
        "cannot edit the servers in {}, which have an unsupported form; write them as {example}",
        file.display()
    )]
    Form {
        file: PathBuf,
        example: &'static str,
    },
    #[error("cannot edit the command of server `{name}` in {}, which has an unsupported form", file.display())]
    Entry { name: String, file: PathBuf },
    #[error("{} is read-only", .0.display())]
    ReadOnly(PathBuf),
    #[error("another program still locks {} after {} s", .0.display(), atomic_write::LOCK_TIMEOUT.as_secs())]
    Locked(PathBuf),
    #[error("another program keeps changing {}", .0.display())]
    Restless(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Receives the text of a file before an entry in it is replaced; again if another program changes the file meanwhile.
pub(crate) type KeepText<'k> = &'k mut dyn FnMut(&str) -> io::Result<()>;

/// Adds a server to `file`, which is created if missing. An existing server of this name is an error, unless
/// `overwrite` is given: its whole entry is then replaced.
pub(crate) fn add(
    file: &Path,
    name: &str,
    server: &NewServer,
    mut overwrite: Option<KeepText<'_>>,
) -> Result<ServerAddition, EditError> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || !name.chars().all(is_good) {
        return Err(EditError::Name(name.to_owned()));
    }
    let mut change = None;
    let edit = |file: &Path, text: Option<&str>| {
        let document = ConfigDocument::parse(file, text.unwrap_or_default())?;
        let replaced = document.has(name);
        if replaced {
            let Some(keep) = &mut overwrite else {
                let (name, file) = (name.to_owned(), file.to_owned());
                return Err(EditError::Exists { name, file });
            };
            keep(text.unwrap_or_default()).map_err(FileError::at("back up", file))?;
        }
        change = Some(ServerAddition {
            file: file.to_owned(),
            created: text.is_none(),
            replaced,
        });
        let edited = match document.form {
            FileFormat::Json => json::add(&document, name, server)?,
            FileFormat::Toml => toml::add(&document, name, server),
            FileFormat::Yaml => return Err(document.unsupported()),
        };
        document.proved(edited, name, true).map(Some)
    };
    atomic_write::rewrite(file, edit)?;
    Ok(change.expect("the edit ran, or the error was returned"))
}

/// Removes a server from `file`. Before the removal, `keep` receives the text of the file. Returns the result of
/// `keep`; `None` if the server does not exist.
pub(crate) fn remove<T>(
    file: &Path,
    name: &str,
    keep: impl FnOnce(&str) -> io::Result<T>,
) -> Result<Option<T>, EditError> {
    let (mut keep, mut kept) = (Some(keep), None);
    let edit = |file: &Path, text: Option<&str>| {
        let text = text.unwrap_or_default();
        let document = ConfigDocument::parse(file, text)?;
        if !document.has(name) {
            return Ok(None);
        }
        if let Some(keep) = keep.take() {
            kept = Some(keep(text).map_err(FileError::at("back up", file))?);
        }
        let edited = match document.form {
            FileFormat::Json => json::remove(&document, name)?,
            FileFormat::Toml => toml::remove(&document, name),
            FileFormat::Yaml => return Err(document.unsupported()),
        };
        document.proved(edited, name, false).map(Some)
    };
    atomic_write::rewrite(file, edit)?;
    Ok(kept)
}

/// Replaces the folder `from` with `to` throughout `file`, as a whole path and as the beginning of a path. Returns
/// whether anything changed.
pub(crate) fn replace_path(file: &Path, from: &str, to: &str) -> Result<bool, EditError> {
    let mut replaced = false;
    // Both formats escape backslashes and quotes alike.
    let quoted = |path: &str| {
        let text = serde_json::Value::from(path).to_string();
        text[1..text.len() - 1].to_owned()
    };
    let edit = |file: &Path, text: Option<&str>| {
        let text = text.unwrap_or_default();
        let mut edited = with_path(text, from, to);
        if edited == text {
            edited = with_path(text, &quoted(from), &quoted(to));
        }
        replaced = edited != text;
        if replaced {
            ConfigDocument::parse(file, &edited)?;
        }
        Ok::<_, EditError>(replaced.then_some(edited))
    };
    atomic_write::rewrite(file, edit)?;
    Ok(replaced)
}

/// Replaces `from` unless it is only a part of a longer path or name.
fn with_path(text: &str, from: &str, to: &str) -> String {
    let mut edited = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_part = before.ends_with(goes_on) || after.starts_with(goes_on);
        edited.push_str(before);
        edited.push_str(if is_part { from } else { to });
        rest = after;
    }
    edited + rest
}

/// Checks that `file` can be parsed, so that no work precedes an edit that is bound to fail.
pub(crate) fn check(file: &Path) -> Result<(), EditError> {
    match std::fs::read_to_string(file) {
        Ok(text) => ConfigDocument::parse(file, &text).map(drop),
        // The edit creates the file or reports the error.
        Err(_) => Ok(()),
    }
}

/// Checks each file of `around`, since a broken file may contain any server.
pub(crate) fn check_all(around: &ConfigContext) -> Result<(), EditError> {
    let mut files = discover::discover(around).files();
    files.try_for_each(|file| check(&file))
}

/// Whether `file` contains a server of this name; `false` for an unreadable file.
pub(crate) fn has(file: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    ConfigDocument::parse(file, &text).is_ok_and(|it| it.has(name))
}

/// Returns the files that contain a server of this name; skips unreadable files.
pub(crate) fn places_of(around: &ConfigContext, name: &str) -> Vec<PathBuf> {
    let files = discover::discover(around).files();
    files.filter(|file| has(file, name)).collect()
}

/// Returns the file for a server of this name: the file that contains it, else `.mcp.json` if it exists or there is no
/// `mcp-proxy.toml`, else `mcp-proxy.toml`.
pub(crate) fn choose(around: &ConfigContext, name: &str) -> PathBuf {
    let places = discover::discover(around);
    places_of(around, name)
        .into_iter()
        .next()
        .or(places.json)
        .or(places.toml)
        .unwrap_or_else(|| around.cwd.join(discover::SHARED))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileFormat {
    Json,
    Toml,
    /// Only single commands in it are edited.
    Yaml,
}

/// Text of a file, without a byte order mark, and its tree.
#[derive(Debug)]
struct ConfigDocument {
    source: Arc<ConfigFile>,
    tree: Node,
    form: FileFormat,
}

impl ConfigDocument {
    fn parse(file: &Path, text: &str) -> Result<Self, EditError> {
        let form = match file.extension().and_then(|it| it.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("yaml" | "yml") => FileFormat::Yaml,
            _ => FileFormat::Json,
        };
        let source = Arc::new(ConfigFile {
            path: file.to_owned(),
            text: text.strip_prefix(MARK).unwrap_or(text).to_owned(),
        });
        let tree = match form {
            FileFormat::Json => node::json(&source),
            FileFormat::Toml => node::toml(&source),
            FileFormat::Yaml => node::yaml(&source),
        };
        let broken = |faults: Vec<Fault>| faults.into_iter().next().map(Box::new);
        let tree = tree
            .map_err(|faults| EditError::Broken(broken(faults).expect("a failure has a fault")))?;
        if let Some(fault) = broken(server_tables::doubled(&tree)) {
            return Err(EditError::Broken(fault));
        }
        Ok(Self { source, tree, form })
    }

    fn text(&self) -> &str {
        &self.source.text
    }

    /// Returns the table that contains the server `name`, else the table for a new server; `None` if there is no table
    /// of servers yet.
    fn place(&self, name: &str) -> Option<ServerTable<'_>> {
        let mut places = match self.form {
            FileFormat::Json | FileFormat::Yaml => server_tables::places(&self.tree),
            FileFormat::Toml => server_tables::places_in_toml(&self.tree),
        };
        let has = |place: &ServerTable<'_>| place.servers.get(name).is_some();
        // A new server in `mcp-proxy.toml` belongs in `servers`, not in Codex's table.
        let is_foreign = self.form == FileFormat::Toml && self.source.path.ends_with(discover::OWN);
        places.retain(|it| has(it) || !(is_foreign && it.keys == [server_tables::CODEX]));
        let at = places.iter().position(has).unwrap_or_default();
        (at < places.len()).then(|| places.swap_remove(at))
    }

    /// Returns the index of the server in its table.
    fn position(&self, name: &str) -> Option<usize> {
        match &self.place(name)?.servers.value {
            Value::Table(entries) => entries.iter().position(|(key, _)| key.value == name),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Returns the line ending of the file.
    fn newline(&self) -> &'static str {
        if self.text().contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        }
    }

    /// Returns `edited` if `name` is present or absent as `wanted` and nothing else differs; otherwise an error.
    fn proved(&self, edited: String, name: &str, wanted: bool) -> Result<String, EditError> {
        let is_proved = |after: &Self| {
            let place = self.place(name).or_else(|| after.place(name));
            let keys = place.map_or(&[][..], |place| place.keys);
            let rest = |document: &Self| {
                let mut rest = plain(&document.tree);
                take_out(&mut rest, keys, name);
                rest
            };
            after.has(name) == wanted && rest(after) == rest(self)
        };
        let after = Self::parse(&self.source.path, &edited);
        let good = after.is_ok_and(|after| is_proved(&after));
        good.then_some(edited).ok_or_else(|| self.unsupported())
    }

    fn unsupported(&self) -> EditError {
        let file = self.source.path.clone();
        let example = match self.form {
            FileFormat::Json => "{\"mcpServers\": {…}}",
            FileFormat::Toml => "[servers.NAME]",
            FileFormat::Yaml => "JSON or TOML",
        };
        EditError::Form { file, example }
    }
}

/// Byte order mark, with which Windows editors begin a file.
const MARK: char = '\u{feff}';

type NodeEntry = (super::location::Located<String>, Node);

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a NodeEntry> {
    match &node.value {
        Value::Table(entries) => entries.iter().find(|(it, _)| it.value == key),
        _ => None,
    }
}

/// Removes `name` from the object at the path `keys`, then each object on the path that is empty.
fn take_out(from: &mut serde_json::Value, keys: &[&str], name: &str) {
    let Some(object) = from.as_object_mut() else {
        return;
    };
    let [key, rest @ ..] = keys else {
        object.remove(name);
        return;
    };
    if let Some(inner) = object.get_mut(*key) {
        take_out(inner, rest, name);
        if inner.as_object().is_some_and(serde_json::Map::is_empty) {
            object.remove(*key);
        }
    }
}

/// Converts a tree to a JSON value, without positions.
fn plain(node: &Node) -> serde_json::Value {
    use serde_json::Value as Plain;
    match &node.value {
        Value::Null => Plain::Null,
        Value::Flag(flag) => (*flag).into(),
        Value::Number(text) | Value::Text(text) => text.as_str().into(),
        Value::Date | Value::Reference => node.at.text().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Table(entries) => entries
            .iter()
            .map(|(key, node)| (key.value.clone(), plain(node)))
            .collect(),
    }
}

/// Replaces each range of `text` with its new text; the ranges must not overlap.
fn spliced(text: &str, mut cuts: Vec<(Range<usize>, String)>) -> String {
    cuts.sort_by_key(|(range, _)| range.start);
    let mut text = text.to_owned();
    for (range, new) in cuts.into_iter().rev() {
        text.replace_range(range, &new);
    }
    text
}
