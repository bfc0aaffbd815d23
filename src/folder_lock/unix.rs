//! Locks of folders on Unix: on the folder itself, so that no file is left. Some network file systems have no locks.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::file_identity::FileIdentity;

/// Opened folder, locked after [`Self::try_lock`]. Dropping it unlocks the folder.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// Opens an existing folder.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        File::open(folder).map(Self)
    }

    /// Locks the folder. Never waits.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        self.0.try_lock()
    }

    /// Whether the opened folder is still the one at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let (held, there) = (self.0.metadata(), fs::symlink_metadata(path));
        let identities = held.map(|it| FileIdentity::of(&it)).ok();
        identities.is_some_and(|held| there.is_ok_and(|it| held == FileIdentity::of(&it)))
    }
}

impl Drop for FolderLock {
    /// Unlocks for certain: a process that is just being started shares the open folder for a moment.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_lock_is_free_though_another_process_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let open = || FolderLock::open(folder.path()).unwrap();
        let lock = open();
        lock.try_lock().unwrap();
        assert!(matches!(open().try_lock(), Err(TryLockError::WouldBlock)));
        let _shared = lock.0.try_clone().unwrap();
        drop(lock);
        open().try_lock().unwrap();
    }

    #[test]
    fn a_folder_in_place_of_the_locked_one_is_another() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("folder");
        fs::create_dir(&path).unwrap();
        let lock = FolderLock::open(&path).unwrap();
        assert!(lock.is_at(&path));
        fs::rename(&path, room.path().join("old")).unwrap();
        assert!(!lock.is_at(&path));
        fs::create_dir(&path).unwrap();
        assert!(!lock.is_at(&path));
    }
}
