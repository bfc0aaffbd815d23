//! Removes a server from the configuration and, on request, its files from the disk; in two halves, so that a person
//! can be asked in between.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::InstallError;
use super::changes::{ChangedFiles, changed_files, unchanged};
use super::installer::Installer;
use super::request::RequestOrigin;
use super::store::{StoreSlot, StoredServer};
use crate::config::edit;

/// Planned removal of a server; no change is made yet.
#[derive(Debug)]
pub(crate) struct Removal {
    installer: Installer,
    name: String,
    /// Configuration files that have the server.
    files: Vec<PathBuf>,
    /// Its installation, if any.
    found: Option<StoredServer>,
    /// True if the entry starts mcp-proxy itself.
    is_own: bool,
    delete_files: bool,
    /// True if the files will be deleted; decided before a person is asked.
    deletes: bool,
    /// Changed files that are deleted, with `force`.
    lost: ChangedFiles,
    /// Advice for a person or model that wants changed files deleted.
    insist: &'static str,
}

/// Result of a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Configuration files that had the server.
    pub(crate) unregistered: Vec<PathBuf>,
    /// Backups of these files, in the same order.
    pub(crate) backups: Vec<PathBuf>,
    /// Deleted folder.
    pub(crate) deleted: Option<PathBuf>,
    /// Folder that was kept.
    pub(crate) kept: Option<PathBuf>,
    /// Further notes for a person.
    pub(crate) notes: Vec<String>,
}

impl Installer {
    /// Plans the removal of a server of this configuration; with `delete_files` also of its installation, unless
    /// another configuration has it too. Files changed or added since the preparation are an error without `force`.
    pub(crate) async fn removal(
        &self,
        name: &str,
        delete_files: bool,
        force: bool,
        origin: RequestOrigin,
    ) -> Result<Removal, InstallError> {
        let (installer, name) = (self.clone(), name.to_owned());
        self.in_background(move || {
            let mut removal = installer.removal_blocking(name, delete_files, origin)?;
            if let Some(found) = removal.found.as_ref().filter(|_| removal.deletes) {
                if force {
                    removal.lost = changed_files(found.folders());
                } else {
                    unchanged(&removal.name, found.folders(), removal.insist)?;
                }
            }
            Ok(removal)
        })
        .await
    }

    fn removal_blocking(
        &self,
        name: String,
        delete_files: bool,
        origin: RequestOrigin,
    ) -> Result<Removal, InstallError> {
        if origin == RequestOrigin::Tool {
            self.check_enabled()?;
        }
        edit::check_all(&self.around)?;
        let is_own = self.check_own(&name, origin)?;
        let files = edit::places_of(&self.around, &name);
        let found = match self.find(&name) {
            // The entry of a server that was not installed can be removed as well.
            Err(InstallError::Unknown(_)) if !files.is_empty() => None,
            // It was installed for other configurations; the entry here only shares its name.
            Ok(found) if !files.is_empty() && !found.is_in(&files) => None,
            found => Some(found?),
        };
        if let (RequestOrigin::Tool, Some(found)) = (origin, &found) {
            self.check_allowed(&found.record.source()?)?;
        }
        let here = |file: &PathBuf| files.contains(file) || !may_have(file, &name);
        let only_here = |found: &StoredServer| found.record.registered.iter().all(here);
        let deletes = delete_files && found.as_ref().is_some_and(only_here);
        Ok(Removal {
            installer: self.clone(),
            name,
            files,
            found,
            is_own,
            delete_files,
            deletes,
            lost: ChangedFiles::new(),
            insist: match origin {
                RequestOrigin::Tool => "repeat with `force`",
                RequestOrigin::Person { .. } => "repeat with --force",
            },
        })
    }
}

impl Removal {
    /// Returns the configuration files that have the server.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Returns the source and commit of the server; `None` if it was not installed.
    pub(crate) fn installed(&self) -> Option<(&str, &str)> {
        let record = &self.found.as_ref()?.record;
        Some((&record.source, &record.commit))
    }

    /// Returns the folder that will be deleted, with all commits in it.
    pub(crate) fn deletes(&self) -> Option<&Path> {
        let found = self.found.as_ref().filter(|_| self.deletes)?;
        Some(found.slot())
    }

    /// Returns the changed files that are deleted too.
    pub(crate) fn lost(&self) -> &ChangedFiles {
        &self.lost
    }

    /// Removes the server. The process that runs it stops it when its entry is gone. Files that were changed or added
    /// after the planning are an error, since nobody agreed to their loss.
    pub(crate) async fn finish(self) -> Result<Removed, InstallError> {
        let installer = self.installer.clone();
        installer
            .in_background(move || self.finish_blocking())
            .await
    }

    fn finish_blocking(self) -> Result<Removed, InstallError> {
        let slot = self.found.as_ref().map(StoredServer::hold).transpose()?;
        self.check_again(slot.as_ref())?;
        let Self {
            installer,
            name,
            files,
            found,
            is_own,
            delete_files,
            deletes,
            ..
        } = self;
        let mut removed = Removed::default();
        for file in files {
            let keep = |text: &str| installer.store.back_up(&name, &file, text);
            if let Some(backup) = edit::remove(&file, &name, keep)? {
                removed.backups.push(backup);
                removed.unregistered.push(file);
            }
        }
        if is_own {
            removed.notes.push(format!(
                "`{name}` started mcp-proxy itself, so the client no longer has the proxy; the backup has the entry"
            ));
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

    /// Checks that the installation in the locked `slot` is still as it was planned to be removed.
    fn check_again(&self, slot: Option<&StoreSlot>) -> Result<(), InstallError> {
        let (Some(found), Some(slot)) = (&self.found, slot) else {
            return Ok(());
        };
        if slot.record().as_ref() != Some(&found.record) {
            return Err(InstallError::Meanwhile(self.name.clone()));
        }
        let files = if self.deletes {
            changed_files(found.folders())
        } else {
            ChangedFiles::new()
        };
        let is_agreed = |(folder, files): (&PathBuf, &BTreeSet<PathBuf>)| {
            let lost = self.lost.get(folder);
            lost.is_some_and(|lost| files.is_subset(lost))
        };
        if files.iter().all(is_agreed) {
            return Ok(());
        }
        let (name, insist) = (self.name.clone(), self.insist);
        Err(InstallError::Changed {
            name,
            files,
            insist,
        })
    }
}

/// Returns true if a configuration file has the server, or cannot be parsed.
fn may_have(file: &Path, name: &str) -> bool {
    edit::has(file, name) || edit::check(file).is_err()
}
