//! Locks of folders on Windows, which locks only files: a file in the user's state directory stands for each folder. It
//! remains, empty.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use crate::state::StateDirectory;

/// Maximum length of a file name, in characters. Folders whose paths end alike share a lock, which is harmless.
const LONGEST: usize = 200;

/// File of a folder, locked after [`Self::try_lock`]. Dropping it unlocks the folder.
#[derive(Debug)]
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// Opens the file of an existing folder.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let path = dunce::canonicalize(folder)?;
        let locks = StateDirectory::of_user().and_then(|state| state.folder("locks"));
        let file = locks.map_err(io::Error::other)?.file(&file_name(&path));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options.open(file).map(Self)
    }

    /// Locks the folder. Never waits.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        self.0.try_lock()
    }

    /// Returns true: the lock belongs to the path, not to the folder.
    #[expect(clippy::unused_self, reason = "other systems use it")]
    pub(crate) fn is_at(&self, _path: &Path) -> bool {
        true
    }
}

fn file_name(folder: &Path) -> String {
    let plain = |letter: char| {
        if letter.is_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let path = folder.to_string_lossy().to_lowercase();
    let name: Vec<char> = path.chars().map(plain).collect();
    name[name.len().saturating_sub(LONGEST)..].iter().collect()
}
