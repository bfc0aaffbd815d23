//! `mcp-proxy install`, `update`, `uninstall` and `list --installed`.

mod report;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::args::parse_variable;
use super::config::surroundings;
use super::selection::{not_started, run_visit};
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global, print};
use crate::app;
use crate::app::visit::{ServerVisit, Visit};
use crate::config;
use crate::install::{
    FetchedServer, InstallError, InstallOutcome, InstallRequest, InstallStep, InstallSummary,
    Installed, Installer, RequestOrigin, StartSettings, StepListener,
};
use crate::output::{self, ProgressDisplay};
use crate::quoting;
use crate::shutdown::Shutdown;
use crate::transport::reaper::Reaper;
use report::{installed_json, installed_text, plain, removed_json, removed_text, short};

/// The options of `install`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct InstallArgs {
    /// Repository: `https://host/owner/repo`, `ssh://…`, `git@host:owner/repo`, owner/repo on GitHub, or a path; `@REF`
    /// selects a branch, tag or commit, `#DIR` a folder of the repository
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Name of the server [default: that of the repository or its folder]
    #[arg(long)]
    name: Option<String>,
    /// File that starts the server, instead of the detected one
    #[arg(long, value_name = "FILE")]
    server_file: Option<String>,
    /// Requirements file to install, for Python
    #[arg(long, value_name = "FILE")]
    requirements: Option<String>,
    /// Whole command that starts the server, run in its folder
    #[arg(long, value_name = "CMD", value_parser = parse_command)]
    command: Option<CommandWords>,
    /// Set an environment variable of the server; repeatable
    #[arg(long, value_name = "K=V", value_parser = parse_variable)]
    env: Vec<(String, String)>,
    /// Do not detect how to start the server; use only the given options
    #[arg(long)]
    no_auto_detect: bool,
    /// Fetch the repository's submodules as well
    #[arg(long)]
    submodules: bool,
    /// Ignore the lock file when installing the server's dependencies
    #[arg(long)]
    ignore_lock: bool,
    /// Replace a server of the same name
    #[arg(long)]
    overwrite: bool,
    /// Permit http:// and git://, which can be tampered with in transit
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    shared: InstallOptions,
}

/// The options of `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Name of the server
    name: String,
    /// Update even if files were changed or added; these are not carried over
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    shared: InstallOptions,
}

/// The options of `uninstall`.
#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Name of the server
    name: String,
    /// Also delete the installed files
    #[arg(long)]
    delete_files: bool,
    /// Also delete files that were changed or added
    #[arg(long, requires = "delete_files")]
    force: bool,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `install` and `update`.
