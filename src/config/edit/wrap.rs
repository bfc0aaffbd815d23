//! Puts words, such as those of the proxy, before the command of one server in a client's file, and takes them out again.
//!
//! The program stays in the file as written: it moves to the beginning of the arguments, after the words. All other
//! bytes are unchanged, and removing the words restores the bytes from before. A program and its arguments may have a
//! key each (`command` and `args`), share a list (`OpenCode`), or lie in a table (Zed's former format).

mod combine;
mod tables;

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Plain;

use super::super::files::read_text;
use super::super::node::{Node, Value};
use super::super::own_entry;
use super::super::show::toml_text;
use super::json::{indent_of_line, starts_line};
use super::{ConfigDocument, EditError, FileFormat, MARK, NodeEntry, entry, plain, spliced};
use crate::file_error::FileError;
use tables::{servers, value_at, without_command};

/// Keys of a program: most clients, Goose.
const PROGRAM: [&str; 2] = ["command", "cmd"];
/// Keys of an address: most clients, Windsurf, Gemini CLI, Goose.
const ADDRESS: [&str; 4] = ["url", "serverUrl", "httpUrl", "uri"];
/// Key of the arguments.
const ARGS: &str = "args";

/// Place of a server in a client's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryPath {
    /// Keys of the table or list of servers.
    pub(crate) keys: Vec<String>,
    pub(crate) name: String,
}

/// Start of a server, as its client's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// Program and arguments, as written.
    Command(Vec<String>),
    /// The server has an address.
    Remote,
    /// The client starts the server in a way of its own.
    Unsupported,
}

/// Parsed file of a client.
#[derive(Debug)]
pub(crate) struct ClientFile {
    document: ConfigDocument,
    /// Whether the text begins with a byte order mark.
    is_marked: bool,
}

impl ClientFile {
    /// Reads and parses `file`.
    pub(crate) fn read(file: &Path) -> Result<Self, EditError> {
        let text = read_text(file).map_err(FileError::at("read", file))?;
        Self::parse(file, &text)
    }

