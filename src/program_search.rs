//! Searches for programs in `PATH`, as a shell does.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// Returns the full path of a program that a process in `cwd` with this `PATH` starts by the name `program`.
pub(crate) fn find(
    program: impl AsRef<OsStr>,
    path: Option<&OsStr>,
    cwd: &Path,
) -> Option<PathBuf> {
    system::find(program.as_ref(), path, cwd)
}

/// Returns the full path of a program that this process finds.
pub(crate) fn find_own(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = env::var_os("PATH");
    find(program, path.as_deref(), &env::current_dir().ok()?)
}
