//! Temporary directory with a server's sources for a test to edit; removed when the test ends.

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io};

use tempfile::TempDir;

use super::DEADLINE;

#[derive(Debug)]
pub(crate) struct Project {
    directory: TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        Self::beginning_with("mcp-proxy-test-")
    }

    /// Creates a project in a folder whose name begins with `prefix`.
    pub(crate) fn beginning_with(prefix: &str) -> Self {
        Self {
            directory: TempDir::with_prefix(prefix).unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the directory for the state of proxies in this project.
    pub(crate) fn state(&self) -> PathBuf {
        self.path(".local/state")
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// Writes in place, like many editors and `>` in a shell. Creates missing directories.
    #[track_caller]
    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a temporary file and renames it over the target, like editors with atomic saves.
    #[track_caller]
    pub(crate) fn save(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        // Threads may save one file at once.
        let thread = std::thread::current().id();
        let neighbour = self.path(&format!("{relative}.{thread:?}.tmp~"));
        fs::write(&neighbour, text).unwrap();
        // Windows may refuse it while another process reads the file.
        let is_refused = |renamed: &io::Result<()>| {
            let error = renamed.as_ref().err().map(io::Error::kind);
            cfg!(windows) && error == Some(io::ErrorKind::PermissionDenied)
        };
        let begun = Instant::now();
        let mut renamed = fs::rename(&neighbour, &path);
        while is_refused(&renamed) && begun.elapsed() < DEADLINE {
            std::thread::yield_now();
            renamed = fs::rename(&neighbour, &path);
        }
        renamed.unwrap();
    }

    /// Replaces `from`, which must occur in the file, by `to`, and saves.
    #[track_caller]
    pub(crate) fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = self.read(relative);
        assert!(text.contains(from), "{relative} does not hold {from:?}");
        self.save(relative, &text.replace(from, to));
    }

    #[track_caller]
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Copies `source`, a path within this repository, to `relative`.
    #[track_caller]
    pub(crate) fn copy(&self, source: &str, relative: &str) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        fs::copy(source, self.path(relative)).unwrap();
    }
}
