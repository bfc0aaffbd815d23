//! `check --save` and `--against`: lists of servers as saved in a file, and their changes since.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::Style;
use serde::Serialize;

use super::super::CliError;
use super::super::table::TextTable;
use crate::app::visit::{ServerVisit, VisitOutcome};
use crate::contract::{Change, Class, changes};
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{List, ListKind};
use crate::output::clean;
use crate::output::palette::{BAD, GOOD, WARN};

/// Lists of servers as they were saved.
#[derive(Debug)]
pub(super) struct Baseline(String);

impl Baseline {
    /// Reads the file that [`save`] wrote.
    pub(super) fn read(file: &Path) -> Result<Self, CliError> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| CliError::Failure(format!("cannot read {name}: {error}")))?;
        match Members::of(text.trim()).get("servers") {
            Some(_) => Ok(Self(text)),
            None => Err(CliError::Failure(format!(
                "{name} has no saved lists; `mcp-proxy check --save` writes them"
            ))),
        }
    }

    /// Returns the lists of servers that were visited.
    pub(super) fn of(visited: &[ServerVisit]) -> Self {
        Self(saved(visited))
    }

    /// Returns the changes of a server's lists since, the gravest first; `None` if the file lacks the server. A list
    /// that one of the two sides lacks is not compared.
    pub(super) fn changes(&self, visited: &ServerVisit) -> Option<Vec<FoundChange>> {
        let VisitOutcome::Started { snapshot, .. } = &visited.outcome else {
            return Some(Vec::new());
        };
        let servers = Members::of(self.0.trim()).object("servers").to_string();
        let saved = Members::of(&servers);
        let lists = saved.get(&visited.server)?;
        let mut found: Vec<Change> = Vec::new();
        for kind in ListKind::ALL {
            let mut old = List::default();
            if let (Ok(_), Some(new)) = (old.add_page(kind, lists), snapshot.list(kind)) {
                found.extend(changes(kind, &old, new));
            }
        }
        found.sort_by_key(|it| std::cmp::Reverse(it.class));
        Some(found.into_iter().map(FoundChange::from).collect())
    }
}

/// Writes the lists of servers that started to a file.
pub(super) fn save(file: &Path, visited: &[ServerVisit]) -> Result<(), CliError> {
    std::fs::write(file, saved(visited))
        .map_err(|error| CliError::Failure(format!("cannot write {}: {error}", file.display())))
}

/// Returns the lists of servers that started as JSON, one entry per line.
fn saved(visited: &[ServerVisit]) -> String {
    let mut servers = Vec::new();
    for visit in visited {
        let VisitOutcome::Started { snapshot, .. } = &visit.outcome else {
            continue;
        };
        let lists = ListKind::ALL.into_iter().filter_map(|kind| {
            let entries = snapshot.list(kind)?.entries.iter();
            // White space between the tokens may contain line ends.
            let entries: Vec<String> = entries
                .map(|it| it.raw.replace(['\r', '\n'], " "))
                .collect();
            let separator = if entries.is_empty() { "" } else { "\n" };
            let entries = entries.join(",\n");
            Some(format!(
                "{}: [{separator}{entries}{separator}]",
                quoted(kind.member())
            ))
        });
        let lists: Vec<String> = lists.collect();
        servers.push(format!(
            "{}: {{\n{}\n}}",
            quoted(&visit.server),
            lists.join(",\n")
        ));
    }
    format!("{{\"servers\": {{\n{}\n}}}}\n", servers.join(",\n"))
}

/// Change as a JSON object.
#[derive(Debug, Serialize)]
pub(super) struct FoundChange {
    pub(super) class: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) text: String,
    #[serde(skip)]
    severity: Class,
}

impl From<Change> for FoundChange {
    fn from(change: Change) -> Self {
        Self {
            class: change.class.name(),
            kind: change.kind.entry_name(),
            name: change.name,
            text: change.text,
            severity: change.class,
        }
    }
}

impl FoundChange {
    /// Returns true if something that was valid is invalid now.
    pub(super) fn is_breaking(&self) -> bool {
        self.severity == Class::Breaking
    }
}

/// Counts the breaking changes: `2 breaking changes`.
pub(super) fn breaking(changes: &[FoundChange]) -> Option<String> {
    match changes.iter().filter(|it| it.is_breaking()).count() {
        0 => None,
        1 => Some("1 breaking change".to_owned()),
        count => Some(format!("{count} breaking changes")),
    }
}

/// Returns a coloured table of the changes since the state named `since`.
pub(super) fn lines(changes: &[FoundChange], since: &str) -> String {
    let mut text = String::new();
    if changes.is_empty() {
        let since = clean(since);
        let _ = writeln!(text, "  {GOOD}✓{GOOD:#} no changes since {since}");
        return text;
    }
    let mut table = TextTable::new(["CLASS", "KIND", "NAME", "CHANGE"]);
    for change in changes {
        let style = match change.severity {
            Class::Breaking => BAD,
            Class::Look => WARN,
            Class::Harmless => Style::new(),
        };
        let cells = [
            change.class.to_owned(),
            change.kind.to_owned(),
            change.name.clone(),
            change.text.clone(),
        ];
        table.row(style, cells);
    }
    table.text()
}
