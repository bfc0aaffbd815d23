//! Folders of Unix: those of the XDG variables, by default below the home directory.

use std::path::{Path, PathBuf};

/// Variables that determine the folder for state.
pub(crate) const STATE_VARIABLES: &str = "HOME or XDG_STATE_HOME";
/// Variables that determine the folder for data.
pub(crate) const DATA_VARIABLES: &str = "HOME or XDG_DATA_HOME";

/// Default folder for state, relative to the home directory.
const DEFAULT_STATE: &str = if cfg!(target_os = "macos") {
    "Library/Application Support"
} else {
    ".local/state"
};

/// Returns the folder for state of programs.
pub(crate) fn state() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", DEFAULT_STATE)
}

/// Returns the folder for data that can be computed again.
pub(crate) fn cache() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// Returns the folder for data of programs.
pub(crate) fn data() -> Option<PathBuf> {
    folder("XDG_DATA_HOME", ".local/share")
}

fn folder(variable: &str, default: impl AsRef<Path>) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let folder = named.filter(|path| path.is_absolute());
    folder.or_else(|| Some(std::env::home_dir()?.join(default)).filter(|path| path.is_absolute()))
}
