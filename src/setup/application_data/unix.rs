//! Linux, other systems with XDG directories, and macOS.

use std::path::{Path, PathBuf};

/// Returns `None`: the system has no packages with folders of their own.
pub(in crate::setup) fn of_package(
    _: &str,
    _: &Path,
    _: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<PathBuf> {
    None
}
