//! Remote mounts of Windows, which are not recognised yet.

use std::path::Path;

/// Returns nothing.
pub(in super::super) fn remote_mount(_: &Path) -> Option<&'static str> {
    None
}
