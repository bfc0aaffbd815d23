//! Access rights of folders on Unix.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Makes a folder writable and readable for the user.
pub(super) fn allow_all(folder: &Path) {
    let mode = fs::symlink_metadata(folder).map_or(0o700, |it| it.permissions().mode());
    if mode & 0o700 != 0o700 {
        let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    }
}
