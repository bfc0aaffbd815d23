//! Files in use by a server process, watched without a matching glob.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::ignores::Ignores;
use super::{Matcher, PathClass};

/// Extensions of files that may replace each other on an import.
const FAMILIES: &[&[&str]] = &[
    &["py", "pyi"],
    &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"],
];

/// Files in use. Their directories are canonical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct ExtraFiles {
    files: BTreeSet<PathBuf>,
    /// Directories of the files, with the extensions that count there: the process may load a new code file beside a
    /// known one.
    directories: BTreeMap<PathBuf, BTreeSet<&'static str>>,
}

impl ExtraFiles {
    /// Adds a file.
    pub(in super::super) fn add(&mut self, file: PathBuf) {
        if let Some(directory) = file.parent() {
            self.directories.entry(directory.to_owned()).or_default();
            self.files.insert(file);
        }
    }

    /// Adds a code file, and the files of the same language in its directory.
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

    /// Returns the directories of the files.
    pub(in super::super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.keys().map(PathBuf::as_path)
    }

    pub(super) fn has_directory(&self, directory: &Path) -> bool {
        self.directories.contains_key(directory)
    }

    /// Adds the files and directories of `other`.
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

    pub(in super::super) fn selects(&self, path: &Path) -> bool {
        self.files.contains(path) || self.is_beside_code(path)
    }

    fn is_beside_code(&self, path: &Path) -> bool {
        let end = path.extension().and_then(|end| end.to_str());
        let ends = path.parent().and_then(|it| self.directories.get(it));
        ends.zip(end).is_some_and(|(ends, end)| ends.contains(end))
    }

    /// Returns equivalent globs with their reasons, for display.
    fn globs(&self, cwd: &Path) -> Vec<(String, &'static str)> {
        let short = |path: &Path| {
            let path = path.strip_prefix(cwd).unwrap_or(path);
            globset::escape(&path.to_string_lossy())
        };
        let code = self.directories.iter().filter(|(_, ends)| !ends.is_empty());
        let code = code.map(|(directory, ends)| {
            let ends: Vec<&str> = ends.iter().copied().collect();
            let directory = short(directory);
            let slash = if directory.is_empty() { "" } else { "/" };
            let glob = format!("{directory}{slash}*.{{{}}}", ends.join(","));
            (glob, "code that the process has loaded")
        });
        let files = self.files.iter().filter(|file| !self.is_beside_code(file));
        let files = files.map(|file| (short(file), "read by the process or imported by a source"));
        code.chain(files).collect()
    }
}

impl Matcher {
    /// Replaces the files in use. The matcher selects them unless the user excludes them.
    pub(in super::super) fn set_extra_files(&mut self, extra_files: Arc<ExtraFiles>) {
        self.extra_files = extra_files;
    }

    pub(in super::super) fn extra_files(&self) -> &ExtraFiles {
        &self.extra_files
    }

    /// Returns the original globs and globs for the files in use, each with its reason.
    pub(in super::super) fn all_globs(
        &self,
        extra_files: &ExtraFiles,
    ) -> Vec<(String, &'static str)> {
        let globs = self.globs.iter().cloned().enumerate();
        let globs = globs.map(|(index, glob)| (glob, self.glob_reason(index)));
        globs.chain(extra_files.globs(&self.cwd)).collect()
    }

    /// Whether the last matching glob excludes the file.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let mut rules = self.rules.iter().rev();
        rules
            .find(|rule| rule.matches(path))
            .is_some_and(|rule| !rule.include)
    }

    /// Whether a glob selects the file and a walk from the glob's root reaches it.
    pub(in super::super) fn finds(&self, path: &Path) -> bool {
        let PathClass::Selected(given) = self.classify(path) else {
            return false;
        };
        let roots = self.rules.iter().filter(|rule| rule.glob_index == given);
        let mut roots = roots.filter(|rule| path.starts_with(&rule.root));
        roots.any(|rule| {
            let mut above = path.ancestors().skip(1);
            let mut between = above
                .by_ref()
                .take_while(|directory| directory.starts_with(&rule.root));
            between.all(|directory| self.globs_may_reach(directory))
        })
    }

    /// Whether a file is in a location that the globs search for sources, outside of tool directories.
    pub(in super::super) fn is_in_searched_location(&self, path: &Path) -> bool {
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
