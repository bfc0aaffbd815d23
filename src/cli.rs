//! The command line: defines the subcommands, one file each, and turns errors into text and exit codes.
//!
//! Builds a [`ServerSpec`](crate::config::ServerSpec) from the arguments and passes it on. It does not speak MCP,
//! except as the client in `demo` and `replay`, and as the server in `mock` and `__sample`.

mod args;
mod call;
mod check;
mod config;
mod demo;
mod dev;
mod doctor;
mod help;
mod http;
mod install;
mod junit;
mod line_client;
mod list;
mod logs;
mod mock;
mod page;
mod replay;
mod result_text;
mod sample;
mod selection;
mod serve;
mod setup;
mod status;
mod table;
mod tools;
mod undo;
mod usage_hints;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::output::{self, ColorWhen, LogFormat, Verbosity};
use crate::transport::reaper;

/// Success.
pub(crate) const EXIT_OK: u8 = 0;
/// Failure without an exit code of its own.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// Wrong command line; clap exits with the same code.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Wrong configuration: a file, a missing directory, a glob or a log file.
pub(crate) const EXIT_CONFIG: u8 = 3;
/// A server does not start.
pub(crate) const EXIT_START: u8 = 4;
/// A server cannot be installed, updated or removed.
pub(crate) const EXIT_INSTALL: u8 = 5;
/// Ended by a signal.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Edit an MCP server and keep the client's session.
///
/// mcp-proxy runs between an MCP client and MCP servers, watches the servers' sources and hot-reloads only the server
/// that was saved, while the client's session stays open.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-proxy",
    version = env!("MCP_PROXY_VERSION"),
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server or those of the configuration, and reload each when its sources are saved
    Dev(Box<dev::DevArgs>),
    /// Run the servers of the configuration, each loaded when it is first needed
    Serve(serve::ServeArgs),
    /// Start servers once, and check their handshakes, lists and tool calls; for CI
    Check(check::CheckArgs),
    /// List the tools of servers, or their cost in a model's context
    Tools(tools::ToolsArgs),
    /// Call a tool of a server and print its result
    Call(call::CallArgs),
    /// List the servers of the configuration without starting any
    List(list::ListArgs),
    /// List the running proxies of this user, and those that died
    Status(status::StatusArgs),
    /// Print the log of this project's newest proxy
    Logs(logs::LogsArgs),
    /// Show a recording on a page in the browser, or export it as one HTML file
    Page(page::RecordingPageArgs),
    /// Send the messages of recorded clients again, and compare the responses
    Replay(replay::ReplayArgs),
    /// Serve a recording as a server on stdin and stdout, for authors of clients
    Mock(mock::MockArgs),
    /// Look for the causes of common problems on this machine
    Doctor(doctor::DoctorArgs),
    /// Print the configuration in force, or the JSON Schema of mcp-proxy.toml
    Config(config::ConfigArgs),
    /// Install a server from a git repository
    Install(install::InstallArgs),
    /// Update an installed server to the newest commit
    Update(install::UpdateArgs),
    /// Remove a server from the configuration, and optionally its installed files
    Uninstall(install::UninstallArgs),
    /// Put mcp-proxy before the servers in the files of clients: Claude Code, VS Code, Cursor, Codex …
    Setup(setup::SetupArgs),
    /// Restore the files of clients that `setup` edited
    Undo(undo::UndoArgs),
    /// Demonstrate a session that stays open while its server is edited, broken and fixed
    Demo,
    /// Explain a topic: configuration, watching, HTTP, installing …
    Help(help::HelpArgs),
    /// Print the completion script of a shell
    Completions {
        /// Shell to generate completions for
        shell: Shell,
    },
    /// Run the server that `demo` edits
    #[command(name = "__sample", hide = true)]
    Sample {
        /// File with the tools and their answers
        file: PathBuf,
    },
    /// Kill the process groups that a killed proxy left behind
    #[command(name = "__reaper", hide = true)]
    Reaper {
        /// Value of `MCP_PROXY_GUARD` in the environment of the proxy's processes
        mark: String,
    },
    /// Read an untrusted repository in this process
    #[command(name = crate::install::WORKER_SUBCOMMAND, hide = true)]
    Git {
        /// Operation to perform, as JSON
        order: String,
    },
}

