//! Lists changes to the files of an installed server since its preparation: manual edits and files that the server
//! itself writes. Files that the preparation left do not count.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use git2::{FileMode, Repository, Status, StatusEntry, StatusOptions};

/// Maximum number of changed files to list.
const SHOWN: usize = 5;
/// Exclude patterns for by-products such as byte code and Finder metadata, at any depth.
const CHAFF: &str = "__pycache__/\n*.pyc\n.DS_Store\n";

/// Starts change tracking: all files that exist now count as known.
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
        // Stages tracked files that the preparation changed, such as a lock file.
        let mut index = repository.index()?;
        index.update_all(["*"], None)?;
        Ok(index.write()?)
    };
    if let Err(error) = write() {
        // An update then asks for --force although nothing has changed.
        tracing::debug!(%error, "what the preparation left is taken for changes");
    }
}

/// Returns the names of up to [`SHOWN`] files that were added, changed or deleted since [`begin`].
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

/// Returns true for a missing symlink: the checkout removes links that lead out of the repository.
fn is_removed_link(entry: &StatusEntry<'_>) -> bool {
    let mode = entry.index_to_workdir().map(|it| it.old_file().mode());
    entry.status() == Status::WT_DELETED && mode == Some(FileMode::Link)
}
