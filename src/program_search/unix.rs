//! Search on Unix.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(super) fn find(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    which::which_in(program, path, cwd).ok()
}
