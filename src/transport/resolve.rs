//! Turns a server definition into a command that can start: directory, program and environment. For a command that
//! cannot start, reports which of these is wrong. Never looks the program up in the proxy's own `PATH` or directory,
//! which may differ from the server's.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use crate::command_line::CommandLine;
use crate::config::ServerSpec;
use crate::program_search;

/// Environment variables that the proxy itself reads; removed from the environment of child processes.
const OWN: [&str; 2] = ["MCP_PROXY_CONFIG", "MCP_PROXY_LOG"];
/// Defaults for environment variables that the proxy's own environment does not set: unbuffered output, no files
/// written beside watched sources, no update notices.
const DEFAULTS: [(&str, &str); 4] = [
    ("PYTHONUNBUFFERED", "1"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("NO_UPDATE_NOTIFIER", "1"),
    ("npm_config_update_notifier", "false"),
];

/// Reason why a process did not start. The text describes the error, [`advice`](Self::advice) the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("the directory {} of server {server} does not exist", .cwd.display())]
    CwdMissing { server: String, cwd: PathBuf },
    #[error("the command of server {server} begins with an empty word")]
    NoProgram { server: String },
    #[error("the program {} of server {server} is not in PATH", .program.display())]
    NotInPath {
        server: String,
        program: PathBuf,
        remedy: String,
    },
    #[error("the program {} of server {server} does not exist", .program.display())]
    ProgramMissing {
        server: String,
        program: PathBuf,
        /// Remedy for a word that is no path.
        remedy: Option<String>,
    },
    #[error(
        "the program {} of server {server} is given nothing to run: it would execute the client's messages",
        .program.display()
    )]
    NothingToRun { server: String, program: PathBuf },
    #[error("the program {} of server {server} is not an executable file", .program.display())]
    NotExecutable { server: String, program: PathBuf },
    #[error("the program {} of server {server} is a directory", .program.display())]
    ProgramIsDirectory { server: String, program: PathBuf },
    #[cfg_attr(windows, expect(dead_code, reason = "Windows knows no `#!` lines"))]
    #[error("the interpreter {interpreter:?} in the first line of {} does not exist", .program.display())]
    InterpreterMissing {
        program: PathBuf,
        interpreter: String,
    },
    #[error("the program {} of server {server} {}", .program.display(), system::UNKNOWN_FORMAT)]
    FormatUnknown { server: String, program: PathBuf },
    /// Quoting cannot protect an argument from `cmd.exe`.
    #[cfg_attr(unix, expect(dead_code, reason = "only Windows has batch files"))]
    #[error(
        "the program {} of server {server} is a batch file, and an argument contains characters that `cmd.exe` would \
         execute",
        .program.display()
    )]
    UnsafeArgument { server: String, program: PathBuf },
    #[error("cannot start server {server}")]
    Other {
        server: String,
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// Returns a remedy for the error, if one is known.
    pub(crate) fn advice(&self) -> Option<String> {
        Some(match self {
            Self::CwdMissing { .. } => "create it, or set `cwd` to the server's directory".into(),
            Self::NoProgram { .. } => "name the server's program as the first word".into(),
            Self::NotInPath { remedy, .. } => remedy.clone(),
            Self::ProgramMissing { remedy, .. } => remedy.clone().unwrap_or_else(|| {
                "build it, or correct its path; it is relative to the server's directory".into()
            }),
            Self::NothingToRun { program, .. } => format!(
                "add what it runs, such as a package, a script or `-m` and a module: {} NAME",
                program.display()
            ),
            Self::NotExecutable { program, .. } => {
                let advice = format!("{} {}", system::MAKE_EXECUTABLE, program.display());
                match with_interpreter(program) {
                    Some(command) => {
                        format!("{advice}, or put the interpreter in front: {command}")
                    }
                    None => advice,
                }
            }
            Self::ProgramIsDirectory { .. } => "name the program in it".into(),
            Self::InterpreterMissing { interpreter, .. } if interpreter.ends_with('\r') => {
                "save the script with Unix line endings".into()
            }
            Self::InterpreterMissing { .. } => "install it, or correct the `#!` line".into(),
            Self::FormatUnknown { program, .. } => match with_interpreter(program) {
                Some(command) => format!("{}: {command}", system::NAME_INTERPRETER),
                None => format!("{}: node server.js", system::NAME_INTERPRETER),
            },
            Self::UnsafeArgument { .. } => {
                "name the program that the batch file starts, such as node with its script".into()
            }
            Self::Other { source, .. } => return system::shortage(source).map(Into::into),
        })
    }

    /// Returns true if the cause may pass without a change of the server.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Other { source, .. } if system::shortage(source).is_some())
    }

    /// Wraps any other failure to start `spec`.
    pub(crate) fn other(spec: &ServerSpec, source: io::Error) -> Self {
        let server = spec.name.clone();
        Self::Other { server, source }
    }

    /// Explains why `program` could not be executed.
    pub(super) fn of_exec(spec: &ServerSpec, program: PathBuf, source: io::Error) -> Self {
        system::exec_error(spec, program, source)
    }
}

