//! Reads settings in YAML: a plain subset that all parsers understand alike.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// Maximum depth of collections.
const DEEPEST: usize = 32;

/// One scalar or one beginning of a collection, and its place in the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlEntry {
    /// Keys from the root on; an item of a sequence has the key of the sequence.
    pub(super) path: Vec<String>,
    /// Text of a scalar; `None` for a collection.
    pub(super) text: Option<String>,
    /// Line of the file, counted from 1.
    pub(super) line: usize,
}

impl YamlEntry {
    /// Returns the key on the first level.
    pub(super) fn key(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
}

/// A collection that has not ended.
enum OpenCollection {
    Mapping {
        key: Option<String>,
        seen: HashSet<String>,
    },
    Sequence,
}

/// Parses a document whose root is a mapping. Returns the reason if a construct is not plain: parsers differ in
/// their reading of such constructs, so a setting could hide there.
pub(super) fn parse(text: &str) -> Result<Vec<YamlEntry>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\r')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    if text.contains(is_odd) {
        return Err("has a tab or another control character".into());
    }
    if text.lines().any(|line| line.starts_with('%')) {
        return Err("has a directive of YAML".into());
    }
    let mut reader = YamlReader {
        open: Vec::new(),
        entries: Vec::new(),
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line();
            format!("cannot be read as YAML (line {line})")
        })?;
        let line = span.start.line();
        let plain = |what: &str| Err(format!("has {what} (line {line})"));
        match event {
            Event::DocumentStart(_) if documents > 0 => return plain("several documents"),
            Event::DocumentStart(_) => documents += 1,
            Event::Alias(_) => return plain("an alias"),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return plain("an anchor");
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => return plain("a tag"),
            Event::Scalar(text, style, ..) => {
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block || span.end.line() != line {
                    return plain("a text of several lines");
                }
                reader.scalar(&text, line)?;
            }
            Event::SequenceStart(..) => reader.start(OpenCollection::Sequence, line)?,
            Event::MappingStart(..) => {
                let (key, seen) = (None, HashSet::new());
                reader.start(OpenCollection::Mapping { key, seen }, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => reader.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    Ok(reader.entries)
}

struct YamlReader {
    open: Vec<OpenCollection>,
    entries: Vec<YamlEntry>,
}

impl YamlReader {
    fn path(&self) -> Vec<String> {
        let key = |open: &OpenCollection| match open {
            OpenCollection::Mapping { key, .. } => key.clone(),
            OpenCollection::Sequence => None,
        };
        self.open.iter().filter_map(key).collect()
    }

    fn scalar(&mut self, text: &str, line: usize) -> Result<(), String> {
        match self.open.last_mut() {
            None => return Err(format!("is not a mapping (line {line})")),
            Some(OpenCollection::Mapping {
                key: key @ None,
                seen,
            }) => {
                if text == "<<" {
                    return Err(format!("has a merge `<<` (line {line})"));
                }
                if !seen.insert(text.to_owned()) {
                    return Err(format!("has a duplicate key `{text}` (line {line})"));
                }
                *key = Some(text.to_owned());
                return Ok(());
            }
            Some(_) => {}
        }
        let (path, text) = (self.path(), Some(text.to_owned()));
        self.entries.push(YamlEntry { path, text, line });
        self.value_ends();
        Ok(())
    }

    fn start(&mut self, collection: OpenCollection, line: usize) -> Result<(), String> {
        match self.open.last() {
            None if matches!(collection, OpenCollection::Sequence) => {
                return Err(format!("is not a mapping (line {line})"));
            }
            Some(OpenCollection::Mapping { key: None, .. }) => {
                return Err(format!("has a collection as a key (line {line})"));
            }
            _ if self.open.len() >= DEEPEST => {
                return Err(format!("is nested too deeply (line {line})"));
            }
            None => {}
            Some(_) => {
                let path = self.path();
                self.entries.push(YamlEntry {
                    path,
                    text: None,
                    line,
                });
            }
        }
        self.open.push(collection);
        Ok(())
    }

    fn end(&mut self) {
        self.open.pop();
        self.value_ends();
    }

    fn value_ends(&mut self) {
        if let Some(OpenCollection::Mapping { key, .. }) = self.open.last_mut() {
            *key = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_have_their_places() {
        let text = "# c\na: 1\n'b':\n  - x\n  - y: \"z\"\nc: {d: [], e: }\n";
        let entries = parse(text).unwrap();
        let told: Vec<_> = entries
            .iter()
            .map(|it| (it.path.join("."), it.text.as_deref(), it.line))
            .collect();
        let entry = |path: &str, text, line| (path.to_owned(), text, line);
        assert_eq!(
            told,
            [
                entry("a", Some("1"), 2),
                entry("b", None, 4),
                entry("b", Some("x"), 4),
                entry("b", None, 5),
                entry("b.y", Some("z"), 5),
                entry("c", None, 6),
                entry("c.d", None, 6),
                entry("c.e", Some(""), 6),
            ]
        );
        assert_eq!(parse("# only a comment\n").unwrap(), []);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn constructs_that_can_hide_a_key_are_refused() {
        for (text, reason) in [
            ("a: 1\na: 2", "has a duplicate key `a` (line 2)"),
            ("a: 1\n\"\\u0061\": 2", "has a duplicate key `a` (line 2)"),
            ("a: &x 1", "has an anchor (line 1)"),
            ("a: &x {b: 1}\n<<: *x", "has an anchor (line 1)"),
            ("<<: {b: 1}", "has a merge `<<` (line 1)"),
            ("a: !!str b", "has a tag (line 1)"),
            ("a: 1\n---\nb: 1", "has several documents (line 2)"),
            ("%YAML 1.2\n---\na: 1", "has a directive of YAML"),
            ("a: |\n  b: 1", "has a text of several lines (line 2)"),
            ("a: \"x\n  b: 1\"", "has a text of several lines (line 1)"),
            ("? {a: 1}\n: b", "has a collection as a key (line 1)"),
            ("- a", "is not a mapping (line 1)"),
            ("a", "is not a mapping (line 1)"),
            ("a: [", "cannot be read as YAML (line 2)"),
            ("a: 1\0\nb: 2", "has a tab or another control character"),
            ("a:\tb", "has a tab or another control character"),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(parse(&deep).unwrap_err(), "is nested too deeply (line 1)");
    }
}
