//! Paths as events report them.

use std::path::{Path, PathBuf};

/// Path that every path starts with.
pub(super) const EVERYTHING: &str = "";

/// Returns the path with its existing part canonical, since events carry canonical paths.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|existing| {
            let rest = path.strip_prefix(existing).ok()?;
            let found = dunce::canonicalize(existing).ok()?;
            Some(if rest.as_os_str().is_empty() {
                found
            } else {
                found.join(rest)
            })
        })
        .unwrap_or_else(|| path.to_owned())
}

/// Returns the root of the git work tree that contains `path`.
pub(super) fn repository(path: &Path) -> Option<&Path> {
    path.ancestors().find(|place| place.join(".git").exists())
}

/// Returns the canonical directory of a file.
pub(super) fn canonical_parent(file: &Path) -> PathBuf {
    let file = std::path::absolute(file);
    let parent = file.ok().and_then(|file| file.parent().map(canonical));
    parent.unwrap_or_default()
}
