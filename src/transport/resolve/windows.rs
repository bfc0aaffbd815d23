//! Programs on Windows: binaries and, through `cmd.exe`, batch files such as `npx.cmd`. `PATHEXT` completes their
//! names. The standard library quotes arguments for `cmd.exe`, and refuses those that no quoting makes safe.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::Command;

use super::{SpawnError, shown};
use crate::config::ServerSpec;

/// Shell of build commands.
pub(super) const SHELL: &str = "cmd.exe";
/// Advice about a file that is not executable.
pub(super) const MAKE_EXECUTABLE: &str = "put the program that runs it in front, as in node";
/// Description of a file that the system cannot run, as a sentence fragment.
pub(super) const UNKNOWN_FORMAT: &str = "is not a program of Windows";
/// Advice about such a file.
pub(super) const NAME_INTERPRETER: &str = "put the interpreter in front";
/// `PATH` where none is set.
pub(super) const DEFAULT_PATH: &str = r"C:\Windows\System32;C:\Windows";

/// `ERROR_BAD_EXE_FORMAT`
const BAD_EXE_FORMAT: i32 = 193;
/// `ERROR_SHARING_VIOLATION`
const SHARING_VIOLATION: i32 = 32;

/// Adds a command line for the [`SHELL`], which parses it itself.
pub(super) fn add_shell_command(shell: &mut tokio::process::Command, command: &str) {
    shell.raw_arg("/d /s /c").raw_arg(format!("\"{command}\""));
}

/// Whether two names denote the same environment variable.
pub(super) fn is_same_variable(one: &OsStr, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Returns a command that starts this program again, for a hidden subcommand. An unknown path makes the spawn fail.
pub(super) fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap_or_default())
}

/// Explains why `program` could not be executed.
pub(super) fn exec_error(spec: &ServerSpec, program: PathBuf, source: io::Error) -> SpawnError {
    let server = spec.name.clone();
    let is_batch = program
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("cmd") || it.eq_ignore_ascii_case("bat"));
    let program = shown(spec, program);
    match source.kind() {
        io::ErrorKind::NotFound => SpawnError::ProgramMissing {
            server,
            program,
            remedy: None,
        },
        io::ErrorKind::InvalidInput if is_batch => SpawnError::UnsafeArgument { server, program },
        _ if source.raw_os_error() == Some(BAD_EXE_FORMAT) => {
            SpawnError::FormatUnknown { server, program }
        }
        _ => SpawnError::Other { server, source },
    }
}

/// Returns a remedy for an error that is no fault of the program but may pass: the program is being written.
pub(super) fn shortage(error: &io::Error) -> Option<&'static str> {
    let is_written = error.raw_os_error() == Some(SHARING_VIOLATION);
    is_written.then_some("call again when the program's file has been written")
}
