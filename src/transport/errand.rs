//! A command that is run to its end, for what it does and says.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use tokio::process::Command;

use super::group::{Leader, Status};
use super::lines::{Lines, Tail};
use super::reaper::Reaper;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    /// The last lines of its output.
    pub(crate) tail: Tail,
}

/// This program, to be started again with a hidden subcommand.
pub(crate) fn this_program() -> std::process::Command {
    // The former survives that the program's file is replaced while it runs; a latter that is
    // unknown fails at the start.
    let program = if cfg!(target_os = "linux") {
        "/proc/self/exe".into()
    } else {
        std::env::current_exe().unwrap_or_default()
    };
    let mut command = std::process::Command::new(program);
    command.arg0("mcp-proxy");
    command
}

/// Runs `command` with nothing on its stdin, telling each line of its output, of both streams in order.
/// Dropping the future kills all that it started, as does its end.
pub(crate) async fn run(
    command: Command,
    reaper: &Reaper,
    tell: impl FnMut(String) + Send + 'static,
) -> io::Result<Ended> {
    run_on(Stdio::null(), command, reaper, tell).await
}

/// The same with `input` as its stdin.
pub(crate) async fn run_on(
    input: Stdio,
    mut command: Command,
    reaper: &Reaper,
    tell: impl FnMut(String) + Send + 'static,
) -> io::Result<Ended> {
    let (lines, output) = Lines::pipe(tell)?;
    // One pipe for both keeps their order.
    command
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(output);
    let leader = Leader::start(command, reaper)?;
    let tail = lines.tail();
    let status = leader.attend(lines).await;
    Ok(Ended { status, tail })
}
