//! Text ranges to replace in a client's file.
//!
//! A new entry follows the last entry or comment in its braces. If the braces held only line breaks and spaces, or the
//! section of servers was missing, a blank line marks this state for `remove`. Two states are not restored: an empty
//! section after a blank line of the user's own, which goes with the last server, and a file without an object, which
//! keeps an empty section.

use std::ops::Range;

use serde_json::{Value as Plain, json};

use super::super::node::{Node, Value};
use super::{ConfigDocument, EditError, NewServer, NodeEntry, entry, spliced};

/// Returns the text with the server added or replaced.
pub(super) fn add(
    document: &ConfigDocument,
    name: &str,
    server: &NewServer,
) -> Result<String, EditError> {
    let text = document.text();
    let place = document.place(name);
    let vs_code = match &place {
        Some(place) => place.keys.last() == Some(&"servers"),
        None => in_vs_code(document),
    };
    let key = if vs_code { "servers" } else { "mcpServers" };
    let no_form = || EditError::Form {
        file: document.source.path.clone(),
        example: "{\"mcpServers\": {…}}",
    };
    // OpenCode uses another format for servers.
    if place.as_ref().is_some_and(|it| it.keys == ["mcp"]) {
        return Err(no_form());
    }
    let value = written(server, vs_code);
    if let Some(at) = document.position(name) {
        return Ok(replaced(document, name, at, &value));
    }
    let layout = Layout::of(document);
    if !text[document.tree.at.span.clone()].starts_with('{') {
        // The file is empty or contains only comments; `ConfigDocument::proved` rejects any other value.
        let whole = layout.rendered(&json!({ key: { name: value } }), "", true);
        let gap = match text {
            "" => "",
            text if text.ends_with('\n') => "",
            _ => layout.newline,
        };
        return Ok(format!("{text}{gap}{whole}{}", layout.newline));
    }
    match place {
        Some(place) => layout.insert(place.servers, name, &value, false),
        None => layout.insert(&document.tree, key, &json!({ name: value }), true),
    }
    .ok_or_else(no_form)
}

/// Returns the text without the server.
pub(super) fn remove(document: &ConfigDocument, name: &str) -> Result<String, EditError> {
    let Some(place) = document.place(name) else {
        return Ok(document.text().to_owned());
    };
    let Some(at) = document.position(name) else {
        return Ok(document.text().to_owned());
    };
    let text = without(document, place.servers, at);
    // `add` creates only sections with a path of one key.
    let [key] = place.keys else {
        return Ok(text);
    };
    let left = ConfigDocument::parse(&document.source.path, &text)?;
    match left.tree.get(key) {
        Some(servers) => without_section(&left, key, servers),
        None => Ok(text),
    }
}

/// Returns the text without the section of servers, if that is empty and was created with its first server.
fn without_section(
    document: &ConfigDocument,
    key: &str,
    servers: &Node,
) -> Result<String, EditError> {
    let text = document.text();
    let Some((key, _)) = entry(&document.tree, key) else {
        return Ok(text.to_owned());
    };
    let before = gap_before(text, key.at.span.start);
    if servers.at.text() != "{}" || text[before.clone()].matches('\n').count() < 2 {
        return Ok(text.to_owned());
    }
    let mark = text[before.clone()].find('\n').map_or(0, |at| at + 1);
    let text = spliced(
        text,
        vec![(before.start..before.start + mark, String::new())],
    );
    let document = ConfigDocument::parse(&document.source.path, &text)?;
    let Value::Table(entries) = &document.tree.value else {
        return Ok(text);
    };
    let at = entries.iter().position(|(it, _)| it.value == key.value);
    Ok(at.map_or(text.clone(), |at| without(&document, &document.tree, at)))
}

fn in_vs_code(document: &ConfigDocument) -> bool {
    let folder = document.source.path.parent();
    folder.is_some_and(|folder| folder.ends_with(".vscode"))
}

/// Returns the value of the entry.
fn written(server: &NewServer, vs_code: bool) -> Plain {
    let mut value = serde_json::Map::new();
    if vs_code {
        value.insert("type".to_owned(), "stdio".into());
    }
    value.insert("command".to_owned(), server.command.as_str().into());
    value.insert("args".to_owned(), json!(server.args));
    if let Some(cwd) = &server.cwd {
        value.insert("cwd".to_owned(), cwd.as_str().into());
    }
    if !server.env.is_empty() {
        let env = server.env.iter();
        let env = env.map(|(key, value)| (key.clone(), Plain::from(value.as_str())));
        value.insert("env".to_owned(), env.collect());
    }
    if !server.watch.is_empty() {
        let globs = server.watch.iter().map(|glob| absolute(glob, server));
        let globs: Vec<String> = globs.collect();
        let mut dev = json!({ "watch": globs });
        if let Some(build) = &server.build {
            dev["build"] = build.as_str().into();
        }
        value.insert("dev".to_owned(), dev);
    }
    Plain::Object(value)
}

