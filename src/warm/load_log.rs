//! Notes of a running process, for the watcher: files loaded, read and written, separated into the user's own files and
//! installed modules.
//!
//! The bootstrap makes these notes for the next standby. Only Python processes note modules loaded after the first
//! response.

use std::collections::BTreeSet;
use std::future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::QUIET;
use super::bootstrap_dir::BootstrapDir;

/// Pause before the first check for new notes. Each check without a result doubles it, so that an idle process costs no
/// time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Maximum pause between two checks.
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// Directories for installed packages.
const PACKAGE_DIRS: [&str; 3] = ["site-packages", "dist-packages", "node_modules"];

/// Notes of one process. The process makes notes as long as a clone of this exists.
#[derive(Debug, Clone)]
pub(crate) struct LoadLog {
    folder: Arc<BootstrapDir>,
    /// Start of the process; for a standby, time of its hand-over.
    pub(crate) since: SystemTime,
    /// Size of the notes at the first response, in bytes.
    size_at_response: usize,
}

/// Content of the notes of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadedFiles {
    /// Code files outside of the directories for installed packages.
    pub(crate) code: BTreeSet<PathBuf>,
    /// Part of `code` loaded after the first response.
    pub(crate) loaded_late: BTreeSet<PathBuf>,
    /// Files opened for reading before the first response.
    pub(crate) read: BTreeSet<PathBuf>,
    /// Modules of installed packages, as paths below their directory in `package_dirs`.
    pub(crate) installed: BTreeSet<PathBuf>,
    /// Directories for installed packages that the process searches.
    pub(crate) package_dirs: BTreeSet<PathBuf>,
}

impl LoadLog {
    /// Creates the notes of a process that answers from now on, or has failed.
    pub(super) fn new(folder: Arc<BootstrapDir>, since: SystemTime) -> Self {
        let size_at_response = folder.log_size();
        Self {
            folder,
            since,
            size_at_response,
        }
    }

    /// Waits until the notes of loaded files are complete; returns false if the process makes none.
    pub(crate) async fn wait_complete(&self) -> bool {
        if !self.folder.is_claimed() {
            return false;
        }
        if self.folder.reports_on_request() {
            sleep(QUIET).await;
            self.folder.request_report();
        }
        self.folder.wait_for_report().await;
        true
    }

    /// Waits until the notes exceed `size` bytes; never resolves if the notes are final.
    pub(crate) async fn wait_grown(&self, size: usize) {
        if self.folder.is_complete() {
            future::pending::<()>().await;
        }
        let mut pause = FIRST_PAUSE;
        while self.folder.log_size() <= size {
            sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }

    /// Returns the size of the notes in bytes.
    pub(crate) fn size(&self) -> usize {
        self.folder.log_size()
    }

    /// Returns the notes made so far. Reads the file system.
    pub(crate) fn read(&self) -> LoadedFiles {
        let mut files = LoadedFiles::read_from(
            &self.folder.log().unwrap_or_default(),
            self.size_at_response,
        );
        // The location of a namespace package is one or more directories, not a file.
        files.code.retain(|path| path.is_file());
        files.loaded_late.retain(|path| files.code.contains(path));
        if self.folder.is_complete() {
            // A single report contains everything, so nothing was loaded later.
            files.loaded_late.clear();
        }
        files
    }

    /// Whether the process itself has opened this file for writing. The file's directory must be canonical.
    pub(super) fn has_written(&self, path: &Path) -> bool {
        let log = self.folder.log().unwrap_or_default();
        let mut written = marked(&log, "#wrote").map(Path::new);
        written.any(|it| it == path || it.file_name() == path.file_name() && is_at(it, path))
    }
}

/// Whether the directory of `path` resolves to that of `real`.
fn is_at(path: &Path, real: &Path) -> bool {
    let directory = path.parent().and_then(|it| dunce::canonicalize(it).ok());
    directory.as_deref() == real.parent()
}

fn marked<'a>(log: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = log.lines().filter_map(|line| line.split_once('\t'));
    lines
        .filter(move |(name, _)| *name == mark)
        .map(|(_, place)| place)
}

