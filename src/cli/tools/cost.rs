//! Computes the cost of tools in a model's context, when all are loaded and with lazy loading by the proxy.

use anstyle::Style;
use serde::Serialize;
use serde_json::Value;

use super::ServerTools;
use crate::cli::table::TextTable;
use crate::config::ConfigContext;
use crate::jsonrpc::Members;
use crate::mcp::Entry;
use crate::meta_tools::{OfferedMetaTools, Set};
use crate::output::palette::HEAD;

const PLAIN: Style = Style::new();

/// Members of a tool's definition that clients show to their models.
const SHOWN: [&str; 3] = ["name", "description", "inputSchema"];
/// Number of bytes per token, an estimate.
const BYTES_PER_TOKEN: usize = 4;
/// Number of the most expensive tools in the table.
const HEAVIEST: usize = 10;

/// Cost of a set of tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Cost {
    tools: usize,
    bytes: usize,
    /// Estimated number of tokens.
    tokens: usize,
}

impl Cost {
    fn of(entries: &[Entry]) -> Self {
        let bytes: usize = entries.iter().map(bytes).sum();
        Self {
            tools: entries.len(),
            bytes,
            tokens: bytes.div_ceil(BYTES_PER_TOKEN),
        }
    }

    fn cells(self) -> [String; 3] {
        let Self {
            tools,
            bytes,
            tokens,
        } = self;
        [
            tools.to_string(),
            grouped(bytes),
            format!("~{}", grouped(tokens)),
        ]
    }
}

/// Returns the length of a tool's [`SHOWN`] members as JSON without white space.
fn bytes(entry: &Entry) -> usize {
    let definition = Members::of(&entry.raw);
    let mut shown = Members::default();
    for member in SHOWN {
        if let Some(value) = definition.get(member) {
            // Parsing fails for a number that is too large; the white space is counted then.
            let compact = serde_json::from_str::<Value>(value).map(|it| it.to_string());
            shown.set(member, compact.unwrap_or_else(|_| value.to_owned()));
        }
    }
    shown.to_string().len()
}

/// Formats a number with its thousands grouped: `12 345`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Costs of the servers, of all their tools, and of lazy loading.
#[derive(Debug)]
struct Costs<'a> {
    /// Servers, the most expensive first.
    servers: Vec<(&'a str, Cost)>,
    all: Cost,
    lazy: Cost,
}

impl<'a> Costs<'a> {
    fn of(all: &[ServerTools<'a>]) -> Self {
        let cost = |tools: &ServerTools<'a>| (tools.server, Cost::of(tools.entries()));
        let mut servers: Vec<_> = all.iter().filter(|it| it.list.is_ok()).map(cost).collect();
        servers.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.bytes));
        let entries: Vec<Entry> = all.iter().flat_map(ServerTools::entries).cloned().collect();
        Self {
            servers,
            all: Cost::of(&entries),
            lazy: Cost::of(
                OfferedMetaTools::new(Set::All, true, Some(ConfigContext::default()), false)
                    .entries(),
            ),
        }
    }
}

/// Returns all tools with their servers, the most expensive first.
fn heaviest<'a>(all: &[ServerTools<'a>]) -> Vec<(&'a str, &'a Entry)> {
    let tools = all.iter();
    let mut tools: Vec<_> = tools
        .flat_map(|it| it.entries().iter().map(|entry| (it.server, entry)))
        .collect();
    tools.sort_by_cached_key(|(_, entry)| std::cmp::Reverse(bytes(entry)));
    tools
}

