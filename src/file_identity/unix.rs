//! Identity of files on Unix.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity([u64; 2]);

impl FileIdentity {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self([file.dev(), file.ino()])
    }
}
