//! Paths of Windows: Unicode, which git stores as UTF-8.

use std::path::PathBuf;

/// Returns a path that git stores as `bytes`.
pub(in crate::install) fn from_bytes(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