/// Returns a table with a row for each server, the sum, and the cost of the proxy's own tools instead; optionally also
/// the most expensive tools.
pub(super) fn table(all: &[ServerTools<'_>], with_heaviest: bool) -> String {
    let costs = Costs::of(all);
    let mut table = TextTable::new(["SERVER", ">TOOLS", ">BYTES", ">TOKENS", ""]);
    let mut add = |style, name: &str, cost: Cost, note: String| {
        let [tools, bytes, tokens] = cost.cells();
        table.row(style, [name.to_owned(), tools, bytes, tokens, note]);
    };
    for (name, cost) in &costs.servers {
        add(PLAIN, name, *cost, String::new());
    }
    add(HEAD, "all", costs.all, String::new());
    let share = (costs.lazy.bytes * 100).checked_div(costs.all.bytes);
    let share = share.map_or_else(String::new, |it| format!("{it} %"));
    add(HEAD, "loaded lazily", costs.lazy, share);
    let mut text = table.text();
    if with_heaviest {
        let mut table = TextTable::new(["TOOL", "SERVER", ">BYTES", ">TOKENS"]);
        for (server, entry) in heaviest(all).into_iter().take(HEAVIEST) {
            let [_, bytes, tokens] = Cost::of(std::slice::from_ref(entry)).cells();
            table.row(
                PLAIN,
                [entry.name.clone(), server.to_owned(), bytes, tokens],
            );
        }
        text.push('\n');
        text += &table.text();
    }
    text
}

#[derive(Debug, Serialize)]
struct ServerCost<'a> {
    name: &'a str,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Debug, Serialize)]
struct ToolCost<'a> {
    server: &'a str,
    name: &'a str,
    bytes: usize,
    tokens: usize,
}

#[derive(Debug, Serialize)]
struct CostReport<'a> {
    servers: Vec<ServerCost<'a>>,
    all: Cost,
    lazy: Cost,
    heaviest: Vec<ToolCost<'a>>,
}

/// Returns the costs as one JSON object, with every tool.
pub(super) fn json(all: &[ServerTools<'_>]) -> String {
    let costs = Costs::of(all);
    let heavy = |(server, entry)| {
        let Cost { bytes, tokens, .. } = Cost::of(std::slice::from_ref(entry));
        let name = &entry.name;
        ToolCost {
            server,
            name,
            bytes,
            tokens,
        }
    };
    let whole = CostReport {
        servers: costs
            .servers
            .into_iter()
            .map(|(name, cost)| ServerCost { name, cost })
            .collect(),
        all: costs.all,
        lazy: costs.lazy,
        heaviest: heaviest(all).into_iter().map(heavy).collect(),
    };
    serde_json::to_string(&whole).expect("all map keys of the costs are strings") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(raw: &str) -> Entry {
        Entry {
            name: Members::of(raw).text("name").unwrap().into_owned(),
            raw: raw.to_owned(),
        }
    }

    #[test]
    fn members_hidden_from_models_cost_nothing() {
        let small = entry(r#"{"name":"a","inputSchema":{"type":"object"}}"#);
        let same = entry(
            r#"{"title":"A", "_meta":{"x":1}, "name": "a", "inputSchema": {"type" : "object"}, "outputSchema":{}}"#,
        );
        assert_eq!(
            (bytes(&small), bytes(&same)),
            (small.raw.len(), small.raw.len())
        );
        let odd = entry(r#"{"name":"a","inputSchema":{"maximum": 1E400}}"#);
        assert_eq!(bytes(&odd), odd.raw.len());
    }

    #[test]
    fn the_dearest_come_first() {
        let light = [entry(r#"{"name":"a"}"#)];
        let heavy = [
            entry(r#"{"name":"b"}"#),
            entry(r#"{"name":"c","description":"long"}"#),
        ];
        let tools = |server, list| ServerTools { server, list };
        let all = [
            tools("w", Ok(&light[..])),
            tools("gone", Err("does not start".to_owned())),
            tools("x", Ok(&heavy[..])),
        ];
        let costs = Costs::of(&all);
        let names: Vec<_> = costs.servers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["x", "w"]);
        assert_eq!(costs.all.bytes, 12 + 12 + 33);
        let names: Vec<_> = heaviest(&all)
            .iter()
            .map(|(_, it)| it.name.clone())
            .collect();
        assert_eq!(names, ["c", "a", "b"]);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1000, 12345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1 000", "12 345", "1 234 567"]);
    }
}
