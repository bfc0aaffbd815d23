//! Writes wrapped entries into the files of clients.

use std::path::{Path, PathBuf};

use super::SetupError;
use super::combining::{CombinedEntry, servers_text};
use super::plan::Proposal;
use super::records::{RecordedEntry, SetupRecord, WrappedServer};
use crate::config::edit::{self, ClientFile, EntryKind};
use crate::state::StateFolder;

/// Wraps or combines the entries, edit by edit; a record of the file's text precedes each edit. Returns the entries of
/// the edits that were made, and the errors of the others.
pub(crate) fn wrap<'p>(
    proposals: impl IntoIterator<Item = &'p Proposal>,
    folder: &StateFolder,
) -> (Vec<&'p Proposal>, Vec<SetupError>) {
    let mut edits: Vec<(PathBuf, Vec<&Proposal>)> = Vec::new();
    for proposal in proposals {
        let real = proposal.file.canonicalize();
        let real = real.unwrap_or_else(|_| proposal.file.clone());
        let is_same = |(file, known): &&mut (PathBuf, Vec<&Proposal>)| {
            *file == real && known[0].combined == proposal.combined
        };
        match edits.iter_mut().find(is_same) {
            Some((_, proposals)) => proposals.push(proposal),
            None => edits.push((real, vec![proposal])),
        }
    }
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for (_, proposals) in edits {
        match edit_file(&proposals, folder) {
            Ok(()) => done.extend(proposals),
            Err(error) => errors.push(error),
        }
    }
    (done, errors)
}

/// Wraps entries of one file, or combines them. An entry that another setup has wrapped meanwhile stays as it is.
fn edit_file(proposals: &[&Proposal], folder: &StateFolder) -> Result<(), SetupError> {
    let first = proposals[0];
    let file = std::path::absolute(&first.file).unwrap_or_else(|_| first.file.clone());
    let mut record = SetupRecord::new(first.client.id, file)?;
    let edit = |_: &Path, text: Option<&str>| {
        text.unwrap_or_default().clone_into(&mut record.before);
        record.after.clone_from(&record.before);
        record.servers.clear();
        match &first.combined {
            Some(combined) => combine(&mut record, proposals, combined)?,
            None => {
                for proposal in proposals {
                    wrap_one(&mut record, proposal)?;
                }
            }
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
fn wrap_one(record: &mut SetupRecord, proposal: &Proposal) -> Result<(), SetupError> {
    let Proposal { entry, words, .. } = proposal;
    let parsed = ClientFile::parse(&proposal.file, &record.after)?;
    match parsed.kind(entry) {
        Some(EntryKind::Command(now)) if now == proposal.before => {}
        Some(EntryKind::Command(now)) if now == proposal.after() => return Ok(()),
        _ => return Err(proposal.changed()),
    }
    record.after = parsed.wrapped(entry, words)?;
    record.servers.push(WrappedServer {
        entry: entry.clone(),
        words: words.clone(),
        args_added: !parsed.has_args(entry),
    });
    Ok(())
}

/// Replaces the entries by the combined one in the text of `record`.
fn combine(
    record: &mut SetupRecord,
    proposals: &[&Proposal],
    combined: &CombinedEntry,
) -> Result<(), SetupError> {
    let parsed = ClientFile::parse(&proposals[0].file, &record.after)?;
    for proposal in proposals {
        match parsed.kind(&proposal.entry) {
            Some(EntryKind::Command(now)) if now == proposal.before => {}
            _ => return Err(proposal.changed()),
        }
    }
    // Other settings of the servers may have changed since they were written there.
    let servers_text = servers_text(&parsed, proposals)?;
    if !combined.has_text(&servers_text)? {
        return Err(proposals[0].changed());
    }
    let names: Vec<String> = proposals.iter().map(|it| it.entry.name.clone()).collect();
    record.after = parsed.combined(&combined.entry, &proposals[0].words, &names)?;
    record.servers = proposals
        .iter()
        .map(|proposal| WrappedServer {
            entry: proposal.entry.clone(),
            words: Vec::new(),
            args_added: false,
        })
        .collect();
    record.combined = Some(RecordedEntry {
        entry: combined.entry.clone(),
        servers_file: combined.file.clone(),
        servers_text,
    });
    Ok(())
}
