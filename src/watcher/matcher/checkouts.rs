//! Nested git work trees, which inferred globs skip.

use std::path::Path;

use super::super::ignores::Ignores;
use super::Matcher;

impl Matcher {
    /// Whether the path is the `.git` entry that makes its directory a nested work tree.
    pub(super) fn is_new_checkout(&self, path: &Path) -> bool {
        self.inferred > 0
            && path.file_name().is_some_and(|name| name == ".git")
            && self.roots().any(|root| {
                path.parent()
                    .is_some_and(|it| it != root && it.starts_with(root))
            })
    }

    /// Whether the file lies in a nested work tree and only inferred globs cover it.
    pub(in super::super) fn lies_in_checkout(&self, path: &Path) -> bool {
        if self.inferred == 0 || self.extra_files.selects(path) {
            return false;
        }
        let matching = || {
            self.rules
                .iter()
                .filter(|rule| rule.include && path.starts_with(&rule.root))
        };
        matching().any(|rule| self.is_inferred(rule))
            && matching().all(|rule| {
                self.is_inferred(rule)
                    && path
                        .ancestors()
                        .skip(1)
                        .take_while(|place| *place != rule.root)
                        .any(Ignores::is_checkout)
            })
    }
}
