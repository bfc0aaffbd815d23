//! Applies the rules to the tools of a server.

use serde_json::Value;

use super::client::ClientVersion;
use super::rules::{Find, ParsedTool, Place, RULES, Rule, costs_other_tools};
use super::schema::nodes;
use crate::jsonrpc::Members;
use crate::mcp::{Entry, List};

/// Severity of a finding, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LintLevel {
    /// Some models or older clients may have a difficulty.
    Hint,
    /// A client changes the definition.
    Warning,
    /// A client, or the API of its model, rejects the definition.
    Error,
}

impl LintLevel {
    /// Returns the name for people and for JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Condition at one place of a definition that harms a client.
#[derive(Debug)]
pub(crate) struct LintFinding {
    /// Name of the tool; empty for a finding about the server as a whole.
    pub(crate) tool: String,
    /// JSON pointer from the tool's definition.
    pub(crate) pointer: String,
    /// Condition, as a sentence fragment.
    pub(crate) text: String,
    /// The violated rule.
    pub(crate) rule: &'static Rule,
    /// The gravest of the effects.
    pub(crate) level: LintLevel,
    /// The harmed clients with the effects on them.
    pub(crate) clients: Vec<(ClientVersion, LintLevel, &'static str)>,
}

impl LintFinding {
    /// Returns the place of the condition and the condition, as a sentence fragment about the tool.
    pub(crate) fn place(&self) -> String {
        match &*self.pointer {
            "" => self.text.clone(),
            pointer => format!("at {pointer}: {}", self.text),
        }
    }

    /// Returns true if the condition is one of the server's pages, which the proxy merges into one without a cursor.
    pub(crate) fn is_of_page(&self) -> bool {
        matches!(self.rule.find, Find::Page(_)) && self.pointer == "/nextCursor"
    }

    /// Returns the effect that costs a client more than this tool: all tools of the server, or each request to its
    /// model. Returns `None` without such an effect, and for a finding about the list as a whole.
    pub(crate) fn effect_on_other_tools(&self) -> Option<&'static str> {
        let effects = self.clients.iter().map(|(_, _, effect)| *effect);
        let is_of_tool = matches!(self.rule.find, Find::Tool(_));
        effects
            .filter(|_| is_of_tool)
            .find(|it| costs_other_tools(it))
    }
}

/// Rule with its effects on the clients of a lint.
struct RuleInForce {
    rule: &'static Rule,
    clients: Vec<(ClientVersion, LintLevel, &'static str)>,
}

impl RuleInForce {
    /// Returns the rule if it concerns one of the clients.
    fn new(rule: &'static Rule, clients: &[ClientVersion]) -> Option<Self> {
        let concerned = clients.iter().filter_map(|client| {
            let effect = rule.effect(*client)?;
            Some((*client, effect.level, effect.text))
        });
        let clients: Vec<_> = concerned.collect();
        (!clients.is_empty()).then_some(Self { rule, clients })
    }

    fn finding(&self, tool: &str, place: Place) -> LintFinding {
        let levels = self.clients.iter().map(|(_, level, _)| *level);
        LintFinding {
            tool: tool.to_owned(),
            pointer: place.pointer,
            text: place.text,
            rule: self.rule,
            level: levels.max().unwrap_or(LintLevel::Hint),
            clients: self.clients.clone(),
        }
    }

    /// Returns the findings about the list as a whole.
    fn in_list(&self, tools: &List) -> Vec<LintFinding> {
        let finding = |tool: &str, text: String| {
            let pointer = String::new();
            self.finding(tool, Place { pointer, text })
        };
        match self.rule.find {
            Find::Tool(_) | Find::Result(_) | Find::Unread => Vec::new(),
            Find::Page(find) => {
                let place = find(tools).map(|place| self.finding("", place));
                place.into_iter().collect()
            }
            Find::MoreTools(limit) => {
                let count = Some(tools.entries.len()).filter(|count| *count > limit);
                let found = count.map(|count| finding("", format!("the server has {count} tools")));
                found.into_iter().collect()
            }
            Find::Twins => {
                let twice = |name: &String| finding(name, "is listed twice".to_owned());
                tools.twins().iter().map(twice).collect()
            }
        }
    }

    /// Returns the finding about a definition that cannot be parsed, if this is the rule for it.
    fn unread(&self, tool: &str, error: &serde_json::Error) -> Option<LintFinding> {
        matches!(self.rule.find, Find::Unread).then(|| {
            let text = format!("is not judged: {error}");
            let pointer = String::new();
            self.finding(tool, Place { pointer, text })
        })
    }

    fn in_tool(&self, tool: &ParsedTool<'_>) -> Vec<LintFinding> {
        let places = match self.rule.find {
            Find::Tool(find) => find(tool),
            _ => Vec::new(),
        };
        let places = places.into_iter();
        places.map(|place| self.finding(tool.name, place)).collect()
    }
}

/// Returns the findings about the tools of `server` for these clients, the gravest first.
pub(crate) fn lint(server: &str, tools: &List, clients: &[ClientVersion]) -> Vec<LintFinding> {
    let rules = RULES.iter();
    let rules: Vec<_> = rules
        .filter_map(|rule| RuleInForce::new(rule, clients))
        .collect();
    let mut findings: Vec<_> = rules.iter().flat_map(|it| it.in_list(tools)).collect();
    for entry in &tools.entries {
        // The parser fails on a number beyond 64 bits and on nesting beyond 128 levels, which other parsers accept.
        let definition = match serde_json::from_str::<Value>(&entry.raw) {
            Ok(definition) => definition,
            Err(error) => {
                findings.extend(rules.iter().filter_map(|it| it.unread(&entry.name, &error)));
                continue;
            }
        };
        let schema = |member: &str| {
            // Any other value has a rule of its own.
            let schema = definition.get(member).filter(|it| it.is_object());
            schema.map_or_else(Vec::new, |it| nodes(it, &format!("/{member}")))
        };
        let tool = ParsedTool {
            server,
            name: &entry.name,
            definition: &definition,
            input: schema("inputSchema"),
            output: schema("outputSchema"),
        };
        findings.extend(rules.iter().flat_map(|it| it.in_tool(&tool)));
    }
    // Stable: findings of one level keep the order of the tools.
    findings.sort_by_key(|it| std::cmp::Reverse(it.level));
    findings
}

/// Returns the findings about a result of `tool` for these clients.
pub(crate) fn lint_result(
    tool: &Entry,
    result: &str,
    clients: &[ClientVersion],
) -> Vec<LintFinding> {
    let (definition, result) = (Members::of(&tool.raw), Members::of(result));
    let rules = RULES.iter().filter_map(|rule| match rule.find {
        Find::Result(find) => Some((RuleInForce::new(rule, clients)?, find)),
        _ => None,
    });
    let found = rules.filter_map(|(rule, find)| {
        let text = format!("a result {}", find(&definition, &result)?);
        let pointer = String::new();
        Some(rule.finding(&tool.name, Place { pointer, text }))
    });
    found.collect()
}

#[cfg(test)]
mod tests;