/// Prepends `cwd`, since globs in a client's file are relative to the workspace.
fn absolute(glob: &str, server: &NewServer) -> String {
    let Some(cwd) = &server.cwd else {
        return glob.to_owned();
    };
    match glob.strip_prefix('!') {
        Some(plain) => format!("!{cwd}/{plain}"),
        None => format!("{cwd}/{glob}"),
    }
}

fn replaced(document: &ConfigDocument, name: &str, at: usize, value: &Plain) -> String {
    let text = document.text();
    let place = document.place(name);
    let Some(Value::Table(entries)) = place.map(|place| &place.servers.value) else {
        return text.to_owned();
    };
    let new = value_in_place(document, &entries[at], value);
    spliced(text, vec![(entries[at].1.at.span.clone(), new)])
}

/// Returns the text of a value in the layout of the entry that it replaces.
fn value_in_place(document: &ConfigDocument, (key, old): &NodeEntry, value: &Plain) -> String {
    let text = document.text();
    let lines = text[old.at.span.clone()].contains('\n') || starts_line(text, key.at.span.start);
    let indent = indent_of_line(text, key.at.span.start);
    Layout::of(document).rendered(value, indent, lines)
}

/// Returns the text with the entry `name` in place of `old`.
pub(super) fn exchanged(
    document: &ConfigDocument,
    old: &NodeEntry,
    name: &str,
    value: &Plain,
) -> String {
    let value = value_in_place(document, old, value);
    with_texts(document, old, &[format!("{}: {value}", Plain::from(name))])
}

/// Returns the text with the texts of other entries in place of `old`.
pub(super) fn with_texts(document: &ConfigDocument, old: &NodeEntry, entries: &[String]) -> String {
    let text = document.text();
    let (start, end) = (old.0.at.span.start, old.1.at.span.end);
    let separator = if starts_line(text, start) {
        format!(",{}{}", document.newline(), indent_of_line(text, start))
    } else {
        ", ".to_owned()
    };
    spliced(text, vec![(start..end, entries.join(&separator))])
}

/// Layout of the file.
#[derive(Debug)]
struct Layout<'a> {
    text: &'a str,
    newline: &'static str,
    /// One level of indentation.
    step: &'a str,
}

impl<'a> Layout<'a> {
    fn of(document: &'a ConfigDocument) -> Self {
        let text = document.text();
        let step = match &document.tree.value {
            Value::Table(entries) => entries.first().map(|(key, _)| key.at.span.start),
            _ => None,
        };
        let step = step.filter(|at| starts_line(text, *at));
        let step = step.map_or("", |at| indent_of_line(text, at));
        Self {
            text,
            newline: document.newline(),
            step: if step.is_empty() { "  " } else { step },
        }
    }

    /// Adds an entry to the object `table`; `section` means that the entry is the missing section of servers.
    fn insert(&self, table: &Node, key: &str, value: &Plain, section: bool) -> Option<String> {
        let Value::Table(entries) = &table.value else {
            return None;
        };
        let (text, newline) = (self.text, self.newline);
        let close = table.at.span.end - 1;
        let open = table.at.span.start + 1;
        let filled = entries.last().map_or(open, |(_, node)| node.at.span.end);
        let end = filled + text[filled..close].trim_ascii_end().len();
        let rest_has_line = text[end..close].contains('\n');
        let first = entries.first().map(|(key, _)| key.at.span.start);
        let first_on_line = first.is_some_and(|at| starts_line(text, at));
        let outer = indent_of_line(text, open);
        let indent = match first {
            Some(at) if first_on_line => indent_of_line(text, at).to_owned(),
            _ => format!("{outer}{}", self.step),
        };
        let lines = section || first.is_none() || first_on_line || rest_has_line;
        let lead = if lines {
            // Blank lines that mark the former state for `remove`.
            let bare = end == open && rest_has_line;
            let marks = usize::from(bare) + usize::from(section);
            format!("{}{indent}", newline.repeat(1 + marks))
        } else {
            " ".to_owned()
        };
        let has_comma = Gap::of(&text[filled..close]).comma.is_some();
        let tail = match first {
            Some(_) if has_comma => ",".to_owned(),
            None if end == open && !rest_has_line => format!("{newline}{outer}"),
            _ => String::new(),
        };
        let value = self.rendered(value, &indent, lines);
        let new = format!("{lead}{}: {value}{tail}", Plain::from(key));
        // The comma directly follows the last entry, before any comments.
        let comma = if first.is_some() && !has_comma {
            ","
        } else {
            ""
        };
        let between = &text[filled..end];
        Some(spliced(
            text,
            vec![(filled..end, format!("{comma}{between}{new}"))],
        ))
    }

