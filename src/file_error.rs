//! Error of the system about a file.

use std::io;
use std::path::{Path, PathBuf};

/// Reason why something cannot be done to a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub(crate) struct FileError {
    doing: &'static str,
    path: PathBuf,
    pub(crate) source: io::Error,
}

impl FileError {
    /// Converts an error at `path` while `doing` something, a verb such as `read`.
    pub(crate) fn at(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            doing,
            path: path.clone(),
            source,
        }
    }
}
