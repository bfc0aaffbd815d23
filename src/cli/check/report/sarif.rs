//! Report as SARIF 2.1.0, with the members that code scanning of GitHub needs: a result for each failure, each finding
//! of the lint, and each change that concerns callers.
//!
//! A definition has no line of its own, since programs compute it: the place of a result is the server's script, or the
//! configuration.

use std::collections::HashMap;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::super::selection::ServerSelection;
use super::{FoundChange, ServerReport, message};
use crate::command_line::CommandLine;
use crate::config::ServerSpec;

/// Characters to encode in the path of a URI.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');

/// Rules besides those of the lint, with their descriptions.
const RULES: [(&str, &str); 6] = [
    ("configuration", "The configuration must have no errors."),
    (
        "start",
        "A server must start, complete its handshake and give its tools.",
    ),
    (
        "list",
        "A server must answer the requests for the lists that it declares.",
    ),
    ("call", "A call must succeed."),
    (
        "breaking-change",
        "A change must not break callers: an argument, result or entry that was valid is invalid now.",
    ),
    (
        "change",
        "A change that may alter the behaviour, or whose effect is unknown, is worth a look.",
    ),
];

/// Problem to report.
struct Problem {
    rule: &'static str,
    level: &'static str,
    text: String,
    server: String,
    /// Tool, prompt or resource that it is about.
    entry: Option<String>,
    /// Place in the definition of the entry.
    pointer: String,
}

/// Returns the SARIF log on one line. Paths are relative to `root`.
pub(in super::super) fn sarif(
    reports: &[ServerReport<'_>],
    chosen: &ServerSelection,
    root: &Path,
) -> String {
    let faults = chosen.faults.iter().map(|fault| Problem {
        rule: "configuration",
        level: "error",
        text: fault.to_string(),
        server: fault.server.clone().unwrap_or_default(),
        entry: None,
        pointer: String::new(),
    });
    let problems: Vec<Problem> = faults.chain(reports.iter().flat_map(problems)).collect();
    let mut rules: Vec<Value> = Vec::new();
    let mut indexes: HashMap<&str, usize> = HashMap::new();
    for problem in &problems {
        indexes.entry(problem.rule).or_insert_with(|| {
            rules.push(rule(problem.rule, reports));
            rules.len() - 1
        });
    }
    let results = problems.iter().map(|it| {
        let spec = chosen.servers.iter().find(|spec| spec.name == it.server);
        it.result(indexes[it.rule], &place(spec, chosen, root))
    });
    let driver = json!({
        "name": "mcp-proxy",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules,
    });
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": driver }, "results": results.collect::<Vec<_>>() }],
    });
    super::line(&log)
}

/// Returns the description of a rule.
fn rule(id: &str, reports: &[ServerReport<'_>]) -> Value {
    let own = RULES.iter().find(|(own, _)| *own == id);
    let mut findings = reports.iter().filter_map(ServerReport::lint).flatten();
    let of_lint = findings.find(|it| it.rule == id);
    let of_lint = of_lint.map(|it| (it.advice, format!("{} Source: {}.", it.advice, it.source)));
    let own = own.map(|(_, text)| (*text, (*text).to_owned()));
    let (text, help) = of_lint.or(own).unwrap_or_default();
    json!({
        "id": id,
        "shortDescription": { "text": text },
        "fullDescription": { "text": text },
        "help": { "text": help },
    })
}

/// Returns the URI of the server's script; without one, of the configuration or of the directory.
fn place(spec: Option<&ServerSpec>, chosen: &ServerSelection, root: &Path) -> String {
    let script = spec.and_then(|spec| {
        let command = CommandLine::new(&spec.cwd, &spec.program, &spec.args);
        let base = command.clone().innermost().base;
        let word = command.script();
        let program = Path::new(&spec.program).to_owned();
        let mut files = word
            .map(|it| base.join(it))
            .into_iter()
            .chain([spec.cwd.join(program)]);
        files.find(|it| it.is_file() && it.starts_with(&spec.cwd))
    });
    let path = script.as_deref().or(chosen.files.first().map(|it| &**it));
    let path = path.or(spec.map(|it| &*it.cwd)).unwrap_or(root);
    let text = |path: &Path| path.to_string_lossy().replace('\\', "/");
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    match path.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => encoded(&text(inside)),
        Err(_) => format!("file:///{}", encoded(text(path).trim_start_matches('/'))),
    }
}

