//! `mcp-proxy config`: what is in force and why, and what may be written.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, EXIT_OK, Global};
use crate::config::{self, Loaded, Surroundings};
use crate::output;

/// The options of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print what is in force; secrets are hidden, variables shown as they are written
    Show {
        /// The configuration [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Say of each value where it was written
        #[arg(long)]
        origin: bool,
        /// Print one JSON object instead of TOML
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of mcp-proxy.toml
    Schema,
}

/// Loads the configuration and tells what is wrong with it and what was left out.
pub(crate) fn load(explicit: Option<&PathBuf>, global: &Global) -> Result<Loaded, CliError> {
    let around = Surroundings::of_process(explicit.map(PathBuf::as_path)).map_err(|error| {
        CliError::Failure(format!("cannot find out the current directory: {error}"))
    })?;
    let loaded = config::load(&around);
    for fault in &loaded.faults {
        output::print_error(fault);
    }
    if global.output_options().verbosity > output::Verbosity::Quiet {
        loaded
            .notes
            .iter()
            .for_each(|note| output::print_note(note));
    }
    Ok(loaded)
}

/// The error that ends a program with these faults, which have been told already.
pub(crate) fn broken(loaded: &Loaded) -> CliError {
    let count = loaded.faults.len();
    let faults = if count == 1 { "a fault" } else { "faults" };
    let many = if count == 1 {
        String::new()
    } else {
        format!("{count} ")
    };
    CliError::Config(format!("the configuration has {many}{faults}"))
}

/// Prints what was asked for.
pub(crate) fn run(args: &ConfigArgs, global: &Global) -> Result<u8, CliError> {
    let (config, origin, json) = match &args.command {
        ConfigCommand::Schema => {
            print(&format!("{:#}\n", config::schema()))?;
            return Ok(EXIT_OK);
        }
        ConfigCommand::Show {
            config,
            origin,
            json,
        } => (config, *origin, *json),
    };
    let loaded = load(config.as_ref(), global)?;
    if json {
        print(&format!("{:#}\n", loaded.shown.json(origin)))?;
    } else {
        print(&loaded.shown.toml(origin))?;
    }
    if loaded.faults.is_empty() {
        Ok(EXIT_OK)
    } else {
        Err(broken(&loaded))
    }
}

fn print(text: &str) -> Result<(), CliError> {
    output::print_result(text)
        .map_err(|error| CliError::Failure(format!("cannot write to stdout: {error}")))
}
