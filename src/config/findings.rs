//! Faults and notes about the file that is read.

use super::fault::Fault;
use super::location::{FileSpan, Located};
use super::masking::visible;
use super::node::{Node, Value};

/// Name of the outermost section in messages.
pub(super) const WHOLE_FILE: &str = "the file";

/// Message that does not prevent a server from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// Server that the note concerns.
    pub(super) server: Option<String>,
    pub(super) text: String,
}

/// Collects faults and notes.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    pub(super) faults: &'a mut Vec<Fault>,
    pub(super) notes: &'a mut Vec<Note>,
    /// Server being read, which the added faults and notes concern.
    pub(super) server: Option<String>,
}

impl Findings<'_> {
    /// Adds a fault of the server being read.
    pub(super) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault.of(self.server.as_deref()));
    }

    /// Adds a note with the position that it concerns.
    pub(super) fn note(&mut self, at: &FileSpan, text: &str) {
        let ((line, column), path) = (at.line_and_column(), at.source.path.display());
        let text = format!("{text} ({path}:{line}:{column})");
        let text = text.chars().map(visible).collect();
        let server = self.server.clone();
        self.notes.push(Note { server, text });
    }

    /// Adds the fault that `node`, named `what`, is not of the type `expected`.
    pub(super) fn wrong(&mut self, what: &str, node: &Node, expected: &str) {
        let quoted = if what == WHOLE_FILE {
            what.to_owned()
        } else {
            format!("`{what}`")
        };
        let message = format!("{quoted} must be {expected}, not {}", node.kind());
        self.fault(Fault::new(&node.at, message));
    }

    /// Returns the entries of the table `node`, named `what`; any other value is a fault.
    pub(super) fn entries<'n>(
        &mut self,
        what: &str,
        node: &'n Node,
    ) -> Option<&'n [(Located<String>, Node)]> {
        if let Value::Table(entries) = &node.value {
            return Some(entries);
        }
        self.wrong(what, node, "a table");
        None
    }
}
