//! Options that several subcommands share, and their conversion into a [`ServerSpec`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::{CliError, usage_hints};
use crate::command_line::CommandLine;
use crate::config::{
    EraChoice, NAME_ADVICE, OnBadTool, OnBroken, OnRegression, ProcessAddress, ReloadMode,
    ServerSpec, is_name_char, parse_duration, parse_size,
};
use crate::meta_tools::Set;
use crate::state::RunOptions;

impl ValueEnum for EraChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Legacy, Self::Modern]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => PossibleValue::new("auto")
                .help("Era that the client would negotiate with the server directly"),
            Self::Legacy => {
                PossibleValue::new("legacy").help("2024-11-05 … 2025-11-25 (`initialize`)")
            }
            Self::Modern => PossibleValue::new("modern").help("2026-07-28 (stateless)"),
        })
    }
}

impl ValueEnum for Set {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::All, Self::Dev, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::All => PossibleValue::new("all").help("All of them"),
            Self::Dev => PossibleValue::new("dev").help("Only those for development"),
            Self::None => {
                PossibleValue::new("none").help("None, so that clients see only the server")
            }
        })
    }
}

impl ValueEnum for ReloadMode {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Overlap, Self::StopFirst]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Overlap => PossibleValue::new("overlap")
                .help("Start the new process beside the old one, and switch once it works"),
            Self::StopFirst => PossibleValue::new("stop-first")
                .help("Stop the old process first, for servers that own a port or a lock"),
        })
    }
}

impl ValueEnum for OnBroken {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Report, Self::ServeLastGood]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Report => {
                PossibleValue::new("report").help("With an error that says why it does not run")
            }
            Self::ServeLastGood => {
                PossibleValue::new("serve-last-good").help("By the last code that ran")
            }
        })
    }
}

impl ValueEnum for OnBadTool {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Report, Self::LeaveOut]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Report => PossibleValue::new("report").help("Report the tool"),
            Self::LeaveOut => PossibleValue::new("leave-out")
                .help("Report the tool, and leave it out of the list for this client"),
        })
    }
}

impl ValueEnum for OnRegression {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Report, Self::Hold]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Report => PossibleValue::new("report").help("Goes live; the error is reported"),
            Self::Hold => PossibleValue::new("hold")
                .help("Does not go live: calls get an error with the reason"),
        })
    }
}

/// Options of subcommands that keep a record of themselves.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordArgs {
    /// Keep no log for `mcp-proxy logs`
    #[arg(long)]
    no_log: bool,
    /// Append all messages to FILE, without secrets of the configuration (`mcp-proxy help recording`)
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl RecordArgs {
    /// Returns the description of a proxy in the user's state.
    pub(crate) fn options(&self, subcommand: &'static str, project: PathBuf) -> RunOptions {
        RunOptions {
            subcommand,
            project,
            keeps_log: !self.no_log,
            recording: self.recording(),
        }
    }

    /// Returns the path of the recording, if there is one, as the watcher would know it.
    fn recording(&self) -> Option<PathBuf> {
        let path = std::path::absolute(self.record.as_ref()?).ok()?;
        match (path.parent().map(dunce::canonicalize), path.file_name()) {
            (Some(Ok(folder)), Some(name)) => Some(folder.join(name)),
            _ => Some(path),
        }
    }

    /// Returns a glob that keeps the recording from being watched: each message would reload the servers.
    pub(crate) fn exclusion(&self) -> Option<String> {
        let path = self.recording()?;
        Some(format!("!{}", globset::escape(&path.to_string_lossy())))
    }
}

