//! Files that count although no glob wants them, because the server's process uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::ignores::Ignores;
use super::{Matcher, Verdict};

/// Ends of the names of files that may take each other's place, or stand in for each other.
const FAMILIES: &[&[&str]] = &[
    &["py", "pyi"],
    &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"],
];

/// Such files. Their directories are canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Used {
    files: BTreeSet<PathBuf>,
    /// Directories of code, where a new file may come to be loaded, and the ends of the names that count there.
    directories: BTreeMap<PathBuf, BTreeSet<&'static str>>,
}

impl Used {
    /// Adds a file.
    pub(in super::super) fn add(&mut self, file: PathBuf) {
        if let Some(directory) = file.parent() {
            self.directories.entry(directory.to_owned()).or_default();
            self.files.insert(file);
        }
    }

    /// Adds a file of code, and those beside it that are written in its language.
    pub(in super::super) fn add_code(&mut self, file: PathBuf) {
        let end = file.extension().and_then(|end| end.to_str());
        let family = FAMILIES
            .iter()
            .find(|family| end.is_some_and(|end| family.contains(&end)));
        if let (Some(family), Some(directory)) = (family, file.parent()) {
            let ends = self.directories.entry(directory.to_owned()).or_default();
            ends.extend(*family);
        }
        self.add(file);
    }

    pub(in super::super) fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// The directories that the files lie in.
    pub(in super::super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.keys().map(PathBuf::as_path)
    }

    pub(super) fn holds(&self, directory: &Path) -> bool {
        self.directories.contains_key(directory)
    }

    /// Adds all that counts in `other`.
    pub(in super::super) fn extend(&mut self, other: &Self) {
        if self == other {
            return;
        }
        self.files.extend(other.files.iter().cloned());
        for (directory, ends) in &other.directories {
            let own = self.directories.entry(directory.clone()).or_default();
            own.extend(ends);
        }
    }

    pub(in super::super) fn wants(&self, path: &Path) -> bool {
        self.files.contains(path) || self.is_beside_code(path)
    }

    fn is_beside_code(&self, path: &Path) -> bool {
        let end = path.extension().and_then(|end| end.to_str());
        let ends = path.parent().and_then(|it| self.directories.get(it));
        ends.zip(end).is_some_and(|(ends, end)| ends.contains(end))
    }

    /// Globs that say the same, for people.
    fn globs(&self, cwd: &Path) -> Vec<String> {
        let short = |path: &Path| {
            let path = path.strip_prefix(cwd).unwrap_or(path);
            globset::escape(&path.to_string_lossy())
        };
        let code = self.directories.iter().filter(|(_, ends)| !ends.is_empty());
        let code = code.map(|(directory, ends)| {
            let ends: Vec<&str> = ends.iter().copied().collect();
            let directory = short(directory);
            let slash = if directory.is_empty() { "" } else { "/" };
            format!("{directory}{slash}*.{{{}}}", ends.join(","))
        });
        let files = self.files.iter().filter(|file| !self.is_beside_code(file));
        code.chain(files.map(|file| short(file))).collect()
    }
}

impl Matcher {
    /// Wants these files as well, unless the user excludes them. Replaces those that were given before.
    pub(in super::super) fn use_files(&mut self, used: Arc<Used>) {
        self.used = used;
    }

    pub(in super::super) fn used(&self) -> &Used {
        &self.used
    }

    /// The globs as given, and such as say which other files count.
    pub(in super::super) fn all_globs(&self, used: &Used) -> Vec<String> {
        let used = used.globs(&self.cwd);
        self.globs.iter().cloned().chain(used).collect()
    }

    /// Whether the user's own globs leave the file out.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let mut rules = self.rules.iter().rev();
        rules
            .find(|rule| rule.matches(path))
            .is_some_and(|rule| !rule.include)
    }

    /// Whether the globs want the file, wherever they have to look for it.
    pub(in super::super) fn finds(&self, path: &Path) -> bool {
        let Verdict::Wanted(given) = self.judge(path) else {
            return false;
        };
        let roots = self.rules.iter().filter(|rule| rule.given == given);
        let mut roots = roots.filter(|rule| path.starts_with(&rule.root));
        roots.any(|rule| {
            let mut above = path.ancestors().skip(1);
            let mut between = above
                .by_ref()
                .take_while(|directory| directory.starts_with(&rule.root));
            between.all(|directory| self.keeps_for_globs(directory))
        })
    }

    /// Whether a file that is read lies where the globs look for sources, in no directory of a tool.
    pub(in super::super) fn surrounds(&self, path: &Path) -> bool {
        let Some(directory) = path.parent() else {
            return false;
        };
        let name = path.file_name().unwrap_or_default();
        let of_tools = |below: &Path| {
            below
                .components()
                .any(|part| Ignores::is_tool_directory(part.as_os_str()))
        };
        !self.ignores.is_leftover(name)
            && self.includes().any(|rule| {
                rule.reaches(directory) && !directory.strip_prefix(&rule.root).is_ok_and(of_tools)
            })
    }
}
