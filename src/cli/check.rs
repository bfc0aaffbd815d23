//! `mcp-proxy check`: starts servers once, concurrently and without a watcher, and reports whether they work.

mod baseline;
mod eras;
mod lint;
mod report;
mod revision;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::ServerArgs;
use super::selection::{ServerSelection, not_started, run_visit, unknown};
use super::{CliError, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, Global, print, print_exact};
use crate::app::visit::{ServerVisit, Visit, VisitOutcome};
use crate::config::{EraChoice, parse_arguments, parse_duration};
use crate::contract::{self, ClientVersion};
use crate::mcp::ListKind;
use crate::output::palette::HEAD;
use crate::output::{Verbosity, clean};
use crate::server::RawResponse;
use baseline::Baseline;
use lint::LintReport;
use report::{CheckReport, ServerReport, junit, sarif, table};

/// The options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Format of the result [default: table]
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with = "json")]
    format: Option<CheckFormat>,
    /// Call TOOL with the arguments JSON; repeatable, for one server only
    #[arg(long, num_args = 2, value_names = ["TOOL", "JSON"], action = clap::ArgAction::Append)]
    call: Vec<String>,
    /// Time limit for each call
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    call_timeout: Duration,
    /// Judge the tools by the rules of clients; the check fails if a client rejects a tool
    #[arg(long)]
    lint: bool,
    /// Client whose rules --lint applies; repeatable [default: all, without claude-ai and the APIs]
    ///
    /// CLIENT is claude-code, codex, copilot-cli, cursor, gemini-cli, vscode, windsurf, zed, python-sdk,
    /// typescript-sdk, claude-ai, anthropic-api, bedrock-api, gemini-api, mistral-api or openai-api. It may have a
    /// version, as `claude-code@2.1.100`; otherwise the newest known one is meant.
    #[arg(long = "for", value_name = "CLIENT", requires = "lint")]
    clients: Vec<ClientVersion>,
    /// Save the lists of the servers to FILE, for --against
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Class the changes of the lists since FILE was saved, or since a commit; the check fails if one breaks callers
    ///
    /// A commit is named as git names it: main, v1.2, HEAD~1. Its files are written to a temporary directory, where the
    /// servers are started with this configuration.
    #[arg(long, value_name = "FILE|REF")]
    against: Option<String>,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    config: Option<PathBuf>,
    /// Server of the configuration to check; repeatable [default: all]
    #[arg(long = "server", value_name = "NAME", conflicts_with = "command")]
    names: Vec<String>,
    /// Visit the servers in both eras, and report which one serves each better
    #[arg(long, conflicts_with_all = ["era", "lint", "save", "against", "format"])]
    both_eras: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// Format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// For people
    Table,
    /// One JSON object, as with --json
    Json,
    /// XML report of tests, for CI
    Junit,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

impl CheckArgs {
    fn format(&self) -> CheckFormat {
        let default = if self.json {
            CheckFormat::Json
        } else {
            CheckFormat::Table
        };
        self.format.unwrap_or(default)
    }

    /// Returns the requested calls: the name of a tool and its arguments, an object on one line.
    fn calls(&self) -> Result<Vec<(String, String)>, CliError> {
        let pairs = self.call.chunks_exact(2);
        pairs
            .map(|pair| match parse_arguments(&pair[1]) {
                Ok(arguments) => Ok((pair[0].clone(), arguments)),
                Err(wrong) => Err(CliError::Usage(format!("--call {}: {wrong}", pair[0]))),
            })
            .collect()
    }

    /// Returns the report about one server.
    fn report<'a>(
        &self,
        visited: &'a ServerVisit,
        baseline: Option<&Baseline>,
    ) -> ServerReport<'a> {
        let mut report = ServerReport::new(&visited.server, &visited.outcome);
        if let (
            true,
            VisitOutcome::Started {
                snapshot, calls, ..
            },
        ) = (self.lint, &visited.outcome)
            && let Some(tools) = snapshot.list(ListKind::Tools)
        {
            let clients = match &self.clients[..] {
                [] => ClientVersion::defaults(),
                chosen => chosen.to_vec(),
            };
            let mut findings = contract::lint(&visited.server, tools, &clients);
            for call in calls {
                if let (Ok(RawResponse::Result(result)), Some(tool)) =
                    (&call.response, tools.find(&call.tool))
                {
                    findings.extend(contract::lint_result(tool, result, &clients));
                }
            }
            findings.sort_by_key(|it| std::cmp::Reverse(it.level));
            report.add_lint(findings.into_iter().map(LintReport::from).collect());
        }
        if let (Some(baseline), VisitOutcome::Started { snapshot, .. }) =
            (baseline, &visited.outcome)
        {
            report.add_changes(baseline.changes(&visited.server, snapshot));
        }
        report
    }

    /// Returns the servers that `baseline` has and the configuration has no longer. Only a check of all servers of a
    /// sound configuration can tell.
    fn gone<'a>(
        &self,
        baseline: Option<&'a Baseline>,
        visited: &[ServerVisit],
        chosen: &ServerSelection,
    ) -> Vec<ServerReport<'a>> {
        let is_whole = self.server.command.is_empty() && self.names.is_empty();
        let baseline = baseline.filter(|_| is_whole && chosen.faults.is_empty());
        let gone = baseline.map_or_else(Vec::new, |it| it.gone(visited));
        let report = |(name, changes)| ServerReport::gone(name, changes);
        gone.into_iter().map(report).collect()
    }

    /// Returns an error if the saved lists are those of servers with other names than the one of the command line.
    fn check_name(&self, baseline: &Baseline, chosen: &ServerSelection) -> Result<(), CliError> {
        let names = baseline.names();
        match &chosen.servers[..] {
            [only] if !self.server.command.is_empty() && !names.contains(&&*only.name) => {
                let text = unknown(
                    "--against: the file has no server",
                    &only.name,
                    names.into_iter(),
                );
                Err(CliError::Failure(format!("{text}; --name sets the name")))
            }
            _ => Ok(()),
        }
    }
}