    /// Parses `text`, the content of `file`; the extension determines the format.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, EditError> {
        let is_marked = text.starts_with(MARK);
        ConfigDocument::parse(file, text).map(|document| Self {
            document,
            is_marked,
        })
    }

    /// Returns the names of the servers below `keys`, in file order. Leaves out a name that occurs twice, since
    /// programs disagree on which of both is in force.
    pub(crate) fn names(&self, keys: &[String]) -> Vec<String> {
        let all = servers(&self.document.tree, keys);
        let once = |name: &str| all.iter().filter(|(it, _)| *it == name).count() == 1;
        let names = all.iter().filter(|(name, _)| once(name));
        names.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Returns the start of a server; `None` if the file does not have the server exactly once.
    pub(crate) fn kind(&self, path: &EntryPath) -> Option<EntryKind> {
        let server = self.server(path)?;
        let is_filled = |node: &Node| match &node.value {
            Value::Text(text) => !text.trim().is_empty(),
            Value::Null => false,
            _ => true,
        };
        let words = CommandParts::of(server).and_then(|it| it.words());
        Some(match words.filter(|words| !words[0].trim().is_empty()) {
            Some(words) => EntryKind::Command(words),
            None if ADDRESS
                .iter()
                .any(|key| server.get(key).is_some_and(is_filled)) =>
            {
                EntryKind::Remote
            }
            None => EntryKind::Unsupported,
        })
    }

    /// Whether the server has arguments, even none of them.
    pub(crate) fn has_args(&self, path: &EntryPath) -> bool {
        let parts = self.server(path).and_then(CommandParts::of);
        parts.is_some_and(|it| !matches!(it, CommandParts::Apart { args: None, .. }))
    }

    pub(in crate::config) fn server(&self, path: &EntryPath) -> Option<&Node> {
        let mut named = servers(&self.document.tree, &path.keys)
            .into_iter()
            .filter(|(name, _)| *name == path.name);
        named
            .next()
            .filter(|_| named.next().is_none())
            .map(|it| it.1)
    }

    /// Returns the text with `words` before the server's command; at least one word is required.
    pub(crate) fn wrapped(&self, path: &EntryPath, words: &[String]) -> Result<String, EditError> {
        let parts = self.server(path).and_then(CommandParts::of);
        let parts = parts.ok_or_else(|| self.refusal(path))?;
        let mut items: Vec<String> = words.iter().map(|word| self.quoted(word)).collect();
        let cuts = match &parts {
            CommandParts::Together(list) => vec![self.before_items(list, &items)],
            CommandParts::Apart { program, args } => {
                let proxy = items.remove(0);
                items.push(self.moved(&program.1, args.map(|it| &it.1)));
                let start = match args {
                    Some((_, args)) => self.before_items(args, &items),
                    None => self.new_args(program, &items),
                };
                vec![(program.1.at.span.clone(), proxy), start]
            }
        };
        let before = parts.words().ok_or_else(|| self.refusal(path))?;
        let after: Vec<String> = words.iter().chain(&before).cloned().collect();
        self.proved_command(&spliced(self.document.text(), cuts), path, &after)
    }

    /// Returns the text without `words`, which [`wrapped`](Self::wrapped) put before the server's command, and without
    /// options that were added to them since; `None` if the server does not run through the proxy. `args_added` says whether the arguments were missing before.
    pub(crate) fn unwrapped(
        &self,
        path: &EntryPath,
        words: &[String],
        args_added: bool,
    ) -> Result<Option<String>, EditError> {
        let Some(parts) = self.server(path).and_then(CommandParts::of) else {
            return Ok(None);
        };
        let now = parts.words().unwrap_or_default();
        let Some(count) = own_entry::count_own_words(&now, words) else {
            return Ok(None);
        };
        let before = &now[count..];
        let text = self.document.text();
        let cuts = match &parts {
            CommandParts::Together(list) => {
                vec![(self.first_items(list, count), String::new())]
            }
            CommandParts::Apart { program, args } => {
                let Some((key, list)) = args else {
                    return Ok(None);
                };
                let Value::List(items) = &list.value else {
                    return Ok(None);
                };
                let own = count - 1;
                let original = items[own].at.text().to_owned();
                let (at, lead) = self.place_of_args(program);
                let is_ours = text.get(at..key.at.span.start) == Some(lead.as_str());
                let none_left = before.len() == 1;
                let start = if none_left && args_added && is_ours {
                    (at..list.at.span.end, String::new())
                } else if none_left && self.is_block(list) {
                    let end = items[own].at.span.end;
                    (key.at.span.end + 1..end, " []".to_owned())
                } else {
                    (self.first_items(list, count), String::new())
                };
                vec![(program.1.at.span.clone(), original), start]
            }
        };
        let text = spliced(text, cuts);
        self.proved_command(&text, path, before).map(Some)
    }

    fn refusal(&self, path: &EntryPath) -> EditError {
        EditError::Entry {
            name: path.name.clone(),
            file: self.document.source.path.clone(),
        }
    }

    /// Returns `edited` if the server has the command `words` there and nothing else differs; otherwise an error.
    fn proved_command(
        &self,
        edited: &str,
        path: &EntryPath,
        words: &[String],
    ) -> Result<String, EditError> {
        let rest = |file: &Self| {
            let mut rest = plain(&file.document.tree);
            let command = value_at(&mut rest, path).map(without_command);
            command.map(|()| rest)
        };
        let is_proved = |after: &Self| {
            let is_command =
                matches!(after.kind(path), Some(EntryKind::Command(it)) if it == words);
            is_command && rest(after) == rest(self) && rest(self).is_some()
        };
        self.proved_edit(edited, is_proved)
            .ok_or_else(|| self.refusal(path))
    }

    /// Returns `edited`, with the byte order mark of the file, if it can be parsed and `is_proved`.
    fn proved_edit(&self, edited: &str, is_proved: impl Fn(&Self) -> bool) -> Option<String> {
        let after = Self::parse(&self.document.source.path, edited).ok()?;
        let mark = if self.is_marked {
            MARK.to_string()
        } else {
            String::new()
        };
        is_proved(&after).then(|| mark + edited)
    }

    fn quoted(&self, word: &str) -> String {
        match self.document.form {
            // YAML reads the strings of JSON.
            FileFormat::Json | FileFormat::Yaml => Plain::from(word).to_string(),
            FileFormat::Toml => toml_text(&Plain::from(word)),
        }
    }

    /// Returns the program as an item of the arguments.
    fn moved(&self, program: &Node, args: Option<&Node>) -> String {
        let text = program.at.text();
        let is_in_block = args.is_some_and(|args| self.is_block(args));
        let is_quoted = text.starts_with(['"', '\'']);
        match &program.value {
            // Some plain characters have a meaning between brackets.
            Value::Text(word)
                if self.document.form == FileFormat::Yaml
                    && !is_in_block
                    && !is_quoted
                    && text.contains([',', '[', ']', '{', '}', '#', '\n']) =>
            {
                self.quoted(word)
            }
            _ => text.to_owned(),
        }
    }

    /// Whether each item of a list in YAML has a line of its own, after a dash.
    fn is_block(&self, list: &Node) -> bool {
        self.document.form == FileFormat::Yaml && !list.at.text().starts_with('[')
    }

    /// Returns the insertion of `items` before the first item of a list, in the layout of the list.
    fn before_items(&self, list: &Node, items: &[String]) -> (Range<usize>, String) {
        let text = self.document.text();
        let old = match &list.value {
            Value::List(old) => &old[..],
            _ => &[],
        };
        let Some(first) = old.first() else {
            let at = (list.at.span.start + 1).min(list.at.span.end);
            return (at..at, items.join(", "));
        };
        let at = first.at.span.start;
        let is_dense = old
            .get(1)
            .is_some_and(|second| text[first.at.span.end..second.at.span.start] == *",");
        let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let separator = match (starts_line(text, at), is_dense) {
            _ if self.is_block(list) => {
                format!("{}{}", self.document.newline(), &text[line_start..at])
            }
            (true, _) => format!(",{}{}", self.document.newline(), indent_of_line(text, at)),
            (false, true) => ",".to_owned(),
            (false, false) => ", ".to_owned(),
        };
        let new: String = items.iter().flat_map(|it| [it, &*separator]).collect();
        (at..at, new)
    }

    /// Returns the range of the first `count` items of a list, with the separator after them.
    fn first_items(&self, list: &Node, count: usize) -> Range<usize> {
        let Value::List(items) = &list.value else {
            return 0..0;
        };
        let start = items[0].at.span.start;
        if let Some(next) = items.get(count) {
            return start..next.at.span.start;
        }
        let end = items[count - 1].at.span.end;
        let rest = &self.document.text()[end..list.at.span.end];
        let comma = rest.trim_start().starts_with(',');
        let comma = rest.find(',').filter(|_| comma).map_or(0, |at| at + 1);
        start..end + comma
    }

    /// Returns the insertion of the arguments `items` after the program.
    fn new_args(&self, program: &NodeEntry, items: &[String]) -> (Range<usize>, String) {
        let (at, lead) = self.place_of_args(program);
        let key = match self.document.form {
            FileFormat::Json => "\"args\": ",
            FileFormat::Yaml => "args: ",
            FileFormat::Toml => "args = ",
        };
        (at..at, format!("{lead}{key}[{}]", items.join(", ")))
    }

    /// Whether a key after `before` has a line of its own.
    fn is_line(&self, before: &str) -> bool {
        match self.document.form {
            FileFormat::Json => false,
            FileFormat::Toml => !before.contains('{'),
            FileFormat::Yaml => before.chars().all(|c| matches!(c, ' ' | '-')),
        }
    }

    /// Returns the place of missing arguments, and the text before their key.
    fn place_of_args(&self, (key, program): &NodeEntry) -> (usize, String) {
        let (text, newline) = (self.document.text(), self.document.newline());
        let (start, end) = (key.at.span.start, program.at.span.end);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        // Indentation, or the first parts of a dotted key.
        let before = &text[line_start..start];
        match self.document.form {
            _ if self.is_line(before) => {
                let before = match self.document.form {
                    // A dash before the first key belongs to an item of a list.
                    FileFormat::Yaml => before.replace('-', " "),
                    _ => before.to_owned(),
                };
                let rest = text[end..].find('\n').map_or(text.len(), |at| end + at);
                let line_end = text[..rest].strip_suffix('\r').map_or(rest, str::len);
                (line_end, format!("{newline}{before}"))
            }
            _ if starts_line(text, start) => (end, format!(",{newline}{before}")),
            _ => (end, ", ".to_owned()),
        }
    }
}

