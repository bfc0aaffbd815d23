//! Writes the files of a commit and checks the result: removes symlinks that lead out of the folder, and notes Git LFS
//! pointers and submodules that were not fetched. Part of the worker, except for [`init`].

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use git2::build::CheckoutBuilder;
use git2::{Commit, ObjectType, Oid, Repository, RepositoryInitOptions};

use super::{CloneError, Limits, ResourceUsage, git_program};
use crate::install::git_path;
use crate::install::progress::InstallStep;
use crate::quoting;

/// Creates a repository without hooks and templates.
pub(super) fn init(folder: &Path) -> Result<(), CloneError> {
    let mut options = RepositoryInitOptions::new();
    options.external_template(false);
    Repository::init_opts(folder, &options)?;
    Ok(())
}

/// Returns the fetched commit with the full or abbreviated id `name`.
pub(super) fn find<'a>(repository: &'a Repository, name: &str) -> Result<Commit<'a>, CloneError> {
    let object = repository.find_object_by_prefix(name, None);
    let commit = object.and_then(|it| it.peel_to_commit());
    commit.map_err(|_| CloneError::NoReference {
        name: name.to_owned(),
        near: Vec::new(),
    })
}

/// Writes the files of `commit` and points `HEAD` at `branch`, if given. Returns the resources used and notes for the
/// user. `with_submodules` suppresses the note about submodules.
pub(super) fn check_out(
    repository: &Repository,
    commit: &Commit<'_>,
    branch: Option<&str>,
    with_submodules: bool,
    limits: &Limits,
    tell: impl Fn(InstallStep),
) -> Result<(ResourceUsage, Vec<String>), CloneError> {
    let seen = measure(repository, commit, limits)?;
    point_head(repository, commit.id(), branch)?;
    let mut options = CheckoutBuilder::new();
    options.force().progress(|_, files, total| {
        let (files, total) = (files as u64, total as u64);
        tell(InstallStep::CheckingOut { files, total });
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
        "files in Git LFS were not fetched (run git lfs pull in the folder)",
        pointers,
    ));
    if !with_submodules {
        notes.extend(listed(
            "submodules were not fetched (mcp-proxy install --submodules does)",
            seen.submodules.iter(),
        ));
    }
    let taken = ResourceUsage {
        download: git_program::size(&repository.path().join("objects/pack")),
        unpacked: seen.bytes,
        entries: seen.entries,
    };
    Ok((taken, notes))
}

/// Points `HEAD` at the branch, or at the bare commit if there is no branch.
fn point_head(
    repository: &Repository,
    commit: Oid,
    branch: Option<&str>,
) -> Result<(), CloneError> {
    match branch {
        Some(branch) => {
            repository.reference(branch, commit, true, "install")?;
            repository.set_head(branch)?;
        }
        None => repository.set_head_detached(commit)?,
    }
    Ok(())
}

/// Stores the address as remote `origin`, so that a person can use git in the folder.
pub(super) fn remember(repository: &Repository, url: &str) {
    if let Err(error) = repository.remote("origin", url) {
        tracing::debug!(%error, "cannot store the address of the clone");
    }
}

/// Entries of a commit that need a check after the checkout, and their totals.
#[derive(Default)]
struct CommitContents {
    entries: u64,
    bytes: u64,
    links: Vec<PathBuf>,
    /// Files no larger than a Git LFS pointer.
    small: Vec<PathBuf>,
    submodules: Vec<PathBuf>,
}

/// Checks a commit before its files are written. Names are safe and unique in their folder, so that no file is written
/// below a link. Uses a stack instead of recursion and counts folders like files: a small pack can hold any nesting
/// depth, and the same folder any number of times.
fn measure(
    repository: &Repository,
    commit: &Commit<'_>,
    limits: &Limits,
) -> Result<CommitContents, CloneError> {
    const POINTER: usize = 1024;
    const LINK: i32 = 0o120_000;
    let odb = repository.odb()?;
    let folds = repository.config()?.get_bool("core.ignorecase");
    let folds = folds.unwrap_or(false);
    let mut seen = CommitContents::default();
    let mut folders = vec![(PathBuf::new(), commit.tree_id(), 0)];
    while let Some((folder, id, depth)) = folders.pop() {
        if depth > limits.depth {
            let most = limits.depth;
            return Err(CloneError::TooLarge(format!(
                "folders nested more than {most} deep"
            )));
        }
        let mut names = HashSet::new();
        for entry in &repository.find_tree(id)? {
            seen.entries += 1;
            let name = String::from_utf8_lossy(entry.name_bytes());
            // The name as written to disk, where it need not be UTF-8.
            let path = folder.join(git_path::from_bytes(entry.name_bytes()));
            if !is_safe(&name) {
                return Err(CloneError::Name(text(&path)));
            }
            if !is_new(&mut names, &name, folds) {
                return Err(CloneError::Twice(text(&path)));
            }
            match entry.kind() {
                Some(ObjectType::Tree) => folders.push((path, entry.id(), depth + 1)),
                Some(ObjectType::Commit) => seen.submodules.push(path),
                _ => {
                    let size = odb.read_header(entry.id()).map_or(0, |(size, _)| size);
                    seen.bytes += size as u64;
                    if entry.filemode() == LINK {
                        seen.links.push(path);
                    } else if size < POINTER {
                        seen.small.push(path);
                    }
                }
            }
            check(&seen, limits)?;
        }
    }
    for paths in [&mut seen.links, &mut seen.small, &mut seen.submodules] {
        paths.sort_unstable();
    }
    Ok(seen)
}

