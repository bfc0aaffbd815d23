//! Puts the proxy into the files of clients, and takes it out again.
//!
//! `clients` says where each client keeps its servers, `discovery` finds the files, `entries` reads their commands,
//! `plan` determines the entries to wrap in `mcp-proxy dev --` and what each would become, or `combining` the one entry
//! `mcp-proxy serve` in place of several. `wrapping` writes them, after `records` kept the text from before in the state
//! directory; `undoing` restores it. Nothing here starts a server: the caller proves a plan first.

mod application_data;
mod clients;
mod combining;
mod discovery;
mod entries;
mod plan;
mod records;
mod undoing;
mod wrapping;

#[cfg(test)]
#[cfg(unix)]
mod tests;

use crate::config::edit::EditError;
use crate::file_error::FileError;
use crate::state::StateError;

pub(crate) use clients::{CLIENTS, Scope};
pub(crate) use combining::ServersFile;
pub(crate) use entries::{ClientEntries, ClientEntry, entries};
pub(crate) use plan::{Plan, Proposal, Selection, Skipped, plan};
pub(crate) use records::{FOLDER as RECORDS, SetupRecord, records};
pub(crate) use undoing::{Restored, UndoError, undo};
pub(crate) use wrapping::wrap;

/// Reason why an entry was not wrapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("cannot name a backup: the system provides no randomness")]
    Random(#[from] getrandom::Error),
    #[error("server `{name}` in {file} has changed meanwhile; run setup again")]
    Changed { name: String, file: String },
    #[error(transparent)]
    File(#[from] FileError),
}
