//! Formats differences of lists for people.

use std::fmt::Write as _;

use super::palette::{BAD, GOOD, WARN};
use super::text::{clean, list};
use crate::event::ToolDiff;

/// Maximum number of names in each part.
const MAX_NAMES: usize = 8;

/// Formats a difference: `+ forecast  ~ alerts (schema)  - old; breaking: alerts: `city` is required (+1 more)`.
pub(super) fn diff_text(diff: &ToolDiff) -> String {
    let changed: Vec<String> = diff
        .changed
        .iter()
        .map(|(tool, members)| format!("{tool} ({})", members_text(members)))
        .collect();
    let mut text = names_text(&diff.added, &changed, &diff.removed);
    if text.is_empty() {
        text.push_str("tools unchanged");
    }
    text += &contract_text(diff);
    if !diff.left_out.is_empty() {
        let names = list(diff.left_out.iter().map(Into::into), MAX_NAMES);
        let _ = write!(text, "; {WARN}left out:{WARN:#} {names}");
    }
    text
}

/// Formats the gravest change that concerns callers, and the number of the others; empty without any.
fn contract_text(diff: &ToolDiff) -> String {
    let Some((first, others)) = diff.contract.split_first() else {
        return String::new();
    };
    let (style, class) = if first.is_breaking {
        (BAD, "breaking")
    } else {
        (WARN, "worth a look")
    };
    let kind = match first.kind {
        "tool" => String::new(),
        kind => format!("{kind} "),
    };
    let more = match others.len() {
        0 => String::new(),
        count => format!(" (+{count} more)"),
    };
    let change = format!("{kind}{}: {}", first.name, first.text);
    format!("; {style}{class}:{style:#} {}{more}", clean(&change))
}

/// Formats added, changed and removed names; empty without any.
pub(super) fn names_text(added: &[String], changed: &[String], removed: &[String]) -> String {
    let [added, changed, removed] =
        [added, changed, removed].map(|names| list(names.iter().map(Into::into), MAX_NAMES));
    let parts: Vec<String> = [
        (GOOD, '+', added),
        (WARN, '~', changed),
        (BAD, '-', removed),
    ]
    .into_iter()
    .filter(|(_, _, names)| !names.is_empty())
    .map(|(style, sign, names)| format!("{style}{sign}{style:#} {names}"))
    .collect();
    parts.join("  ")
}

fn members_text(members: &[String]) -> String {
    let names = members.iter().map(|member| match member.as_str() {
        "inputSchema" => "schema",
        "outputSchema" => "output schema",
        other => other,
    });
    names.collect::<Vec<_>>().join(", ")
}
