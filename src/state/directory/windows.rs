//! Location of users' state on Windows.

use std::path::PathBuf;

/// Variables that determine the location.
pub(super) const VARIABLES: &str = "LOCALAPPDATA";

/// Returns the directory of the state of this user's programs.
pub(super) fn base() -> Option<PathBuf> {
    let named = std::env::var_os("LOCALAPPDATA").map(PathBuf::from);
    named.filter(|path| path.is_absolute())
}
