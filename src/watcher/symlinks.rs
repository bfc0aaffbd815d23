//! Symlinks of a tree: files and directories outside of it that count under their names in the tree. File events name
//! their real location.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::paths::at_or_below;
use super::symlink_steps;

/// Maximum number of directories walked through symlinks; cuts off a build tool's link to all its outputs.
pub(super) const MOST_DIRECTORIES: usize = 1_000;

/// Symlinks of one tree and their targets.
#[derive(Debug, Clone, Default)]
pub(super) struct TreeSymlinks {
    /// Canonical target directories by symlink, named as in the tree.
    directories: BTreeMap<PathBuf, PathBuf>,
    /// Directory entries that determine symlink targets, each with its symlinks in the tree.
    steps: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Number of directories walked through symlinks.
    walked: usize,
}

impl TreeSymlinks {
    /// Returns the real location of a path of the tree, resolving symlinks to directories.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        self.target_of(path)
            .map_or_else(|| path.to_owned(), |(_, real)| real)
    }

    /// Returns the innermost symlink at or above the path, and the real location of the path.
    fn target_of(&self, path: &Path) -> Option<(&Path, PathBuf)> {
        if self.directories.is_empty() {
            return None;
        }
        path.ancestors().find_map(|above| {
            let (link, real) = self.directories.get_key_value(above)?;
            let below = path.strip_prefix(above).ok()?;
            // Joining an empty path would add a slash.
            let is_link = below.as_os_str().is_empty();
            let real = if is_link {
                real.clone()
            } else {
                real.join(below)
            };
            Some((link.as_path(), real))
        })
    }

    /// Whether a change of `path` may change the target of a symlink.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "only Linux has a queue that can be read")
    )]
    pub(super) fn depend_on(&self, path: &Path) -> bool {
        self.depending(path).next().is_some()
    }

    /// Returns the symlinks whose target a change of `path` may change, for each of their steps.
    fn depending<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a BTreeSet<PathBuf>> {
        at_or_below(&self.steps, path).map(|(_, links)| links)
    }

    /// Returns the other names in the tree, given by symlinks, that a change of `path` affects.
    pub(super) fn names(&self, path: &Path) -> BTreeSet<PathBuf> {
        let decided = self.depending(path).flatten().cloned();
        let below = self.directories.iter().filter_map(|(link, real)| {
            let below = path.strip_prefix(real).ok()?;
            (!below.as_os_str().is_empty()).then(|| link.join(below))
        });
        let mut names: BTreeSet<PathBuf> = decided.chain(below).collect();
        names.remove(path);
        names
    }

    /// Whether the entry is a followed symlink.
    pub(super) fn knows(&self, link: &Path) -> bool {
        self.steps
            .get(link)
            .is_some_and(|links| links.contains(link))
    }

    /// Records the directory entries that determine the target of `link`. Returns the directories to watch for them.
    pub(super) fn follow(&mut self, link: &Path) -> BTreeSet<PathBuf> {
        self.forget(link);
        let directory = link.parent().map(|place| self.real(place));
        let mut watched = BTreeSet::new();
        for step in symlink_steps::steps(directory.unwrap_or_default(), link) {
            // For a missing path, its first missing component is watched in the nearest existing directory.
            let mut first = step.as_path();
            while let Some(parent) = first.parent().filter(|parent| !parent.is_dir()) {
                first = parent;
            }
            watched.extend(first.parent().map(Path::to_owned));
            let links = self.steps.entry(first.to_owned()).or_default();
            links.insert(link.to_owned());
        }
        watched
    }

    /// Registers `link` and its target directory for a walk. Returns false, without registering, for a missing target,
    /// a cycle, or a target that contains the project or the home directory.
    pub(super) fn enter(&mut self, link: &Path, cwd: &Path) -> bool {
        let Ok(target) = dunce::canonicalize(link) else {
            return false;
        };
        let home = std::env::home_dir();
        let is_wide = |place: &Path| place.starts_with(&target);
        let mut around = link.ancestors().skip(1).map(|above| self.real(above));
        let is_circle = around.any(|above| above.starts_with(&target));
        if is_circle || is_wide(cwd) || home.is_some_and(|home| is_wide(&home)) {
            return false;
        }
        self.directories.insert(link.to_owned(), target);
        true
    }

    /// Counts a directory before its walk; returns false beyond the limit.
    pub(super) fn count_directory(&mut self, directory: &Path) -> bool {
        if self.target_of(directory).is_some() {
            self.walked += 1;
        }
        self.walked <= MOST_DIRECTORIES
    }

    /// Whether symlinks lead to more directories than the limit.
    pub(super) fn is_full(&self) -> bool {
        self.walked > MOST_DIRECTORIES
    }

    /// Forgets the symlinks at and below `path`, a name in the tree.
    pub(super) fn forget(&mut self, path: &Path) {
        self.directories.retain(|link, _| !link.starts_with(path));
        self.steps.retain(|_, links| {
            links.retain(|link| !link.starts_with(path));
            !links.is_empty()
        });
        if self.directories.is_empty() {
            self.walked = 0;
        }
    }
}
