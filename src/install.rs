//! Servers from git: fetches, prepares, registers, updates and removes them.
//!
//! `source` parses the source text, `clone` fetches one commit, `detect` finds the start command, `dependencies`
//! prepares the server, `store` manages the folders. [`Installer`] runs these steps in order and undoes all of them if
//! one fails: an installation is complete or absent. This module prints nothing; it reports progress to a [`StepListener`].
//! It does not run servers either: it registers a server in a configuration file, and the process that watches this
//! file starts the server, reloads it when an update changes its folder, and stops it when it is removed.

mod changes;
mod clone;
mod containment;
mod dependencies;
mod detect;
mod error;
mod fetch;
mod fetched;
mod git_path;
mod installer;
mod plan;
mod progress;
mod registration;
mod removal;
mod request;
mod slot_cleanup;
mod source;
mod store;
mod update;
mod variables;

#[cfg(any(test, fuzzing))]
pub(crate) use clone::fuzz;
pub(crate) use clone::{WORKER_SUBCOMMAND, worker_main};
pub(crate) use error::InstallError;
#[cfg(test)]
pub(crate) use fetched::RequestedVariable;
pub(crate) use fetched::{FetchedServer, InstallSummary};
pub(crate) use installer::Installer;
pub(crate) use progress::{InstallStep, StepListener};
pub(crate) use removal::{Removal, Removed};
pub(crate) use request::{InstallOutcome, InstallRequest, Installed, RequestOrigin};
pub(crate) use store::{StartSettings, StoredServer};

#[cfg(test)]
#[path = "../tests/integration/harness/git_server.rs"]
mod git_server;
#[cfg(test)]
#[cfg(unix)]
mod tests;