    fn rendered(&self, value: &Plain, indent: &str, lines: bool) -> String {
        match value {
            Plain::Object(entries) if !entries.is_empty() => {
                let inner = format!("{indent}{}", self.step);
                let entries = entries.iter().map(|(key, value)| {
                    let value = self.rendered(value, &inner, lines);
                    format!("{}: {value}", Plain::from(key.as_str()))
                });
                let entries: Vec<String> = entries.collect();
                if !lines {
                    return format!("{{{}}}", entries.join(", "));
                }
                let line = format!("{}{inner}", self.newline);
                let entries = entries.join(&format!(",{line}"));
                format!("{{{line}{entries}{}{indent}}}", self.newline)
            }
            Plain::Array(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                format!("[{}]", items.join(", "))
            }
            other => other.to_string(),
        }
    }
}

/// Returns the text without one entry of the object `table`.
pub(super) fn without(document: &ConfigDocument, table: &Node, at: usize) -> String {
    let text = document.text();
    let Value::Table(entries) = &table.value else {
        return text.to_owned();
    };
    let (key, value) = &entries[at];
    let close = table.at.span.end - 1;
    let next = entries.get(at + 1);
    let next = next.map_or(close, |(key, _)| key.at.span.start);
    let (from, to) = (key.at.span.start, value.at.span.end);
    let before = gap_before(text, from);
    if entries.len() == 1 && before.start == table.at.span.start + 1 {
        let after = &text[to..close];
        if Gap::of(after)
            .comma
            .map_or(after, |at| &after[at + 1..])
            .trim()
            .is_empty()
        {
            return emptied(document, table, &text[before], after);
        }
    }
    let comma = Gap::of(&text[to..next]).comma.map(|at| to + at);
    let mut end = comma.map_or(to, |at| at + 1);
    let own_line = text[before.clone()].contains('\n');
    let mut start = before.start;
    let previous = at.checked_sub(1).map(|at| entries[at].1.at.span.end);
    let previous = previous.unwrap_or(table.at.span.start + 1);
    if own_line {
        end += comment_on_line(&text[end..next]);
    }
    let line_follows = text[end..next].contains('\n');
    if !line_follows && (at == 0 || own_line) && next != close {
        // Moves the following entry to the position of the removed one.
        start = from;
        end = next - text[end..next].trim_ascii_start().len();
    } else if !line_follows && Gap::of(&text[previous..start]).in_comment {
        start = from;
    }
    let mut cuts = vec![(start..end, String::new())];
    if comma.is_none() {
        let comma = Gap::of(&text[previous..from]).comma.map(|at| previous + at);
        cuts.extend(comma.map(|at| (at..at + 1, String::new())));
    }
    spliced(text, cuts)
}

/// Returns the text with the braces as they were before the only entry was added.
fn emptied(document: &ConfigDocument, table: &Node, before: &str, after: &str) -> String {
    let text = document.text();
    let (open, close) = (table.at.span.start + 1, table.at.span.end - 1);
    let after = Gap::of(after).comma.map_or(after, |at| &after[at + 1..]);
    let left = if before.matches('\n').count() > 1 {
        after
    } else {
        let line = format!("{}{}", document.newline(), indent_of_line(text, open));
        after.strip_prefix(line.as_str()).unwrap_or_default()
    };
    spliced(text, vec![(open..close, left.to_owned())])
}

/// Returns the range of white space before an offset.
fn gap_before(text: &str, at: usize) -> Range<usize> {
    text[..at].trim_ascii_end().len()..at
}

fn last_line(text: &str, end: usize) -> &str {
    text[..end].rsplit('\n').next().unwrap_or_default()
}

pub(super) fn starts_line(text: &str, at: usize) -> bool {
    let line = last_line(text, at);
    line.len() < at && line.trim_ascii().is_empty()
}

/// Returns the white space at the beginning of the line with this offset.
pub(super) fn indent_of_line(text: &str, at: usize) -> &str {
    let start = at - last_line(text, at).len();
    let line = &text[start..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Findings about the text between two values.
#[derive(Debug, Default)]
struct Gap {
    comma: Option<usize>,
    /// Whether the text ends within a line comment.
    in_comment: bool,
}

impl Gap {
    fn of(text: &str) -> Self {
        let mut gap = Self::default();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            at += if rest.starts_with("//") {
                gap.in_comment = !rest.contains('\n');
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |at| at + 2)
            } else {
                if rest.starts_with(',') {
                    gap.comma = gap.comma.or(Some(at));
                }
                rest.chars().next().map_or(1, char::len_utf8)
            };
        }
        gap
    }
}

/// Returns the length of a comment that extends to the end of the line and so describes the preceding entry; 0 if there
/// is none.
fn comment_on_line(rest: &str) -> usize {
    let line = rest.split(['\r', '\n']).next().unwrap_or_default();
    let comment = line.trim_ascii();
    let is_whole = comment.starts_with("//")
        || (comment.starts_with("/*") && comment.find("*/") == Some(comment.len() - 2));
    let ends = line.len() < rest.len();
    if is_whole && ends { line.len() } else { 0 }
}
