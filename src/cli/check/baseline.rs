//! `check --save` and `--against`: lists of servers as saved in a file, and their changes since. Each part of a list
//! that is not compared is told, since silence would mean that nothing changed.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::Style;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::CliError;
use super::super::result_text::{message, raw};
use super::super::table::TextTable;
use super::report::failed_lists;
use crate::app::visit::{ServerVisit, VisitOutcome};
use crate::contract::{Change, Class, changes};
use crate::jsonrpc::{Members, quoted};
use crate::mcp::{List, ListKind};
use crate::output::clean;
use crate::output::palette::{BAD, GOOD, WARN};
use crate::server::Snapshot;

/// Kind of a change that concerns a server as a whole.
const SERVER: &str = "server";

/// Lists of servers as they were saved, each server with one of every kind.
#[derive(Debug)]
pub(super) struct Baseline(Vec<(String, [List; 4])>);

impl Baseline {
    /// Reads the file that [`save`] wrote. Refuses a file of which a part cannot be read, since that part would not be
    /// compared.
    pub(super) fn read(file: &Path) -> Result<Self, CliError> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| CliError::Failure(format!("cannot read {name}: {error}")))?;
        Self::parsed(&text).map_err(|why| {
            CliError::Failure(format!(
                "{name} {why}; restore the file, or write it anew with `mcp-proxy check --save`"
            ))
        })
    }

    /// Returns the lists of servers that were visited. The error says which list is missing.
    pub(super) fn of(visited: &[ServerVisit]) -> Result<Self, String> {
        Self::parsed(&saved(visited)?).map_err(|why| format!("the servers' answer {why}"))
    }

    /// Parses the text of a file. The error is a sentence fragment about the file.
    fn parsed(text: &str) -> Result<Self, String> {
        // Editors on Windows may begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        serde_json::from_str::<&RawValue>(text)
            .map_err(|error| format!("is not valid JSON: {error}"))?;
        let file = Members::of(text.trim());
        let servers = file.original("servers").filter(|it| it.starts_with('{'));
        let servers = Members::of(servers.ok_or("has no saved lists (the object `servers`)")?);
        let servers = servers.iter().map(|(name, saved)| {
            let mut lists = ListKind::ALL.map(|_| List::default());
            for (list, kind) in lists.iter_mut().zip(ListKind::ALL) {
                list.add_page(kind, saved).map_err(|_| {
                    format!(
                        "has no array `{}` of server `{}`",
                        kind.member(),
                        clean(&name)
                    )
                })?;
            }
            Ok((name.into_owned(), lists))
        });
        servers.collect::<Result<_, String>>().map(Self)
    }

    /// Adds servers whose lists are unknown, unless they are known.
    pub(super) fn add_names(&mut self, names: Vec<String>) {
        for name in names {
            if self.0.iter().all(|(known, _)| *known != name) {
                self.0.push((name, ListKind::ALL.map(|_| List::default())));
            }
        }
    }

    /// Returns the names of the servers.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| &**name).collect()
    }

    /// Returns the changes of a server's lists since, the gravest first. A list that the server does not give now is
    /// not compared, which is told.
    pub(super) fn changes(&self, server: &str, snapshot: &Snapshot) -> Vec<FoundChange> {
        let Some((_, lists)) = self.0.iter().find(|(name, _)| name == server) else {
            return vec![FoundChange::of_server(server, Class::Harmless, "is new")];
        };
        let none = List::default();
        let failed: Vec<ListKind> = failed_lists(snapshot).map(|(kind, _)| kind).collect();
        let changes = ListKind::ALL.into_iter().zip(lists).map(|(kind, old)| {
            if failed.contains(&kind) {
                return vec![Change {
                    kind,
                    name: kind.method().to_owned(),
                    class: Class::Look,
                    text: "is answered with an error, so that nothing is compared".to_owned(),
                }];
            }
            changes(kind, old, snapshot.list(kind).unwrap_or(&none))
        });
        in_order(changes.flatten())
    }

    /// Returns the servers that are not `present` any more, each with the change that its entries are gone.
    pub(super) fn gone(&self, present: &[ServerVisit]) -> Vec<(&str, Vec<FoundChange>)> {
        let is_gone = |name: &str| present.iter().all(|it| it.server != name);
        let gone = self.0.iter().filter(|(name, _)| is_gone(name));
        let with_changes = gone.map(|(name, lists)| {
            let mut all = vec![FoundChange::of_server(name, Class::Breaking, "is gone")];
            let lists = ListKind::ALL.into_iter().zip(lists);
            all.extend(in_order(
                lists.flat_map(|(kind, old)| changes(kind, old, &List::default())),
            ));
            (&**name, all)
        });
        with_changes.collect()
    }
}

