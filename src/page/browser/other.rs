//! Linux and other systems with the tools of freedesktop.org.

use std::path::Path;
use std::process::Command;

/// Returns the command that opens a file in the user's browser.
pub(super) fn command(file: &Path) -> Command {
    let mut command = Command::new("xdg-open");
    command.arg(file);
    command
}
