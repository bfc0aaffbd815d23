//! Checks that a path stays inside a repository.

use std::path::{Component, Path, PathBuf};

/// Returns the place of an existing `path` below `root`, links followed; `None` if it is outside.
pub(super) fn place_below(root: &Path, path: &Path) -> Option<PathBuf> {
    let (root, end) = (
        dunce::canonicalize(root).ok()?,
        dunce::canonicalize(path).ok()?,
    );
    end.strip_prefix(root).ok().map(Path::to_owned)
}

/// Returns the longest part of `path` that exists, if only as a link without a target.
pub(super) fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|it| it.symlink_metadata().is_ok())
}

/// Returns true if the path is relative, without `.` and `..`.
pub(super) fn has_only_names(path: &Path) -> bool {
    path.components()
        .all(|it| matches!(it, Component::Normal(_)))
}
