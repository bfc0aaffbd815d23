//! Which directory entries decide what is read under a path: the path itself and, as long as they
//! are symbolic links, what they lead to.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// More links than this in a row are a circle, to the system as well.
const MOST_LINKS: usize = 40;

/// The entry of `file` in its canonical `directory`, every link met from there on, and the entry
/// at the end, which need not exist.
pub(super) fn steps(directory: PathBuf, file: &Path) -> BTreeSet<PathBuf> {
    let mut steps = BTreeSet::new();
    let mut place = directory;
    let mut ahead: Vec<OsString> = file.file_name().map(OsString::from).into_iter().collect();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            Some(Component::Normal(name)) => place.push(name),
            Some(Component::ParentDir) => {
                place.pop();
            }
            Some(root @ (Component::RootDir | Component::Prefix(_))) => place.push(root),
            Some(Component::CurDir) | None => {}
        }
        if links < MOST_LINKS
            && let Ok(target) = std::fs::read_link(&place)
        {
            links += 1;
            steps.insert(place.clone());
            place.pop();
            let parts = target.components().rev();
            ahead.extend(parts.map(|part| part.as_os_str().to_owned()));
        }
    }
    steps.insert(place);
    steps
}
