//! One child process: started, watched, stopped. It is the leader of its own process group and
//! whatever way it ends, nothing of that group is left. Hands out the raw ends of the pipes and
//! knows nothing of what goes through them.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::timeout;

use super::group::{Group, Leader, Status};
use super::lines::{Lines, Tail};
use super::reaper::Reaper;
use super::resolve::{self, SpawnError};
use crate::config::ServerSpec;
use crate::event::{Event, Events};

/// Time between SIGTERM and SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// A killed process can be missed for longer only in the kernel's hands (a dead network mount).
const KILL_GRACE: Duration = Duration::from_secs(1);

/// A started server process. Dropping it kills its group.
#[derive(Debug)]
pub(crate) struct Child {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Tail,
    exited: Exited,
    group: Arc<Group>,
}

/// Starts the server's process, each line of its stderr an [`Event::Stderr`]. Needs a running runtime.
pub(crate) fn spawn(
    spec: &ServerSpec,
    generation: u64,
    events: &Events,
    reaper: &Reaper,
) -> Result<Child, SpawnError> {
    spawn_telling(spec, stderr_events(spec, generation, events), reaper)
}

/// As [`spawn`], each line of its stderr told to `tell`.
pub(crate) fn spawn_telling(
    spec: &ServerSpec,
    tell: impl FnMut(String) + Send + 'static,
    reaper: &Reaper,
) -> Result<Child, SpawnError> {
    let program = resolve::program_of(spec)?;
    let mut command = resolve::command_in(spec, &program)?;
    command.args(&spec.args);
    let pipes = Pipes::open(tell);
    let pipes = pipes.map_err(|error| SpawnError::other(spec, error))?;
    command
        .stdin(pipes.theirs.0)
        .stdout(pipes.theirs.1)
        .stderr(pipes.theirs.2);
    let leader = Leader::start(command, reaper)
        .map_err(|error| SpawnError::of_exec(spec, program, error))?;

    let (exit, exited) = watch::channel(None);
    let child = Child {
        stdin: Some(pipes.stdin),
        stdout: Some(pipes.stdout),
        stderr: pipes.stderr.tail(),
        exited: Exited(exited),
        group: leader.group(),
    };
    tokio::spawn(async move {
        let status = leader.attend(pipes.stderr).await;
        exit.send_replace(Some(status));
    });
    Ok(child)
}

fn stderr_events(
    spec: &ServerSpec,
    generation: u64,
    events: &Events,
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
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: Lines,
    theirs: (io::PipeReader, io::PipeWriter, io::PipeWriter),
}

impl Pipes {
    fn open(tell: impl FnMut(String) + Send + 'static) -> io::Result<Self> {
        let (their_stdin, stdin) = io::pipe()?;
        let (stdout, their_stdout) = io::pipe()?;
        let (stderr, their_stderr) = Lines::pipe(tell)?;
        // Only our ends: the two ends of a pipe are apart in this, and children expect to block.
        ioctl_fionbio(stdin.as_fd(), true)?;
        ioctl_fionbio(stdout.as_fd(), true)?;
        Ok(Self {
            stdin: stdin.into(),
            stdout: stdout.into(),
            stderr,
            theirs: (their_stdin, their_stdout, their_stderr),
        })
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.group.id()
    }

    /// The non-blocking end that the child reads from; to be taken once.
    pub(crate) fn take_stdin(&mut self) -> OwnedFd {
        self.stdin.take().expect("stdin is taken once")
    }

    /// The non-blocking end that the child writes to; to be taken once.
    pub(crate) fn take_stdout(&mut self) -> OwnedFd {
        self.stdout.take().expect("stdout is taken once")
    }

    /// Whether something waits to be read from its stdout, which was not taken yet.
    pub(crate) fn has_spoken(&self) -> bool {
        let unread = self.stdout.as_ref().map(ioctl_fionread);
        unread.is_some_and(|unread| !matches!(unread, Ok(0)))
    }

    /// The last lines of stderr, complete once [`exited`](Self::exited) has resolved.
    pub(crate) fn stderr(&self) -> Tail {
        self.stderr.clone()
    }

    /// The processor time that its group has taken so far, where the system tells.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        self.group.processor_time()
    }

    pub(crate) fn exited(&self) -> Exited {
        self.exited.clone()
    }

    /// Waits for `grace`, then SIGTERM and after a second SIGKILL to the group. The caller has
    /// closed stdin, which is the first request to end. Dropping the future kills the group at once.
    pub(crate) async fn stop(mut self, grace: Duration) {
        drop(self.stdin.take());
        if timeout(grace, self.exited.wait()).await.is_ok() {
            return;
        }
        self.group.signal(Signal::TERM);
        if timeout(TERM_GRACE, self.exited.wait()).await.is_ok() {
            return;
        }
        self.group.signal(Signal::KILL);
        if timeout(KILL_GRACE, self.exited.wait()).await.is_err() {
            tracing::warn!(pid = self.pid(), "a killed server is still not gone");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The task that attends the leader reaps it.
        self.group.signal(Signal::KILL);
    }
}

/// Tells when a child's leader has exited. Clones tell it each on their own.
#[derive(Clone)]
pub(crate) struct Exited(watch::Receiver<Option<Status>>);

impl Exited {
    /// Resolves when the process itself has exited, whoever holds its pipes. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> Status {
        match self.0.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or(Status(None)),
            // The attending task is gone only together with the runtime.
            Err(_) => Status(None),
        }
    }
}

impl fmt::Debug for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Exited").field(&*self.0.borrow()).finish()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
