//! Report as `JUnit` XML: a suite for each server, with a case for its start, each list that failed, each call, each tool of
//! the lint, and each changed entry.

use super::super::super::junit::{Case, CaseOutcome, document};
use super::{CallReport, ServerReport, message};
use crate::config::Fault;

/// Returns the XML document about the servers and the faults of the configuration.
pub(in super::super) fn junit(reports: &[ServerReport<'_>], faults: &[Fault]) -> String {
    let mut suites: Vec<(&str, Vec<Case>)> =
        reports.iter().map(|it| (it.name, cases(it))).collect();
    if !faults.is_empty() {
        let cases = faults.iter().map(|fault| Case {
            name: fault
                .server
                .clone()
                .unwrap_or_else(|| "configuration".to_owned()),
            ms: None,
            outcome: CaseOutcome::Error("wrong configuration".to_owned(), fault.to_string()),
        });
        suites.push(("configuration", cases.collect()));
    }
    document("check", &suites)
}

fn cases(report: &ServerReport<'_>) -> Vec<Case> {
    let start = |outcome| Case {
        name: "start".to_owned(),
        ms: report.start_ms,
        outcome,
    };
    if report.is_gone {
        return changes(report);
    }
    if let Some(failure) = &report.failure {
        let advice = failure.advice.map(|it| format!("advice: {it}"));
        let details: Vec<String> = failure.stderr.iter().cloned().chain(advice).collect();
        let outcome = CaseOutcome::Error(failure.reason.to_owned(), details.join("\n"));
        return vec![start(outcome)];
    }
    let mut cases = vec![start(CaseOutcome::Passed(String::new()))];
    cases.extend(report.list_errors.iter().map(|list| Case {
        name: list.method.to_owned(),
        ms: None,
        outcome: CaseOutcome::Failed(message(list.error.as_deref()), String::new()),
    }));
    cases.extend(report.calls.iter().map(of_call));
    cases.extend(lint(report));
    cases.extend(changes(report));
    cases
}

fn of_call(call: &CallReport<'_>) -> Case {
    let details = call.result.as_ref().map_or("", |result| result.get());
    Case {
        name: format!("call {}", call.tool),
        ms: Some(call.ms),
        outcome: if call.ok {
            CaseOutcome::Passed(String::new())
        } else {
            CaseOutcome::Failed(call.in_short(), details.to_owned())
        },
    }
}

/// Returns a case for each tool, and one for the server as a whole if there is a finding about it.
fn lint(report: &ServerReport<'_>) -> Vec<Case> {
    let Some(findings) = report.lint() else {
        return Vec::new();
    };
    let case = |name: String, tool: Option<&str>| {
        let of_tool = findings.iter().filter(|it| it.tool.as_deref() == tool);
        let lines: Vec<String> = of_tool
            .clone()
            .map(|it| format!("{}: {}", it.level, it.in_words()))
            .collect();
        let errors: Vec<_> = of_tool.filter(|it| it.is_error()).collect();
        let outcome = match &errors[..] {
            [] => CaseOutcome::Passed(lines.join("\n")),
            [first, ..] => CaseOutcome::Failed(first.place.clone(), lines.join("\n")),
        };
        Case {
            name,
            ms: None,
            outcome,
        }
    };
    let whole = findings.iter().any(|it| it.tool.is_none());
    let whole = whole.then(|| case("lint".to_owned(), None));
    let tools = report
        .tools
        .iter()
        .map(|it| case(format!("lint {it}"), Some(*it)));
    whole.into_iter().chain(tools).collect()
}

/// Returns a case for each changed entry, and one for no changes.
fn changes(report: &ServerReport<'_>) -> Vec<Case> {
    let Some(changes) = report.changes() else {
        return Vec::new();
    };
    let mut entries: Vec<(&str, &str)> = changes.iter().map(|it| (it.kind, &*it.name)).collect();
    entries.sort_unstable();
    entries.dedup();
    let case = |(kind, name): (&str, &str)| {
        let of_entry = changes
            .iter()
            .filter(|it| it.kind == kind && it.name == name);
        let lines: Vec<String> = of_entry
            .clone()
            .map(|it| format!("{}: {}", it.class, it.text))
            .collect();
        // The gravest change comes first.
        let outcome = match of_entry.clone().next() {
            Some(first) if first.is_breaking() => {
                CaseOutcome::Failed(first.text.clone(), lines.join("\n"))
            }
            _ => CaseOutcome::Passed(lines.join("\n")),
        };
        Case {
            name: format!("changes of {kind} {name}"),
            ms: None,
            outcome,
        }
    };
    if entries.is_empty() {
        return vec![Case {
            name: "changes".to_owned(),
            ms: None,
            outcome: CaseOutcome::Passed(String::new()),
        }];
    }
    entries.into_iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{faulty, tools};
    use super::*;

    #[test]
    fn each_check_is_a_case() {
        let list = tools();
        let document = junit(&[faulty(&list)], &[]);
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="mcp-proxy check" tests="6" failures="4" errors="0" time="0.415">
  <testsuite name="weather" tests="6" failures="4" errors="0" time="0.415" skipped="0">
    <testcase classname="weather" name="start" time="0.412"/>
    <testcase classname="weather" name="prompts/list" time="0.000">
      <failure message="error 1: a &lt;b&gt; &amp; &quot;c&quot;" type="failure"></failure>
    </testcase>
    <testcase classname="weather" name="call forecast" time="0.003">
      <failure message="no" type="failure">{&quot;isError&quot;:true,&quot;content&quot;:[{&quot;text&quot;:&quot;no&quot;}]}</failure>
    </testcase>
    <testcase classname="weather" name="lint forecast" time="0.000">
      <failure message="`inputSchema` is missing" type="failure">error: `inputSchema` is missing (input-missing); codex: rejects the whole list, so that no tool of the server is left. Give the tool an `inputSchema`; without arguments, {&quot;type&quot;: &quot;object&quot;, &quot;properties&quot;: {}}.&#10;hint: at /description: is empty or missing (description-missing); codex: shows the model only the name. Describe the purpose of the tool.</failure>
    </testcase>
    <testcase classname="weather" name="changes of prompt greet" time="0.000">
      <system-out>harmless: is new</system-out>
    </testcase>
    <testcase classname="weather" name="changes of tool old" time="0.000">
      <failure message="is gone" type="failure">breaking: is gone</failure>
    </testcase>
  </testsuite>
</testsuites>
"#;
        assert_eq!(document, expected);
    }
}