#[derive(Debug, Args)]
struct InstallOptions {
    /// Let packages run scripts and build steps during their installation
    #[arg(long)]
    scripts: bool,
    /// Do not start the server once as a check
    #[arg(long)]
    no_check: bool,
    /// Configuration file [default: `MCP_PROXY_CONFIG`, or the nearest mcp-proxy.toml and .mcp.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Words of a command.
#[derive(Debug, Clone)]
struct CommandWords(Vec<String>);

fn parse_command(text: &str) -> Result<CommandWords, String> {
    let words = shlex::split(text).filter(|words| !words.is_empty());
    words
        .map(CommandWords)
        .ok_or_else(|| "expected a command, quoted as in a shell".to_owned())
}

/// Installs a server and prints its location and start command.
pub(crate) fn install(args: InstallArgs, global: &Global) -> Result<u8, CliError> {
    let origin = RequestOrigin::Person {
        insecure: args.insecure,
        scripts: args.shared.scripts,
    };
    let request = InstallRequest {
        source: args.source,
        name: args.name,
        choices: StartSettings {
            server_file: args.server_file,
            requirements_file: args.requirements,
            command: args.command.map(|it| it.0).unwrap_or_default(),
            submodules: args.submodules,
            ignore_lock: args.ignore_lock,
        },
        env: args.env,
        auto_detect: !args.no_auto_detect,
        overwrite: args.overwrite,
        origin,
    };
    let work =
        async |installer: &Installer, listener: &StepListener, cancel: &CancellationToken| {
            installer.fetch(request, listener, cancel).await
        };
    carry_out(&args.shared, global, work)
}

/// Updates a server and prints the new commit.
pub(crate) fn update(args: &UpdateArgs, global: &Global) -> Result<u8, CliError> {
    let origin = RequestOrigin::Person {
        insecure: true,
        scripts: args.shared.scripts,
    };
    let work =
        async |installer: &Installer, listener: &StepListener, cancel: &CancellationToken| {
            installer
                .update(&args.name, origin, args.force, listener, cancel)
                .await
        };
    carry_out(&args.shared, global, work)
}

/// Removes a server and prints the removed entries and files.
pub(crate) fn uninstall(args: &UninstallArgs, _: &Global) -> Result<u8, CliError> {
    let installer = installer(args.config.as_ref())?;
    let origin = RequestOrigin::Person {
        insecure: true,
        scripts: false,
    };
    let removed = runtime()?.block_on(async {
        let removal = installer.removal(&args.name, args.delete_files, args.force, origin);
        removal.await?.finish().await
    });
    let removed = removed.map_err(|error| failure(&error))?;
    if args.json {
        print(&format!("{}\n", removed_json(&args.name, &removed)))?;
    } else {
        print(&removed_text(&args.name, &removed))?;
    }
    Ok(EXIT_OK)
}

/// Prints the installed servers, whichever configuration they belong to.
pub(super) fn list(config: Option<&PathBuf>, json: bool) -> Result<u8, CliError> {
    let found = installer(config)?.installed();
    print(&if json {
        report::found_json(&found)
    } else {
        report::found_table(&found)
    })?;
    Ok(EXIT_OK)
}

fn installer(config: Option<&PathBuf>) -> Result<Installer, CliError> {
    let around = surroundings(config)?;
    // Faults of other servers do not prevent an installation.
    let policy = config::load(&around).config.install;
    Installer::new(around, policy, Reaper::new()).map_err(|error| failure(&error))
}

fn runtime() -> Result<Runtime, CliError> {
    app::runtime().map_err(|error| CliError::Failure(format!("cannot start: {error}")))
}

/// Fetches with `work`, shows the commands to be run, runs them, and prints the result.
fn carry_out(
    shared: &InstallOptions,
    global: &Global,
    work: impl AsyncFnOnce(
        &Installer,
        &StepListener,
        &CancellationToken,
    ) -> Result<FetchedServer, InstallError>,
) -> Result<u8, CliError> {
    let installer = installer(shared.config.as_ref())?;
    let bar = Arc::new(ProgressDisplay::new(global.output_options().verbosity));
    let shown = Arc::clone(&bar);
    let listener = StepListener::new(move |step| show(&shown, &step));
    let done = runtime()?.block_on(async {
        let shutdown = Shutdown::listen().map_err(|error| CliError::Failure(error.to_string()))?;
        let cancel = &shutdown.requested;
        let done = async {
            let fetched = work(&installer, &listener, cancel).await?;
            if let Some(proposal) = fetched.proposal() {
                show_start_command(&bar, &proposal);
            }
            fetched.finish(cancel).await
        };
        Ok(done.await)
    })?;
    bar.finish();
    let installed = match done {
        Ok(done) => done,
        Err(error) if error.is_cancelled() => return Ok(EXIT_INTERRUPTED),
        Err(error) => return Err(failure(&error)),
    };
    let is_new = installed.outcome != InstallOutcome::Same;
    let visited = if is_new && !shared.no_check {
        start_once(&installed, shared.config.as_ref(), global)?
    } else {
        Some(Vec::new())
    };
    print(&if shared.json {
        let visited = visited.as_deref().unwrap_or_default();
        format!("{}\n", installed_json(&installed, visited))
    } else {
        installed_text(&installed)
    })?;
    match visited {
        None => Ok(EXIT_INTERRUPTED),
        Some(visited) => not_started(&visited).map_or(Ok(EXIT_OK), Err),
    }
}

/// Starts the installed server once and prints events meanwhile; returns `None` if a signal interrupted it. A server
/// that is missing from this configuration, or lacks a variable (already reported), is not started.
fn start_once(
    installed: &Installed,
    config: Option<&PathBuf>,
    global: &Global,
) -> Result<Option<Vec<ServerVisit>>, CliError> {
    let loaded = config::load(&surroundings(config)?);
    let mut servers = loaded.config.servers;
    // The configuration of another directory may have a different server of that name.
    servers.retain(|spec| spec.name == installed.name && spec.cwd.starts_with(&installed.folder));
    if servers.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let visit = Visit {
        servers,
        max_message: loaded.config.max_message,
        era: None,
        calls: Vec::new(),
        declares_input: false,
        listed_only: false,
        call_timeout: None,
    };
    run_visit(visit, global)
}

fn show(bar: &ProgressDisplay, step: &InstallStep) {
    match step {
        InstallStep::Connecting(repository) => bar.status(&format!("connecting to {repository}")),
        InstallStep::Resolved { commit, reference } => {
            let name = reference.as_deref().map(|it| format!(" ({})", plain(it)));
            bar.status(&format!(
                "fetching {}{}",
                short(commit),
                name.unwrap_or_default()
            ));
        }
        InstallStep::Receiving {
            objects,
            total,
            bytes,
        } => {
            bar.amount(*objects, *total, &format!("{} KiB", bytes >> 10));
        }
        InstallStep::CheckingOut { files, total } => bar.amount(*files, *total, "files"),
        InstallStep::Running(line) => bar.status(&format!("running {line}")),
        InstallStep::Output(line) => bar.passing(line),
        InstallStep::Note(note) => bar.line(&format!("note: {}", output::clean(note))),
    }
}

/// Shows the start command, so that a person can interrupt before it runs.
fn show_start_command(bar: &ProgressDisplay, proposal: &InstallSummary) {
    let line = quoting::command(&proposal.command);
    let reason = output::clean(&proposal.reason);
    bar.line(&format!("start command: {line} ({reason})"));
    if let Some(file) = &proposal.replaces {
        bar.line(&format!(
            "replaces the entry `{}` in {}",
            proposal.name,
            file.display()
        ));
    }
    for other in &proposal.considered {
        bar.line(&format!("  considered: {}", output::clean(other)));
    }
}

fn failure(error: &InstallError) -> CliError {
    let mut text = error.to_string();
    for line in error.output() {
        text.push_str("\n  | ");
        text.push_str(&output::clean(line));
    }
    CliError::Install(text)
}