/// Returns true if a name is safe on every file system: it names no other folder, none of git's own files, and no name
/// that a file system equates with these.
fn is_safe(name: &str) -> bool {
    // macOS ignores these characters in names.
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain = name.replace(ignored, "").to_ascii_lowercase();
    // Windows ignores trailing dots and spaces, and treats text after a colon as a stream name.
    let plain = plain.split(':').next().unwrap_or_default();
    let plain = plain.trim_end_matches([' ', '.']);
    !matches!(name, "" | "." | "..")
        && !matches!(plain, ".git" | "git~1")
        && !name.contains(['/', '\\', '\0'])
}

/// Adds `name` to the names of a folder, whose file system may fold case. Returns true if the name is new.
fn is_new(names: &mut HashSet<String>, name: &str, folds: bool) -> bool {
    names.insert(if folds {
        name.to_lowercase()
    } else {
        name.to_owned()
    })
}

/// Returns a path as text, truncated because the worker's lines have a limit.
fn text(path: &Path) -> String {
    path.display().to_string().chars().take(500).collect()
}

fn check(seen: &CommitContents, limits: &Limits) -> Result<(), CloneError> {
    if seen.entries > limits.entries {
        return Err(CloneError::TooLarge(format!(
            "more than {} files and folders",
            limits.entries
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

/// Removes a link unless its target, existing or not, is among the files of `root`. Returns true if it was removed.
fn remove_if_escaping(root: &Path, link: &Path) -> bool {
    let inside = dunce::canonicalize(root).is_ok_and(|root| {
        let end = end_of(&root.join(link));
        end.is_some_and(|end| end.starts_with(&root) && !end.starts_with(root.join(".git")))
    });
    let path = root.join(link);
    path.is_symlink() && !inside && fs::remove_file(path).is_ok()
}

/// Resolves an absolute path through all links, even if the target does not exist. Returns `None` for a cycle of links.
fn end_of(path: &Path) -> Option<PathBuf> {
    const LINKS: usize = 40;
    let mut links = 0;
    let mut end = PathBuf::new();
    let mut ahead = path.to_owned();
    loop {
        let mut parts = ahead.components();
        let Some(part) = parts.next() else {
            return Some(end);
        };
        let rest = parts.as_path().to_owned();
        match part {
            Component::ParentDir => {
                end.pop();
            }
            Component::CurDir => {}
            part => end.push(part),
        }
        ahead = match fs::read_link(&end) {
            Ok(target) => {
                links += 1;
                end.pop();
                target.join(rest)
            }
            Err(_) => rest,
        };
        if links > LINKS {
            return None;
        }
    }
}

fn is_lfs_pointer(file: &Path) -> bool {
    let is_file = fs::symlink_metadata(file).is_ok_and(|it| it.is_file());
    is_file && fs::read(file).is_ok_and(|it| it.starts_with(b"version https://git-lfs"))
}

/// Formats `3 WHAT: "a", "b", "c"`; `None` if `paths` is empty.
fn listed<'a>(what: &str, paths: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
    let paths: Vec<&PathBuf> = paths.collect();
    let names = quoting::files(paths.iter().copied());
    (!paths.is_empty()).then(|| format!("{} {what}: {names}", paths.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_and_new_or_not() {
        for name in [
            "", ".", "..", "a/b", "a\\b", "a\0", ".git", ".GIT. ", "GIT~1", ".git:x",
        ] {
            assert!(!is_safe(name), "{name:?}");
        }
        for name in [
            "...",
            ".gitignore",
            ".github",
            "git",
            ":x",
            "a b",
            "ä",
            "CON",
        ] {
            assert!(is_safe(name), "{name:?}");
        }
        let count = |folds| {
            let mut names = HashSet::new();
            let all = ["link", "Link", "LINK", "Ä", "ä", "link"];
            all.iter()
                .filter(|it| is_new(&mut names, it, folds))
                .count()
        };
        assert_eq!((count(false), count(true)), (5, 2));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_left_out_unless_they_lead_to_files_of_the_repository() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in ["d/e", ".git"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (link, target, leads_in) in [
            ("a", "b", true),
            ("d/b", "../b", true),
            ("d/c", "../../b", false),
            ("e", "..", false),
            ("f", "/etc/passwd", false),
            ("d/e/a", "../../x/../y", true),
            ("d/g", "x/../../../y", false),
            // Links that other links use.
            ("d/e/root", "../..", true),
            ("h", "d/e/root/y", true),
            ("i", "d/e/root/../y", false),
            ("j", "h/z", true),
            ("k", ".git/config", false),
            ("l", "d/e/root/.git", false),
            ("m", "m", false),
        ] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
            let removed = remove_if_escaping(root, Path::new(link));
            assert_eq!(removed, !leads_in, "{link} {target}");
        }
        assert!(!remove_if_escaping(root, Path::new("d")));
        let here = root.canonicalize().unwrap();
        std::os::unix::fs::symlink(here.join("x"), root.join("n")).unwrap();
        assert!(!remove_if_escaping(root, Path::new("n")));
    }
}
