//! Windows.

use std::path::{Path, PathBuf};

/// Returns `%APPDATA%`, by default `AppData\Roaming` below the home directory.
pub(in crate::setup) fn folder(home: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming"))
}
