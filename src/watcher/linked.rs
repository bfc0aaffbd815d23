//! The symbolic links of a tree: files and directories that lie elsewhere and count under the name
//! that they have in the tree. The system tells of the places where they lie.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::links;

/// So many directories are walked through links; a build tool's link to all its outputs is cut off.
pub(super) const MOST_DIRECTORIES: usize = 1_000;

/// Where the links of one tree lead.
#[derive(Debug, Clone, Default)]
pub(super) struct Linked {
    /// Links to directories, by their names in the tree, and those directories, canonical.
    places: BTreeMap<PathBuf, PathBuf>,
    /// Each entry that decides where links lead, and the names of those links in the tree.
    steps: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Directories that were walked through links.
    walked: usize,
}

impl Linked {
    /// Where the path of the tree lies, as far as links to directories lead there.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        self.place_of(path)
            .map_or_else(|| path.to_owned(), |(_, real)| real)
    }

    /// The innermost link above the path or at it, and where the path lies.
    fn place_of(&self, path: &Path) -> Option<(&Path, PathBuf)> {
        if self.places.is_empty() {
            return None;
        }
        path.ancestors().find_map(|above| {
            let (link, real) = self.places.get_key_value(above)?;
            let below = path.strip_prefix(above).ok()?;
            // Nothing is joined to a path that is the link itself: that would add a slash.
            let is_link = below.as_os_str().is_empty();
            let real = if is_link {
                real.clone()
            } else {
                real.join(below)
            };
            Some((link.as_path(), real))
        })
    }

    /// The names in the tree that a change of `path` concerns, where they are not `path` itself.
    pub(super) fn names(&self, path: &Path) -> BTreeSet<PathBuf> {
        let decided = self
            .steps
            .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
            .take_while(|(step, _)| step.starts_with(path))
            .flat_map(|(_, links)| links.iter().cloned());
        let below = self.places.iter().filter_map(|(link, real)| {
            let below = path.strip_prefix(real).ok()?;
            (!below.as_os_str().is_empty()).then(|| link.join(below))
        });
        let mut names: BTreeSet<PathBuf> = decided.chain(below).collect();
        names.remove(path);
        names
    }

    /// Notes the entries that decide where `link` leads; gives the directories to watch for them.
    pub(super) fn follow(&mut self, link: &Path) -> BTreeSet<PathBuf> {
        self.forget(link);
        let directory = link.parent().map(|place| self.real(place));
        let mut watched = BTreeSet::new();
        for step in links::steps(directory.unwrap_or_default(), link) {
            // Of what does not exist, the coming of its first part is told by the directory above.
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

    /// Whether what lies in the directory that `link` leads to is to be walked. Not if that is a circle, or
    /// leads out of the project to all that the user or the system has.
    pub(super) fn enter(&mut self, link: &Path, cwd: &Path) -> bool {
        let Ok(target) = link.canonicalize() else {
            return false;
        };
        let home = std::env::home_dir();
        let is_wide = |place: &Path| place.starts_with(&target);
        let mut around = link.ancestors().skip(1).map(|above| self.real(above));
        let is_circle = around.any(|above| above.starts_with(&target));
        if is_circle || is_wide(cwd) || home.is_some_and(|home| is_wide(&home)) {
            return false;
        }
        self.places.insert(link.to_owned(), target);
        true
    }

    /// Counts a directory that is about to be walked; false if it is one too many.
    pub(super) fn admits(&mut self, directory: &Path) -> bool {
        if self.place_of(directory).is_some() {
            self.walked += 1;
        }
        self.walked <= MOST_DIRECTORIES
    }

    /// Whether links lead to more directories than are walked.
    pub(super) fn is_full(&self) -> bool {
        self.walked > MOST_DIRECTORIES
    }

    /// Forgets the links at and below `path`, a name in the tree.
    pub(super) fn forget(&mut self, path: &Path) {
        self.places.retain(|link, _| !link.starts_with(path));
        self.steps.retain(|_, links| {
            links.retain(|link| !link.starts_with(path));
            !links.is_empty()
        });
        if self.places.is_empty() {
            self.walked = 0;
        }
    }
}
