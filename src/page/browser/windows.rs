//! Windows.

use std::path::Path;
use std::process::Command;

/// Returns the command that opens a file in the user's browser.
pub(super) fn command(file: &Path) -> Command {
    let mut command = Command::new("explorer.exe");
    command.arg(file);
    command
}
