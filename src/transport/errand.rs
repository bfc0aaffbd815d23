//! A command that is run to its end with nothing on its stdin, for what it does and says.

use std::io;
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

/// Runs `command`, telling each line of its output, of both streams in order. Dropping the future
/// kills all that it started, as does its end.
pub(crate) async fn run(
    mut command: Command,
    reaper: &Reaper,
    tell: impl FnMut(String) + Send + 'static,
) -> io::Result<Ended> {
    let (lines, output) = Lines::pipe(tell)?;
    // One pipe for both keeps their order.
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let leader = Leader::start(command, reaper)?;
    let tail = lines.tail();
    let status = leader.attend(lines).await;
    Ok(Ended { status, tail })
}
