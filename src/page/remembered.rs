//! Port and cookie that the page of a project keeps from one proxy to the next, so that an open tab finds the next one.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use crate::state::{StateDirectory, StateError, StateFolder};

/// Sub-folder of the user's state.
const FOLDER: &str = "pages";

/// Data of the page of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RememberedPage {
    pub(super) port: u16,
    /// Value of the cookie.
    pub(super) key: String,
}

impl RememberedPage {
    /// Returns the data of the project's last page, if there are any. Blocks.
    pub(super) fn read(project: &Path) -> Option<Self> {
        let bytes = folder().ok()?.read(&Self::name(project)).ok()??;
        let text = String::from_utf8(bytes).ok()?;
        let (port, key) = text.trim_end().split_once(' ')?;
        let port = port.parse().ok()?;
        let is_key = key.len() == 32 && key.bytes().all(|it| it.is_ascii_hexdigit());
        let key = key.to_owned();
        is_key.then_some(Self { port, key })
    }

    /// Stores the data. Blocks.
    pub(super) fn write(&self, project: &Path) -> Result<(), StateError> {
        let text = format!("{} {}\n", self.port, self.key);
        folder()?.write(&Self::name(project), text.as_bytes())
    }

    /// Returns a name for the project, for the file and the cookie.
    pub(super) fn name(project: &Path) -> String {
        let mut hasher = DefaultHasher::new();
        project.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Opens the private folder of the pages.
pub(super) fn folder() -> Result<StateFolder, StateError> {
    StateDirectory::of_user()?.folder(FOLDER)
}
