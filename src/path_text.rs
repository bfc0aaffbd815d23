//! Paths as texts, for JSON and other formats of Unicode text. Bytes that are not UTF-8 become `U+FFFD`: `serde` fails
//! on a path that has any.

use std::path::PathBuf;

/// Returns the texts of paths.
pub(crate) fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}
