//! Runs a command to completion and collects its output.

use std::io;
use std::process::Stdio;

use tokio::process::Command;

use super::lines::{Lines, OutputTail};
use super::process_group::{GroupLeader, ProcessStatus, Reach};
use super::reaper::Reaper;

/// Result of a command.
#[derive(Debug)]
pub(crate) struct CommandResult {
    pub(crate) status: ProcessStatus,
    /// Last lines of its output.
    pub(crate) tail: OutputTail,
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
    let leader = GroupLeader::start(command, Reach::Group, reaper)?;
    let tail = lines.tail();
    let status = leader.wait_for_leader(lines).await;
    Ok(CommandResult { status, tail })
}
