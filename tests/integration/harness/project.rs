//! A directory with a server's sources that a test edits, gone when the test ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

#[derive(Debug)]
pub(crate) struct Project {
    directory: TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::with_prefix("mcp-proxy-test-").unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes in place, as many editors and every `>` in a shell do. Creates directories as needed.
    #[track_caller]
    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a neighbour and renames it over the file, as editors that fear a crash do.
    #[track_caller]
    pub(crate) fn save(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        let neighbour = self.path(&format!("{relative}.tmp~"));
        fs::write(&neighbour, text).unwrap();
        fs::rename(neighbour, path).unwrap();
    }

    /// Replaces `from`, which must be there, by `to`, and saves.
    #[track_caller]
    pub(crate) fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = self.read(relative);
        assert!(text.contains(from), "{relative} does not hold {from:?}");
        self.save(relative, &text.replace(from, to));
    }

    /// Gives a file these rights.
    pub(crate) fn set_mode(&self, relative: &str, mode: u32) {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.path(relative), mode).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Copies a file of this repository, named from its root, under a new name.
    #[track_caller]
    pub(crate) fn copy(&self, source: &str, relative: &str) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        fs::copy(source, self.path(relative)).unwrap();
    }
}
