//! Programs on Unix: executable files, scripts with a `#!` line among them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use super::{SpawnError, shown};
use crate::config::ServerSpec;

/// Shell of build commands.
pub(super) const SHELL: &str = "/bin/sh";
/// Advice about a file that is not executable.
pub(super) const MAKE_EXECUTABLE: &str = "run chmod +x";
/// Description of a file that the system cannot run, as a sentence fragment.
pub(super) const UNKNOWN_FORMAT: &str = "has no `#!` line and is not a native binary";
/// Advice about such a file.
pub(super) const NAME_INTERPRETER: &str = "add a `#!` line, or put the interpreter in front";
/// `PATH` where none is set.
pub(super) const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Adds a command line for the [`SHELL`].
pub(super) fn add_shell_command(shell: &mut tokio::process::Command, command: &str) {
    shell.arg("-c").arg(command);
}

/// Whether two names denote the same environment variable.
pub(super) fn is_same_variable(one: &OsStr, other: &str) -> bool {
    one == other
}

/// Returns a command that starts this program again, for a hidden subcommand.
pub(super) fn this_program() -> Command {
    // `/proc/self/exe` stays valid if the program's file is replaced while it runs. Elsewhere, an unknown path makes
    // the spawn fail.
    let program = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().unwrap_or_default()
    };
    let mut command = Command::new(program);
    command.arg0("mcp-proxy");
    command
}

/// Explains why `program` could not be executed. Distinguishes two causes of ENOENT: a missing program and a missing
/// interpreter.
pub(super) fn exec_error(spec: &ServerSpec, program: PathBuf, source: io::Error) -> SpawnError {
    let server = spec.name.clone();
    let (is_there, interpreter) = (program.exists(), interpreter(&program));
    let program = shown(spec, program);
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT) if !is_there => SpawnError::ProgramMissing {
            server,
            program,
            remedy: None,
        },
        Some(Errno::NOENT) => match interpreter {
            Some(interpreter) => SpawnError::InterpreterMissing {
                program,
                interpreter,
            },
            None => SpawnError::FormatUnknown { server, program },
        },
        Some(Errno::NOEXEC) => SpawnError::FormatUnknown { server, program },
        _ => SpawnError::Other { server, source },
    }
}

/// Returns a remedy for an error that is no fault of the program but may pass: the system refuses resources, or the
/// program is being written.
pub(super) fn shortage(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => {
            Some("raise the limit of open files (ulimit -n) or run fewer servers, and call again")
        }
        Errno::NFILE => {
            Some("end other programs: all files that the system can open are open; and call again")
        }
        Errno::AGAIN => {
            Some("raise the limit of processes (ulimit -u) or end other programs, and call again")
        }
        Errno::NOMEM => {
            Some("end other programs, because the memory does not suffice, and call again")
        }
        Errno::TXTBSY => Some("call again when the program's file has been written"),
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_resources_may_pass() {
        for (errno, advice) in [
            (Errno::MFILE, Some("ulimit -n")),
            (Errno::AGAIN, Some("ulimit -u")),
            (Errno::TXTBSY, Some("written")),
            (Errno::ACCESS, None),
            (Errno::NOENT, None),
        ] {
            let found = shortage(&errno.into());
            assert_eq!(found.is_some(), advice.is_some(), "{errno}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(advice.unwrap_or_default()),
                "{found:?}"
            );
        }
    }
}
