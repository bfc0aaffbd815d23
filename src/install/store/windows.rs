//! Access rights of folders on Windows.

use std::path::Path;

/// Does nothing: the attribute of read-only folders does not protect their contents.
pub(super) fn allow_all(_folder: &Path) {}
