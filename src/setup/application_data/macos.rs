//! macOS.

use std::path::{Path, PathBuf};

/// Returns `~/Library/Application Support`.
pub(in crate::setup) fn folder(home: &Path, _: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    home.join("Library/Application Support")
}

/// Returns `None`: the system has no packages with folders of their own.
pub(in crate::setup) fn of_package(
    _: &str,
    _: &Path,
    _: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<PathBuf> {
    None
}
