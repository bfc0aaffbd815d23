//! Named pipes of macOS, which lacks `mkfifoat` before version 13, and so does rustix there.

use std::io;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Creates a named pipe that only this user can open.
pub(super) fn create_pipe(path: &Path) -> io::Result<()> {
    Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}
