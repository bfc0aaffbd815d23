//! Directory entries that determine the content at a path: the path itself and each symlink on the way.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Limit for a chain of symlinks; the system treats a longer chain as a cycle, too.
const MOST_LINKS: usize = 40;

/// Returns the entry of `file` in its canonical `directory`, each symlink from there on, and the final entry, which
/// need not exist.
pub(super) fn steps(directory: PathBuf, file: &Path) -> BTreeSet<PathBuf> {
    let mut steps = BTreeSet::new();
    let mut path = directory;
    let mut remaining: Vec<OsString> = file.file_name().map(OsString::from).into_iter().collect();
    let mut links = 0;
    while let Some(name) = remaining.pop() {
        match Path::new(&name).components().next() {
            Some(Component::Normal(name)) => path.push(name),
            Some(Component::ParentDir) => {
                path.pop();
            }
            Some(root @ (Component::RootDir | Component::Prefix(_))) => path.push(root),
            Some(Component::CurDir) | None => {}
        }
        if links < MOST_LINKS
            && let Ok(target) = std::fs::read_link(&path)
        {
            links += 1;
            steps.insert(path.clone());
            path.pop();
            let parts = target.components().rev();
            remaining.extend(parts.map(|part| part.as_os_str().to_owned()));
        }
    }
    steps.insert(path);
    steps
}