/// Returns the remedy for a command, as displayed, whose program is not in `PATH`.
fn not_in_path(command: &CommandLine, misread: Option<String>) -> String {
    let shown = command.words.first().map_or("", String::as_str);
    let name = shown.split_once('=').map(|(name, _)| name);
    if let Some(name) = name.filter(|name| !name.starts_with('-') && !name.contains('/')) {
        return format!(
            "set the variable by --env {name}=VALUE before `--`, or by `env` in the configuration"
        );
    }
    let script = with_interpreter(Path::new(shown)).filter(|_| command.base.join(shown).is_file());
    if let Some(script) = script {
        return format!("put the interpreter in front: {script}");
    }
    misread.unwrap_or_else(|| {
        format!(
            "install {shown}, or give its full path; a program in the server's directory is written ./{shown}"
        )
    })
}

/// Returns the usual command that runs a script of this name.
fn with_interpreter(script: &Path) -> Option<String> {
    let interpreter = match script.extension()?.to_str()? {
        "py" => "python3",
        "js" | "mjs" | "cjs" => "node",
        "ts" | "mts" | "cts" => "npx tsx",
        "sh" => "sh",
        "rb" => "ruby",
        "php" => "php",
        "jar" => "java -jar",
        "dll" => "dotnet",
        "go" => "go run",
        _ => return None,
    };
    Some(format!("{interpreter} {}", script.display()))
}

/// Builds a command in the directory and environment of `spec`. The directory must exist.
pub(super) fn command_in(spec: &ServerSpec, program: &Path) -> Result<Command, SpawnError> {
    check_cwd(spec)?;
    let mut command = Command::new(program);
    command.current_dir(&spec.cwd).env_remove("FORCE_COLOR");
    command.envs(
        DEFAULTS
            .iter()
            .filter(|(name, _)| env::var_os(name).is_none())
            .copied(),
    );
    without_own(&mut command);
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    Ok(command)
}

/// Removes the proxy's own variables from a command, so that children get the environment a client would give them.
pub(crate) fn without_own(command: &mut Command) {
    for name in OWN {
        command.env_remove(name);
    }
}

/// Returns a command that starts this program again, for a hidden subcommand.
pub(crate) fn this_program() -> std::process::Command {
    system::this_program()
}

/// Builds a command that runs a command line of the user in the system's shell, in the directory and environment of
/// `spec`.
pub(super) fn shell_command(spec: &ServerSpec, line: &str) -> Result<Command, SpawnError> {
    let mut shell = command_in(spec, Path::new(system::SHELL))?;
    system::add_shell_command(&mut shell, line);
    Ok(shell)
}

/// Returns the full path of a program, searched as the server of `spec` would search it.
pub(crate) fn find(spec: &ServerSpec, program: &Path) -> Option<PathBuf> {
    program_search::find(program, Some(&search_path(spec)), &spec.cwd)
}

