//! Text of a configuration file and positions in it, for faults and `config show --origin`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Configuration file and its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl ConfigFile {
    /// Returns the base directory of relative paths: the file's directory, or the one above `.vscode` and similar.
    pub(super) fn base(&self) -> &Path {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match folder.file_name().and_then(|name| name.to_str()) {
            Some(
                ".vscode" | ".cursor" | ".gemini" | ".codex" | ".zed" | ".roo" | ".claude-plugin",
            ) => folder.parent().unwrap_or(folder),
            _ => folder,
        }
    }
}

/// Span of a file, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSpan {
    pub(super) source: Arc<ConfigFile>,
    pub(super) span: Range<usize>,
}

impl FileSpan {
    pub(super) fn new(source: &Arc<ConfigFile>, span: Range<usize>) -> Self {
        let source = Arc::clone(source);
        Self { source, span }
    }

    /// Returns the first occurrence of `part` in the span, or the whole span, since escapes may hide the part.
    pub(super) fn part(&self, part: &str) -> Self {
        let start = self.text().find(part).map(|at| self.span.start + at);
        start.map_or_else(
            || self.clone(),
            |start| Self::new(&self.source, start..start + part.len()),
        )
    }

    /// Returns the text of the span.
    pub(super) fn text(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Returns line and column of the start, both from 1; the column counts characters.
    pub(super) fn line_and_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// Whether the line with the start of the span continues a multi-line TOML string.
    pub(super) fn is_in_long_string(&self) -> bool {
        let before = &self.source.text[..self.span.start];
        let before = &before[..before.rfind('\n').map_or(0, |at| at + 1)];
        ["\"\"\"", "\'\'\'"]
            .iter()
            .any(|quotes| before.matches(quotes).count() % 2 == 1)
    }

    /// Returns the whole line with the start of the span.
    pub(super) fn line(&self) -> &str {
        let (line, _) = self.line_and_column();
        self.source.text.lines().nth(line - 1).unwrap_or_default()
    }
}

/// Value with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: FileSpan,
}

impl Located<String> {
    /// Returns the key `name` at the same position.
    pub(super) fn named(&self, name: &str) -> Self {
        Self {
            value: name.to_owned(),
            at: self.at.clone(),
        }
    }
}

/// Returns the values without positions.
pub(super) fn values(all: &[Located<String>]) -> impl Iterator<Item = &str> {
    all.iter().map(|it| it.value.as_str())
}
