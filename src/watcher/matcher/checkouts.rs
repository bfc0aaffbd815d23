//! Other git work trees inside of what is watched, which inferred globs pass over.

use std::path::Path;

use super::super::ignores::Ignores;
use super::Matcher;

impl Matcher {
    /// Whether the path makes the directory around it another work tree.
    pub(super) fn is_new_checkout(&self, path: &Path) -> bool {
        self.inferred > 0
            && path.file_name().is_some_and(|name| name == ".git")
            && self.roots().any(|root| {
                path.parent()
                    .is_some_and(|it| it != root && it.starts_with(root))
            })
    }

    /// Whether no glob but inferred ones wants the file, and it lies in another work tree.
    pub(in super::super) fn lies_in_checkout(&self, path: &Path) -> bool {
        if self.inferred == 0 || self.used.wants(path) {
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