/// Command of a server.
#[derive(Debug)]
enum CommandParts<'n> {
    Apart {
        program: &'n NodeEntry,
        args: Option<&'n NodeEntry>,
    },
    /// List with the program and the arguments.
    Together(&'n Node),
}

impl<'n> CommandParts<'n> {
    fn of(server: &'n Node) -> Option<Self> {
        // Programs disagree on which of two equal keys is in force, and a merged key of YAML adds others.
        let keys = PROGRAM.iter().chain([&ARGS, &"<<"]);
        let count = |key: &str| match &server.value {
            Value::Table(entries) => entries.iter().filter(|(it, _)| it.value == key).count(),
            _ => 0,
        };
        let mut counts = keys.map(|key| (*key, count(key)));
        if counts.any(|(key, count)| count > usize::from(key != "<<")) {
            return None;
        }
        let command = PROGRAM.iter().find_map(|key| entry(server, key))?;
        let apart = |program: &'n NodeEntry, table| {
            let is_text = matches!(program.1.value, Value::Text(_));
            let args = entry(table, ARGS);
            let is_list = args.is_none_or(|(_, args)| matches!(args.value, Value::List(_)));
            (is_text && is_list).then_some(Self::Apart { program, args })
        };
        match &command.1.value {
            Value::List(_) => Some(Self::Together(&command.1)),
            Value::Table(_) => apart(entry(&command.1, "path")?, &command.1),
            _ => apart(command, server),
        }
    }

    /// Returns the program and the arguments; `None` if there is no program, or a word is neither text nor a number.
    fn words(&self) -> Option<Vec<String>> {
        let (program, list) = match self {
            Self::Apart { program, args } => (Some(&program.1), args.map(|it| &it.1)),
            Self::Together(list) => (None, Some(*list)),
        };
        let items = match list.map(|list| &list.value) {
            Some(Value::List(items)) => &items[..],
            _ => &[],
        };
        let word = |node: &Node| match &node.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            _ => None,
        };
        let words: Vec<String> = program
            .into_iter()
            .chain(items)
            .map(word)
            .collect::<Option<_>>()?;
        (!words.is_empty()).then_some(words)
    }
}

#[cfg(test)]
mod tests;
