//! Symbolic links on Windows, which tells links to files from links to directories, and permits both in developer mode.

use std::io;
use std::os::windows::fs::{symlink_dir, symlink_file};
use std::path::Path;

/// Creates the link `at` to `target`.
pub(in super::super) fn link(target: &Path, at: &Path) -> io::Result<()> {
    if target.is_dir() {
        symlink_dir(target, at)
    } else {
        symlink_file(target, at)
    }
}
