//! Named pipes of Linux.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

/// Creates a named pipe that only this user can open.
pub(super) fn create_pipe(path: &Path) -> io::Result<()> {
    Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}
