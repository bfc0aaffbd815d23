//! Manages a group of processes started by the proxy: its leader, the end of the whole group, and the guarantee that no
//! process of the group outlives the leader or the proxy. A group can reach over all processes that its own have
//! started.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fmt;
use std::future;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

#[cfg(unix)]
use self::unix as system;
#[cfg(windows)]
use self::windows as system;

use super::lines::Lines;
use super::reaper::Reaper;
pub(super) use system::ProcessGroup;

/// Time limit for reading the pipe of an exited leader that an escaped process may still hold open.
const FINAL_OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);

/// Processes that end with a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of its group: a process that leaves it intends to survive.
    Group,
    /// All that it and its descendants have started.
    Tree,
}

/// Leader of a group; [`Self::wait_for_leader`] must run until it has exited. Dropping it earlier kills the group.
pub(super) struct GroupLeader {
    process: system::LeaderProcess,
    group: Arc<ProcessGroup>,
}

impl GroupLeader {
    /// Starts `command` as the leader of a new group with this reach.
    pub(super) fn start(command: Command, reach: Reach, reaper: &Reaper) -> io::Result<Self> {
        let (process, group) = system::start(command, reach, reaper)?;
        let group = Arc::new(group);
        Ok(Self { process, group })
    }

    pub(super) fn group(&self) -> Arc<ProcessGroup> {
        Arc::clone(&self.group)
    }

    /// Reads `lines` until the leader has exited, then kills the rest of the group. The exit decides, not the end of
    /// the pipe; the leader's last output is still read.
    pub(super) async fn wait_for_leader(mut self, mut lines: Lines) -> ProcessStatus {
        let read_on = async {
            lines.read_to_end().await;
            future::pending().await
        };
        let status = tokio::select! {
            status = self.process.wait() => status,
            never = read_on => never,
        };
        self.group.ended().await;
        self.group.sweep();
        let _ = timeout(FINAL_OUTPUT_TIMEOUT, lines.read_to_end()).await;
        lines.finish();
        ProcessStatus(status.ok())
    }
}

impl Drop for GroupLeader {
    fn drop(&mut self) {
        self.group.sweep();
    }
}

/// Exit status of a leader: `status 1`, `signal 9 (SIGKILL)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStatus(pub(super) Option<ExitStatus>);

impl ProcessStatus {
    pub(crate) fn success(self) -> bool {
        self.0.is_some_and(|status| status.success())
    }
}

impl fmt::Display for ProcessStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => system::describe(status, f),
            None => f.write_str("unknown status"),
        }
    }
}