/// Options of all subcommands that start a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Name of the server in messages [default: the script's or program's name]
    #[arg(long, value_parser = parse_name)]
    pub(crate) name: Option<String>,
    /// Working directory of the server; globs are relative to it [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Set an environment variable of the server; repeatable
    #[arg(long, value_name = "K=V", value_parser = parse_variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Protocol era to speak with the server [default: `era` of the configuration, or auto]
    #[arg(long, value_name = "ERA", value_enum)]
    pub(crate) era: Option<EraChoice>,
    /// Address on which CMD serves HTTP; `{port}` stands for a free port here, in CMD and in --env; `auto` finds port
    /// and path
    #[arg(long, value_name = "URL", requires = "command")]
    pub(crate) url: Option<String>,
    /// Time limit for a start, until the server has listed its tools [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) start_timeout: Option<Duration>,
    /// Maximum length of a message [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_message: Option<usize>,
    /// Command that starts the server
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl ServerArgs {
    /// Returns the server of the command line, if any, with defaults for all other settings.
    pub(crate) fn spec(&self) -> Result<Option<ServerSpec>, CliError> {
        let Some((program, args)) = self.command.split_first() else {
            if self.url.is_some() {
                let why = "--url belongs to a command after `--`; of a configured server, set `url` in its file";
                return Err(CliError::Usage(why.to_owned()));
            }
            return Ok(None);
        };
        let name = default_name(program, args);
        let cwd = existing_directory(self.cwd.as_deref().unwrap_or(Path::new(".")))?;
        let mut spec = ServerSpec::new(name, program.clone(), args.to_vec(), cwd);
        let listens = self.url.as_deref().map(ProcessAddress::of_command_line);
        let listens = listens.transpose();
        spec.listens = listens.map_err(|error| CliError::Usage(format!("--url: {error}")))?;
        self.adjust(&mut spec)?;
        usage_hints::one_word(&spec).map_or(Ok(Some(spec)), Err)
    }

    /// Applies these options to `spec`; they override its settings.
    pub(super) fn adjust(&self, spec: &mut ServerSpec) -> Result<(), CliError> {
        if let Some(name) = &self.name {
            spec.name.clone_from(name);
        }
        if let Some(cwd) = &self.cwd {
            spec.cwd = existing_directory(cwd)?;
        }
        // The last variable of a name is in force.
        let variables = self.env.iter();
        spec.env
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        spec.timeouts.start = self.start_timeout.unwrap_or(spec.timeouts.start);
        Ok(())
    }
}

fn existing_directory(path: &Path) -> Result<PathBuf, CliError> {
    let error = |reason: String| {
        CliError::Config(format!(
            "the server's working directory {} {reason}; name an existing one with --cwd",
            path.display()
        ))
    };
    let absolute =
        dunce::canonicalize(path).map_err(|cause| error(format!("cannot be used: {cause}")))?;
    if absolute.is_dir() {
        Ok(absolute)
    } else {
        Err(error("is not a directory".to_owned()))
    }
}

/// Returns the default name of a server: `uv run src/weather.py` → `weather`, `python -m weather` → `weather`,
/// `./target/debug/weather` → `weather`.
fn default_name(program: &OsStr, args: &[OsString]) -> String {
    let script = CommandLine::new(Path::new(""), program, args).script();
    let word = script.as_deref().map_or(program, OsStr::new);
    let name = Path::new(word)
        .file_stem()
        .unwrap_or(word)
        .to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| if is_name_char(c) { c } else { '-' })
        .collect();
    if name.is_empty() {
        "server".to_owned()
    } else {
        name
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(is_name_char) {
        Ok(text.to_owned())
    } else {
        Err(NAME_ADVICE.to_owned())
    }
}

/// Parses an environment variable, `NAME=VALUE`.
pub(super) fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_what_follows_the_first_equals_sign() {
        let variable = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(parse_variable("A=b=c"), variable("A", "b=c"));
        assert_eq!(parse_variable("A="), variable("A", ""));
        assert!(parse_variable("A").is_err());
        assert!(parse_variable("=b").is_err());
    }

    #[test]
    fn names_come_from_the_script_or_the_program() {
        for (command, name) in [
            ("uv run src/weather.py --port 1", "weather"),
            ("python3.13 -u server.py", "server"),
            ("python -m weather.main", "weather"),
            ("npx tsx src/index.ts", "index"),
            ("./target/debug/weather --config settings.js", "weather"),
            ("npx -y @acme/weather", "npx"),
            ("conda run -n dev python src/server.py", "server"),
            ("node -r ./hook.js dist/index.js", "index"),
            ("my.server.exe", "my-server"),
            ("..", "--"),
        ] {
            let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
            assert_eq!(default_name(&words[0], &words[1..]), name, "{command}");
        }
    }

    #[test]
    fn a_missing_working_directory_is_a_configuration_error() {
        let error = existing_directory(Path::new("/no/such")).unwrap_err();
        assert!(matches!(error, CliError::Config(_)), "{error:?}");
        assert!(error.to_string().contains("/no/such"), "{error}");
        let error = existing_directory(Path::new("Cargo.toml")).unwrap_err();
        assert!(error.to_string().contains("is not a directory"), "{error}");
        assert!(existing_directory(Path::new(".")).unwrap().is_absolute());
    }
}
