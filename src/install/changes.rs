//! What somebody has done to the files of an installed server since it was made ready: edits by hand,
//! and what the server itself keeps there. Its preparation leaves files as well; those do not count.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use git2::{FileMode, Repository, Status, StatusEntry, StatusOptions};

/// So many are named.
const SHOWN: usize = 5;
/// What comes of running a server, wherever it lies.
const CHAFF: &str = "__pycache__/\n*.pyc\n.DS_Store\n";

/// From now on changes count: what is there is taken for known.
pub(super) fn begin(home: &Path) {
    let write = || -> Result<(), Box<dyn std::error::Error>> {
        let repository = Repository::discover(home)?;
        let mut known = CHAFF.to_owned();
        for entry in repository.statuses(Some(&mut options()))?.iter() {
            if entry.status() == Status::WT_NEW {
                let _ = writeln!(known, "/{}", String::from_utf8_lossy(entry.path_bytes()));
            }
        }
        let folder = repository.path().join("info");
        std::fs::create_dir_all(&folder)?;
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("exclude"))?;
        file.write_all(known.as_bytes())?;
        // Files of the repository that the preparation changed, such as a lock file.
        let mut index = repository.index()?;
        index.update_all(["*"], None)?;
        Ok(index.write()?)
    };
    if let Err(error) = write() {
        // An update asks for --force then, though nothing has changed.
        tracing::debug!(%error, "what the preparation left is taken for changes");
    }
}

/// Some of the files that are new, changed or gone since [`begin`].
pub(super) fn since_preparation(folder: &Path) -> Vec<String> {
    let Ok(repository) = Repository::open(folder) else {
        return Vec::new();
    };
    let Ok(statuses) = repository.statuses(Some(&mut options())) else {
        return Vec::new();
    };
    let changed = statuses
        .iter()
        .filter(|it| it.index_to_workdir().is_some() && !is_removed_link(it));
    let names = changed.map(|it| String::from_utf8_lossy(it.path_bytes()).into_owned());
    names.take(SHOWN).collect()
}

fn options() -> StatusOptions {
    let mut options = StatusOptions::new();
    options.include_untracked(true).exclude_submodules(true);
    options
}

/// Links that led out of the repository are missing, and nobody removed them.
fn is_removed_link(entry: &StatusEntry<'_>) -> bool {
    let mode = entry.index_to_workdir().map(|it| it.old_file().mode());
    entry.status() == Status::WT_DELETED && mode == Some(FileMode::Link)
}
