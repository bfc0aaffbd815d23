//! Report about the answers of new code to rehearsed calls.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::HiddenValues;

/// Maximum length of a shown value, in characters.
const SHOWN_CHARS: usize = 60;
/// Maximum length of a shown call, in characters.
const SHOWN_CALL_CHARS: usize = 200;
/// Maximum number of differences of one call that a report contains.
const MAX_DIFFERENCES: usize = 20;

/// Answers of a candidate to the rehearsed calls, compared with those of the code before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RehearsalReport {
    /// The calls, in their order.
    pub(crate) calls: Vec<RehearsedAnswer>,
    /// Time limit for all calls together.
    pub(crate) limit: Duration,
}

/// Answer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RehearsedAnswer {
    /// Call as a person writes it: `forecast {"city": "Oslo"}`.
    pub(crate) call: String,
    pub(crate) outcome: RehearsalOutcome,
    /// Time to the answer.
    pub(crate) took: Option<Duration>,
    /// Time to the answer of the code before.
    pub(crate) took_before: Option<Duration>,
    /// True if the answer took clearly longer than before.
    pub(crate) is_slower: bool,
    /// True for a recorded call of a client, false for one that the user names.
    pub(crate) is_recorded: bool,
    /// Differences from the answer of the code before.
    pub(crate) differences: Vec<AnswerDifference>,
    /// Places that differ, but vary by themselves.
    pub(crate) varied: Vec<String>,
}

/// Relation of an answer to that of the code before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RehearsalOutcome {
    Same,
    Differs,
    /// An error, or the end of the process, stands where an answer was.
    Fails,
    /// There was no answer within the time limit.
    Unanswered,
    /// There is no earlier answer to compare with.
    NotCompared,
    /// The answer differs, but no second answer confirmed it within the time limit.
    Unconfirmed,
}

/// Difference between two answers at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerDifference {
    /// Tool with a JSON path or a line: `forecast.days[0].max`, `forecast line 3`.
    pub(crate) place: String,
    /// Value of the code before: JSON, or words.
    pub(crate) before: String,
    /// Value of the new code.
    pub(crate) after: String,
}

impl RehearsalReport {
    /// Returns the number of calls with this outcome.
    pub(crate) fn count(&self, outcome: RehearsalOutcome) -> usize {
        let calls = self.calls.iter();
        calls.filter(|it| it.outcome == outcome).count()
    }

    /// Hides values in all its texts, and shortens calls to [`SHOWN_CALL_CHARS`] and values of differences to
    /// [`SHOWN_CHARS`].
    pub(crate) fn hide(&mut self, hidden: &HiddenValues) {
        let hide = |text: &mut String| *text = hidden.hide_in_json(text);
        for call in &mut self.calls {
            hide(&mut call.call);
            // A hidden value that was cut before could not be recognised.
            shorten(&mut call.call, SHOWN_CALL_CHARS);
            call.varied.iter_mut().for_each(hide);
            for difference in &mut call.differences {
                hide(&mut difference.place);
                for value in [&mut difference.before, &mut difference.after] {
                    hide(value);
                    shorten(value, SHOWN_CHARS);
                }
            }
        }
    }

    /// Returns the report as JSON.
    pub(crate) fn value(&self) -> Value {
        let calls: Vec<Value> = self.calls.iter().map(RehearsedAnswer::value).collect();
        json!({ "calls": calls, "limit_ms": millis(self.limit) })
    }
}

impl RehearsedAnswer {
    fn value(&self) -> Value {
        let shown = self.differences.iter().take(MAX_DIFFERENCES);
        let differences: Vec<Value> = shown
            .map(|it| json!({ "place": it.place, "before": it.before, "after": it.after }))
            .collect();
        json!({
            "call": self.call,
            "outcome": self.outcome.name(),
            "took_ms": self.took.map(millis),
            "took_before_ms": self.took_before.map(millis),
            "slower": self.is_slower,
            "recorded": self.is_recorded,
            "difference_count": self.differences.len(),
            "differences": differences,
            "varied": self.varied,
        })
    }
}

impl RehearsalOutcome {
    /// Returns the name for JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Fails => "fails",
            Self::Unanswered => "unanswered",
            Self::NotCompared => "not_compared",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Cuts a text to `chars` characters and an ellipsis if it is longer.
fn shorten(text: &mut String, chars: usize) {
    if let Some((end, _)) = text.char_indices().nth(chars) {
        text.truncate(end);
        text.push('…');
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerSpec;

    #[test]
    fn values_are_hidden_before_they_are_cut() {
        let secret = "s3cret-".repeat(20);
        // A server may write any character as an escape.
        let escaped = format!("\\u0073{}", &secret[1..]);
        let mut spec = ServerSpec::new("t".to_owned(), "t".into(), Vec::new(), "/".into());
        spec.env = vec![("TOKEN".into(), secret.clone().into())];
        let difference = AnswerDifference {
            place: format!("t.{secret}"),
            before: format!("\"{escaped}\""),
            after: "é".repeat(100),
        };
        let answer = RehearsedAnswer {
            call: format!("t {{\"k\":\"{escaped}\"}} {}", "é".repeat(200)),
            outcome: RehearsalOutcome::Differs,
            took: None,
            took_before: None,
            is_slower: false,
            is_recorded: true,
            differences: vec![difference],
            varied: vec![secret],
        };
        let mut report = RehearsalReport {
            calls: vec![answer],
            limit: Duration::ZERO,
        };
        report.hide(&spec.hidden_values());
        assert!(!report.value().to_string().contains("3cret"), "{report:?}");
        let call = &report.calls[0].call;
        assert!(
            call.chars().count() == 201 && call.ends_with("é…"),
            "{call}"
        );
        let after = &report.calls[0].differences[0].after;
        assert_eq!(*after, format!("{}…", "é".repeat(60)));
    }
}
