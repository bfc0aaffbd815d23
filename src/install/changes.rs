//! Lists changes to the files of an installed server since its preparation: manual edits, committed or not, and files
//! that a person or the server put there, those named in `.gitignore` included. Files that the preparation left do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{Delta, DiffOptions, Oid, Repository, Tree};

use super::InstallError;
use super::containment::has_only_names;
use super::git_path;

/// Files that were added, changed or deleted, by the folder of their commit; no folder without such files.
pub(crate) type ChangedFiles = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// File in git's folder that describes the state after the preparation: the id of the tree of tracked files, and the
/// paths of all others, each ended by a NUL.
const KNOWN: &str = "mcp-proxy-known";
/// Folders whose contents tools make anew: one that the preparation left counts as a whole.
const PRODUCTS: &[&str] = &["node_modules", ".venv", "target", "dist", "build"];

/// Starts change tracking in the `folder` of a commit: all files that exist now count as known.
pub(super) fn begin(folder: &Path) {
    for (_, repository) in repositories(folder) {
        if let Err(error) = note(&repository) {
            // An update then asks for --force although nothing has changed.
            tracing::debug!(%error, "cannot record the files that the preparation left");
        }
    }
}

fn note(repository: &Repository) -> Result<(), Box<dyn std::error::Error>> {
    // The preparation may have changed tracked files, such as a lock file.
    let mut index = repository.index()?;
    index.update_all(["*"], None)?;
    index.write()?;
    let tree = index.write_tree()?;
    let mut known = format!("{tree}\0").into_bytes();
    for path in differences(repository, &repository.find_tree(tree)?)? {
        known.extend_from_slice(path.as_os_str().as_encoded_bytes());
        known.push(0);
    }
    Ok(fs::write(repository.path().join(KNOWN), known)?)
}

/// Returns the files in the `folders` of commits that were added, changed or deleted since [`begin`].
pub(super) fn changed_files(folders: impl IntoIterator<Item = PathBuf>) -> ChangedFiles {
    let mut changed = ChangedFiles::new();
    for folder in folders {
        let files = since_preparation(&folder);
        if !files.is_empty() {
            changed.insert(folder, files);
        }
    }
    changed
}

/// Returns the files in the `folder` of a commit that were added, changed or deleted since [`begin`].
pub(super) fn since_preparation(folder: &Path) -> BTreeSet<PathBuf> {
    let mut changed = BTreeSet::new();
    if !folder.is_dir() {
        return changed;
    }
    // Without git's folder, nothing tells the files apart.
    let unknown = || BTreeSet::from([PathBuf::from(".git")]);
    let repositories = repositories(folder);
    if repositories.is_empty() {
        return unknown();
    }
    for (path, repository) in repositories {
        let here = changes(&repository).unwrap_or_else(|_| unknown());
        changed.extend(here.into_iter().map(|it| path.join(it)));
    }
    changed
}

fn changes(repository: &Repository) -> Result<BTreeSet<PathBuf>, git2::Error> {
    let known = fs::read(repository.path().join(KNOWN)).unwrap_or_default();
    let mut known = known.split(|it| *it == 0);
    let id = known
        .next()
        .and_then(|it| str::from_utf8(it).ok()?.parse::<Oid>().ok());
    let tree = match id {
        Some(id) => repository.find_tree(id)?,
        None => repository.head()?.peel_to_tree()?,
    };
    let known: BTreeSet<PathBuf> = known.map(path).collect();
    let mut changed = differences(repository, &tree)?;
    changed.retain(|it| !known.contains(it));
    Ok(changed)
}

/// Returns an error if files in the `folders` of the server `name` were changed, so that no change is lost unnoticed.
/// The error advises to `insist`.
pub(super) fn unchanged(
    name: &str,
    folders: impl IntoIterator<Item = PathBuf>,
    insist: &'static str,
) -> Result<(), InstallError> {
    let files = changed_files(folders);
    if files.is_empty() {
        return Ok(());
    }
    let name = name.to_owned();
    Err(InstallError::Changed {
        name,
        files,
        insist,
    })
}

/// Returns the repository in `folder` and those of its submodules, each with its path in `folder`.
fn repositories(folder: &Path) -> Vec<(PathBuf, Repository)> {
    let mut found = Vec::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(inner) = ahead.pop() {
        let Ok(repository) = Repository::open(folder.join(&inner)) else {
            // A submodule that was not fetched.
            continue;
        };
        for module in repository.submodules().unwrap_or_default() {
            if module.head_id().is_some() && has_only_names(module.path()) {
                ahead.push(inner.join(module.path()));
            }
        }
        found.push((inner, repository));
    }
    found
}

/// Returns the tracked files that differ from `tree`, and all files that are not tracked. Folders of products and inner
/// repositories count as one file, and by-products such as byte code and Finder metadata not at all.
fn differences(repository: &Repository, tree: &Tree<'_>) -> Result<BTreeSet<PathBuf>, git2::Error> {
    let root = repository.workdir().unwrap_or(repository.path());
    let mut options = DiffOptions::new();
    options
        .include_untracked(true)
        .include_ignored(true)
        .ignore_submodules(true);
    let diff = repository.diff_tree_to_workdir_with_index(Some(tree), Some(&mut options))?;
    let mut found = BTreeSet::new();
    let mut ahead = Vec::new();
    for delta in diff.deltas() {
        let file = path(delta.new_file().path_bytes().unwrap_or_default());
        match delta.status() {
            Delta::Untracked | Delta::Ignored => ahead.push(file),
            _ => _ = found.insert(file),
        }
    }
    while let Some(file) = ahead.pop() {
        let name = file.file_name().unwrap_or_default();
        let whole = root.join(&file);
        let is_folder = fs::symlink_metadata(&whole).is_ok_and(|it| it.is_dir());
        if name == "__pycache__"
            || name == ".DS_Store"
            || file.extension() == Some(OsStr::new("pyc"))
        {
            continue;
        }
        let is_one = PRODUCTS.iter().any(|it| name == *it) || whole.join(".git").exists();
        match fs::read_dir(&whole) {
            Ok(entries) if is_folder && !is_one => {
                ahead.extend(entries.flatten().map(|it| file.join(it.file_name())));
            }
            _ => _ = found.insert(file),
        }
    }
    Ok(found)
}

/// Returns a path without the slash that git puts after a folder.
fn path(bytes: &[u8]) -> PathBuf {
    git_path::from_bytes(bytes.strip_suffix(b"/").unwrap_or(bytes))
}
