//! Paths as events report them, and as globs match them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Path that every path starts with.
pub(super) const EVERYTHING: &str = "";

/// Returns the path with its existing part canonical, since events carry canonical paths. On macOS and Windows that part
/// has the case and the composition of the names on the disk.
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

/// Returns the path of a file in its canonical directory.
pub(super) fn with_canonical_parent(file: &Path) -> PathBuf {
    canonical_parent(file).join(file.file_name().unwrap_or_default())
}

/// Returns the entries of `map` at and below `directory`.
pub(super) fn at_or_below<'m, V>(
    map: &'m BTreeMap<PathBuf, V>,
    directory: &'m Path,
) -> impl Iterator<Item = (&'m PathBuf, &'m V)> {
    map.range::<Path, _>((Bound::Included(directory), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(directory))
}

/// Returns the path with composed characters: a glob with `é` also matches the name that macOS spells as `e` with an
/// accent.
pub(super) fn composed(path: &Path) -> Cow<'_, Path> {
    match path.to_str() {
        Some(text) if !text.is_ascii() && !is_nfc(text) => {
            Cow::Owned(text.nfc().collect::<String>().into())
        }
        _ => Cow::Borrowed(path),
    }
}
