//! `JUnit` XML, as `GitLab`, Jenkins and actions for GitHub read it: suites of cases.

use std::fmt::Write as _;

/// Case of a suite.
pub(super) struct Case {
    pub(super) name: String,
    /// Time in milliseconds.
    pub(super) ms: Option<u64>,
    pub(super) outcome: CaseOutcome,
}

/// Outcome of a case.
pub(super) enum CaseOutcome {
    /// Success, with a text that may be empty.
    Passed(String),
    /// Failure of the check: a message, and details.
    Failed(String, String),
    /// Reason why nothing could be checked: a message, and details.
    Error(String, String),
}

/// Returns the XML document of a command with these suites.
pub(super) fn document(command: &str, suites: &[(&str, Vec<Case>)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = suites.iter().flat_map(|(_, cases)| cases);
    let _ = writeln!(
        text,
        "<testsuites name=\"mcp-proxy {command}\" {}>",
        totals(all)
    );
    for (name, cases) in suites {
        let (name, totals) = (escaped(name), totals(cases.iter()));
        let _ = writeln!(text, "  <testsuite name=\"{name}\" {totals} skipped=\"0\">");
        for case in cases {
            case.write(&name, &mut text);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// Returns the attributes with the number of cases and their time.
fn totals<'c>(cases: impl Iterator<Item = &'c Case>) -> String {
    let (mut tests, mut failures, mut errors, mut ms) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        ms += case.ms.unwrap_or(0);
        match case.outcome {
            CaseOutcome::Passed(_) => {}
            CaseOutcome::Failed(..) => failures += 1,
            CaseOutcome::Error(..) => errors += 1,
        }
    }
    let time = seconds(ms);
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{time}\"")
}

impl Case {
    fn write(&self, suite: &str, text: &mut String) {
        let (name, time) = (escaped(&self.name), seconds(self.ms.unwrap_or(0)));
        let head = format!("    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{time}\"");
        let _ = match &self.outcome {
            CaseOutcome::Passed(output) if output.is_empty() => writeln!(text, "{head}/>"),
            CaseOutcome::Passed(output) => writeln!(
                text,
                "{head}>\n      <system-out>{}</system-out>\n    </testcase>",
                escaped(output)
            ),
            CaseOutcome::Failed(message, details) => {
                writeln!(
                    text,
                    "{head}>\n{}    </testcase>",
                    element("failure", message, details)
                )
            }
            CaseOutcome::Error(message, details) => {
                writeln!(
                    text,
                    "{head}>\n{}    </testcase>",
                    element("error", message, details)
                )
            }
        };
    }
}

fn element(name: &str, message: &str, details: &str) -> String {
    let (message, details) = (escaped(message), escaped(details));
    format!("      <{name} message=\"{message}\" type=\"{name}\">{details}</{name}>\n")
}

/// Returns the text for XML. Characters that XML 1.0 forbids become `U+FFFD`.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            // An attribute would turn it into a space.
            '\n' => safe += "&#10;",
            '\t' => safe.push(it),
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            it if it.is_control() => safe.push('\u{fffd}'),
            it => safe.push(it),
        }
    }
    safe
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_safe_in_xml() {
        assert_eq!(
            escaped("a\u{1b}[31m\r\n\t\u{ffff}ü"),
            "a\u{fffd}[31m\u{fffd}&#10;\t\u{fffd}ü"
        );
    }
}
