//! Owners of files on Windows, which only `unsafe` functions tell. Files above the current directory are therefore
//! accepted, whoever owns them, up to the root of the repository: the search does not go beyond it.

use std::path::Path;

/// Returns `None`.
pub(super) fn other_owner(_file: &Path, _users: &[u32]) -> Option<u32> {
    None
}

/// Returns no user.
pub(in crate::config) fn users() -> Vec<u32> {
    Vec::new()
}
