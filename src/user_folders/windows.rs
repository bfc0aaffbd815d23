//! Folders of Windows: below `%LOCALAPPDATA%`, which is not copied to other machines.

use std::path::PathBuf;

/// Variable that determines the folder for state.
pub(crate) const STATE_VARIABLES: &str = "LOCALAPPDATA";
/// Variable that determines the folder for data.
pub(crate) const DATA_VARIABLES: &str = "LOCALAPPDATA";

/// Returns the folder for state of programs.
pub(crate) fn state() -> Option<PathBuf> {
    let named = std::env::var_os("LOCALAPPDATA").map(PathBuf::from);
    named.filter(|path| path.is_absolute())
}

/// Returns the folder for data that can be computed again.
pub(crate) fn cache() -> Option<PathBuf> {
    state()
}

/// Returns the folder for data of programs.
pub(crate) fn data() -> Option<PathBuf> {
    state()
}
