//! Sentence about a reload: the difference of the lists, and the answers to rehearsed calls.

use std::fmt::Write as _;

use crate::event::{RehearsalOutcome, RehearsalReport, RehearsedAnswer, ToolDiff};
use crate::output::diff_text::diff_text;
use crate::output::palette::{BAD, WARN};
use crate::output::text::{clean, count, duration};

/// Formats the result of a reload. An unchanged list is not named beside rehearsed calls.
pub(super) fn reloaded_text(diff: &ToolDiff, rehearsal: Option<&RehearsalReport>) -> String {
    match rehearsal {
        None => diff_text(diff),
        Some(report) if *diff == ToolDiff::default() => rehearsal_text(report),
        Some(report) => format!("{}; {}", diff_text(diff), rehearsal_text(report)),
    }
}

/// Formats the answers: `rehearsed 3 calls, 1 differs: forecast.days[0].max 21 → "21" (+2 more)`.
fn rehearsal_text(report: &RehearsalReport) -> String {
    use RehearsalOutcome::{Differs, Fails, NotCompared, Same, Unanswered, Unconfirmed};
    let mut text = format!("rehearsed {}", count(report.calls.len(), "call", "calls"));
    let [same, fail, differ, unanswered, not_compared, unconfirmed] =
        [Same, Fails, Differs, Unanswered, NotCompared, Unconfirmed].map(|it| report.count(it));
    let slower: Vec<&RehearsedAnswer> = report.calls.iter().filter(|it| it.is_slower).collect();
    if same == report.calls.len() && slower.is_empty() {
        text.push_str(if same == 1 {
            ", as before"
        } else {
            ", all as before"
        });
    }
    for (number, style, one, many, outcome) in [
        (fail, BAD, "fails", "fail", Fails),
        (differ, WARN, "differs", "differ", Differs),
    ] {
        if number > 0 {
            let verb = if number == 1 { one } else { many };
            let first = first_difference(report, outcome);
            let _ = write!(text, ", {style}{number} {verb}:{style:#} {first}");
        }
    }
    if let Some(first) = slower.first() {
        let [before, after] =
            [first.took_before, first.took].map(|it| duration(it.unwrap_or_default()));
        let number = slower.len();
        let call = clean(&first.call);
        let _ = write!(
            text,
            ", {WARN}{number} slower:{WARN:#} {call} {before} → {after}"
        );
    }
    if unanswered > 0 {
        let limit = duration(report.limit);
        let _ = write!(
            text,
            ", {WARN}{unanswered} unanswered{WARN:#} within {limit}"
        );
    }
    if unconfirmed > 0 {
        let limit = duration(report.limit);
        let _ = write!(
            text,
            ", {WARN}{unconfirmed} unconfirmed{WARN:#} within {limit}, so raise `--rehearse-timeout`"
        );
    }
    if not_compared > 0 {
        let _ = write!(text, ", {not_compared} without an earlier answer");
    }
    match report.calls.iter().map(|it| it.varied.len()).sum::<usize>() {
        0 => {}
        1 => text.push_str(" (1 value varies by itself)"),
        varied => _ = write!(text, " ({varied} values vary by themselves)"),
    }
    text
}

/// Formats the first difference of the calls with this outcome, and the number of the others.
fn first_difference(report: &RehearsalReport, outcome: RehearsalOutcome) -> String {
    let calls = report.calls.iter().filter(|it| it.outcome == outcome);
    let mut differences = calls.flat_map(|it| &it.differences);
    let Some(first) = differences.next() else {
        return String::new();
    };
    let text = format!("{} {} → {}", first.place, first.before, first.after);
    let more = match differences.count() {
        0 => String::new(),
        more => format!(" (+{more} more)"),
    };
    format!("{}{more}", clean(&text))
}
