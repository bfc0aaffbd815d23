//! Access to token files on Unix.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Whether other users can read or write the file.
pub(super) fn is_exposed(file: &Metadata) -> bool {
    file.mode() & 0o077 != 0
}
