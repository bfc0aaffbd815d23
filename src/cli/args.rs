//! Values of the command line: durations, sizes, variables, and the options that several
//! subcommands share. Turns them into a [`ServerSpec`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::value::RawValue;

use super::{CliError, mistakes};
use crate::config::{OnBroken, Reload, ServerSpec, parse_duration, parse_size};
use crate::mcp::Era;
use crate::meta_tools::Set;

/// Which era the server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum EraChoice {
    /// The one that the client would have negotiated with it directly
    #[default]
    Auto,
    /// 2024-11-05 … 2025-11-25 (`initialize`)
    Legacy,
    /// 2026-07-28 (stateless)
    Modern,
}

impl EraChoice {
    /// The era that the user insists on.
    pub(crate) fn era(self) -> Option<Era> {
        match self {
            Self::Auto => None,
            Self::Legacy => Some(Era::Legacy),
            Self::Modern => Some(Era::Modern),
        }
    }
}

impl ValueEnum for Set {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::All, Self::Dev, Self::None]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::All => PossibleValue::new("all").help("Every one"),
            Self::Dev => PossibleValue::new("dev").help("Those that help while developing"),
            Self::None => PossibleValue::new("none")
                .help("None: a client cannot tell the proxy from the one server behind it"),
        })
    }
}

impl ValueEnum for Reload {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Overlap, Self::StopFirst]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Overlap => PossibleValue::new("overlap")
                .help("The new process proves itself beside the old one, which then drains"),
            Self::StopFirst => PossibleValue::new("stop-first")
                .help("The old process stops first, for servers that own a port or a lock"),
        })
    }
}

impl ValueEnum for OnBroken {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Report, Self::ServeLastGood]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Report => PossibleValue::new("report")
                .help("Calls get an error that says why the saved code does not run"),
            Self::ServeLastGood => PossibleValue::new("serve-last-good")
                .help("Calls are answered by the last code that ran"),
        })
    }
}

/// The server, as all subcommands take it that start one.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server's name in messages [default: the script's or program's name]
    #[arg(long, value_parser = parse_name)]
    pub(crate) name: Option<String>,
    /// The server's working directory; globs are relative to it [default: the current one]
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Set a variable in the server's environment; may be repeated
    #[arg(long, value_name = "K=V", value_parser = parse_variable)]
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Speak this era with the server
    #[arg(long, value_name = "ERA", value_enum, default_value = "auto")]
    pub(crate) era: EraChoice,
    /// How long a start may take until the server has listed its tools [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) start_timeout: Option<Duration>,
    /// The longest message that is accepted [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_message: Option<usize>,
    /// The server's command
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

impl ServerArgs {
    /// The server of the command line, if there is one, with the defaults of everything else.
    pub(crate) fn spec(&self) -> Result<Option<ServerSpec>, CliError> {
        let Some((program, args)) = self.command.split_first() else {
            return Ok(None);
        };
        let name = default_name(program, args);
        let cwd = existing_directory(self.cwd.as_deref().unwrap_or(Path::new(".")))?;
        let mut spec = ServerSpec::new(name, program.clone(), args.to_vec(), cwd);
        self.adjust(&mut spec)?;
        mistakes::one_word(&spec).map_or(Ok(Some(spec)), Err)
    }

    /// Lets these options win over what `spec` says.
    pub(crate) fn adjust(&self, spec: &mut ServerSpec) -> Result<(), CliError> {
        if let Some(name) = &self.name {
            spec.name.clone_from(name);
        }
        if let Some(cwd) = &self.cwd {
            spec.cwd = existing_directory(cwd)?;
        }
        // The last one of a name is in force.
        spec.env.extend(self.env.iter().cloned());
        spec.timeouts.start = self.start_timeout.unwrap_or(spec.timeouts.start);
        Ok(())
    }
}

/// The arguments of a tool, a raw object on one line; or what is wrong with `text`.
pub(crate) fn arguments(text: &str) -> Result<String, String> {
    match serde_json::from_str::<&RawValue>(text) {
        // Outside of strings a line break means as much as a space; inside there is none.
        Ok(arguments) if arguments.get().starts_with('{') => {
            Ok(arguments.get().replace(['\n', '\r'], " "))
        }
        Ok(_) => Err("the arguments must be a JSON object such as '{}'".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}

fn existing_directory(path: &Path) -> Result<PathBuf, CliError> {
    let error = |reason: String| {
        CliError::Config(format!(
            "the server's working directory {} {reason}; name an existing one with --cwd",
            path.display()
        ))
    };
    let absolute = path
        .canonicalize()
        .map_err(|cause| error(format!("cannot be used: {cause}")))?;
    if absolute.is_dir() {
        Ok(absolute)
    } else {
        Err(error("is not a directory".to_owned()))
    }
}

/// Programs that run a script or module named in their arguments.
const RUNNERS: [&str; 20] = [
    "python", "python3", "pypy3", "uv", "uvx", "poetry", "pdm", "pipenv", "fastmcp", "node", "npx",
    "npm", "pnpm", "yarn", "bun", "deno", "tsx", "sh", "bash", "env",
];
const SCRIPTS: [&str; 12] = [
    "py", "pyz", "js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "sh", "rb",
];

/// `uv run src/weather.py` → `weather`, `python -m weather` → `weather`, `./target/debug/weather` → `weather`.
fn default_name(program: &OsStr, args: &[OsString]) -> String {
    let stem = |word: &OsStr| {
        let stem = Path::new(word).file_stem().unwrap_or(word);
        stem.to_string_lossy().into_owned()
    };
    let program = stem(program);
    let runs_a_script = RUNNERS.contains(&program.as_str()) || program.starts_with("python3.");
    let script = args.iter().position(|arg| {
        let extension = Path::new(arg).extension();
        extension.is_some_and(|it| SCRIPTS.iter().any(|script| it == *script))
    });
    let module = args.iter().position(|arg| arg == "-m").map(|at| at + 1);
    let name = match script.or(module).and_then(|at| args.get(at)) {
        Some(word) if runs_a_script => stem(word),
        _ => program,
    };
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

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn parse_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(is_name_char) {
        Ok(text.to_owned())
    } else {
        Err("a name consists of A-Z, a-z, 0-9, `_` and `-`".to_owned())
    }
}

fn parse_variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_what_follows_the_first_equals_sign() {
        assert_eq!(parse_variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(parse_variable("A="), Ok(("A".into(), "".into())));
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
