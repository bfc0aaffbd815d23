//! Turns a server definition into a command that can start: directory, program and environment. For a command that
//! cannot start, reports which of these is wrong. Never looks the program up in the proxy's own `PATH` or directory,
//! which may differ from the server's.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tokio::process::Command;

use crate::command_line::CommandLine;
use crate::config::ServerSpec;

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
    #[error("the program {} of server {server} is not in PATH", .program.display())]
    NotInPath { server: String, program: PathBuf },
    #[error("the program {} of server {server} does not exist", .program.display())]
    ProgramMissing { server: String, program: PathBuf },
    #[error(
        "the program {} of server {server} is given nothing to run: it would execute the client's messages",
        .program.display()
    )]
    NothingToRun { server: String, program: PathBuf },
    #[error("the program {} of server {server} is not an executable file", .program.display())]
    NotExecutable { server: String, program: PathBuf },
    #[error("the interpreter {interpreter:?} in the first line of {} does not exist", .program.display())]
    InterpreterMissing {
        program: PathBuf,
        interpreter: String,
    },
    #[error("the program {} of server {server} has no `#!` line and is not a native binary", .program.display())]
    FormatUnknown { server: String, program: PathBuf },
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
            Self::NotInPath { program, .. } => format!(
                "install {0}, or give its full path; a program in the server's directory is written ./{0}",
                program.display()
            ),
            Self::ProgramMissing { .. } => {
                "build it, or correct its path; it is relative to the server's directory".into()
            }
            Self::NothingToRun { program, .. } => format!(
                "add what it runs, such as a package, a script or `-m` and a module: {} NAME",
                program.display()
            ),
            Self::NotExecutable { program, .. } => format!("run chmod +x {}", program.display()),
            Self::InterpreterMissing { interpreter, .. } if interpreter.ends_with('\r') => {
                "save the script with Unix line endings".into()
            }
            Self::InterpreterMissing { .. } => "install it, or correct the `#!` line".into(),
            Self::FormatUnknown { .. } => {
                "add a `#!` line, or put the interpreter in front: node server.js".into()
            }
            Self::Other { .. } => return None,
        })
    }

    /// Wraps any other failure to start `spec`.
    pub(super) fn other(spec: &ServerSpec, source: io::Error) -> Self {
        let server = spec.name.clone();
        Self::Other { server, source }
    }

    /// Distinguishes two causes of ENOENT: a missing program and a missing interpreter.
    pub(super) fn of_exec(spec: &ServerSpec, program: PathBuf, source: io::Error) -> Self {
        let server = spec.name.clone();
        let (is_there, interpreter) = (program.exists(), interpreter(&program));
        let program = shown(spec, program);
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) if !is_there => Self::ProgramMissing { server, program },
            Some(Errno::NOENT) => match interpreter {
                Some(interpreter) => Self::InterpreterMissing {
                    program,
                    interpreter,
                },
                None => Self::FormatUnknown { server, program },
            },
            Some(Errno::NOEXEC) => Self::FormatUnknown { server, program },
            _ => Self::Other { server, source },
        }
    }
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
    // `/proc/self/exe` stays valid if the program's file is replaced while it runs. Elsewhere, an unknown path makes
    // the spawn fail.
    let program = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().unwrap_or_default()
    };
    let mut command = std::process::Command::new(program);
    command.arg0("mcp-proxy");
    command
}

/// Returns the full path of a program, searched as the server of `spec` would search it.
pub(crate) fn find(spec: &ServerSpec, program: &Path) -> Option<PathBuf> {
    which::which_in(program, Some(search_path(spec)), &spec.cwd).ok()
}

/// Returns the full path of the program of `spec`.
pub(crate) fn program_of(spec: &ServerSpec) -> Result<PathBuf, SpawnError> {
    check_cwd(spec)?;
    let server = spec.name.clone();
    let program = PathBuf::from(&spec.program);
    if CommandLine::new(&spec.cwd, &spec.program, &spec.args).runs_nothing() {
        let program = shown(spec, program);
        return Err(SpawnError::NothingToRun { server, program });
    }
    if let Some(program) = find(spec, &program) {
        return Ok(program);
    }
    if program.components().count() == 1 {
        let program = shown(spec, program);
        return Err(SpawnError::NotInPath { server, program });
    }
    let program = spec.cwd.join(program);
    let is_there = program.exists();
    let program = shown(spec, program);
    Err(if is_there {
        SpawnError::NotExecutable { server, program }
    } else {
        SpawnError::ProgramMissing { server, program }
    })
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

/// Returns the `PATH` that the child will see.
fn search_path(spec: &ServerSpec) -> OsString {
    let own = spec.env.iter().rev().find(|(name, _)| name == "PATH");
    own.map(|(_, path)| path.clone())
        .or_else(|| env::var_os("PATH"))
        .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

/// Returns the program that the `#!` line of a script names.
fn interpreter(script: &Path) -> Option<String> {
    let mut line = Vec::new();
    let start = File::open(script).ok()?.take(256);
    BufReader::new(start).read_until(b'\n', &mut line).ok()?;
    let line = line.strip_prefix(b"#!")?;
    let line = line.strip_suffix(b"\n").unwrap_or(line).trim_ascii_start();
    let name = line.split(|&byte| byte == b' ' || byte == b'\t').next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}
