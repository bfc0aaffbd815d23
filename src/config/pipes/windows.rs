//! Windows, whose named pipes are not files.

use std::io;
use std::path::Path;
use std::time::Instant;

/// Returns false: no file of a configuration is a pipe.
pub(crate) fn is_pipe(_: &Path) -> bool {
    false
}

pub(super) fn read_pipe(_: &Path, _: Instant) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}
