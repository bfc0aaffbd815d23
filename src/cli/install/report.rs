//! Reports of installations, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::Style;
use serde_json::{Value, json};

use crate::app::visit::{ServerVisit, VisitOutcome};
use crate::cli::table::TextTable;
use crate::config::shown_words;
use crate::install::{InstallOutcome, Installed, Removed, StoredServer};
use crate::output;
use crate::path_text::texts;

/// Returns a table of the installed servers.
pub(super) fn found_table(found: &[StoredServer]) -> String {
    let mut table = TextTable::new(["SERVER", "SOURCE", "COMMIT", "FOLDER", "ENTRY IN"]);
    for StoredServer { folder, record, .. } in found {
        let files = texts(&record.registered);
        let (name, source) = (record.name.clone(), record.source.clone());
        let commit = short(&record.commit).to_owned();
        table.row(
            Style::new(),
            [name, source, commit, shown(folder), files.join(", ")],
        );
    }
    table.text()
}

/// Returns the installed servers as one JSON object.
pub(super) fn found_json(found: &[StoredServer]) -> String {
    let server = |it: &StoredServer| {
        let record = &it.record;
        json!({
            "name": record.name,
            "source": record.source,
            "commit": record.commit,
            "reference": record.reference,
            "folder": it.folder.to_string_lossy(),
            "command": shown_words(&record.command),
            "registered": texts(&record.registered),
        })
    };
    let servers: Vec<Value> = found.iter().map(server).collect();
    format!("{}\n", json!({ "installed": servers }))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn installed_text(installed: &Installed) -> String {
    let Installed {
        name,
        commit,
        folder,
        ..
    } = installed;
    let at = match installed.reference.as_deref().map(plain) {
        Some(reference) => format!("{} ({reference})", short(commit)),
        None => short(commit).to_owned(),
    };
    let mut text = match (installed.outcome, &installed.before) {
        (InstallOutcome::Same, _) => format!("{name} is already up to date at {at}\n"),
        (InstallOutcome::Updated, Some(before)) => {
            format!("{name} updated from {} to {at}\n", short(before))
        }
        _ => format!("{name} installed at {at}\n"),
    };
    let _ = writeln!(text, "  folder    {}", folder.display());
    let line = shlex::try_join(installed.command.iter().map(String::as_str)).unwrap_or_default();
    let _ = writeln!(text, "  command   {}", output::clean(&line));
    for file in &installed.registered {
        let _ = writeln!(text, "  entry in  {}", file.display());
    }
    for backup in &installed.backups {
        let _ = writeln!(text, "  backup    {}", backup.display());
    }
    for note in &installed.notes {
        let _ = writeln!(text, "  note      {}", output::clean(note));
    }
    text
}

/// Returns an installation as JSON object. `visited` is empty if the server was not started.
pub(super) fn installed_json(installed: &Installed, visited: &[ServerVisit]) -> Value {
    let outcome = match installed.outcome {
        InstallOutcome::New => "installed",
        InstallOutcome::Same => "unchanged",
        InstallOutcome::Updated => "updated",
    };
    json!({
        "outcome": outcome,
        "name": installed.name,
        "source": installed.source,
        "commit": installed.commit,
        "before": installed.before,
        "reference": installed.reference,
        "folder": installed.folder.to_string_lossy(),
        "registered": texts(&installed.registered),
        "backups": texts(&installed.backups),
        "command": installed.command,
        "reason": installed.reason,
        "considered": installed.considered,
        "notes": installed.notes,
        "starts": visited.first().map(|it| matches!(it.outcome, VisitOutcome::Started { .. })),
    })
}

pub(super) fn removed_text(name: &str, removed: &Removed) -> String {
    let mut text = String::new();
    for file in &removed.unregistered {
        let _ = writeln!(text, "removed {name} from {}", file.display());
    }
    for backup in &removed.backups {
        let _ = writeln!(text, "  backup: {}", backup.display());
    }
    if let Some(folder) = &removed.deleted {
        let _ = writeln!(text, "deleted {}", folder.display());
    }
    if let Some(folder) = &removed.kept {
        let hint = match removed.notes[..] {
            [] => " (pass --delete-files to delete it)",
            _ => "",
        };
        let _ = writeln!(text, "kept {}{hint}", folder.display());
    }
    for note in &removed.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

pub(super) fn removed_json(name: &str, removed: &Removed) -> Value {
    json!({
        "name": name,
        "unregistered": texts(&removed.unregistered),
        "backups": texts(&removed.backups),
        "deleted": removed.deleted.as_deref().map(Path::to_string_lossy),
        "kept": removed.kept.as_deref().map(Path::to_string_lossy),
        "notes": removed.notes,
    })
}

/// Shortens a commit hash to 12 digits.
pub(super) fn short(commit: &str) -> &str {
    &commit[..commit.len().min(12)]
}

/// Returns the short name of a git reference: `main` for `refs/heads/main`.
pub(super) fn plain(reference: &str) -> &str {
    let branch = reference.strip_prefix("refs/heads/");
    branch
        .or_else(|| reference.strip_prefix("refs/tags/"))
        .unwrap_or(reference)
}
