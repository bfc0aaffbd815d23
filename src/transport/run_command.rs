//! Runs a command to completion and collects its output.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use tokio::process::Command;

use super::lines::{Lines, OutputTail};
use super::process_group::{GroupLeader, ProcessStatus};
use super::reaper::Reaper;

/// Result of a command.
#[derive(Debug)]
pub(crate) struct CommandResult {
    pub(crate) status: ProcessStatus,
    /// Last lines of its output.
    pub(crate) tail: OutputTail,
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

/// Runs `command` with an empty stdin and passes each line of stdout and stderr to `on_line`, in order. All processes
/// it started are killed when it ends or when the future is dropped.
pub(crate) async fn run(
    command: Command,
    reaper: &Reaper,
    on_line: impl FnMut(String) + Send + 'static,
) -> io::Result<CommandResult> {
    run_on(Stdio::null(), command, reaper, on_line).await
}

/// Like [`run`], with `input` as its stdin.
pub(crate) async fn run_on(
    input: Stdio,
    mut command: Command,
    reaper: &Reaper,
    on_line: impl FnMut(String) + Send + 'static,
) -> io::Result<CommandResult> {
    let (lines, output) = Lines::pipe(on_line)?;
    // One pipe for both streams keeps their order.
    command
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(output);
    let leader = GroupLeader::start(command, reaper)?;
    let tail = lines.tail();
    let status = leader.wait_for_leader(lines).await;
    Ok(CommandResult { status, tail })
}
