//! `mcp-proxy tools`: lists the tools of servers, or their cost in a model's context.

mod cost;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::args::ServerArgs;
use super::result_text::{message, raw, shorten};
use super::selection::{ServerSelection, not_started, run_visit};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, config, print, print_exact};
use crate::app::visit::{ServerVisit, Visit, VisitOutcome};
use crate::config::Fault;
use crate::jsonrpc::{Members, elements, quoted, unquoted};
use crate::mcp::{Entry, List, ListKind};
use crate::output::palette::{BAD, DIM, HEAD};
use crate::output::{Verbosity, clean, count};

/// Maximum width of the column of signatures. A longer signature shifts only its own description.
const WIDEST: usize = 40;

/// The options of `tools`.
#[derive(Debug, Args)]
pub(crate) struct ToolsArgs {
    /// Server of the configuration [default: all]
    #[arg(value_name = "SERVER", conflicts_with = "command")]
    only: Option<String>,
    /// Print one JSON object with the definitions of the tools, byte for byte
    #[arg(long)]
    json: bool,
    /// Print the tools' cost in a model's context; with -v, also the most expensive tools
    ///
    /// The cost covers the name, the description and the input schema of each tool, which clients show to their models.
    /// The number of tokens is an estimate, since models differ: one for every four bytes.
    #[arg(long)]
    cost: bool,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Tools of one server.
#[derive(Debug)]
struct ServerTools<'a> {
    server: &'a str,
    /// List, or a sentence fragment that says why there is none.
    list: Result<&'a [Entry], String>,
}

impl<'a> ServerTools<'a> {
    fn of(visited: &'a ServerVisit) -> Self {
        let list = match &visited.outcome {
            VisitOutcome::Started { snapshot, .. } => {
                listed(&snapshot.lists[ListKind::Tools.index()])
            }
            VisitOutcome::Broken(failure) => Err(format!("does not start: {}", failure.reason)),
            VisitOutcome::Interrupted => Err("was stopped".to_owned()),
        };
        Self {
            server: &visited.server,
            list,
        }
    }

    fn entries(&self) -> &'a [Entry] {
        self.list.as_ref().map_or(&[], |list| list)
    }
}

fn listed(list: &Result<List, String>) -> Result<&[Entry], String> {
    match list {
        Ok(list) => Ok(&list.entries),
        Err(error) => Err(format!("tools/list: {}", message(raw(error).as_deref()))),
    }
}

/// Starts the servers and prints their tools.
pub(crate) fn run(args: &ToolsArgs, global: &Global) -> Result<u8, CliError> {
    let names: Vec<String> = args.only.iter().cloned().collect();
    let chosen = ServerSelection::by(&args.server, args.config.as_ref(), &names, global)?;
    let visit = Visit {
        servers: chosen.servers.clone(),
        max_message: chosen.max_message,
        era: args.server.era,
        calls: Vec::new(),
        declares_input: false,
        listed_only: true,
        call_timeout: None,
    };
    let Some(visited) = run_visit(visit, global)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let all: Vec<ServerTools<'_>> = visited.iter().map(ServerTools::of).collect();
    match (args.cost, args.json) {
        (_, false) if all.is_empty() => {}
        (false, false) => print(&table(&all))?,
        (false, true) => print_exact(&json(&all, &chosen.faults))?,
        (true, false) => {
            let heaviest = global.output_options().verbosity == Verbosity::Verbose;
            print(&cost::table(&all, heaviest))?;
        }
        (true, true) => print_exact(&cost::json(&all))?,
    }
    let error = chosen.fault().or_else(|| not_started(&visited));
    match error.or_else(|| not_listed(&all)) {
        Some(error) => Err(error),
        None => Ok(EXIT_OK),
    }
}