/// Returns the full path of the program of `spec`.
pub(crate) fn program_of(spec: &ServerSpec) -> Result<PathBuf, SpawnError> {
    check_cwd(spec)?;
    let server = spec.name.clone();
    let program = PathBuf::from(&spec.program);
    if spec.program.is_empty() {
        return Err(SpawnError::NoProgram { server });
    }
    if CommandLine::new(&spec.cwd, &spec.program, &spec.args).runs_nothing() {
        let program = shown(spec, program);
        return Err(SpawnError::NothingToRun { server, program });
    }
    if let Some(program) = find(spec, &program) {
        return Ok(program);
    }
    let command = shown_command(spec);
    // Variables in a command that is shown in another way have been replaced.
    let is_as_written = *command.words[0] == *spec.program.to_string_lossy();
    let misread = command.misread_program().filter(|_| is_as_written);
    if program.components().count() == 1 {
        let program = shown(spec, program);
        let remedy = not_in_path(&command, misread);
        return Err(SpawnError::NotInPath {
            server,
            program,
            remedy,
        });
    }
    let program = spec.cwd.join(program);
    let metadata = program.metadata();
    let program = shown(spec, program);
    Err(match metadata {
        Ok(it) if it.is_dir() => SpawnError::ProgramIsDirectory { server, program },
        Ok(_) => SpawnError::NotExecutable { server, program },
        Err(_) => SpawnError::ProgramMissing {
            server,
            program,
            remedy: misread,
        },
    })
}

/// Returns the command of `spec` for display: as configured, and without secrets.
pub(crate) fn shown_command(spec: &ServerSpec) -> CommandLine {
    let command = CommandLine::new(&spec.cwd, &spec.program, &spec.args);
    if spec.shown.len() == command.words.len() {
        return command.with(&spec.shown);
    }
    command
}

/// Returns `path`, the program of `spec`, for display: as configured if variables or secrets make a difference.
fn shown(spec: &ServerSpec, path: PathBuf) -> PathBuf {
    let is_written = |written: &&String| ***written != *spec.program.to_string_lossy();
    spec.shown
        .first()
        .filter(is_written)
        .map_or(path, PathBuf::from)
}

fn check_cwd(spec: &ServerSpec) -> Result<(), SpawnError> {
    if spec.cwd.is_dir() {
        return Ok(());
    }
    let (server, cwd) = (spec.name.clone(), spec.cwd.clone());
    Err(SpawnError::CwdMissing { server, cwd })
}

/// Returns the `PATH` that `spec` sets.
pub(crate) fn own_path(spec: &ServerSpec) -> Option<&OsString> {
    let is_path = |name: &OsString| system::is_same_variable(name, "PATH");
    let own = spec.env.iter().rev().find(|(name, _)| is_path(name));
    own.map(|(_, path)| path)
}

/// Returns the `PATH` that the child will see.
fn search_path(spec: &ServerSpec) -> OsString {
    own_path(spec)
        .cloned()
        .or_else(|| env::var_os("PATH"))
        .unwrap_or_else(|| system::DEFAULT_PATH.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_a_server_sets_is_found_by_the_rules_of_the_system() {
        let mut spec = ServerSpec::new("a".into(), "b".into(), Vec::new(), "/".into());
        for (name, is_path) in [("PATHS", false), ("Path", cfg!(windows)), ("PATH", true)] {
            spec.env = vec![(name.into(), "x".into())];
            assert_eq!(own_path(&spec).is_some(), is_path, "{name}");
        }
    }

    #[test]
    fn the_remedy_for_a_missing_program_depends_on_its_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server.py"), "").unwrap();
        for (program, advice) in [
            ("wether", "install wether, or"),
            ("API_KEY=1", "--env API_KEY=VALUE"),
            ("--", "remove one of the two `--`"),
            ("server.py", "in front: python3 server.py"),
            ("other.py", "install other.py, or"),
        ] {
            let command = CommandLine::new(folder.path(), program.as_ref(), &[]);
            let found = not_in_path(&command, command.misread_program());
            assert!(found.contains(advice), "{found}");
        }
    }
}