/// Visits the servers and prints the report.
pub(crate) fn run(args: &CheckArgs, global: &Global) -> Result<u8, CliError> {
    let calls = args.calls()?;
    let chosen = ServerSelection::by(&args.server, args.config.as_ref(), &args.names, global)?;
    if chosen.servers.len() > 1 && !calls.is_empty() {
        return Err(chosen.single_server_error("--call applies to one server (--server NAME)"));
    }
    if args.both_eras {
        return eras::run(args, &calls, &chosen, global);
    }
    let baseline = match &args.against {
        None => None,
        Some(name) if is_file(name) => {
            let baseline = Baseline::read(name.as_ref())?;
            args.check_name(&baseline, &chosen)?;
            Some(baseline)
        }
        Some(name) => match revision::baseline(name, args, &chosen, global)? {
            Some(baseline) => Some(baseline),
            None => return Ok(EXIT_INTERRUPTED),
        },
    };
    let visit = visit(args, &chosen, calls, args.server.era);
    let Some(visited) = run_visit(visit, global)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let baseline = baseline.as_ref();
    let present = visited.iter().map(|it| args.report(it, baseline));
    let gone = args.gone(baseline, &visited, &chosen);
    let reports: Vec<ServerReport<'_>> = present.chain(gone).collect();
    let all_ok = reports.iter().all(ServerReport::ok);
    print_report(args, &chosen, &visited, reports, global)?;
    let error = chosen.fault().or_else(|| not_started(&visited));
    if let (Some(file), None) = (&args.save, &error) {
        baseline::save(file, &visited)?;
    }
    match error {
        Some(error) => Err(error),
        None => Ok(if all_ok { EXIT_OK } else { EXIT_FAILURE }),
    }
}

/// Returns true if a file has this name; it may be a pipe.
fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    path.exists() && !path.is_dir()
}

/// Returns the visit of the chosen servers in `era`. A comparison of the eras declares that the client can be asked.
fn visit(
    args: &CheckArgs,
    chosen: &ServerSelection,
    calls: Vec<(String, String)>,
    era: Option<EraChoice>,
) -> Visit {
    Visit {
        servers: chosen.servers.clone(),
        max_message: chosen.max_message,
        era,
        calls,
        declares_input: args.both_eras,
        listed_only: false,
        call_timeout: Some(args.call_timeout),
    }
}

fn print_report(
    args: &CheckArgs,
    chosen: &ServerSelection,
    visited: &[ServerVisit],
    reports: Vec<ServerReport<'_>>,
    global: &Global,
) -> Result<(), CliError> {
    match args.format() {
        CheckFormat::Table => print_table(args, visited, &reports, global),
        CheckFormat::Json => {
            let is_command = !args.server.command.is_empty();
            print_exact(&match &reports[..] {
                [report] if is_command => report.json(),
                _ => CheckReport::new(reports, &chosen.faults).json(),
            })
        }
        CheckFormat::Junit => print_exact(&junit(&reports, &chosen.faults)),
        CheckFormat::Sarif => {
            let root = dunce::canonicalize(".")
                .map_err(|error| CliError::Failure(format!("no current directory: {error}")))?;
            print_exact(&sarif(&reports, chosen, &root))
        }
    }
}

fn print_table(
    args: &CheckArgs,
    visited: &[ServerVisit],
    reports: &[ServerReport<'_>],
    global: &Global,
) -> Result<(), CliError> {
    let text = match (reports, visited) {
        ([report], [one]) if matches!(one.outcome, VisitOutcome::Started { .. }) => report.table(),
        ([] | [_], _) => return Ok(()),
        _ => table(&reports.iter().collect::<Vec<_>>()),
    };
    let with_hints = global.output_options().verbosity == Verbosity::Verbose;
    let parts = reports.iter().map(|report| {
        let head = match reports.len() {
            1 => String::new(),
            _ => format!("{HEAD}{}{HEAD:#}\n", clean(report.name())),
        };
        let lint = report.lint().map(|it| lint::lines(it, with_hints));
        let since = args.against.as_deref().unwrap_or_default();
        let changes = report.changes().map(|it| baseline::lines(it, since));
        let parts = [lint, changes].into_iter().flatten();
        let parts = parts.map(|part| format!("\n{head}{part}"));
        parts.collect::<Vec<_>>().concat()
    });
    print(&(text + &parts.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        check: CheckArgs,
    }

    #[test]
    fn calls_come_in_pairs_of_a_tool_and_an_object() {
        let parse = |calls: &[&str]| {
            let line = [&["check"][..], calls, &["--", "srv"]].concat();
            Line::parse_from(line).check
        };
        let check = parse(&["--call", "a", "{}", "--call", "b", "{\"n\":\r\n1.0}"]);
        let calls = check.calls().unwrap();
        let pair = |tool: &str, arguments: &str| (tool.to_owned(), arguments.to_owned());
        assert_eq!(calls, [pair("a", "{}"), pair("b", r#"{"n":  1.0}"#)]);
        for wrong in ["[]", "{", "1"] {
            let error = parse(&["--call", "a", wrong]).calls().unwrap_err();
            assert!(matches!(error, CliError::Usage(_)), "{wrong}: {error}");
        }
    }
}
