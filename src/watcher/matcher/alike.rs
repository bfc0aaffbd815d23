//! Whether two matchers want the same.

use super::{Matcher, Rule};

impl Matcher {
    /// Whether the globs are the same and mean the same places as those of `other`. Files in use do not matter.
    pub(in super::super) fn is_like(&self, other: &Self) -> bool {
        let rules = self.rules.iter().zip(&other.rules);
        (&self.cwd, &self.globs, self.inferred, self.skipped)
            == (&other.cwd, &other.globs, other.inferred, other.skipped)
            && self.rules.len() == other.rules.len()
            && rules.into_iter().all(|(rule, other)| rule.is_like(other))
    }
}

impl Rule {
    /// What ignore files say may have changed since one of them was made, and each keeps up with that.
    fn is_like(&self, other: &Self) -> bool {
        (self.given, self.include, &self.root, self.pattern.glob())
            == (
                other.given,
                other.include,
                &other.root,
                other.pattern.glob(),
            )
    }
}
