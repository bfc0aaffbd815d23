//! Writes the files of a commit, and looks at what was written: links that lead out of the folder are
//! left out, and what is not there, though it looks so, is told.

use std::fs;
use std::path::{Component, Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{ObjectType, Oid, Repository, RepositoryInitOptions, TreeWalkMode, TreeWalkResult};

use super::{CloneError, Job, Resolved};
use crate::install::progress::Step;

/// A repository without hooks and templates.
pub(super) fn init(folder: &Path) -> Result<Repository, CloneError> {
    let mut options = RepositoryInitOptions::new();
    options.external_template(false);
    Ok(Repository::init_opts(folder, &options)?)
}

/// Writes the files of `commit` and returns what there is to say of them. Of submodules nothing is said
/// if they are fetched.
pub(super) fn check_out(
    repository: &Repository,
    commit: Oid,
    resolved: &Resolved,
    with_submodules: bool,
    job: &Job,
) -> Result<Vec<String>, CloneError> {
    let seen = measure(repository, commit, job)?;
    point_head(repository, commit, resolved)?;
    let mut options = CheckoutBuilder::new();
    options.force().progress(|_, files, total| {
        let (files, total) = (files as u64, total as u64);
        job.progress.tell(Step::CheckingOut { files, total });
    });
    repository.checkout_head(Some(&mut options))?;
    drop(options);
    let root = repository.workdir().unwrap_or(repository.path());
    let mut notes = Vec::new();
    let removed = seen
        .links
        .iter()
        .filter(|link| remove_if_escaping(root, link));
    notes.extend(listed(
        "symbolic links that lead out of the repository were left out",
        removed,
    ));
    let pointers = seen
        .small
        .iter()
        .filter(|file| is_lfs_pointer(&root.join(file)));
    notes.extend(listed(
        "files are kept in Git LFS and were not fetched (git lfs pull in the folder gets them)",
        pointers,
    ));
    if !with_submodules {
        notes.extend(listed(
            "submodules were not fetched (mcp-proxy install --submodules does)",
            seen.submodules.iter(),
        ));
    }
    Ok(notes)
}

/// Puts the branch there is, or the bare commit, under `HEAD`.
fn point_head(repository: &Repository, commit: Oid, resolved: &Resolved) -> Result<(), CloneError> {
    let branch = resolved.reference.as_deref();
    match branch.filter(|it| it.starts_with("refs/heads/")) {
        Some(branch) => {
            repository.reference(branch, commit, true, "install")?;
            repository.set_head(branch)?;
        }
        None => repository.set_head_detached(commit)?,
    }
    Ok(())
}

/// Keeps the address, so that a person can go on with git in the folder.
pub(super) fn remember(repository: &Repository, url: &str) {
    if let Err(error) = repository.remote("origin", url) {
        tracing::debug!(%error, "the address of the clone is not kept");
    }
}

/// What a commit has that needs a second look.
#[derive(Default)]
struct Seen {
    files: u64,
    bytes: u64,
    links: Vec<PathBuf>,
    /// Files no larger than a pointer of Git LFS.
    small: Vec<PathBuf>,
    submodules: Vec<PathBuf>,
}

/// Looks through a commit before anything of it is written.
fn measure(repository: &Repository, commit: Oid, job: &Job) -> Result<Seen, CloneError> {
    const POINTER: usize = 1024;
    const LINK: i32 = 0o120_000;
    let odb = repository.odb()?;
    let (mut seen, mut failure) = (Seen::default(), None);
    let tree = repository.find_commit(commit)?.tree()?;
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        let path = PathBuf::from(format!(
            "{folder}{}",
            String::from_utf8_lossy(entry.name_bytes())
        ));
        match entry.kind() {
            Some(ObjectType::Blob) => {
                let size = odb.read_header(entry.id()).map_or(0, |(size, _)| size);
                seen.files += 1;
                seen.bytes += size as u64;
                if entry.filemode() == LINK {
                    seen.links.push(path);
                } else if size < POINTER {
                    seen.small.push(path);
                }
            }
            Some(ObjectType::Commit) => seen.submodules.push(path),
            _ => {}
        }
        failure = check(&seen, job).err();
        if failure.is_some() {
            TreeWalkResult::Abort
        } else {
            TreeWalkResult::Ok
        }
    })
    .or_else(|error| {
        if failure.is_some() {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    failure.map_or(Ok(seen), Err)
}

fn check(seen: &Seen, job: &Job) -> Result<(), CloneError> {
    let limits = &job.limits;
    if job.cancel.is_cancelled() {
        return Err(CloneError::Cancelled);
    }
    if seen.files > limits.files {
        return Err(CloneError::TooLarge(format!(
            "more than {} files",
            limits.files
        )));
    }
    if seen.bytes > limits.unpacked {
        let size = limits.unpacked >> 20;
        return Err(CloneError::TooLarge(format!(
            "more than {size} MiB of files"
        )));
    }
    Ok(())
}

/// Removes a link unless it leads to a place in `root`, whether or not there is anything.
fn remove_if_escaping(root: &Path, link: &Path) -> bool {
    let path = root.join(link);
    let Ok(target) = fs::read_link(&path) else {
        return false;
    };
    let inside = match (path.canonicalize(), root.canonicalize()) {
        (Ok(real), Ok(root)) => real.starts_with(root),
        _ => stays_inside(link, &target),
    };
    !inside && fs::remove_file(&path).is_ok()
}

/// Whether `target`, read from `link`, stays below the root that `link` is relative to.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count() - 1;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn is_lfs_pointer(file: &Path) -> bool {
    let is_file = fs::symlink_metadata(file).is_ok_and(|it| it.is_file());
    is_file && fs::read(file).is_ok_and(|it| it.starts_with(b"version https://git-lfs"))
}

/// `3 WHAT: a, b, c`, if there are any.
fn listed<'a>(what: &str, paths: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    const SHOWN: usize = 3;
    let paths: Vec<String> = paths.map(|it| it.display().to_string()).collect();
    let shown = paths
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if paths.len() > SHOWN { ", …" } else { "" };
    (!paths.is_empty()).then(|| format!("{} {what}: {shown}{more}", paths.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_their_text() {
        for (link, target, inside) in [
            ("a", "b", true),
            ("d/a", "../b", true),
            ("d/a", "../../b", false),
            ("a", "..", false),
            ("a", "/etc/passwd", false),
            ("d/e/a", "../../x/../y", true),
            ("d/a", "x/../../../y", false),
        ] {
            assert_eq!(
                stays_inside(Path::new(link), Path::new(target)),
                inside,
                "{link} {target}"
            );
        }
    }
}
