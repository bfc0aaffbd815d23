//! macOS.

use std::path::{Path, PathBuf};

/// `PATH` of a graphical application that no shell has started.
pub(in crate::setup) const SYSTEM_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Returns `~/Library/Application Support`.
pub(in crate::setup) fn folder(home: &Path, _: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    home.join("Library/Application Support")
}
