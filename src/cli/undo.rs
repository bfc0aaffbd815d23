//! `mcp-proxy undo`: restores the files that `mcp-proxy setup` edited.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::selection::listed;
use super::setup::{client_names, confirm, records_folder};
use super::{CliError, EXIT_OK, Global, print};
use crate::output;
use crate::setup::{self, Restored, SetupRecord, UndoError};

/// The options of `undo`.
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// Client whose files to restore; repeatable [default: all]
    #[arg(long, value_name = "NAME", value_parser = client_names(), ignore_case = true)]
    client: Vec<String>,
    /// In a file that has changed since setup, restore only the servers and keep the changes
    #[arg(long)]
    keep_changes: bool,
    /// Do not ask before the files are restored
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Restores the files, the newest edit first.
pub(crate) fn run(args: &UndoArgs, _: &Global) -> Result<u8, CliError> {
    let folder = records_folder()?;
    let found = setup::records(&folder).map_err(|error| CliError::Failure(error.to_string()))?;
    let is_selected = |record: &SetupRecord| {
        args.client.is_empty() || args.client.iter().any(|client| record.is_of(client))
    };
    let records: Vec<SetupRecord> = found.known.into_iter().filter(is_selected).collect();
    if !records.is_empty() && !args.yes {
        if !args.json {
            print(&list(&records))?;
        }
        if !confirm("Restore these files?")? {
            return Err(CliError::Failure("nothing was changed".to_owned()));
        }
    }
    let outcome = |record| (record, setup::undo(record, &folder, args.keep_changes));
    let outcomes: Vec<_> = records.iter().map(outcome).collect();
    // An unreadable record may be one of any client.
    let unreadable = found.unreadable.iter();
    let unreadable: Vec<String> = unreadable
        .map(|error| format!("{error}; delete the record if its file needs no undo"))
        .collect();
    if args.json {
        print(&format!("{}\n", report(&outcomes, &unreadable)))?;
    } else if outcomes.is_empty() && unreadable.is_empty() {
        print("nothing to undo\n")?;
    } else {
        print(&restored_lines(&outcomes, &unreadable))?;
    }
    let refused = outcomes
        .iter()
        .filter_map(|(_, outcome)| Some(outcome.as_ref().err()?.to_string()));
    let problems: Vec<String> = refused.chain(unreadable).collect();
    match &problems[..] {
        [] => Ok(EXIT_OK),
        [one] => Err(CliError::Failure(one.clone())),
        [one, ..] => {
            let more = problems.len() - 1;
            Err(CliError::Failure(format!("{one} (and {more} more)")))
        }
    }
}

type Outcome<'r> = (&'r SetupRecord, Result<Restored, UndoError>);

fn names(record: &SetupRecord) -> Vec<&str> {
    let names = record.servers.iter().map(|it| it.entry.name.as_str());
    names.collect()
}

/// Returns the files to restore, with their servers.
fn list(records: &[SetupRecord]) -> String {
    let line = |record: &SetupRecord| {
        let file = record.file.display().to_string();
        format!("{}: {}\n", output::clean(&file), listed(&names(record)))
    };
    records.iter().map(line).collect()
}

fn restored_lines(outcomes: &[Outcome<'_>], unreadable: &[String]) -> String {
    let mut text = String::new();
    for (record, outcome) in outcomes {
        let file = record.file.display().to_string();
        let file = output::clean(&file);
        match outcome {
            Ok(Restored::File) => {
                let _ = writeln!(text, "restored {file}");
            }
            Ok(Restored::Servers(servers)) if servers.is_empty() => {
                let _ = writeln!(text, "{file} has no server left to restore");
            }
            Ok(Restored::Servers(servers)) => {
                let servers = listed(servers);
                let _ = writeln!(text, "restored {servers} in {file}, and kept its changes");
            }
            Err(error) => {
                let _ = writeln!(text, "not restored: {error}");
            }
        }
    }
    for error in unreadable {
        let _ = writeln!(text, "not restored: {error}");
    }
    text
}

fn report(outcomes: &[Outcome<'_>], unreadable: &[String]) -> Value {
    let file = |(record, outcome): &Outcome<'_>| {
        let (restored, is_exact, reason) = match outcome {
            Ok(Restored::File) => (json!(names(record)), true, None),
            Ok(Restored::Servers(servers)) => (json!(servers), false, None),
            Err(error) => (json!([]), false, Some(error.to_string())),
        };
        json!({
            "client": record.client, "file": record.file, "servers": names(record),
            "restored": restored, "exact": is_exact, "reason": reason,
        })
    };
    let files: Vec<Value> = outcomes.iter().map(file).collect();
    json!({ "files": files, "faults": unreadable })
}
