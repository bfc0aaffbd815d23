//! What a running process has loaded, read and written of the user's own, for those who watch files.
//!
//! Its bootstrap notes that for the next start's sake. What it loads after it has begun to answer is noted by Python
//! processes only.

use std::collections::BTreeSet;
use std::future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use super::room::Folder;
use super::slot::QUIET;

/// So long a process may take to tell what it has loaded, which it does when it has nothing else to do.
pub(super) const TELLING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The pause before the first look whether a process has noted more. It doubles with each look that finds nothing, so
/// that a process at rest costs no time.
const GROWING: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const RESTING: Duration = Duration::from_secs(3);
/// Directories that packages are installed into.
const PLACES: [&str; 3] = ["site-packages", "dist-packages", "node_modules"];

/// The notes of one process. It makes them as long as somebody holds this.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    folder: Arc<Folder>,
    /// When it was started.
    pub(crate) since: SystemTime,
    /// How much it had noted when it began to answer, in bytes.
    began: usize,
}

/// What the notes of a process tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Files of code that lie outside the places where packages are installed.
    pub(crate) code: BTreeSet<PathBuf>,
    /// The part of `code` that was loaded after the process began to answer.
    pub(crate) late: BTreeSet<PathBuf>,
    /// Files that it had opened for reading before it answered.
    pub(crate) read: BTreeSet<PathBuf>,
    /// Modules that lie where packages are installed, as paths below that place.
    pub(crate) installed: BTreeSet<PathBuf>,
    /// Where the process looks for such modules.
    pub(crate) places: BTreeSet<PathBuf>,
}

impl Notes {
    /// Of a process that answers from now on, or has failed to.
    pub(super) fn new(folder: Arc<Folder>, since: SystemTime) -> Self {
        let began = folder.noted();
        Self {
            folder,
            since,
            began,
        }
    }

    /// Waits until the process has told what it had loaded so far; false if it does not.
    pub(crate) async fn told(&self) -> bool {
        if !self.folder.is_claimed() {
            return false;
        }
        if self.folder.is_asked() {
            sleep(QUIET).await;
            self.folder.ask();
        }
        let told = async {
            while !self.folder.is_told() {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(TELLING, told).await.is_ok()
    }

    /// Waits until more is noted than `size` bytes, for ever if no more will be.
    pub(crate) async fn grown(&self, size: usize) {
        if self.folder.is_complete() {
            future::pending::<()>().await;
        }
        let mut pause = GROWING;
        while self.folder.noted() <= size {
            sleep(pause).await;
            pause = RESTING.min(pause * 2);
        }
    }

    /// Returns how much is noted, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.folder.noted()
    }

    /// Returns what is noted so far. Reads the file system.
    pub(crate) fn read(&self) -> Noted {
        let mut noted = Noted::read_from(&self.folder.log().unwrap_or_default(), self.began);
        // Several directories may stand in one place.
        noted.code.retain(|path| path.is_file());
        noted.late.retain(|path| noted.code.contains(path));
        if self.folder.is_complete() {
            // It has told everything in one report, so nothing was loaded later.
            noted.late.clear();
        }
        noted
    }

    /// Whether the process itself has opened this file, whose directory is canonical, for writing.
    pub(super) fn have_written(&self, path: &Path) -> bool {
        let log = self.folder.log().unwrap_or_default();
        let mut written = marked(&log, "#wrote").map(Path::new);
        written.any(|it| it == path || it.file_name() == path.file_name() && is_at(it, path))
    }
}

/// Whether the directory of `path` leads to that of `real`.
fn is_at(path: &Path, real: &Path) -> bool {
    let directory = path.parent().and_then(|it| it.canonicalize().ok());
    directory.as_deref() == real.parent()
}

fn marked<'a>(log: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = log.lines().filter_map(|line| line.split_once('\t'));
    lines
        .filter(move |(name, _)| *name == mark)
        .map(|(_, place)| place)
}

impl Noted {
    /// What `log` tells of a process that began to answer when so much of it was written.
    fn read_from(log: &str, began: usize) -> Self {
        let installed: Vec<&Path> = marked(log, "#installed").map(Path::new).collect();
        let is_place = |place: &&&Path| PLACES.iter().any(|it| place.ends_with(it));
        let places = installed.iter().filter(is_place);
        let mut noted = Self {
            places: places.map(|place| place.to_path_buf()).collect(),
            ..Self::default()
        };
        let mut at = 0;
        for line in log.split_inclusive('\n') {
            let is_early = at < began;
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
                    noted.read.insert(path.to_owned());
                }
                // What runs as the main module is only looked for.
                ("#found" | "#link", None) => {
                    noted.code.insert(path.to_owned());
                }
                (name, None) if !name.starts_with('#') => {
                    noted.code.insert(path.to_owned());
                    if !is_early {
                        noted.late.insert(path.to_owned());
                    }
                }
                (name, Some((place, below)))
                    if (name == "#found" || !name.starts_with('#')) && is_place(&place) =>
                {
                    noted.installed.insert(below.to_owned());
                }
                _ => {}
            }
        }
        noted
    }

    /// Adds what another process has noted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.code.extend(other.code.iter().cloned());
        self.late.extend(other.late.iter().cloned());
        self.read.extend(other.read.iter().cloned());
        self.installed.extend(other.installed.iter().cloned());
        self.places.extend(other.places.iter().cloned());
    }
}

#[cfg(test)]
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
        let noted = Noted::read_from(&format!("{early}{late}"), early.len());
        let code = [
            "/p/server.py",
            "/shared/helpers.py",
            "/p/names",
            "/p/late.py",
        ];
        assert_eq!(noted.code, paths(&code));
        assert_eq!(noted.late, paths(&["/p/late.py"]));
        assert_eq!(noted.read, paths(&["/p/prompt.txt"]));
        assert_eq!(noted.installed, paths(&["mcp/server.py"]));
    }

    #[test]
    fn what_node_reports_is_understood() {
        let log = "#interpreter\t/usr/bin/node\n#installed\t/p/node_modules/\n\
                   #common\t/p/a.cjs\n#require\t/p/node_modules/z/z.js\t/p/a.cjs\n#link\t/p/link.js\n\
                   /p/a.cjs\t/p/a.cjs\n/p/data.json\t/p/data.json\n/p/node_modules/z/z.js\t/p/node_modules/z/z.js\n#end\t\n";
        let noted = Noted::read_from(log, 0);
        let code = ["/p/a.cjs", "/p/data.json", "/p/link.js"];
        assert_eq!(noted.code, paths(&code));
        assert_eq!(noted.installed, paths(&["z/z.js"]));
    }
}
