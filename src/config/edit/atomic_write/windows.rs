//! Access rights of a file on Windows.

use std::fs::{File, Metadata};
use std::io;

/// Does nothing: both files inherit the access rights of their folder.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on other systems")]
pub(super) fn keep_rights(_new: &File, _replaced: &Metadata) -> io::Result<()> {
    Ok(())
}
