//! Creates files and folders that only the proxy's user can access, independent of the umask.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

pub(crate) use system::{append, close, close_file, folder, new_file, new_folder, temporary};

/// Writes a new file, created like [`new_file`].
pub(crate) fn write_new(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    new_file(path)?.write_all(bytes.as_ref())
}

/// Creates a file for writing; removes an existing one first.
pub(crate) fn replace_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => new_file(path),
    }
}

/// Writes a file like [`replace`], and waits until the system has stored it.
pub(crate) fn replace_durably(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path, bytes)?;
    File::options().write(true).open(path)?.sync_all()?;
    // Stores the name too. Some systems cannot open a folder for that.
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes a file in place of an existing one, which stays whole until then. Does not survive a power failure.
pub(crate) fn replace(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // It is created readable for its owner only.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes.as_ref())?;
    file.persist(path)?;
    Ok(())
}
