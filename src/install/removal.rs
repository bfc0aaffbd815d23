//! Takes a server out of the configuration, and its files off the disk if that is wanted; in two halves, so that
//! somebody can be asked in between.

use std::path::{Path, PathBuf};

use super::InstallError;
use super::installer::{Installer, Origin};
use super::store::Found;
use super::update::unchanged;
use crate::config::edit;

/// A server that is going to be removed; nothing is done yet.
#[derive(Debug)]
pub(crate) struct Removal {
    installer: Installer,
    name: String,
    /// The configuration files that have it.
    files: Vec<PathBuf>,
    /// What was installed for it.
    found: Option<Found>,
    delete_files: bool,
    /// Decided before anybody was asked.
    deletes: bool,
    force: bool,
}

/// What was removed, no more and no less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The configuration files that had the server.
    pub(crate) unregistered: Vec<PathBuf>,
    /// What these were before, in the same order.
    pub(crate) backups: Vec<PathBuf>,
    /// The folder that is gone.
    pub(crate) deleted: Option<PathBuf>,
    /// The folder that is still there.
    pub(crate) kept: Option<PathBuf>,
    /// What a person should know besides.
    pub(crate) notes: Vec<String>,
}

impl Installer {
    /// Finds a server of this configuration that is to be removed; with `delete_files` also what was installed for it,
    /// unless another configuration has it too. Files that somebody has changed are an error unless `force`.
    pub(crate) async fn removal(
        &self,
        name: &str,
        delete_files: bool,
        force: bool,
        origin: Origin,
    ) -> Result<Removal, InstallError> {
        let (installer, name) = (self.clone(), name.to_owned());
        self.in_background(move || {
            let removal = installer.removal_blocking(name, delete_files, force, origin)?;
            match (&removal.found, removal.deletes()) {
                (Some(found), Some(_)) if !force => unchanged(&found.record, &found.folder)?,
                _ => {}
            }
            Ok(removal)
        })
        .await
    }

    fn removal_blocking(
        &self,
        name: String,
        delete_files: bool,
        force: bool,
        origin: Origin,
    ) -> Result<Removal, InstallError> {
        if origin == Origin::Tool {
            self.check_enabled()?;
        }
        edit::check_all(&self.around)?;
        let files = edit::places_of(&self.around, &name);
        let found = match self.find(&name) {
            // The entry of a server that nobody installed can be removed as well.
            Err(InstallError::Unknown(_)) if !files.is_empty() => None,
            // It was installed for others, and what is configured here has only the name.
            Ok(found) if !files.is_empty() && !is_registered(&found, &files) => None,
            found => Some(found?),
        };
        if let (Origin::Tool, Some(found)) = (origin, &found) {
            self.check_allowed(&found.record.source()?)?;
        }
        let here = |file: &PathBuf| files.contains(file) || !may_have(file, &name);
        let only_here = |found: &Found| found.record.registered.iter().all(here);
        let deletes = delete_files && found.as_ref().is_some_and(only_here);
        Ok(Removal {
            installer: self.clone(),
            name,
            files,
            found,
            delete_files,
            deletes,
            force,
        })
    }
}

impl Removal {
    /// The configuration files that have the server.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Where the server was installed from, and the commit; nothing if it was not installed.
    pub(crate) fn installed(&self) -> Option<(&str, &str)> {
        let record = &self.found.as_ref()?.record;
        Some((&record.source, &record.commit))
    }

    /// The folder that will be deleted.
    pub(crate) fn deletes(&self) -> Option<&Path> {
        let found = self.found.as_ref().filter(|_| self.deletes)?;
        Some(&found.folder)
    }

    /// Whether changed files are deleted too.
    pub(crate) fn is_forced(&self) -> bool {
        self.force
    }

    /// Removes it. Whoever runs the server stops it when its entry is gone.
    pub(crate) async fn finish(self) -> Result<Removed, InstallError> {
        let installer = self.installer.clone();
        installer
            .in_background(move || self.finish_blocking())
            .await
    }

    fn finish_blocking(self) -> Result<Removed, InstallError> {
        let Self {
            installer,
            name,
            files,
            found,
            delete_files,
            deletes,
            force: _,
        } = self;
        let mut removed = Removed {
            unregistered: Vec::new(),
            backups: Vec::new(),
            deleted: None,
            kept: None,
            notes: Vec::new(),
        };
        let slot = found.as_ref().map(Found::hold).transpose()?;
        for file in files {
            let keep = |text: &str| installer.store.back_up(&name, &file, text);
            if let Some(backup) = edit::remove(&file, &name, keep)? {
                removed.backups.push(backup);
                removed.unregistered.push(file);
            }
        }
        let (Some(found), Some(slot)) = (found, slot) else {
            removed.notes.push(format!(
                "`{name}` was written by hand and not installed by mcp-proxy, so no files were deleted"
            ));
            return Ok(removed);
        };
        let mut record = found.record;
        record
            .registered
            .retain(|file| !removed.unregistered.contains(file) && may_have(file, &name));
        if let (true, Some(file)) = (delete_files, record.registered.first()) {
            let file = file.display();
            removed.notes.push(format!(
                "{file} has `{name}` too, so the files were not deleted"
            ));
        }
        if !deletes || !record.registered.is_empty() {
            slot.write(&record)?;
            removed.kept = Some(found.folder);
            return Ok(removed);
        }
        removed.deleted = Some(slot.discard()?);
        Ok(removed)
    }
}

/// Whether a configuration file has the server, or is broken so that nobody knows.
fn may_have(file: &Path, name: &str) -> bool {
    edit::has(file, name) || edit::check(file).is_err()
}

fn is_registered(found: &Found, files: &[PathBuf]) -> bool {
    found
        .record
        .registered
        .iter()
        .any(|file| files.contains(file))
}
