//! Creates files and folders that only the proxy's user can access, independent of the umask.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

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

/// Writes a file in place of an existing one, which stays whole until then. Does not survive a power failure.
pub(crate) fn replace(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let fresh = beside(path, bytes.as_ref())?;
    take_place(fresh.into_temp_path(), path)
}

/// Writes a file like [`replace`], and waits until the system has stored it.
pub(crate) fn replace_durably(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let fresh = beside(path, bytes.as_ref())?;
    fresh.as_file().sync_all()?;
    take_place(fresh.into_temp_path(), path)?;
    // Stores the name too. Some systems cannot open a folder for that.
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes a new file in the folder of `path`; its drop removes it.
fn beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().make_in(folder, new_file)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Gives a file the name `path`. On Windows, `persist` of the crate fails while another process has the file of that
/// name open.
fn take_place(mut fresh: TempPath, path: &Path) -> io::Result<()> {
    fs::rename(&fresh, path)?;
    fresh.disable_cleanup(true);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_while_a_reader_has_it_open() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("record");
        replace(&path, "old").unwrap();
        for (number, new) in ["1", "2"].iter().enumerate() {
            let before = fs::read_to_string(&path).unwrap();
            let mut reader = File::open(&path).unwrap();
            if number == 0 {
                replace(&path, new).unwrap();
            } else {
                replace_durably(&path, new).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), *new);
            let mut read = String::new();
            reader.read_to_string(&mut read).unwrap();
            assert_eq!(read, before);
        }
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
    }
}
