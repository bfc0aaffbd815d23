//! Symbolic links on Unix.

use std::io;
use std::path::Path;

/// Creates the link `at` to `target`.
pub(in super::super) fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}
