//! The command line: what each subcommand takes, and the one place where an error becomes text and
//! an exit code. One file per subcommand. It builds a [`ServerSpec`](crate::config::ServerSpec) from
//! the arguments and hands over; it never speaks MCP itself, except as the client inside `demo` and
//! the server inside `__sample`.

mod answer;
mod args;
mod call;
mod check;
mod chosen;
mod config;
mod demo;
mod dev;
mod help;
mod http;
mod install;
mod line_client;
mod list;
mod mistakes;
mod sample;
mod serve;
mod table;
mod tools;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::output::{self, ColorWhen, LogFormat, Verbosity};
use crate::transport::reaper;

/// All went well.
pub(crate) const EXIT_OK: u8 = 0;
/// Something failed that has no code of its own.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// The command line is wrong; clap exits with the same code.
pub(crate) const EXIT_USAGE: u8 = 2;
/// The configuration is wrong: a file, or a directory that is not there.
pub(crate) const EXIT_CONFIG: u8 = 3;
/// A server does not start.
pub(crate) const EXIT_START: u8 = 4;
/// A server could not be installed, brought up to date or removed.
pub(crate) const EXIT_INSTALL: u8 = 5;
/// Ended by Ctrl-C.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Edit an MCP server and keep the client's session.
///
/// mcp-proxy stands between an MCP client and MCP servers, watches the servers' sources and
/// hot-reloads just the server that was saved while the client's session lives on.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-proxy",
    version,
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
    /// Run a server, or those of the configuration; watch their sources, reload each on its saves
    Dev(dev::DevArgs),
    /// Offer the servers of the configuration, each loaded when it is needed
    Serve(serve::ServeArgs),
    /// Start servers once, shake hands, list, call; for CI
    Check(check::CheckArgs),
    /// Show the tools of the servers, or what they cost of a model's context
    Tools(tools::ToolsArgs),
    /// Call a tool of a server and print what it gives
    Call(call::CallArgs),
    /// List the servers of the configuration; nothing is started
    List(list::ListArgs),
    /// Show what is configured and where, or what may be configured
    Config(config::ConfigArgs),
    /// Install a server from a git repository
    Install(install::InstallArgs),
    /// Bring an installed server to the newest commit
    Update(install::UpdateArgs),
    /// Remove a server from the configuration, and what was installed for it
    Uninstall(install::UninstallArgs),
    /// Show it: a session lives on while its server is edited, broken and fixed
    Demo,
    /// Explain a topic: configuration, watching, HTTP, installing …
    Help(help::HelpArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// The server that `demo` edits
    #[command(name = "__sample", hide = true)]
    Sample {
        /// Its tools and what they say
        file: PathBuf,
    },
    /// Ends the process groups that a killed proxy left behind
    #[command(name = "__reaper", hide = true)]
    Reaper {
        /// What all that was started has in its environment
        mark: String,
    },
    /// Reads a repository that a stranger wrote
    #[command(name = crate::install::WORKER_SUBCOMMAND, hide = true)]
    Git {
        /// What to do, as JSON
        order: String,
    },
}

/// Options of every subcommand: what is told, where and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Global {
    /// Say more: pids, starts and stops of processes
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say only warnings and failures
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Colour; `auto` honours `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    color: ColorWhen,
    /// Append what happens to FILE as well, since many clients hide stderr
    #[arg(long, global = true, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The form of the log file, or of stderr without --log; `json` is one object per line
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
    /// What `output::start` needs.
    pub(crate) fn output_options(&self) -> output::Options {
        output::Options {
            verbosity: match (self.quiet, self.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, 0) => Verbosity::Normal,
                (false, _) => Verbosity::Verbose,
            },
            log_file: self.log.clone(),
            log_format: self.log_format,
        }
    }
}

/// Why a subcommand ends the program, by exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// [`EXIT_FAILURE`].
    #[error("{0}")]
    Failure(String),
    /// [`EXIT_USAGE`].
    #[error("{0}")]
    Usage(String),
    /// [`EXIT_CONFIG`].
    #[error("{0}")]
    Config(String),
    /// [`EXIT_START`].
    #[error("{0}")]
    Start(String),
    /// [`EXIT_INSTALL`].
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

/// Parses the arguments of this process and runs what they ask for.
pub(crate) fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => match mistakes::forgotten_dashes(&error, &words) {
            Some(mistake) => return failed(&mistake),
            None => mistakes::without_values(error).exit(),
        },
    };
    output::set_color(cli.global.color);
    output::init_tracing();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => failed(&error),
    }
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
        Command::Config(args) => config::run(&args, &cli.global),
        Command::Install(args) => install::install(args, &cli.global),
        Command::Update(args) => install::update(&args, &cli.global),
        Command::Uninstall(args) => install::uninstall(&args, &cli.global),
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
    // The scripts would offer hidden subcommands too.
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

/// Prints what a server says.
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
        Cli::try_parse_from(shlex::split(line).unwrap())
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
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
        assert!(parse("mcp-proxy dev --server a -- srv").is_err());
        assert!(parse("mcp-proxy dev --config a -- srv").is_err());
        let cli = parse("mcp-proxy dev --watch 'src/**' --watch '!src/gen/**' -- srv -v --help");
        let Command::Dev(args) = cli.unwrap().command else {
            panic!("not dev")
        };
        assert_eq!(args.watch, ["src/**", "!src/gen/**"]);
        assert_eq!(args.server.command, ["srv", "-v", "--help"]);
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