impl Problem {
    fn result(&self, rule: usize, uri: &str) -> Value {
        let entry = self.entry.as_deref().unwrap_or_default();
        let identity = format!("{}/{entry}#{}:1", self.server, self.pointer);
        let region = json!({ "startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1 });
        let mut location = json!({
            "physicalLocation": { "artifactLocation": { "uri": uri }, "region": region },
        });
        if self.entry.is_some() {
            let name = format!("{}/{entry}", self.server);
            location["logicalLocations"] = json!([{ "name": entry, "fullyQualifiedName": name }]);
        }
        json!({
            "ruleId": self.rule,
            "ruleIndex": rule,
            "level": self.level,
            "message": { "text": self.text },
            "locations": [location],
            // Tells results of one rule in one file apart.
            "partialFingerprints": { "primaryLocationLineHash": identity },
        })
    }
}

fn problems(report: &ServerReport<'_>) -> Vec<Problem> {
    let problem = |rule, text: String| Problem {
        rule,
        level: "error",
        text: format!("{}: {text}", report.name),
        server: report.name.to_owned(),
        entry: None,
        pointer: String::new(),
    };
    let of = |kind: &str, name: &str, it: Problem| Problem {
        text: format!("{kind} `{name}` of {}", it.text),
        entry: Some(name.to_owned()),
        ..it
    };
    let failure = report
        .failure
        .iter()
        .map(|it| problem("start", it.reason.to_owned()));
    let lists = report.list_errors.iter();
    let lists = lists.map(|it| {
        problem(
            "list",
            format!("{}: {}", it.method, message(it.error.as_deref())),
        )
    });
    let calls = report.calls.iter().filter(|it| !it.ok);
    let calls = calls.map(|it| of("tool", it.tool, problem("call", it.in_short())));
    let lint = report.lint().into_iter().flatten().map(|it| {
        let found = Problem {
            level: level_of_finding(it.level),
            pointer: it.pointer.clone(),
            ..problem(it.rule, it.in_words())
        };
        match &it.tool {
            Some(tool) => of("tool", tool, found),
            None => found,
        }
    });
    let changes = report.changes().into_iter().flatten();
    let changes = changes.filter_map(|it| {
        let (rule, level) = rule_of_change(it)?;
        let found = Problem {
            level,
            pointer: it.text.clone(),
            ..problem(rule, it.text.clone())
        };
        if it.is_of_server() {
            return Some(found);
        }
        Some(of(it.kind, &it.name, found))
    });
    let all = failure.chain(lists).chain(calls).chain(lint).chain(changes);
    all.collect()
}

fn level_of_finding(level: &str) -> &'static str {
    match level {
        "error" => "error",
        "warning" => "warning",
        _ => "note",
    }
}

/// Returns the rule and level of a change; `None` if it is harmless.
fn rule_of_change(change: &FoundChange) -> Option<(&'static str, &'static str)> {
    match change.class {
        "breaking" => Some(("breaking-change", "error")),
        "look" => Some(("change", "warning")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{faulty, tools};
    use super::*;

    #[test]
    fn each_problem_is_a_result_with_a_rule_and_a_place() {
        let list = tools();
        let directory = tempfile::tempdir().unwrap();
        let root = dunce::canonicalize(directory.path()).unwrap();
        std::fs::write(root.join("ser ver.py"), "").unwrap();
        let args = vec!["run".into(), "ser ver.py".into()];
        let spec = ServerSpec::new("weather".into(), "uv".into(), args, root.clone());
        let chosen = ServerSelection {
            servers: vec![spec],
            max_message: 0,
            faults: Vec::new(),
            files: Vec::new(),
        };
        let log: Value = serde_json::from_str(&sarif(&[faulty(&list)], &chosen, &root)).unwrap();
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let found: Vec<_> = results
            .iter()
            .map(|it| {
                let rule = usize::try_from(it["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(rules[rule]["id"], it["ruleId"]);
                let place = &it["locations"][0]["physicalLocation"]["artifactLocation"];
                assert_eq!(place["uri"], "ser%20ver.py");
                let text = it["message"]["text"].as_str().unwrap();
                (
                    it["ruleId"].as_str().unwrap(),
                    it["level"].as_str().unwrap(),
                    text,
                )
            })
            .collect();
        let lint = "tool `forecast` of weather: `inputSchema` is missing (input-missing); codex: rejects the whole \
                    list, so that no tool of the server is left. Give the tool an `inputSchema`; without arguments, \
                    {\"type\": \"object\", \"properties\": {}}.";
        let hint = "tool `forecast` of weather: at /description: is empty or missing (description-missing); codex: \
                    shows the model only the name. Describe the purpose of the tool.";
        let expected = [
            (
                "list",
                "error",
                "weather: prompts/list: error 1: a <b> & \"c\"",
            ),
            ("call", "error", "tool `forecast` of weather: no"),
            ("input-missing", "error", lint),
            ("description-missing", "note", hint),
            ("breaking-change", "error", "tool `old` of weather: is gone"),
        ];
        assert_eq!(found, expected);
        let [.., last] = &results[..] else {
            panic!("{log}")
        };
        let fingerprint = json!({ "primaryLocationLineHash": "weather/old#is gone:1" });
        assert_eq!(last["partialFingerprints"], fingerprint);
        let place = json!([{ "name": "old", "fullyQualifiedName": "weather/old" }]);
        assert_eq!(last["locations"][0]["logicalLocations"], place);
    }
}
