//! Windows.

use std::path::{Path, PathBuf};

/// Returns `%APPDATA%`, by default `AppData\Roaming` below the home directory.
pub(in crate::setup) fn folder(home: &Path, variable: &dyn Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("APPDATA").unwrap_or_else(|| home.join("AppData").join("Roaming"))
}

/// Returns the folder that stands in for [`folder`] when an app of this package, as from the Microsoft Store, creates
/// files.
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems have no such folder"
)]
pub(in crate::setup) fn of_package(
    name: &str,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
) -> Option<PathBuf> {
    let local = variable("LOCALAPPDATA").unwrap_or_else(|| home.join("AppData").join("Local"));
    Some(
        local
            .join("Packages")
            .join(name)
            .join("LocalCache")
            .join("Roaming"),
    )
}
