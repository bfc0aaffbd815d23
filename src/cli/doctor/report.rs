//! Findings of `doctor`, and their output.

use std::fmt::Write as _;

use anstyle::Style;
use serde_json::{Value, json};

use crate::output::clean;
use crate::output::palette::{BAD, DIM, GOOD, WARN};

/// Weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Good,
    /// Worth knowing; need not be wrong.
    Note,
    Problem,
}

impl Severity {
    fn word(self) -> (&'static str, Style) {
        match self {
            Self::Good => ("ok", GOOD),
            Self::Note => ("note", WARN),
            Self::Problem => ("problem", BAD),
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Subject of the check.
    pub(super) check: &'static str,
    /// Result; may have several lines.
    pub(super) text: String,
    /// Remedy.
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(severity: Severity, check: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity,
            check,
            text: text.into(),
            advice: None,
        }
    }

    pub(super) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Severity::Good, check, text)
    }

    pub(super) fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, text)
    }

    pub(super) fn problem(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Severity::Problem, check, text)
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Returns the findings as lines for people, the problems last, where a person looks first.
pub(super) fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for severity in [Severity::Good, Severity::Note, Severity::Problem] {
        for finding in findings.iter().filter(|it| it.severity == severity) {
            let (word, style) = severity.word();
            let mut lines = finding.text.lines();
            let first = clean(lines.next().unwrap_or_default()).into_owned();
            let check = finding.check;
            let _ = writeln!(text, "{style}{word:<7}{style:#}  {check:<13}  {first}");
            for line in lines {
                let _ = writeln!(text, "{:24}{}", "", clean(line));
            }
            if let Some(advice) = &finding.advice {
                let _ = writeln!(text, "{:24}{DIM}advice:{DIM:#} {}", "", clean(advice));
            }
        }
    }
    text
}

/// Returns the findings as a JSON object on one line.
pub(super) fn json(findings: &[Finding]) -> String {
    let is_ok = findings.iter().all(|it| it.severity != Severity::Problem);
    let findings: Vec<Value> = findings
        .iter()
        .map(|it| {
            let (word, _) = it.severity.word();
            json!({ "severity": word, "check": it.check, "text": it.text, "advice": it.advice })
        })
        .collect();
    format!("{}\n", json!({ "ok": is_ok, "findings": findings }))
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[test]
    fn problems_come_last_with_their_advice() {
        let findings = [
            Finding::problem("command", "`uv` is missing\nsecond line").advice("install it"),
            Finding::good("configuration", "no fault"),
        ];
        let lines = [
            "ok       configuration  no fault",
            "problem  command        `uv` is missing",
            "                        second line",
            "                        advice: install it",
        ];
        let expected = lines.join("\n") + "\n";
        assert_eq!(strip_str(&text(&findings)).to_string(), expected);
        let object: Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(object["ok"], false);
        assert_eq!(object["findings"][0]["advice"], "install it");
        assert_eq!(object["findings"][1]["severity"], "ok");
    }
}
