//! `mcp-proxy call`: calls one tool once from a shell.

mod content;

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::ServerArgs;
use super::result_text::unfinished;
use super::selection::{ServerSelection, not_started, run_visit, unknown};
use super::{
    CliError, EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, Global, print_exact, print_foreign,
};
use crate::app::visit::{CallResult, ServerVisit, Visit, VisitOutcome};
use crate::config::{parse_arguments, parse_duration};
use crate::jsonrpc::Members;
use crate::output::clean;
use crate::server::{RawResponse, Snapshot};

const USAGE: &str = "mcp-proxy call [OPTIONS] SERVER TOOL [JSON|-]\n       \
                     mcp-proxy call [OPTIONS] TOOL [JSON|-] -- CMD...";

/// The options of `call`.
#[derive(Debug, Args)]
#[command(override_usage = USAGE)]
pub(crate) struct CallArgs {
    /// Server of the configuration (omitted if a command follows `--`), tool, and arguments of the tool
    ///
    /// The arguments are a JSON object, or `-` to read one from stdin. Without arguments, the tool is called with {}.
    #[arg(value_name = "WORD", required = true, num_args = 1..=3)]
    words: Vec<String>,
    /// Print the raw JSON result of the server
    #[arg(long)]
    json: bool,
    /// Time limit for the call [default: none]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Requested call.
#[derive(Debug, PartialEq, Eq)]
struct RequestedCall<'a> {
    /// Server of the configuration; `None` if the command line has the server's command.
    server: Option<&'a str>,
    tool: &'a str,
    json: Option<&'a str>,
}

impl CallArgs {
    fn wish(&self) -> Result<RequestedCall<'_>, CliError> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (server, rest) = match (&words[..], self.server.command.is_empty()) {
            (rest, false) => (None, rest),
            ([server, rest @ ..], true) => (Some(*server), rest),
            ([], true) => (None, &[][..]),
        };
        match rest {
            [tool] | [tool, _] => Ok(RequestedCall {
                server,
                tool,
                json: rest.get(1).copied(),
            }),
            _ => Err(CliError::Usage(format!(
                "wrong number of arguments\n\nUsage: {USAGE}"
            ))),
        }
    }
}

/// Returns the arguments of the tool on one line.
fn read(json: Option<&str>) -> Result<String, CliError> {
    let text = match json {
        None => return Ok("{}".to_owned()),
        Some("-") => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text);
            read.map_err(|error| CliError::Failure(format!("cannot read stdin: {error}")))?;
            text
        }
        Some(text) => text.to_owned(),
    };
    parse_arguments(&text).map_err(CliError::Usage)
}

/// Starts the server, calls the tool and prints its result.
pub(crate) fn run(args: &CallArgs, global: &Global) -> Result<u8, CliError> {
    let wish = args.wish()?;
    let arguments = read(wish.json)?;
    let names: Vec<String> = wish.server.into_iter().map(str::to_owned).collect();
    let chosen = ServerSelection::by(&args.server, args.config.as_ref(), &names, global)?;
    if let (true, Some(fault)) = (chosen.servers.is_empty(), chosen.fault()) {
        return Err(fault);
    }
    let visit = Visit {
        servers: chosen.servers,
        max_message: chosen.max_message,
        era: args.server.era,
        calls: vec![(wish.tool.to_owned(), arguments)],
        declares_input: false,
        listed_only: true,
        call_timeout: args.timeout,
    };
    let Some(visited) = run_visit(visit, global)? else {
        return Ok(EXIT_INTERRUPTED);
    };
    let [
        ServerVisit {
            server,
            outcome: VisitOutcome::Started {
                snapshot, calls, ..
            },
        },
    ] = &visited[..]
    else {
        return not_started(&visited).map_or(Ok(EXIT_FAILURE), Err);
    };
    match &calls[..] {
        [called, ..] => print_outcome(called, args.json),
        [] => Err(no_such_tool(server, wish.tool, snapshot)),
    }
}

fn no_such_tool(server: &str, tool: &str, snapshot: &Snapshot) -> CliError {
    let names = snapshot.tool_names();
    CliError::Usage(unknown(
        &format!("`{}` has no tool", clean(server)),
        tool,
        names.into_iter(),
    ))
}

/// Prints the result; everything else becomes an error.
fn print_outcome(called: &CallResult, exact: bool) -> Result<u8, CliError> {
    let tool = clean(&called.tool);
    let result = match &called.response {
        Ok(RawResponse::Result(result)) => result,
        Ok(RawResponse::Error(error)) => return Err(refused(&tool, error)),
        Err(reason) => return Err(CliError::Failure(format!("`{tool}`: {reason}"))),
    };
    if exact {
        print_exact(&format!("{result}\n"))?;
    } else {
        print_foreign(&content::text(result))?;
    }
    let members = Members::of(result);
    if let Some(kind) = unfinished(&members) {
        return Err(CliError::Failure(format!(
            "`{tool}` did not complete: its result has the type `{kind}`, which needs an MCP client to continue"
        )));
    }
    if members.get("isError") == Some("true") {
        return Err(CliError::Failure(format!(
            "`{tool}` returned an error (`isError`)"
        )));
    }
    Ok(EXIT_OK)
}

/// Returns the error for a JSON-RPC error that the server sent instead of a result.
fn refused(tool: &str, error: &str) -> CliError {
    let error = Members::of(error);
    let code = error.get("code").unwrap_or("without a code");
    let message = error.text("message").unwrap_or_default();
    let mut text = format!("`{tool}`: error {code}: {}", clean(&message));
    if let Some(data) = error.get("data") {
        text += "\n  data: ";
        text += &clean(data);
    }
    CliError::Failure(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        call: CallArgs,
    }

    fn parse(words: &str) -> CallArgs {
        Line::parse_from(format!("call {words}").split(' ')).call
    }

    #[test]
    fn the_first_word_is_a_server_unless_a_command_follows() {
        for (words, server, tool, json) in [
            ("w t", Some("w"), "t", None),
            ("w t {}", Some("w"), "t", Some("{}")),
            ("w t -", Some("w"), "t", Some("-")),
            ("t -- srv", None, "t", None),
            ("--timeout 1s t - -- srv -x", None, "t", Some("-")),
        ] {
            let args = parse(words);
            assert_eq!(
                args.wish().unwrap(),
                RequestedCall { server, tool, json },
                "{words}"
            );
        }
        for words in ["t", "w t {} -- srv"] {
            let error = parse(words).wish().unwrap_err();
            assert!(matches!(error, CliError::Usage(_)), "{words}");
        }
    }

    #[test]
    fn an_error_is_told_with_its_data_and_cannot_steer_the_terminal() {
        let error = r#"{"code":-32001,"message":"no\u001b[31m such","data":{"near":[1]}}"#;
        assert_eq!(
            refused("t", error).to_string(),
            "`t`: error -32001: no such\n  data: {\"near\":[1]}"
        );
    }
}
