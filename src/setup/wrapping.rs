//! Writes wrapped entries into the files of clients.

use std::path::{Path, PathBuf};

use super::SetupError;
use super::plan::Proposal;
use super::records::{SetupRecord, WrappedServer};
use crate::config::edit::{self, ClientFile, EntryKind};
use crate::state::StateFolder;

/// Wraps the entries, file by file; a record of each file's text precedes the edit. Stops at the first error, and
/// returns the entries of the files edited until then.
pub(crate) fn wrap<'p>(
    proposals: impl IntoIterator<Item = &'p Proposal>,
    folder: &StateFolder,
) -> (Vec<&'p Proposal>, Result<(), SetupError>) {
    let mut files: Vec<(PathBuf, Vec<&Proposal>)> = Vec::new();
    for proposal in proposals {
        let real = proposal.file.canonicalize();
        let real = real.unwrap_or_else(|_| proposal.file.clone());
        match files.iter_mut().find(|(file, _)| *file == real) {
            Some((_, proposals)) => proposals.push(proposal),
            None => files.push((real, vec![proposal])),
        }
    }
    let mut done = Vec::new();
    for (_, proposals) in files {
        match wrap_in_file(&proposals, folder) {
            Ok(()) => done.extend(proposals),
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// Wraps entries of one file. An entry that another setup has wrapped meanwhile stays as it is.
fn wrap_in_file(proposals: &[&Proposal], folder: &StateFolder) -> Result<(), SetupError> {
    let first = proposals[0];
    let file = std::path::absolute(&first.file).unwrap_or_else(|_| first.file.clone());
    let mut record = SetupRecord::new(first.client.id, file)?;
    let edit = |_: &Path, text: Option<&str>| {
        text.unwrap_or_default().clone_into(&mut record.before);
        record.after.clone_from(&record.before);
        record.servers.clear();
        for proposal in proposals {
            edit_one(&mut record, proposal)?;
        }
        if record.servers.is_empty() {
            return Ok(None);
        }
        record.write(folder)?;
        Ok(Some(record.after.clone()))
    };
    let edited = edit::rewrite(&first.file, edit);
    // A write that failed halfway leaves the record as the only copy; one without an edit is harmless, since undo
    // recognises it.
    let is_untouched = || std::fs::read_to_string(&first.file).is_ok_and(|it| it == record.before);
    if edited.is_err() && is_untouched() {
        let _ = folder.remove(&record.name);
    }
    edited
}

/// Wraps one entry in the text of `record`.
fn edit_one(record: &mut SetupRecord, proposal: &Proposal) -> Result<(), SetupError> {
    let Proposal { entry, words, .. } = proposal;
    let parsed = ClientFile::parse(&proposal.file, &record.after)?;
    match parsed.kind(entry) {
        Some(EntryKind::Command(now)) if now == proposal.before => {}
        Some(EntryKind::Command(now)) if now == proposal.after() => return Ok(()),
        _ => {
            return Err(SetupError::Changed {
                name: entry.name.clone(),
                file: proposal.file.display().to_string(),
            });
        }
    }
    record.after = parsed.wrapped(entry, words)?;
    record.servers.push(WrappedServer {
        entry: entry.clone(),
        words: words.clone(),
        args_added: !parsed.has_args(entry),
    });
    Ok(())
}
