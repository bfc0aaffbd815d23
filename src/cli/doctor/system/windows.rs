//! Facts about Windows.

use std::ffi::OsString;

use super::super::report::Finding;

/// Returns the `PATH` of applications that were not started from a shell: the same as in a shell.
pub(crate) fn desktop_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Returns no finding: Windows has no limit on watched or open files.
pub(crate) fn limits() -> Vec<Finding> {
    Vec::new()
}
