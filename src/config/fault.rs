//! What is wrong in a configuration file, and how a person is told: place, line, caret, advice.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::masking::{masked_line, visible};
use super::source::{At, Source};
use crate::near::nearest;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The server that cannot be used for it; `None` concerns the file.
    pub(crate) server: Option<String>,
    message: String,
    help: Option<String>,
    at: At,
    /// Whether the file was parsed, so that names in the line can be told from values.
    is_read: bool,
}

impl Fault {
    pub(super) fn new(at: &At, message: impl Into<String>) -> Self {
        Self {
            server: None,
            message: message.into().chars().map(visible).collect(),
            help: None,
            at: at.clone(),
            is_read: true,
        }
    }

    /// The file is no TOML or JSON.
    pub(super) fn unreadable(at: &At, message: impl Into<String>) -> Self {
        Self {
            is_read: false,
            ..Self::new(at, message)
        }
    }

    /// One that concerns a whole file.
    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text: String::new(),
        });
        Self::new(&At::new(&source, 0..0), message)
    }

    pub(super) fn of(mut self, server: Option<&str>) -> Self {
        self.server = server.map(str::to_owned);
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().chars().map(visible).collect());
        self
    }

    /// Advises the candidate that `word` was probably meant to be, if there is one.
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

    /// The file it is in.
    pub(super) fn path(&self) -> &Path {
        &self.at.source.path
    }

    /// Whether it lies within `at`.
    pub(super) fn is_in(&self, at: &At) -> bool {
        self.at.source == at.source
            && at.span.start <= self.at.span.start
            && self.at.span.end <= at.span.end
    }

    /// Where it stands, for putting faults in order.
    pub(super) fn order(&self) -> usize {
        self.at.span.start
    }
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
            // A tab stays a tab, so that the caret stands below what it points at.
            let indent: String = text
                .chars()
                .take(column - 1)
                .map(|c| if c == '\t' { c } else { ' ' })
                .collect();
            let pointed = self.at.text().lines().next().unwrap_or_default();
            let carets = "^".repeat(pointed.chars().count().max(1));
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
