//! Servers from git: found, fetched, made ready to run, registered, brought up to date and removed.
//!
//! `source` takes apart what was written, `clone` gets one commit, `detect` finds out how it is
//! started, `dependencies` makes it ready, `store` knows where it all lives. [`Installer`] puts them in
//! order and undoes everything if one of them fails: an installation is there as a whole or not at all.
//! Nothing is printed here; a [`Listener`] hears what happens. A running server is somebody else's: it
//! is registered in a configuration file, and whoever watches that file starts it, reloads it when an
//! update changes its folder, and stops it when it is removed.

mod changes;
mod clone;
mod dependencies;
mod detect;
mod error;
mod fetched;
mod installer;
mod plan;
mod progress;
mod registration;
mod removal;
mod source;
mod store;
mod update;
mod variables;

#[cfg(any(test, fuzzing))]
pub(crate) use clone::fuzz;
pub(crate) use clone::{WORKER_SUBCOMMAND, worker_main};
pub(crate) use error::InstallError;
pub(crate) use fetched::{Fetched, Proposal};
pub(crate) use installer::{Installed, Installer, Origin, Outcome, Request};
pub(crate) use progress::{Listener, Step};
pub(crate) use removal::{Removal, Removed};
pub(crate) use store::{Choices, Found};

#[cfg(test)]
#[path = "../../tests/integration/harness/git_server.rs"]
mod git_server;
#[cfg(test)]
mod tests;
