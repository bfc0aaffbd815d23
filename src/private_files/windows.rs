//! Private files of Windows: they inherit the access rights of their folder. The proxy's own files lie in the user's
//! profile, which is the user's, the system's and the administrators' alone. A file that the user names elsewhere, such
//! as a recording, has the rights of its folder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// Creates a folder in the system's folder for temporary files; its name begins with `prefix`.
pub(crate) fn temporary(prefix: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).tempdir()
}

/// Creates a new folder.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Creates a folder and its missing parents.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Does nothing: the folder inherits its access rights.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(crate) fn close(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Does nothing: the file inherits its access rights.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(crate) fn close_file(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Creates a file for writing. Returns an error if the name exists, even as a symbolic link.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Opens a file for appending; creates it if it does not exist.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