impl LoadedFiles {
    /// Parses the notes of a process whose log had `size_at_response` bytes at the first response.
    fn read_from(log: &str, size_at_response: usize) -> Self {
        let installed: Vec<&Path> = marked(log, "#installed").map(Path::new).collect();
        let is_package_dir = |place: &&&Path| PACKAGE_DIRS.iter().any(|it| place.ends_with(it));
        let package_dirs = installed.iter().filter(is_package_dir);
        let mut files = Self {
            package_dirs: package_dirs.map(|place| place.to_path_buf()).collect(),
            ..Self::default()
        };
        let mut at = 0;
        for line in log.split_inclusive('\n') {
            let is_early = at < size_at_response;
            at += line.len();
            let Some((name, place)) = line.trim_end().split_once('\t') else {
                continue;
            };
            let path = Path::new(place);
            if !path.is_absolute() {
                continue;
            }
            let package = installed
                .iter()
                .find_map(|it| Some((it, path.strip_prefix(it).ok()?)));
            match (name, package) {
                ("#read", None) if is_early => {
                    files.read.insert(path.to_owned());
                }
                // The main module is located but not imported.
                ("#found" | "#link", None) => {
                    files.code.insert(path.to_owned());
                }
                (name, None) if !name.starts_with('#') => {
                    files.code.insert(path.to_owned());
                    if !is_early {
                        files.loaded_late.insert(path.to_owned());
                    }
                }
                (name, Some((package_dir, below)))
                    if (name == "#found" || !name.starts_with('#'))
                        && is_package_dir(&package_dir) =>
                {
                    files.installed.insert(below.to_owned());
                }
                _ => {}
            }
        }
        files
    }

    /// Adds the notes of another process.
    pub(crate) fn add(&mut self, other: &Self) {
        self.code.extend(other.code.iter().cloned());
        self.loaded_late.extend(other.loaded_late.iter().cloned());
        self.read.extend(other.read.iter().cloned());
        self.installed.extend(other.installed.iter().cloned());
        self.package_dirs.extend(other.package_dirs.iter().cloned());
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn own_code_is_told_from_packages_and_reads_from_those_of_calls() {
        let early = "#installed\t/lib/python3/\n#installed\t/v/site-packages/\n#own\t/p\n#state\tabc\n\
                     json\t/lib/python3/json/__init__.py\nsys\tbuilt-in\nmissing\t\n\
                     mcp.server\t/v/site-packages/mcp/server.py\nnames\t/p/names\n\
                     #found\t/p/server.py\nhelpers\t/shared/helpers.py\n#read\t/p/prompt.txt\n#wrote\t/p/log.txt\n";
        let late = "late\t/p/late.py\n#read\t/p/answer.txt\n";
        let files = LoadedFiles::read_from(&format!("{early}{late}"), early.len());
        let code = [
            "/p/server.py",
            "/shared/helpers.py",
            "/p/names",
            "/p/late.py",
        ];
        assert_eq!(files.code, paths(&code));
        assert_eq!(files.loaded_late, paths(&["/p/late.py"]));
        assert_eq!(files.read, paths(&["/p/prompt.txt"]));
        assert_eq!(files.installed, paths(&["mcp/server.py"]));
    }

    #[test]
    fn reports_of_node_are_parsed() {
        let log = "#interpreter\t/usr/bin/node\n#installed\t/p/node_modules/\n\
                   #common\t/p/a.cjs\n#require\t/p/node_modules/z/z.js\t/p/a.cjs\n#link\t/p/link.js\n\
                   /p/a.cjs\t/p/a.cjs\n/p/data.json\t/p/data.json\n/p/node_modules/z/z.js\t/p/node_modules/z/z.js\n#end\t\n";
        let files = LoadedFiles::read_from(log, 0);
        let code = ["/p/a.cjs", "/p/data.json", "/p/link.js"];
        assert_eq!(files.code, paths(&code));
        assert_eq!(files.installed, paths(&["z/z.js"]));
    }
}