/// Options of every subcommand, about its output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Global {
    /// Report more: pids, starts and stops of processes
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Report only warnings and failures
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Colour the output; `auto` honours `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    color: ColorWhen,
    /// Also append the reports to FILE, since many clients hide stderr
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Format of the log file, or of stderr without --log; `json` is one object per line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value = "human"
    )]
    log_format: LogFormat,
}

impl Global {
    /// Returns the options of `output::start`.
    fn output_options(&self) -> output::OutputOptions {
        output::OutputOptions {
            verbosity: match (self.quiet, self.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, 0) => Verbosity::Normal,
                (false, _) => Verbosity::Verbose,
            },
            log_file: self.log.clone(),
            log_format: self.log_format,
            run: None,
            copy: None,
        }
    }
}

/// Error that ends the program; the variant determines the exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Exits with [`EXIT_FAILURE`].
    #[error("{0}")]
    Failure(String),
    /// Exits with [`EXIT_USAGE`].
    #[error("{0}")]
    Usage(String),
    /// Exits with [`EXIT_CONFIG`].
    #[error("{0}")]
    Config(String),
    /// Exits with [`EXIT_START`].
    #[error("{0}")]
    Start(String),
    /// Exits with [`EXIT_INSTALL`].
    #[error("{0}")]
    Install(String),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failure(_) => EXIT_FAILURE,
            Self::Usage(_) => EXIT_USAGE,
            Self::Config(_) => EXIT_CONFIG,
            Self::Start(_) => EXIT_START,
            Self::Install(_) => EXIT_INSTALL,
        }
    }
}

/// Parses the arguments of this process and runs the subcommand.
pub(crate) fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match parse(&words) {
        Ok(cli) => cli,
        Err(error) => match usage_hints::forgotten_dashes(&error, &words) {
            Some(mistake) => return failed(&mistake),
            None => usage_hints::without_values(error).exit(),
        },
    };
    output::set_color(cli.global.color);
    output::init_tracing();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(&error),
    }
}

fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut definition = named(Cli::command());
    let matches = definition.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))
}

/// Gives a command and its subcommands the name of the program. Otherwise `mcp-proxy dev --version` would print
/// `mcp-proxy-dev`.
fn named(command: clap::Command) -> clap::Command {
    command.display_name("mcp-proxy").mut_subcommands(named)
}

fn failed(error: &CliError) -> ExitCode {
    output::print_error(error);
    ExitCode::from(error.exit_code())
}

fn dispatch(cli: Cli) -> Result<u8, CliError> {
    match cli.command {
        Command::Dev(args) => dev::run(&args, &cli.global),
        Command::Serve(args) => serve::run(&args, &cli.global),
        Command::Check(args) => check::run(&args, &cli.global),
        Command::Tools(args) => tools::run(&args, &cli.global),
        Command::Call(args) => call::run(&args, &cli.global),
        Command::List(args) => list::run(&args, &cli.global),
        Command::Status(args) => status::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Page(args) => page::run(&args, &cli.global),
        Command::Replay(args) => replay::run(&args),
        Command::Mock(args) => mock::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args, &cli.global),
        Command::Install(args) => install::install(args, &cli.global),
        Command::Update(args) => install::update(&args, &cli.global),
        Command::Uninstall(args) => install::uninstall(&args, &cli.global),
        Command::Setup(args) => setup::run(&args, &cli.global),
        Command::Undo(args) => undo::run(&args, &cli.global),
        Command::Demo => demo::run(),
        Command::Help(args) => help::run(&args),
        Command::Sample { file } => sample::run(&file),
        Command::Completions { shell } => completions(shell),
        Command::Reaper { mark } => {
            reaper::main(&mark);
            Ok(EXIT_OK)
        }
        Command::Git { order } => {
            crate::install::worker_main(&order);
            Ok(EXIT_OK)
        }
    }
}

fn completions(shell: Shell) -> Result<u8, CliError> {
    let all = Cli::command();
    // Otherwise the scripts would offer hidden subcommands.
    let shown = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut command = clap::Command::new("mcp-proxy")
        .disable_help_subcommand(true)
        .args(all.get_arguments().cloned())
        .subcommands(shown.cloned());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "mcp-proxy", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(EXIT_OK)
}

/// Prints a result for people.
fn print(text: &str) -> Result<(), CliError> {
    output::print_result(text).map_err(|error| unwritten(&error))
}

/// Prints output of a server.
fn print_foreign(text: &str) -> Result<(), CliError> {
    output::print_foreign(text).map_err(|error| unwritten(&error))
}

/// Prints a result for programs.
fn print_exact(text: &str) -> Result<(), CliError> {
    output::print_exact(text).map_err(|error| unwritten(&error))
}

fn unwritten(error: &io::Error) -> CliError {
    CliError::Failure(format!("cannot write to stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = shlex::split(line).unwrap();
        super::parse(&words.into_iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_prints_the_version_of_the_program() {
        let version = concat!("mcp-proxy ", env!("MCP_PROXY_VERSION"), "\n");
        assert!(version.starts_with(concat!("mcp-proxy ", env!("CARGO_PKG_VERSION"), " (")));
        for command in ["", "dev", "help", "config", "config show"] {
            let printed = parse(&format!("mcp-proxy {command} --version"));
            assert_eq!(printed.unwrap_err().to_string(), version, "{command}");
        }
    }

    #[test]
    fn verbosity_follows_the_flags() {
        let verbosity = |line: &str| parse(line).unwrap().global.output_options().verbosity;
        assert_eq!(verbosity("mcp-proxy dev -- a"), Verbosity::Normal);
        assert_eq!(verbosity("mcp-proxy -q dev -- a"), Verbosity::Quiet);
        assert_eq!(verbosity("mcp-proxy dev -v -- a"), Verbosity::Verbose);
        assert!(parse("mcp-proxy dev -q -v -- a").is_err());
    }

    #[test]
    fn a_command_keeps_its_own_options_and_stands_for_itself() {
        assert!(parse("mcp-proxy dev").is_ok());
        assert!(parse("mcp-proxy check").is_ok());
        assert!(parse("mcp-proxy tools a -- srv").is_err());
        assert!(parse("mcp-proxy call").is_err());
        assert!(parse("mcp-proxy dev --server a -- srv").is_ok());
        assert!(parse("mcp-proxy dev --config a -- srv").is_err());
        let cli = parse("mcp-proxy dev --watch 'src/**' --watch '!src/gen/**' -- srv -v --help");
        let Command::Dev(args) = cli.unwrap().command else {
            panic!("not dev")
        };
        assert_eq!(args.watch, ["src/**", "!src/gen/**"]);
        assert_eq!(args.server.command, ["srv", "-v", "--help"]);
    }

    #[test]
    fn clients_are_named_in_any_case_and_misspelt_ones_are_corrected() {
        let cli = parse("mcp-proxy setup --client VSCode --client Claude-Code --scope User");
        let Command::Setup(args) = cli.unwrap().command else {
            panic!("not setup")
        };
        assert_eq!(args.client, ["vscode", "claude-code"]);
        for (line, right) in [
            ("setup --client vs-code", "vscode"),
            ("undo --client curser", "cursor"),
            ("setup --scope usr", "user"),
        ] {
            let error = parse(&format!("mcp-proxy {line}")).unwrap_err().to_string();
            assert!(
                error.contains(&format!("similar value exists: '{right}'")),
                "{error}"
            );
        }
    }

    #[test]
    fn every_exit_code_is_documented_in_one_order() {
        let codes = [EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_CONFIG, EXIT_START];
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        assert_eq!(EXIT_INSTALL, 5);
        let config = CliError::Config(String::new());
        assert_eq!(config.exit_code(), EXIT_CONFIG);
        assert_eq!(EXIT_INTERRUPTED, 130);
    }
}
