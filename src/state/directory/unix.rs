//! Location of users' state on Unix.

use std::path::PathBuf;

/// Variables that determine the location.
pub(super) const VARIABLES: &str = "HOME or XDG_STATE_HOME";

/// Default location, relative to the user's home directory.
const DEFAULT: &str = if cfg!(target_os = "macos") {
    "Library/Application Support"
} else {
    ".local/state"
};

/// Returns the directory of the state of this user's programs.
pub(super) fn base() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let base = named.filter(|path| path.is_absolute());
    base.or_else(|| Some(std::env::home_dir()?.join(DEFAULT)).filter(|path| path.is_absolute()))
}
