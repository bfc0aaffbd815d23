//! macOS.

use std::path::{Path, PathBuf};

/// Returns `~/Library/Application Support`.
pub(in crate::setup) fn folder(home: &Path, _: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    home.join("Library/Application Support")
}
