//! macOS.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Returns the command that opens a file in the user's browser.
pub(super) fn command(file: &Path) -> Command {
    let mut command = Command::new("open");
    // Ctrl-C in the terminal of the proxy must not end the browser.
    command.arg(file).process_group(0);
    command
}
