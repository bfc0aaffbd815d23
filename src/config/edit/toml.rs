//! Text ranges to replace in a TOML file: whole lines.
//!
//! A new server becomes a table at the end of the file, after a blank line.

use std::ops::Range;

use serde_json::json;

use super::super::node::{Node, Value};
use super::super::server_tables::CODEX;
use super::super::show::{dotted, toml_text};
use super::{ConfigDocument, NewServer, entry, spliced};

/// Returns the text with the server added or replaced.
pub(super) fn add(document: &ConfigDocument, name: &str, server: &NewServer) -> String {
    let newline = document.newline();
    let place = document.place(name);
    let key = place.map_or("servers", |place| place.keys[0]);
    let table = table(key, name, server).join(newline);
    if let Some(replaced) = with_text(document, name, &format!("{table}{newline}")) {
        return replaced;
    }
    let text = remove(document, name);
    if text.is_empty() {
        return table + newline;
    }
    // Keeps the end of the file, with or without a line break.
    if text.ends_with('\n') {
        format!("{text}{newline}{table}{newline}")
    } else {
        format!("{text}{newline}{newline}{table}")
    }
}

/// Returns the text with the server `new` in place of the server `old`, which must have a table with a header.
pub(super) fn exchanged(
    document: &ConfigDocument,
    old: &str,
    new: &str,
    server: &NewServer,
) -> Option<String> {
    let newline = document.newline();
    let table = table(document.place(old)?.keys[0], new, server).join(newline);
    with_text(document, old, &format!("{table}{newline}"))
}

/// Returns the text with `lines`, which are whole, in place of a server; `None` unless the server has a table with a
/// header.
pub(super) fn with_text(document: &ConfigDocument, name: &str, lines: &str) -> Option<String> {
    let text = document.text();
    let cuts = lines_of(document, name);
    let first = cuts.first().map(|first| &text[first.clone()])?;
    if !first.trim_start().starts_with('[') {
        return None;
    }
    // Keeps the end of the file, with or without a line break.
    let lines = if first.ends_with('\n') {
        lines
    } else {
        lines.trim_end_matches(['\r', '\n'])
    };
    let mut cuts: Vec<_> = cuts.into_iter().map(|it| (it, String::new())).collect();
    lines.clone_into(&mut cuts[0].1);
    Some(spliced(text, cuts))
}

/// Returns the whole lines that define a server.
pub(super) fn text_of(document: &ConfigDocument, name: &str) -> Option<String> {
    let lines = lines_of(document, name).into_iter();
    let text: String = lines.map(|lines| &document.text()[lines]).collect();
    let is_ended = text.is_empty() || text.ends_with('\n');
    let end = if is_ended { "" } else { document.newline() };
    (!text.is_empty()).then(|| text + end)
}

/// Returns the text without the server.
pub(super) fn remove(document: &ConfigDocument, name: &str) -> String {
    let text = document.text();
    let cuts = lines_of(document, name).into_iter().map(|mut cut| {
        let (before, after) = (&text[..cut.start], &text[cut.end..]);
        let line_end = |text: &str| if text.starts_with("\r\n") { 2 } else { 1 };
        let blank_before =
            before.is_empty() || before.ends_with("\n\n") || before.ends_with("\n\r\n");
        if blank_before && (after.starts_with('\n') || after.starts_with("\r\n")) {
            cut.end += line_end(after);
        }
        if after.is_empty() {
            // Also removes the blank line before the server, and a line break if the file ends without one.
            let times = usize::from(blank_before) + usize::from(!text.ends_with('\n'));
            for _ in 0..times {
                let rest = &text[..cut.start];
                let rest = rest.strip_suffix('\n').unwrap_or(rest);
                cut.start = rest.strip_suffix('\r').unwrap_or(rest).len();
            }
        }
        (cut, String::new())
    });
    spliced(text, cuts.collect())
}

fn table(section: &str, name: &str, server: &NewServer) -> Vec<String> {
    let mut lines = vec![format!(
        "[{}]",
        dotted(&[section.to_owned(), name.to_owned()])
    )];
    lines.push(format!("command = {}", toml_text(&json!(server.command))));
    if !server.args.is_empty() {
        lines.push(format!("args = {}", toml_text(&json!(server.args))));
    }
    if let Some(cwd) = &server.cwd {
        lines.push(format!("cwd = {}", toml_text(&json!(cwd))));
    }
    if !server.env.is_empty() {
        let env = server.env.iter().map(|(key, value)| {
            format!(
                "{} = {}",
                dotted(std::slice::from_ref(key)),
                toml_text(&json!(value))
            )
        });
        lines.push(format!(
            "env = {{ {} }}",
            env.collect::<Vec<_>>().join(", ")
        ));
    }
    // Codex rejects unknown keys.
    if !server.watch.is_empty() && section != CODEX {
        lines.push(format!("watch = {}", toml_text(&json!(server.watch))));
    }
    if let Some(build) = server.build.as_ref().filter(|_| section != CODEX) {
        lines.push(format!("build = {}", toml_text(&json!(build))));
    }
    lines
}

/// Returns the ranges of whole lines that define the server, from top to bottom.
fn lines_of(document: &ConfigDocument, name: &str) -> Vec<Range<usize>> {
    let servers = document.place(name).map(|place| place.servers);
    let Some((key, server)) = servers.and_then(|servers| entry(servers, name)) else {
        return Vec::new();
    };
    let mut spans = vec![key.at.span.clone()];
    gather(server, &mut spans);
    let text = document.text();
    let mut lines: Vec<Range<usize>> = spans
        .into_iter()
        .map(|it| lines_around(text, &it))
        .collect();
    lines.sort_by_key(|it| it.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for line in lines {
        match merged.last_mut() {
            Some(last) if line.start <= last.end || says_nothing(&text[last.end..line.start]) => {
                last.end = last.end.max(line.end);
            }
            _ => merged.push(line),
        }
    }
    merged
}

/// Collects the spans of all keys, plain values and inline tables in a table.
fn gather(node: &Node, spans: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(entries) => {
            for (key, node) in entries {
                spans.push(key.at.span.clone());
                gather(node, spans);
            }
            // An inline table may end on a later line.
            if node.at.text().starts_with('{') {
                spans.push(node.at.span.clone());
            }
        }
        _ => spans.push(node.at.span.clone()),
    }
}

fn lines_around(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.end..]
        .find('\n')
        .map_or(text.len(), |at| span.end + at + 1);
    start..end
}

/// Whether all lines are comments or blank.
fn says_nothing(lines: &str) -> bool {
    let mut lines = lines.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#'))
}
