//! Linux and other systems with XDG directories.

use std::path::{Path, PathBuf};

/// Returns `$XDG_CONFIG_HOME`, by default `~/.config`.
pub(in crate::setup) fn folder(home: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"))
}