fn not_listed(all: &[ServerTools<'_>]) -> Option<CliError> {
    all.iter().find_map(|tools| {
        let (server, why) = (tools.server, tools.list.as_ref().err()?);
        Some(CliError::Failure(format!("`{server}`: {why}")))
    })
}

/// Returns one JSON object with the definitions, byte for byte, and the faults of the configuration.
fn json(all: &[ServerTools<'_>], faults: &[Fault]) -> String {
    let servers = all.iter().map(|tools| {
        let definitions: Vec<_> = tools.entries().iter().map(|it| it.raw.as_str()).collect();
        let error = match &tools.list {
            Ok(_) => String::new(),
            Err(why) => format!(r#","error":{}"#, quoted(why)),
        };
        let (name, definitions) = (quoted(tools.server), definitions.join(","));
        format!(r#"{{"name":{name},"tools":[{definitions}]{error}}}"#)
    });
    let servers: Vec<_> = servers.collect();
    let (servers, faults) = (servers.join(","), config::faults_json(faults));
    format!("{{\"servers\":[{servers}],\"faults\":{faults}}}\n")
}

fn table(all: &[ServerTools<'_>]) -> String {
    let mut text = String::new();
    for tools in all {
        if !text.is_empty() {
            text.push('\n');
        }
        let name = clean(tools.server);
        match &tools.list {
            Err(why) => {
                let _ = writeln!(text, "{HEAD}{name}{HEAD:#}  {BAD}{}{BAD:#}", clean(why));
            }
            Ok(entries) => {
                let _ = writeln!(
                    text,
                    "{HEAD}{name}{HEAD:#}  {DIM}{}{DIM:#}",
                    count(entries.len(), "tool", "tools")
                );
                text += &rows(entries);
            }
        }
    }
    text
}

fn rows(entries: &[Entry]) -> String {
    let signatures: Vec<String> = entries.iter().map(signature).collect();
    let widths = signatures.iter().map(|it| it.chars().count());
    let width = widths.filter(|it| *it <= WIDEST).max().unwrap_or(0);
    let mut text = String::new();
    for (entry, signature) in entries.iter().zip(&signatures) {
        let definition = Members::of(&entry.raw);
        let description = definition.text("description").unwrap_or_default();
        let line = format!(
            "  {signature:<width$}  {}",
            shorten(description.trim_start())
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Formats a signature: `forecast(city, days?)`.
fn signature(entry: &Entry) -> String {
    let definition = Members::of(&entry.raw);
    let schema = definition.object("inputSchema");
    let required = schema.get("required").and_then(elements);
    let required: Vec<_> = required
        .into_iter()
        .flatten()
        .filter_map(unquoted)
        .collect();
    let properties = schema.object("properties");
    let arguments = properties.iter().map(|(name, _)| {
        let optional = if required.contains(&name) { "" } else { "?" };
        format!("{name}{optional}")
    });
    let arguments: Vec<_> = arguments.collect();
    clean(&format!("{}({})", entry.name, arguments.join(", "))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, raw: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            raw: raw.to_owned(),
        }
    }

    #[test]
    fn arguments_are_told_in_short() {
        for (raw, shown) in [
            ("{}", "t()"),
            (
                r#"{"inputSchema":{"type":"object","properties":{}}}"#,
                "t()",
            ),
            (
                r#"{"inputSchema":{"properties":{"city":{},"days":{}},"required":["city"]}}"#,
                "t(city, days?)",
            ),
            (
                r#"{"inputSchema":{"properties":{"\u001b[1ma":{}}}}"#,
                "t(a?)",
            ),
        ] {
            assert_eq!(signature(&entry("t", raw)), shown, "{raw}");
        }
    }

    #[test]
    fn a_long_signature_moves_only_its_own_description() {
        let properties: Vec<_> = (0..9).map(|n| format!("\"argument{n}\":{{}}")).collect();
        let long = format!(
            r#"{{"description":"long","inputSchema":{{"properties":{{{}}}}}}}"#,
            properties.join(",")
        );
        let entries = [
            entry("a", r#"{"description":"\n  first\nsecond"}"#),
            entry("longer", "{}"),
            entry("b", &long),
        ];
        let text = rows(&entries);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..2], ["  a()       first …", "  longer()"]);
        assert!(lines[2].ends_with("argument8?)  long"), "{text}");
    }

    #[test]
    fn definitions_keep_their_bytes() {
        let entries = [
            entry("a", r#"{"name":"a","x":1E400}"#),
            entry("b", r#"{ "name":"b"}"#),
        ];
        let all = [
            ServerTools {
                server: "w",
                list: Ok(&entries),
            },
            ServerTools {
                server: "x",
                list: Err("does not start: no".to_owned()),
            },
        ];
        assert_eq!(
            json(&all, &[]),
            "{\"servers\":[{\"name\":\"w\",\"tools\":[{\"name\":\"a\",\"x\":1E400},{ \"name\":\"b\"}]},\
             {\"name\":\"x\",\"tools\":[],\"error\":\"does not start: no\"}],\"faults\":[]}\n"
        );
    }
}
