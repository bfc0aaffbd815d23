//! Port that the page of a project keeps from one proxy to the next, so that an open tab finds the next one.

use std::path::Path;

use crate::fleet::fingerprint;
use crate::state::{StateDirectory, StateError, StateFolder};

/// Sub-folder of the user's state.
pub(super) const FOLDER: &str = "pages";

/// Returns the port of the project's last page, if it is known. Blocks.
pub(super) fn last_port(project: &Path) -> Option<u16> {
    let bytes = folder().ok()?.read(&project_name(project)).ok()??;
    String::from_utf8(bytes).ok()?.trim_end().parse().ok()
}

/// Stores the port of the project's page. Blocks.
pub(super) fn remember_port(project: &Path, port: u16) -> Result<(), StateError> {
    folder()?.write(&project_name(project), format!("{port}\n").as_bytes())
}

/// Returns the name of the project in names of files.
pub(super) fn project_name(project: &Path) -> String {
    let path = project.to_string_lossy();
    format!("{:016x}", fingerprint([path.as_bytes()]))
}

/// Opens the private folder of the pages.
pub(super) fn folder() -> Result<StateFolder, StateError> {
    StateDirectory::of_user()?.folder(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_keeps_its_name() {
        assert_eq!(project_name(Path::new("/project")), "2291203ba5532c77");
    }
}
