//! Styles of lines for people.

use anstyle::{AnsiColor, Effects, Style};

/// Headings and sums.
pub(crate) const HEAD: Style = Style::new().effects(Effects::BOLD);
/// Failures.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// Successes.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Warnings.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Details.
pub(crate) const DIM: Style = Style::new().effects(Effects::DIMMED);
