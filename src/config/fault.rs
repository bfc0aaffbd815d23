//! Errors in configuration files, displayed with file, line, caret and advice.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::location::{ConfigFile, FileSpan};
use super::masking::{masked_line, visible};
use crate::suggestions::nearest;

/// Maximum number of characters of a line that are displayed.
const SHOWN_CHARS: usize = 240;

/// Error in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Server that the fault disables; `None` if no single server is affected.
    pub(crate) server: Option<String>,
    message: String,
    help: Option<String>,
    at: FileSpan,
    /// Whether the file was parsed, so that names in the displayed line are distinguishable from values.
    is_read: bool,
}

impl Fault {
    pub(super) fn new(at: &FileSpan, message: impl Into<String>) -> Self {
        Self {
            server: None,
            message: message.into().chars().map(visible).collect(),
            help: None,
            at: at.clone(),
            is_read: true,
        }
    }

    /// Creates a fault for a file that is not valid TOML or JSON.
    pub(super) fn unreadable(at: &FileSpan, message: impl Into<String>) -> Self {
        Self {
            is_read: false,
            ..Self::new(at, message)
        }
    }

    /// Creates a fault for a whole file.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        let source = Arc::new(ConfigFile {
            path: path.to_owned(),
            text: String::new(),
        });
        Self::new(&FileSpan::new(&source, 0..0), message)
    }

    pub(super) fn of(mut self, server: Option<&str>) -> Self {
        self.server = server.map(str::to_owned);
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().chars().map(visible).collect());
        self
    }

    /// Adds the candidate most similar to `word` as advice, if one is similar enough.
    pub(super) fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(word, candidates).first() {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// Returns the path of the faulty file.
    pub(super) fn path(&self) -> &Path {
        &self.at.source.path
    }

    /// Whether the fault lies within `at`.
    pub(super) fn is_in(&self, at: &FileSpan) -> bool {
        self.at.source == at.source
            && at.span.start <= self.at.span.start
            && self.at.span.end <= at.span.end
    }

    /// Returns the byte offset in the file, for sorting.
    pub(super) fn order(&self) -> usize {
        self.at.span.start
    }
}

/// Returns the part of a line around `column` that is displayed, and the column in it; both columns count from 1.
fn around_column(line: &str, column: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= SHOWN_CHARS {
        return (line.to_owned(), column);
    }
    let start = column
        .saturating_sub(SHOWN_CHARS / 2)
        .min(length - SHOWN_CHARS);
    let shown = line.chars().skip(start).take(SHOWN_CHARS);
    let (before, after) = (start > 0, start + SHOWN_CHARS < length);
    let mark = |is_cut: bool| if is_cut { "…" } else { "" };
    let shown = format!(
        "{}{}{}",
        mark(before),
        shown.collect::<String>(),
        mark(after)
    );
    (shown, column - start + usize::from(before))
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.at.source.path.display();
        let text = masked_line(self.at.line(), self.is_read && !self.at.is_in_long_string());
        write!(f, "{}", self.message)?;
        if text.is_empty() && self.at.span.is_empty() {
            write!(f, "\n --> {path}")?;
        } else {
            let (line, column) = self.at.line_and_column();
            let margin = line.to_string().len();
            let (text, shown_column) = around_column(&text, column);
            // Keeps tabs, so that the caret aligns with the marked text.
            let indent: String = text
                .chars()
                .take(shown_column - 1)
                .map(|c| if c == '\t' { c } else { ' ' })
                .collect();
            let pointed = self.at.text().lines().next().unwrap_or_default();
            let room = (text.chars().count() + 1).saturating_sub(shown_column);
            let carets = "^".repeat(pointed.chars().count().min(room).max(1));
            write!(f, "\n{:margin$}--> {path}:{line}:{column}", "")?;
            write!(f, "\n{:margin$} |", "")?;
            write!(f, "\n{line} | {text}")?;
            write!(f, "\n{:margin$} | {indent}{carets}", "")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  = help: {help}")?;
        }
        Ok(())
    }
}
