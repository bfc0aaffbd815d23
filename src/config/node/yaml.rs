//! YAML as clients write it, with positions. A value that other lines can change (an alias, or a value with an anchor or
//! a tag) is kept as a [`Value::Reference`].

use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::super::fault::Fault;
use super::super::location::{ConfigFile, FileSpan, Located};
use super::{Entries, Node, Value};

/// Maximum depth of collections.
const DEEPEST: usize = 64;

/// Parses a YAML file with one document; returns the first error on failure. An empty file is an empty table.
pub(in crate::config) fn yaml(source: &Arc<ConfigFile>) -> Result<Node, Vec<Fault>> {
    let text = &source.text;
    let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let byte = |marker: Marker| offsets.get(marker.index()).copied().unwrap_or(text.len());
    let mut builder = TreeBuilder {
        source,
        open: Vec::new(),
        root: None,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = byte(*error.marker());
            builder.fault(at..at, error.info())
        })?;
        let span = byte(span.start)..byte(span.end);
        match event {
            Event::DocumentStart(_) if builder.root.is_some() => {
                return Err(builder.fault(span, "it has several documents"));
            }
            Event::Alias(_) => builder.value(span, Value::Reference)?,
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let length = quoted_length(&source.text[span.clone()]);
                let span = span.start..length.map_or(span.end, |length| span.start + length);
                builder.scalar(span, &text, is_plain, anchor != 0 || tag.is_some())?;
            }
            Event::SequenceStart(anchor, tag) => {
                builder.start(span, Items::List(Vec::new()), anchor != 0 || tag.is_some())?;
            }
            Event::MappingStart(anchor, tag) => {
                let table = Items::Table(Vec::new(), None);
                builder.start(span, table, anchor != 0 || tag.is_some())?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end(span.end)?,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    let empty = || Node {
        at: FileSpan::new(source, 0..0),
        value: Value::Table(Vec::new()),
    };
    Ok(builder.root.unwrap_or_else(empty))
}

/// Returns the length of the quoted text at the beginning of `text`, which a comment may follow; `None` if there is none.
fn quoted_length(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        let is_twice = || text[at + 1..].starts_with(quote);
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            '\'' if quote == '\'' && is_twice() => drop(chars.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

struct TreeBuilder<'s> {
    source: &'s Arc<ConfigFile>,
    open: Vec<OpenNode>,
    root: Option<Node>,
}

/// Collection that has not ended.
struct OpenNode {
    start: usize,
    is_reference: bool,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    /// Entries, and the key that lacks its value.
    Table(Entries, Option<Located<String>>),
}

impl TreeBuilder<'_> {
    fn fault(&self, span: Range<usize>, message: &str) -> Vec<Fault> {
        let at = FileSpan::new(self.source, span);
        vec![Fault::unreadable(&at, format!("not valid YAML: {message}"))]
    }

    fn scalar(
        &mut self,
        span: Range<usize>,
        text: &str,
        is_plain: bool,
        is_reference: bool,
    ) -> Result<(), Vec<Fault>> {
        let at = FileSpan::new(self.source, span.clone());
        let open = self.open.last_mut().map(|open| &mut open.items);
        if let Some(Items::Table(_, key @ None)) = open {
            let value = text.to_owned();
            *key = Some(Located { value, at });
            return Ok(());
        }
        let value = match text {
            _ if is_reference => Value::Reference,
            "" | "~" | "null" if is_plain => Value::Null,
            "true" | "false" if is_plain => Value::Flag(text == "true"),
            _ => Value::Text(text.to_owned()),
        };
        self.value(span, value)
    }

    fn start(
        &mut self,
        span: Range<usize>,
        items: Items,
        is_reference: bool,
    ) -> Result<(), Vec<Fault>> {
        if self.open.len() >= DEEPEST {
            return Err(self.fault(span, "it is nested too deeply"));
        }
        self.open.push(OpenNode {
            start: span.start,
            is_reference,
            items,
        });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Vec<Fault>> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.items {
            _ if open.is_reference => Value::Reference,
            Items::List(items) => Value::List(items),
            Items::Table(entries, _) => Value::Table(entries),
        };
        self.value(open.start..end.max(open.start), value)
    }

    fn value(&mut self, span: Range<usize>, value: Value) -> Result<(), Vec<Fault>> {
        let at = FileSpan::new(self.source, span.clone());
        let node = Node { at, value };
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Table(entries, key)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => return Err(self.fault(span, "a key is not plain text")),
            },
        }
        Ok(())
    }
}
