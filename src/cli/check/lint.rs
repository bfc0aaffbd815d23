//! Findings of `check --lint`: a table for people, JSON for programs.

use std::fmt::Write as _;

use anstyle::Style;
use serde::Serialize;

use super::super::table::TextTable;
use crate::contract::{LintFinding, LintLevel};
use crate::output::clean;
use crate::output::palette::{BAD, DIM, GOOD, WARN};

/// Finding as a JSON object.
#[derive(Debug, Serialize)]
pub(super) struct LintReport {
    pub(super) level: &'static str,
    pub(super) rule: &'static str,
    /// Null for a finding about the server as a whole.
    pub(super) tool: Option<String>,
    pub(super) pointer: String,
    message: String,
    clients: Vec<HarmedClient>,
    pub(super) advice: &'static str,
    pub(super) source: &'static str,
    /// Place and message, as a sentence fragment about the tool.
    #[serde(skip)]
    pub(super) place: String,
    #[serde(skip)]
    severity: LintLevel,
}

#[derive(Debug, Serialize)]
struct HarmedClient {
    client: String,
    level: &'static str,
    effect: &'static str,
}

impl From<LintFinding> for LintReport {
    fn from(finding: LintFinding) -> Self {
        let clients = finding.clients.iter();
        let clients = clients.map(|(client, level, effect)| HarmedClient {
            client: client.to_string(),
            level: level.name(),
            effect,
        });
        Self {
            place: finding.place(),
            level: finding.level.name(),
            rule: finding.rule.id,
            clients: clients.collect(),
            tool: Some(finding.tool).filter(|it| !it.is_empty()),
            pointer: finding.pointer,
            message: finding.text,
            advice: finding.rule.advice,
            source: finding.rule.source,
            severity: finding.level,
        }
    }
}

impl LintReport {
    /// Returns true if a client rejects the definition.
    pub(super) fn is_error(&self) -> bool {
        self.severity == LintLevel::Error
    }

    /// Returns all about the finding except its level, as text.
    pub(super) fn in_words(&self) -> String {
        format!(
            "{} ({}); {}. {}",
            self.place,
            self.rule,
            self.effects(),
            self.advice
        )
    }

    /// Returns the effects with the clients that have them in common.
    fn effects(&self) -> String {
        let mut effects: Vec<(&str, Vec<&str>)> = Vec::new();
        for harmed in &self.clients {
            match effects.iter_mut().find(|(it, _)| *it == harmed.effect) {
                Some((_, clients)) => clients.push(&harmed.client),
                None => effects.push((harmed.effect, vec![&harmed.client])),
            }
        }
        let effects = effects.iter();
        let effects = effects.map(|(effect, clients)| format!("{}: {effect}", clients.join(", ")));
        effects.collect::<Vec<_>>().join("; ")
    }
}

/// Counts the findings of level `error`: `2 errors`.
pub(super) fn errors(findings: &[LintReport]) -> Option<String> {
    match findings.iter().filter(|it| it.is_error()).count() {
        0 => None,
        1 => Some("lint: 1 error".to_owned()),
        count => Some(format!("lint: {count} errors")),
    }
}

/// Returns coloured lines: a table of the places, the first of each rule in each tool, and a paragraph for each rule.
/// Hints are only counted unless `with_hints`.
pub(super) fn lines(findings: &[LintReport], with_hints: bool) -> String {
    let is_shown = |it: &&LintReport| with_hints || it.severity > LintLevel::Hint;
    let shown: Vec<&LintReport> = findings.iter().filter(is_shown).collect();
    let mut text = String::new();
    if shown.is_empty() {
        let _ = writeln!(text, "  {GOOD}✓{GOOD:#} lint: no errors or warnings");
    } else {
        text += &places(&shown);
        text.push('\n');
        text += &remedies(&shown);
    }
    match findings.len() - shown.len() {
        0 => {}
        1 => text += "1 hint, shown with -v\n",
        count => _ = writeln!(text, "{count} hints, shown with -v"),
    }
    text
}

fn places(findings: &[&LintReport]) -> String {
    let mut table = TextTable::new(["LEVEL", "TOOL", "AT", "FINDING", "RULE"]);
    // Findings of one rule in one tool follow each other.
    let is_same = |a: &&LintReport, b: &&LintReport| a.rule == b.rule && a.tool == b.tool;
    for group in findings.chunk_by(is_same) {
        let first = group[0];
        let more = match group.len() - 1 {
            0 => String::new(),
            more => format!(" (+{more} more)"),
        };
        let cells = [
            first.level.to_owned(),
            first.tool.clone().unwrap_or_default(),
            first.pointer.clone(),
            format!("{}{more}", first.message),
            first.rule.to_owned(),
        ];
        table.row(style(first.severity), cells);
    }
    table.text()
}

/// Returns a paragraph for each rule: the effects on clients, and the remedy.
fn remedies(findings: &[&LintReport]) -> String {
    let mut text = String::new();
    let mut told: Vec<&str> = Vec::new();
    for finding in findings {
        if told.contains(&finding.rule) {
            continue;
        }
        told.push(finding.rule);
        let (style, rule, effects) = (style(finding.severity), finding.rule, finding.effects());
        let _ = writeln!(text, "{style}{rule}{style:#}  {}", clean(&effects));
        let _ = writeln!(
            text,
            "  {} {DIM}({}){DIM:#}",
            finding.advice, finding.source
        );
    }
    text
}

fn style(level: LintLevel) -> Style {
    match level {
        LintLevel::Error => BAD,
        LintLevel::Warning => WARN,
        LintLevel::Hint => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ClientVersion, lint};
    use crate::mcp::{List, ListKind};

    #[test]
    fn places_are_a_table_and_remedies_follow_once() {
        let page = r#"{"tools":[{"name":"forecast","description":"x","inputSchema":{"type":"object","properties":{
            "a":{"type":"array","items":[{}]},"b":{"type":"array","items":[{}]},
            "c":{"format":"uri","type":"string"}}}}]}"#;
        let mut list = List::default();
        list.add_page(ListKind::Tools, page).unwrap();
        let findings = lint("weather", &list, &ClientVersion::defaults()).into_iter();
        let findings: Vec<LintReport> = findings.map(LintReport::from).collect();
        let text = |with_hints| {
            let lines = lines(&findings, with_hints);
            anstream::adapter::strip_str(&lines).to_string()
        };
        let expected = "\
LEVEL  TOOL      AT                                FINDING                                                   RULE
error  forecast  /inputSchema/properties/a/items  is an array of schemas, the old form of a tuple (+1 more)  items-list
items-list  claude-code, codex: leaves the tool out
  Write a tuple with `prefixItems`, as JSON Schema 2020-12 does. (measured)
1 hint, shown with -v
";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&text(false)), squeezed(expected));
        assert!(text(true).contains("string-format  codex: drops the keyword\n"));
        assert_eq!(errors(&findings).as_deref(), Some("lint: 2 errors"));
        assert_eq!(errors(&[]), None);
        let none = anstream::adapter::strip_str(&lines(&[], false)).to_string();
        assert_eq!(none, "  ✓ lint: no errors or warnings\n");
    }
}
