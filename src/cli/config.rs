//! `mcp-proxy config`: prints the configuration in force, or the schema of its file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, EXIT_OK, Global, print};
use crate::config::{self, ConfigContext, Fault, LoadedConfig, is_pipe};
use crate::fleet::ConfigReader;
use crate::output;
use crate::user_folders;

/// The options of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in force; secrets are hidden, variables are not expanded
    Show {
        /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Show where each value is set
        #[arg(long)]
        origin: bool,
        /// Print one JSON object instead of TOML
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of mcp-proxy.toml
    Schema,
}

/// Loads the configuration and prints its faults and notes.
pub(crate) fn load(explicit: Option<&PathBuf>, global: &Global) -> Result<LoadedConfig, CliError> {
    let loaded = config::load(&surroundings(explicit)?);
    print_messages(&loaded, global);
    Ok(loaded)
}

/// Returns the inputs of loading a configuration, taken from this process.
pub(crate) fn surroundings(explicit: Option<&PathBuf>) -> Result<ConfigContext, CliError> {
    ConfigContext::of_process(explicit.map(PathBuf::as_path)).map_err(|error| {
        CliError::Failure(format!("cannot determine the current directory: {error}"))
    })
}

/// Prints the faults and notes of a configuration.
fn print_messages(loaded: &LoadedConfig, global: &Global) {
    for fault in &loaded.faults {
        output::print_error(fault);
    }
    print_notes(&loaded.notes, global);
}

/// Prints notes about intentionally omitted parts, unless `--quiet` is given.
pub(super) fn print_notes(notes: &[String], global: &Global) {
    if global.output_options().verbosity > output::Verbosity::Quiet {
        for note in notes {
            output::print_note(note);
        }
    }
}

/// Returns the files to watch: the configuration files, and those that would count if they were created beside them
/// (or, without any, in the current directory).
pub(crate) fn places(around: &ConfigContext, files: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = files.to_vec();
    let here = files.is_empty().then_some(around.cwd.as_path());
    let folders = files.iter().filter_map(|file| file.parent()).chain(here);
    let beside = folders.flat_map(|folder| config::NAMES.map(|name| folder.join(name)));
    if around.explicit.is_none() {
        paths.extend(beside);
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Returns the folder that stands for the project of a proxy with these configuration files: that of the first one, or
/// the current directory.
pub(crate) fn project(around: &ConfigContext, files: &[PathBuf]) -> PathBuf {
    let folder = files.first().and_then(|file| file.parent());
    folder.unwrap_or(&around.cwd).to_owned()
}

/// Returns `read` as the source of a configuration from `files`; none if one of them is a pipe, as in
/// `--config <(…)`, whose content is gone after the first read.
pub(super) fn reader(
    files: &[PathBuf],
    read: impl Fn() -> Option<LoadedConfig> + Send + Sync + 'static,
) -> Option<ConfigReader> {
    let can_be_reread = !files.iter().any(|file| is_pipe(file));
    can_be_reread.then(|| Arc::new(read) as ConfigReader)
}

/// Returns the directory of the last-known tools of servers.
pub(crate) fn cache() -> Option<PathBuf> {
    Some(user_folders::cache()?.join("mcp-proxy").join("tools"))
}

/// Returns the error that ends the program because of these faults, which were already printed.
pub(super) fn faults_error(loaded: &LoadedConfig) -> CliError {
    fault_count_error(loaded.faults.len())
}

/// Like [`faults_error`], for a number of faults.
pub(super) fn fault_count_error(count: usize) -> CliError {
    let errors = output::count(count, "error", "errors");
    CliError::Config(format!("invalid configuration: {errors}"))
}

/// Returns faults as a JSON array, each with the `server` that it disables, or null, and its `message`.
pub(super) fn faults_json(faults: &[Fault]) -> Value {
    let faults = faults.iter();
    faults
        .map(|fault| json!({ "server": fault.server, "message": fault.to_string() }))
        .collect()
}

/// Runs the subcommand.
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
        Err(faults_error(&loaded))
    }
}
