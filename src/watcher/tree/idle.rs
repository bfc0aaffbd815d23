//! Warnings for globs without a watched file.

use std::collections::BTreeSet;

use super::super::ignores::Ignores;
use super::super::matcher::PathClass;
use super::Tree;

impl Tree {
    /// Returns one sentence for each including glob without a watched file.
    pub(in super::super) fn idle_globs(&self, inferred: bool) -> Vec<String> {
        let globs = self.matcher.globs();
        if globs.is_empty() {
            // The glob inference reports the reason.
            return Vec::new();
        }
        if inferred {
            // The user named no glob, and an inferred one such as `*.pyi` may match nothing.
            let none = format!(
                "no file matches {} yet; name the sources with --watch",
                globs.join(" ")
            );
            return self.files.is_empty().then_some(none).into_iter().collect();
        }
        let used: BTreeSet<usize> = self
            .files
            .keys()
            .flat_map(|path| self.matcher.matching(path))
            .collect();
        let is_idle =
            |(given, glob): &(usize, &String)| !glob.starts_with('!') && !used.contains(given);
        let idle: Vec<(usize, &String)> = globs.iter().enumerate().filter(is_idle).collect();
        if idle.is_empty() {
            // Avoids another read of all directories.
            return Vec::new();
        }
        let ignored = self.ignored_globs();
        let in_words = |(given, glob): (usize, &String)| {
            if ignored.contains(&given) || crosses_tool_directory(glob) {
                format!(
                    "{glob} matches only ignored files; to watch them, begin the glob with the ignored directory's name"
                )
            } else {
                format!("{glob} matches no file")
            }
        };
        idle.into_iter().map(in_words).collect()
    }

    /// Returns the globs that match ignored files.
    fn ignored_globs(&self) -> BTreeSet<usize> {
        self.directories
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .filter_map(|entry| match self.matcher.classify(&entry.path()) {
                PathClass::Ignored(given) => Some(given),
                PathClass::Selected(_) | PathClass::Unselected => None,
            })
            .collect()
    }
}

fn crosses_tool_directory(glob: &str) -> bool {
    glob.split('/')
        .any(|part| Ignores::is_tool_directory(part.as_ref()))
}
