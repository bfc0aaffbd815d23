//! Files with recordings: one that the user names, or those in a folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::CliError;
use super::recorded_session::{RecordedSession, sessions};
use crate::file_error::FileError;
use crate::private_files;

/// Extension of recordings in a folder.
const EXTENSION: &str = "ndjson";

/// Recording with requests of clients.
#[derive(Debug)]
pub(super) struct Recording {
    path: PathBuf,
    /// True if the recording is one of a folder, so that its name distinguishes its sessions.
    is_of_folder: bool,
    pub(super) sessions: Vec<RecordedSession>,
}

impl Recording {
    /// Reads the recording `path`, or the recordings in the folder `path` by their names. Each must have a request.
    pub(super) fn find(path: &Path) -> Result<Vec<Self>, CliError> {
        if !path.is_dir() {
            return Ok(vec![Self::read(path.to_owned(), false)?]);
        }
        let names = files(path).map_err(FileError::at("read", path));
        let mut names = names.map_err(|error| CliError::Failure(error.to_string()))?;
        names.sort_unstable();
        if names.is_empty() {
            return Err(CliError::Failure(format!(
                "{} has no file `*.{EXTENSION}`",
                path.display()
            )));
        }
        let recordings = names.into_iter().map(|path| Self::read(path, true));
        recordings.collect()
    }

    fn read(path: PathBuf, is_of_folder: bool) -> Result<Self, CliError> {
        let text = fs::read_to_string(&path).map_err(FileError::at("read", &path));
        let sessions = sessions(&text.map_err(|error| CliError::Failure(error.to_string()))?);
        if sessions.is_empty() {
            let file = path.display();
            return Err(CliError::Failure(format!(
                "{file} has no request of a client"
            )));
        }
        Ok(Self {
            path,
            is_of_folder,
            sessions,
        })
    }

    /// Returns the name of a session in reports; among those of a folder, with the name of the file.
    pub(super) fn name_of(&self, session: &RecordedSession) -> String {
        match self.path.file_stem().filter(|_| self.is_of_folder) {
            Some(file) => format!("{} {}", file.display(), session.name),
            None => session.name.clone(),
        }
    }

    /// Replaces the file by the content of `other`.
    pub(super) fn replace_by(&self, other: &Path) -> Result<(), CliError> {
        let text = fs::read(other).map_err(FileError::at("read", other));
        let written = text.and_then(|text| {
            private_files::replace(&self.path, text).map_err(FileError::at("write", &self.path))
        });
        written.map_err(|error| CliError::Failure(error.to_string()))
    }
}

/// Returns the recordings in a folder.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(EXTENSION)) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
