//! Private files of Unix: by owner and mode.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::process::geteuid;
use tempfile::TempDir;

/// Creates a folder in the system's folder for temporary files; its name begins with `prefix`.
pub(crate) fn temporary(prefix: &str) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let private = Permissions::from_mode(0o700);
    builder.prefix(prefix).permissions(private).tempdir()
}

/// Creates a new folder.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Creates a folder and its missing parents. Refuses one that belongs to another user or that all users can write to.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::metadata(path)?;
    match exposure(found.uid(), found.mode(), geteuid().as_raw()) {
        Some(why) => Err(io::Error::other(format!("{} {why}", path.display()))),
        None => Ok(()),
    }
}

/// Takes the access to a folder of this user away from all other users.
pub(crate) fn close(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder)?.mode() & 0o777 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Takes the access to an open file of this user away from all other users.
pub(crate) fn close_file(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Returns the reason why a folder of `owner` with `mode` is not private to the user `own`, as a sentence fragment.
fn exposure(owner: u32, mode: u32, own: u32) -> Option<String> {
    if owner != own {
        return Some(format!("belongs to the user with id {owner}, not to you"));
    }
    let is_open = mode & 0o002 != 0;
    is_open.then(|| "can be written to by every user: take that right away with chmod o-w".into())
}

/// Creates a file for writing. Returns an error if the name exists, even as a symbolic link.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file for appending; creates it if it does not exist.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{replace_file, write_new};
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn new_files_are_for_their_owner_alone() {
        let room = temporary("mcp-proxy-test-").unwrap();
        let path = |name: &str| room.path().join(name);
        new_folder(&path("new")).unwrap();
        folder(&path("a/b")).unwrap();
        write_new(&path("file"), "x").unwrap();
        fs::write(path("log"), "old").unwrap();
        replace_file(&path("log")).unwrap();
        for (name, expected) in [
            ("", 0o700),
            ("new", 0o700),
            ("a", 0o700),
            ("a/b", 0o700),
            ("file", 0o600),
            ("log", 0o600),
        ] {
            assert_eq!(mode(&path(name)), expected, "{name}");
        }
        assert_eq!(fs::read_to_string(path("log")).unwrap(), "");
    }

    #[test]
    fn nothing_is_written_through_a_link_or_over_a_file() {
        let room = temporary("mcp-proxy-test-").unwrap();
        let (target, link) = (room.path().join("target"), room.path().join("link"));
        symlink(&target, &link).unwrap();
        assert!(write_new(&link, "x").is_err());
        assert!(new_folder(&link).is_err());
        assert!(!target.exists());
        replace_file(&link).unwrap();
        assert!(!target.exists() && link.symlink_metadata().unwrap().is_file());
        assert!(write_new(&link, "x").is_err());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        for (owner, mode, word) in [
            (1000, 0o700, ""),
            (1000, 0o775, ""),
            (1000, 0o1777, "chmod"),
            (0, 0o755, "belongs"),
        ] {
            let why = exposure(owner, mode, 1000).unwrap_or_default();
            assert!(
                why.contains(word) && why.is_empty() == word.is_empty(),
                "{why}"
            );
        }
        let room = temporary("mcp-proxy-test-").unwrap();
        let open = room.path().join("open");
        new_folder(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(folder(&open).unwrap_err().to_string().contains("chmod o-w"));
    }
}
