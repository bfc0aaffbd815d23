//! Windows.

use std::path::{Path, PathBuf};

/// `PATH` of a graphical application that no shell has started; there, each inherits that of the user.
pub(in crate::setup) const SYSTEM_PATH: &str = "";

/// Returns `%APPDATA%`, by default `AppData\Roaming` below the home directory.
pub(in crate::setup) fn folder(home: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming"))
}
