//! Comparison of two matchers.

use super::{GlobRule, Matcher};

impl Matcher {
    /// Whether both matchers have the same globs with the same roots. Disregards files in use.
    pub(in super::super) fn is_like(&self, other: &Self) -> bool {
        let rules = self.rules.iter().zip(&other.rules);
        (&self.cwd, &self.globs, self.inferred, self.skipped)
            == (&other.cwd, &other.globs, other.inferred, other.skipped)
            && self.rules.len() == other.rules.len()
            && rules.into_iter().all(|(rule, other)| rule.is_like(other))
    }
}

impl GlobRule {
    /// Disregards ignore rules, which may have changed between the creations; each matcher updates its own.
    fn is_like(&self, other: &Self) -> bool {
        (
            self.glob_index,
            self.include,
            &self.root,
            self.pattern.glob(),
        ) == (
            other.glob_index,
            other.include,
            &other.root,
            other.pattern.glob(),
        )
    }
}
