//! Identity of files on Windows.

use std::fs::Metadata;
use std::time::SystemTime;

/// Time of creation. No stable function gives the file's number, and a file that takes the name of another one within
/// seconds may take its time of creation too: equal identities do not prove that a file is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(Option<SystemTime>);

impl FileIdentity {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self(file.created().ok())
    }
}
