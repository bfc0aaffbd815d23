//! Facts about macOS.

use std::ffi::OsString;

use tokio::process::Command;

use super::super::commands::stdout_of;
use super::super::report::Finding;

/// `PATH` that launchd gives applications by default.
const DEFAULT_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Returns the `PATH` of applications that were not started from a shell.
pub(crate) fn desktop_path() -> OsString {
    let path = stdout_of(Command::new("launchctl").args(["getenv", "PATH"])).unwrap_or_default();
    match path.trim() {
        "" => DEFAULT_PATH.into(),
        path => path.into(),
    }
}

/// Returns findings about limits on watched files; macOS has none.
pub(crate) fn watch_limits() -> Vec<Finding> {
    Vec::new()
}
