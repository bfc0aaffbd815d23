//! `mcp-proxy doctor`: looks for the causes of common problems on this machine. Reads files and asks programs for their
//! version; uses no network and changes nothing.

mod approval;
mod clients;
mod commands;
mod proxies;
mod report;
mod system;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CliError, EXIT_FAILURE, EXIT_OK, config, print};
use crate::config::{ConfigContext, LoadedConfig, load};
use crate::front::http::Address;
use crate::output;
use crate::setup::{self, ClientEntries};

use report::{Finding, Severity};

/// The options of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check that `--http ADDR` can listen
    #[arg(long, value_name = "ADDR", value_parser = super::http::parse_address)]
    http: Option<Address>,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Prints the findings; the exit code is 1 if one of them is a problem.
pub(crate) fn run(args: &DoctorArgs) -> Result<u8, CliError> {
    let around = config::surroundings(args.config.as_ref())?;
    let loaded = load(&around);
    let project = config::project(&around, &loaded.files);
    let home = around.home.clone().unwrap_or_default();
    let files = setup::entries(&around);
    let desktop_path = system::desktop_path();
    let mut findings = configuration(&loaded);
    findings.extend(commands::servers(
        &loaded.config.servers,
        &desktop_path,
        &files,
    ));
    findings.extend(commands::runtimes(&loaded.config.servers));
    for file in &files {
        findings.extend(entries(file, &desktop_path, &project, &around));
    }
    findings.extend(approval::findings(&home, &project, &files));
    findings.extend(system::limits());
    findings.extend(proxies::findings());
    findings.extend(args.http.as_ref().map(proxies::address));
    print(&if args.json {
        report::json(&findings)
    } else {
        report::text(&findings)
    })?;
    let is_wrong = findings.iter().any(|it| it.severity == Severity::Problem);
    Ok(if is_wrong { EXIT_FAILURE } else { EXIT_OK })
}

fn configuration(loaded: &LoadedConfig) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let faults = loaded.faults.iter();
    let mut findings: Vec<Finding> = faults
        .map(|fault| Finding::problem(CHECK, fault.to_string()))
        .collect();
    findings.extend(loaded.notes.iter().map(|note| Finding::note(CHECK, note)));
    if loaded.files.is_empty() {
        findings.push(Finding::note(CHECK, super::selection::NO_FILE));
    } else if loaded.faults.is_empty() {
        let files = loaded.files.iter().map(|file| file.display().to_string());
        let files: Vec<_> = files.collect();
        let text = format!("no fault in {}", files.join(", "));
        findings.push(Finding::good(CHECK, text));
    }
    findings
}

/// Returns the findings about the entries of a client that run the proxy.
fn entries(
    file: &ClientEntries,
    desktop_path: &OsStr,
    project: &Path,
    around: &ConfigContext,
) -> Vec<Finding> {
    let entries = match &file.entries {
        Ok(entries) => entries,
        Err(error) => return vec![Finding::problem("client", error.clone())],
    };
    let own: Vec<_> = entries.iter().filter(|it| it.runs_proxy).collect();
    if own.is_empty() {
        return Vec::new();
    }
    let (name, path) = (file.client.title, file.path.display());
    let mut findings = vec![Finding::good(
        "client",
        format!(
            "{name} runs {} through mcp-proxy ({path})",
            output::count(own.len(), "entry", "entries")
        ),
    )];
    for entry in &own {
        findings.extend(commands::entry(entry, file, desktop_path, project));
    }
    findings.extend(clients::dev_modes(file, &own));
    findings.extend(clients::settings(file, &own, around));
    findings.extend(clients::lists(file, &own));
    findings
}