/// Returns the changes, the gravest first.
fn in_order(changes: impl Iterator<Item = Change>) -> Vec<FoundChange> {
    let mut found: Vec<Change> = changes.collect();
    found.sort_by_key(|it| std::cmp::Reverse(it.class));
    found.into_iter().map(FoundChange::from).collect()
}

/// Writes the lists of servers that started to a file. Leaves the file as it is if a list is missing, because a later
/// check would find no change of it.
pub(super) fn save(file: &Path, visited: &[ServerVisit]) -> Result<(), CliError> {
    let name = file.display();
    let not_saved = |why| CliError::Failure(format!("nothing is saved to {name}: {why}"));
    let text = saved(visited).map_err(not_saved)?;
    Baseline::of(visited).map_err(not_saved)?;
    std::fs::write(file, text)
        .map_err(|error| CliError::Failure(format!("cannot write {name}: {error}")))
}

/// Returns the lists of servers that started as JSON, one entry per line. The error names a list that is missing.
fn saved(visited: &[ServerVisit]) -> Result<String, String> {
    let mut servers = Vec::new();
    for visit in visited {
        let VisitOutcome::Started { snapshot, .. } = &visit.outcome else {
            continue;
        };
        if let Some((kind, error)) = failed_lists(snapshot).next() {
            return Err(format!(
                "`{}` answered `{}` with {}",
                clean(&visit.server),
                kind.method(),
                message(raw(error).as_deref())
            ));
        }
        let lists = ListKind::ALL.into_iter().map(|kind| {
            let entries = snapshot.list(kind).map_or(&[][..], |list| &list.entries);
            // White space between the tokens may contain line ends.
            let entries: Vec<String> = entries
                .iter()
                .map(|it| it.raw.replace(['\r', '\n'], " "))
                .collect();
            let separator = if entries.is_empty() { "" } else { "\n" };
            let entries = entries.join(",\n");
            format!(
                "{}: [{separator}{entries}{separator}]",
                quoted(kind.member())
            )
        });
        let lists: Vec<String> = lists.collect();
        servers.push(format!(
            "{}: {{\n{}\n}}",
            quoted(&visit.server),
            lists.join(",\n")
        ));
    }
    Ok(format!(
        "{{\"servers\": {{\n{}\n}}}}\n",
        servers.join(",\n")
    ))
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
    fn of_server(name: &str, class: Class, text: &str) -> Self {
        Self {
            class: class.name(),
            kind: SERVER,
            name: name.to_owned(),
            text: text.to_owned(),
            severity: class,
        }
    }

    /// Returns true if the change is one of the server itself, not of an entry of its lists.
    pub(super) fn is_of_server(&self) -> bool {
        self.kind == SERVER
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_which_a_part_cannot_be_read_is_refused() {
        let lists = |tools: &str| {
            format!(
                r#"{{"servers": {{"a": {{"tools": {tools}, "prompts": [],
                "resources": [], "resourceTemplates": []}}}}}}"#
            )
        };
        for sound in [
            lists("[]"),
            format!("\u{feff}\r\n{}\r\n", lists(r#"[{"name":"t","d":1E400}]"#)),
            r#"{"servers":{}}"#.to_owned(),
        ] {
            assert!(Baseline::parsed(&sound).is_ok(), "{sound}");
        }
        let conflict = lists("[\n<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> main\n]");
        for (damaged, why) in [
            (
                lists("[{},,{}]"),
                "is not valid JSON: expected value at line 1",
            ),
            (conflict, "is not valid JSON: expected value at line 2"),
            (lists("[] 1"), "is not valid JSON"),
            (lists("["), "is not valid JSON"),
            (lists("{}"), "has no array `tools` of server `a`"),
            (
                lists("[]").replace("prompts", "prompt"),
                "has no array `prompts` of server `a`",
            ),
            (
                r#"{"servers":{"a":1}}"#.to_owned(),
                "has no array `tools` of server `a`",
            ),
            (r#"{"servers":[]}"#.to_owned(), "has no saved lists"),
            (r#"{"server":{}}"#.to_owned(), "has no saved lists"),
            (String::new(), "is not valid JSON"),
        ] {
            let error = Baseline::parsed(&damaged).unwrap_err();
            assert!(error.starts_with(why), "{error}: {damaged}");
        }
    }
}
