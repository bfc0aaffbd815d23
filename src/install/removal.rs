//! Takes a server out of the configuration, and its files off the disk if that is wanted.

use std::path::PathBuf;

use super::InstallError;
use super::installer::Installer;
use super::store::Found;
use crate::config::edit;

/// What was removed, no more and no less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    /// The configuration files that had the server.
    pub(crate) unregistered: Vec<PathBuf>,
    /// The folder that is gone.
    pub(crate) deleted: Option<PathBuf>,
    /// The folder that is still there.
    pub(crate) kept: Option<PathBuf>,
    /// What a person should know besides.
    pub(crate) notes: Vec<String>,
}

impl Installer {
    /// Removes a server from this configuration; with `delete_files` also what was installed for it,
    /// unless another configuration has it too. Whoever runs the server stops it when its entry is gone.
    pub(crate) async fn uninstall(
        &self,
        name: &str,
        delete_files: bool,
    ) -> Result<Removed, InstallError> {
        let (installer, name) = (self.clone(), name.to_owned());
        self.in_background(move || installer.uninstall_blocking(&name, delete_files))
            .await
    }

    fn uninstall_blocking(&self, name: &str, delete_files: bool) -> Result<Removed, InstallError> {
        let files = edit::places_of(&self.around, name);
        let found = match self.find(name) {
            // The entry of a server that nobody installed can be removed as well.
            Err(InstallError::Unknown(_)) if !files.is_empty() => None,
            // It was installed for others, and what is configured here has only the name.
            Ok(found) if !files.is_empty() && !is_registered(&found, &files) => None,
            found => Some(found?),
        };
        let mut removed = Removed {
            unregistered: Vec::new(),
            deleted: None,
            kept: None,
            notes: Vec::new(),
        };
        let slot = found.as_ref().map(Found::hold).transpose()?;
        for file in files {
            if edit::remove(&file, name)? {
                removed.unregistered.push(file);
            }
        }
        let (Some(found), Some(slot)) = (found, slot) else {
            if delete_files {
                removed.notes.push(format!(
                    "`{name}` was not installed by mcp-proxy, so no files were deleted"
                ));
            }
            return Ok(removed);
        };
        let mut record = found.record;
        record
            .registered
            .retain(|file| !removed.unregistered.contains(file) && edit::has(file, name));
        if let (true, Some(file)) = (delete_files, record.registered.first()) {
            let file = file.display();
            removed.notes.push(format!(
                "{file} has `{name}` too, so the files were not deleted"
            ));
        }
        if !delete_files || !record.registered.is_empty() {
            slot.write(&record)?;
            removed.kept = Some(found.folder);
            return Ok(removed);
        }
        removed.deleted = Some(slot.discard()?);
        Ok(removed)
    }
}

fn is_registered(found: &Found, files: &[PathBuf]) -> bool {
    found
        .record
        .registered
        .iter()
        .any(|file| files.contains(file))
}
