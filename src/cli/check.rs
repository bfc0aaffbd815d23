//! `mcp-proxy check`: starts a server once, without a watcher, and says whether it works.

mod report;

use std::time::Duration;

use clap::Args;
use serde_json::value::RawValue;

use super::args::ServerArgs;
use super::{CliError, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, Global};
use crate::app::check::{Findings, Inspection, check};
use crate::config::{Config, parse_duration};
use crate::output;
use report::Report;

/// The options of `check`.
#[derive(Debug, Args)]
#[command(mut_arg("command", |it| it.required(true)))]
pub(crate) struct CheckArgs {
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Call TOOL with the arguments JSON; may be repeated
    #[arg(long, num_args = 2, value_names = ["TOOL", "JSON"], action = clap::ArgAction::Append)]
    call: Vec<String>,
    /// How long each call may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    call_timeout: Duration,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

impl CheckArgs {
    /// The calls asked for: a tool's name and its arguments, an object on one line.
    fn calls(&self) -> Result<Vec<(String, String)>, CliError> {
        let pairs = self.call.chunks_exact(2);
        pairs
            .map(|pair| match serde_json::from_str::<&RawValue>(&pair[1]) {
                // Outside of strings a line break means as much as a space; inside there is none.
                Ok(arguments) if arguments.get().starts_with('{') => {
                    Ok((pair[0].clone(), arguments.get().replace(['\n', '\r'], " ")))
                }
                Ok(_) => Err(CliError::Usage(format!(
                    "--call {}: the arguments must be a JSON object such as '{{}}'",
                    pair[0]
                ))),
                Err(error) => Err(CliError::Usage(format!(
                    "--call {}: the arguments are not JSON: {error}",
                    pair[0]
                ))),
            })
            .collect()
    }
}

/// Starts, shakes hands, lists, calls, tells.
pub(crate) fn run(args: &CheckArgs, global: &Global) -> Result<u8, CliError> {
    let calls = args.calls()?;
    let spec = args.server.spec()?.expect("clap requires the command");
    let max_message = args.server.max_message;
    let inspection = Inspection {
        calls,
        timeouts: spec.timeouts,
        spec,
        max_message: max_message.unwrap_or(Config::default().max_message),
        era: args.server.era.era(),
        call_timeout: args.call_timeout,
    };
    let (events, printer) = output::start(&global.output_options())
        .map_err(|error| CliError::Config(error.to_string()))?;
    let findings = check(&inspection, &events);
    drop(events);
    printer.finish();
    let findings = findings.map_err(|error| CliError::Failure(error.to_string()))?;
    let name = &inspection.spec.name;
    let report = Report::new(name, &findings);
    if args.json && !matches!(findings, Findings::Interrupted) {
        print(&report.json())?;
    }
    match &findings {
        Findings::Interrupted => return Ok(EXIT_INTERRUPTED),
        Findings::Broken(failure) => {
            let reason = &failure.reason;
            return Err(CliError::Start(format!(
                "`{name}` does not start: {reason}"
            )));
        }
        Findings::Started { .. } if !args.json => print(&report.table())?,
        Findings::Started { .. } => {}
    }
    Ok(if report.ok() { EXIT_OK } else { EXIT_FAILURE })
}

fn print(text: &str) -> Result<(), CliError> {
    output::print_result(text)
        .map_err(|error| CliError::Failure(format!("cannot write to stdout: {error}")))
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
