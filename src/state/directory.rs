//! The user's state directory: `$XDG_STATE_HOME/mcp-proxy`, by default below `~/.local/state`,
//! `~/Library/Application Support` on macOS or `%LOCALAPPDATA%` on Windows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file_error::FileError;
use crate::{private_files, user_folders};

/// Reason why state cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The environment names no directory.
    #[error(
        "no directory for the state of mcp-proxy: set {} to an absolute path",
        user_folders::STATE_VARIABLES
    )]
    NoDirectory,
    /// A folder or file is unusable, or is not private to the user.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The state directory, which need not exist.
#[derive(Debug, Clone)]
pub(crate) struct StateDirectory {
    root: PathBuf,
}

impl StateDirectory {
    /// Returns the state directory of this user, according to the environment. Creates nothing.
    pub(crate) fn of_user() -> Result<Self, StateError> {
        let base = user_folders::state().ok_or(StateError::NoDirectory)?;
        Ok(Self::at(base.join("mcp-proxy")))
    }

    /// Returns the state directory `root`. Creates nothing.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Opens the sub-folder `name`, and creates missing folders, for the user only. Returns an error if the directory
    /// or the sub-folder belongs to another user or is writable for all.
    pub(crate) fn folder(&self, name: &str) -> Result<StateFolder, StateError> {
        let path = self.root.join(name);
        for folder in [&self.root, &path] {
            private_files::folder(folder)
                .and_then(|()| private_files::close(folder))
                .map_err(FileError::at("use", folder))?;
        }
        Ok(StateFolder { path })
    }
}

/// One private sub-folder, which exists.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file `name`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the file `name`, for the user only. A reader sees the old content or the new, never a part.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        Ok(private_files::replace(&path, bytes).map_err(FileError::at("write", &path))?)
    }

    /// Writes the file `name` like [`write`](Self::write), and waits until it survives a power failure.
    pub(crate) fn write_durably(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        Ok(private_files::replace_durably(&path, bytes).map_err(FileError::at("write", &path))?)
    }

    /// Returns the content of the file `name`; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => Ok(read.map(Some).map_err(FileError::at("read", &path))?),
        }
    }

    /// Removes the file `name`, if there is one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("remove", &path)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the names of the files, sorted; without names that are not Unicode, and without unfinished files.
    pub(crate) fn names(&self) -> Result<Vec<String>, StateError> {
        let entries = fs::read_dir(&self.path).map_err(FileError::at("list", &self.path))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_are_private_and_read_back() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().join("a/mcp-proxy");
        let folder = StateDirectory::at(root.clone()).folder("runs").unwrap();
        assert_eq!(folder.read("x").unwrap(), None);
        folder.remove("x").unwrap();
        folder.write("x", b"1").unwrap();
        folder.write("x", b"22").unwrap();
        folder.write("a", b"").unwrap();
        fs::write(folder.file(".tmp"), "").unwrap();
        assert_eq!(folder.read("x").unwrap().unwrap(), b"22");
        assert_eq!(folder.names().unwrap(), ["a", "x"]);
        for (path, expected) in [
            (root.clone(), 0o700),
            (root.join("runs"), 0o700),
            (folder.file("x"), 0o600),
        ] {
            assert_eq!(mode(&path), expected, "{}", path.display());
        }
        folder.remove("x").unwrap();
        assert_eq!(folder.names().unwrap(), ["a"]);
    }

    #[test]
    fn an_open_directory_of_the_user_is_closed() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().join("mcp-proxy");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let directory = StateDirectory::at(root.clone());
        directory.folder("runs").unwrap();
        assert_eq!(mode(&root), 0o700);
        fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
        let error = directory.folder("runs").unwrap_err().to_string();
        assert!(error.contains("chmod o-w"), "{error}");
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let room = tempfile::tempdir().unwrap();
        let root = room.path().join("mcp-proxy");
        fs::create_dir_all(root.join("runs")).unwrap();
        if chown(root.join("runs"), Some(12345), None).is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "run this test as root in CI"
            );
            return;
        }
        let directory = StateDirectory::at(root.clone());
        let error = directory.folder("runs").unwrap_err().to_string();
        assert!(
            error.contains("runs: ") && error.contains("12345"),
            "{error}"
        );
        directory.folder("logs").unwrap();
        chown(&root, Some(12345), None).unwrap();
        assert!(directory.folder("logs").is_err());
    }
}
