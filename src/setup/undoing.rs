//! Restores the files of clients from records.

use std::path::{Path, PathBuf};

use super::records::{RecordedEntry, SetupRecord};
use crate::config::edit::{self, ClientFile, EditError, EntryKind};
use crate::config::is_own;
use crate::state::{StateError, StateFolder};

/// Outcome of an undo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// The file has its bytes from before.
    File,
    /// The file has changed since; only these servers were restored.
    Servers(Vec<String>),
}

/// Reason why a file was not restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    #[error("{} has changed since setup; --keep-changes restores only the servers in it", .0.display())]
    Changed(PathBuf),
    #[error("{} no longer exists; --keep-changes forgets it", .0.display())]
    Gone(PathBuf),
    #[error(
        "the servers in {} have changed since setup; --keep-changes restores them as they were, and keeps the file",
        .0.display()
    )]
    ServersChanged(PathBuf),
    #[error(
        "server `{name}` in {} still runs through mcp-proxy, in a way that undo does not know: restore its command by hand",
        .file.display()
    )]
    StillWrapped { name: String, file: PathBuf },
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Restores the file of `record` and removes the record. A file that has changed since is an error; with `keep_changes`,
/// only the servers' commands are restored there, of those servers that still run through the proxy.
pub(crate) fn undo(
    record: &SetupRecord,
    folder: &StateFolder,
    keep_changes: bool,
) -> Result<Restored, UndoError> {
    let file = &record.file;
    let combined = record.combined.as_ref();
    if let Some(changed) = combined.filter(|it| !keep_changes && it.is_changed()) {
        return Err(UndoError::ServersChanged(changed.servers_file.clone()));
    }
    let mut restored = Restored::File;
    let edit = |_: &Path, text: Option<&str>| match text {
        Some(text) if text == record.after => Ok(Some(record.before.clone())),
        // Setup was interrupted before the edit, or somebody undid it by hand.
        Some(text) if text == record.before => Ok(None),
        Some(_) if !keep_changes => Err(UndoError::Changed(file.clone())),
        Some(text) => {
            let (text, servers) = match combined {
                Some(combined) => separated(record, combined, text)?,
                None => without_words(record, text)?,
            };
            restored = Restored::Servers(servers);
            Ok(Some(text))
        }
        None if keep_changes => {
            restored = Restored::Servers(Vec::new());
            Ok(None)
        }
        None => Err(UndoError::Gone(file.clone())),
    };
    if file.parent().is_some_and(Path::is_dir) {
        edit::rewrite(file, edit)?;
    } else if keep_changes {
        restored = Restored::Servers(Vec::new());
    } else {
        return Err(UndoError::Gone(file.clone()));
    }
    let is_unused =
        |it: &&RecordedEntry| restored != Restored::Servers(Vec::new()) && !it.is_changed();
    if let Some(unused) = combined.filter(is_unused) {
        let _ = std::fs::remove_file(&unused.servers_file);
    }
    folder.remove(&record.name)?;
    Ok(restored)
}

/// Returns `text` with the servers in place of the combined entry, and their names; no names if the entry is gone.
fn separated(
    record: &SetupRecord,
    combined: &RecordedEntry,
    text: &str,
) -> Result<(String, Vec<String>), UndoError> {
    let parsed = ClientFile::parse(&record.file, text)?;
    let file = combined.servers_file.to_string_lossy();
    let is_ours = |words: &[String]| {
        is_own(&words[0], &words[1..], None) && words.iter().any(|word| *word == file)
    };
    match parsed.kind(&combined.entry) {
        Some(EntryKind::Command(now)) if is_ours(&now) => {
            let before = ClientFile::parse(&record.file, &record.before)?;
            let names = record.servers.iter().map(|it| it.entry.name.clone());
            let names: Vec<String> = names.collect();
            let text = parsed.separated(&combined.entry, &before, &names)?;
            Ok((text, names))
        }
        _ => Ok((text.to_owned(), Vec::new())),
    }
}

/// Returns `text` with the commands of the servers from before, and the names of the servers that were restored. Returns
/// an error if one of the others still needs its record.
fn without_words(record: &SetupRecord, text: &str) -> Result<(String, Vec<String>), UndoError> {
    let (mut text, mut restored) = (text.to_owned(), Vec::new());
    for server in record.servers.iter().rev() {
        let parsed = ClientFile::parse(&record.file, &text)?;
        let unwrapped = parsed.unwrapped(&server.entry, &server.words, server.args_added)?;
        if let Some(unwrapped) = unwrapped {
            text = unwrapped;
            restored.push(server.entry.name.clone());
        } else if let Some(EntryKind::Command(now)) = parsed.kind(&server.entry)
            && is_own(&now[0], &now[1..], None)
        {
            return Err(UndoError::StillWrapped {
                name: server.entry.name.clone(),
                file: record.file.clone(),
            });
        }
    }
    restored.reverse();
    Ok((text, restored))
}
