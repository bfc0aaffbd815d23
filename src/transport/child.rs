//! Spawns, observes and stops one child process. The child leads its own process group; however it ends, no process of
//! that group survives, and none at all that a server over HTTP has started. Hands out the raw ends of the pipes and
//! does not interpret their data.
//!
//! A server over HTTP does not use stdout for messages: its stdout and stderr are one pipe, whose lines are stderr lines.
//! All processes that it starts end with it, also in sessions of their own: one of them may have its port.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::lines::{Lines, OutputTail};
use super::pipe::{self, ChildReader, ChildWriter};
use super::process_group::{GroupLeader, ProcessGroup, ProcessStatus, Reach};
use super::reaper::Reaper;
use super::resolve::{self, SpawnError};
use super::stream::{ReadEnd, WriteEnd};
use crate::config::ServerSpec;
use crate::event::{Event, EventSender};

/// Time between the request to end and the kill.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// Time limit for the exit after the kill. Only a process stuck in the kernel (a dead network mount) exceeds it.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// Running server process. Dropping it kills its process group.
#[derive(Debug)]
pub(crate) struct Child {
    stdin: Option<WriteEnd>,
    stdout: Option<ReadEnd>,
    stderr: OutputTail,
    exited: ExitWatch,
    group: Arc<ProcessGroup>,
}

/// Spawns the server process. Each stderr line becomes an [`Event::Stderr`]. Must be called inside a tokio runtime.
pub(crate) fn spawn(
    spec: &ServerSpec,
    generation: u64,
    events: &EventSender,
    reaper: &Reaper,
) -> Result<Child, SpawnError> {
    spawn_with_stderr(spec, stderr_events(spec, generation, events), reaper)
}

/// Like [`spawn`], but passes each stderr line to `on_line`.
pub(crate) fn spawn_with_stderr(
    spec: &ServerSpec,
    on_line: impl FnMut(String) + Send + 'static,
    reaper: &Reaper,
) -> Result<Child, SpawnError> {
    let serves_http = spec.listens.is_some();
    let pipes = Pipes::open(on_line).and_then(|pipes| {
        if serves_http {
            pipes.joined()
        } else {
            Ok(pipes)
        }
    });
    let reach = if serves_http {
        Reach::Tree
    } else {
        Reach::Group
    };
    let program = resolve::program_of(spec)?;
    let mut command = resolve::command_in(spec, &program)?;
    command.args(&spec.args);
    let pipes = pipes.map_err(|error| SpawnError::other(spec, error))?;
    command
        .stdin(pipes.child_ends.0)
        .stdout(pipes.child_ends.1)
        .stderr(pipes.child_ends.2);
    let leader = GroupLeader::start(command, reach, reaper)
        .map_err(|error| SpawnError::of_exec(spec, program, error))?;

    let (exit, exited) = watch::channel(None);
    let child = Child {
        stdin: Some(pipes.stdin),
        stdout: Some(pipes.stdout),
        stderr: pipes.stderr.tail(),
        exited: ExitWatch(exited),
        group: leader.group(),
    };
    tokio::spawn(async move {
        let status = leader.wait_for_leader(pipes.stderr).await;
        exit.send_replace(Some(status));
    });
    Ok(child)
}

fn stderr_events(
    spec: &ServerSpec,
    generation: u64,
    events: &EventSender,
) -> impl FnMut(String) + Send + 'static {
    let (server, events) = (spec.name.clone(), events.clone());
    move |line| {
        let server = server.clone();
        events.send(Event::Stderr {
            server,
            generation,
            line,
        });
    }
}

/// Both ends of a child's three pipes.
struct Pipes {
    stdin: WriteEnd,
    stdout: ReadEnd,
    stderr: Lines,
    child_ends: (ChildReader, ChildWriter, ChildWriter),
}

impl Pipes {
    fn open(on_line: impl FnMut(String) + Send + 'static) -> io::Result<Self> {
        let (stdin, their_stdin) = pipe::to_child()?;
        let (stdout, their_stdout) = pipe::from_child()?;
        let (stderr, their_stderr) = Lines::pipe(on_line)?;
        Ok(Self {
            stdin,
            stdout,
            stderr,
            child_ends: (their_stdin, their_stdout, their_stderr),
        })
    }

    /// Lets the child write stdout and stderr to one pipe, in order.
    fn joined(mut self) -> io::Result<Self> {
        self.child_ends.1 = self.child_ends.2.try_clone()?;
        Ok(self)
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.group.id()
    }

    /// Returns the proxy's non-blocking end of the child's stdin. Can be called once.
    pub(crate) fn take_stdin(&mut self) -> WriteEnd {
        self.stdin.take().expect("stdin is taken once")
    }

    /// Returns the proxy's non-blocking end of the child's stdout. Can be called once.
    pub(crate) fn take_stdout(&mut self) -> ReadEnd {
        self.stdout.take().expect("stdout is taken once")
    }

    /// Returns the number of unread bytes of its stdout, which must not be taken yet; 0 where the system does not tell.
    pub(crate) fn unread_output(&self) -> u64 {
        self.stdout.as_ref().map_or(0, pipe::unread)
    }

    /// Returns the last lines of stderr; complete once [`exited`](Self::exited) has resolved.
    pub(crate) fn stderr(&self) -> OutputTail {
        self.stderr.clone()
    }

    /// Returns the CPU time used by the process group so far, where the system reports it.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        self.group.processor_time()
    }

    pub(crate) fn exited(&self) -> ExitWatch {
        self.exited.clone()
    }

    /// Returns true if the process itself has exited.
    pub(crate) fn has_exited(&self) -> bool {
        self.exited.0.borrow().is_some()
    }

    /// Waits for `grace`, then requests the end of the group, and kills it one second later (SIGTERM and SIGKILL on Unix,
    /// Ctrl-Break and the end of the job on Windows). Closes stdin first, if it was not taken; otherwise the caller must
    /// have closed it. Dropping the future kills the group immediately.
    pub(crate) async fn stop(mut self, grace: Duration) {
        drop(self.stdin.take());
        if timeout(grace, self.exited.wait()).await.is_ok() {
            return;
        }
        self.end().await;
    }

    /// Requests the end of the group, and kills it one second later.
    pub(crate) async fn end(&self) {
        if self.group.terminate() && timeout(TERM_GRACE, self.exited().wait()).await.is_ok() {
            return;
        }
        self.group.kill();
        if timeout(KILL_GRACE, self.exited().wait()).await.is_err() {
            tracing::warn!(pid = self.pid(), "a killed server is still not gone");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The task that runs `GroupLeader::wait_for_leader` reaps the process.
        self.group.kill();
    }
}

/// Resolves when a child's leader has exited. Each clone can be awaited independently.
#[derive(Clone)]
pub(crate) struct ExitWatch(watch::Receiver<Option<ProcessStatus>>);

impl ExitWatch {
    /// Resolves when the process itself has exited, even if another process holds its pipes. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> ProcessStatus {
        match self.0.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or(ProcessStatus(None)),
            // The attending task only disappears together with the runtime.
            Err(_) => ProcessStatus(None),
        }
    }
}

impl fmt::Debug for ExitWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExitWatch").field(&*self.0.borrow()).finish()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
