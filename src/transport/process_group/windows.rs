//! Process groups of Windows: job objects, which no process can leave. The system kills the processes of a job when its
//! last handle is closed, so they end with the proxy, however it ends.
//!
//! The request to end is Ctrl-Break, which only processes with the proxy's console receive. A client with a graphical
//! interface has no console: each process would open a window of its own, so it is started without one.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, CreationFlags, JobObject, KillOnDrop};
use send_ctrlc::Interruptible;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use windows::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW};

use super::Reach;
use crate::transport::process_table;
use crate::transport::reaper::Reaper;

/// Process that leads a group. Dropping it kills the group.
pub(super) struct LeaderProcess {
    /// Kills the job when it is dropped.
    child: Box<dyn ChildWrapper>,
    kill: CancellationToken,
}

/// Starts `command` as the first process of a new job. It is suspended until it belongs to the job, so that all
/// processes it starts belong to it too.
pub(super) fn start(
    command: Command,
    _: Reach,
    _: &Reaper,
) -> io::Result<(LeaderProcess, ProcessGroup)> {
    let has_console = has_console();
    let flags = if has_console {
        CREATE_NEW_PROCESS_GROUP
    } else {
        CREATE_NO_WINDOW
    };
    let child = CommandWrap::from(command)
        .wrap(KillOnDrop)
        .wrap(CreationFlags(flags))
        .wrap(JobObject)
        .spawn()?;
    let kill = CancellationToken::new();
    let group = ProcessGroup {
        id: child.id().unwrap_or_default(),
        has_console,
        kill: kill.clone(),
    };
    Ok((LeaderProcess { child, kill }, group))
}

/// Returns true if this process has a console, which its children inherit.
fn has_console() -> bool {
    OpenOptions::new().write(true).open("CONOUT$").is_ok()
}

impl LeaderProcess {
    /// Waits for the exit, and kills the rest of the job then or on request. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let exited = tokio::select! {
            status = self.child.inner_mut().wait() => Some(status),
            () = self.kill.cancelled() => None,
        };
        self.child.start_kill()?;
        match exited {
            Some(status) => status,
            None => self.child.inner_mut().wait().await,
        }
    }
}

/// Handle to a job, whose [`LeaderProcess`] kills it.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    id: u32,
    /// True if its processes have the proxy's console.
    has_console: bool,
    /// Cancelled once its processes are killed or have ended: another group may have its id.
    kill: CancellationToken,
}

impl ProcessGroup {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Returns the CPU time of its processes; `None` if the system does not tell.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        process_table::processor_time(self.id)
    }

    /// Sends Ctrl-Break to its processes; returns false if they cannot receive it.
    pub(crate) fn terminate(&self) -> bool {
        let can_receive = self.has_console && !self.kill.is_cancelled();
        can_receive && ConsoleGroup(self.id).terminate().is_ok()
    }

    /// Kills all processes.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
    }

    /// Returns at once: [`LeaderProcess`] has killed the other processes, which shells of Windows wait for.
    #[expect(clippy::unused_self, reason = "other systems use it")]
    pub(super) fn ended(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Prevents requests to another group with the same id. [`LeaderProcess`] kills the remaining processes.
    pub(super) fn sweep(&self) {
        self.kill.cancel();
    }
}

/// Processes of a group that have the proxy's console.
struct ConsoleGroup(u32);

impl Interruptible for ConsoleGroup {
    fn pid(&mut self) -> io::Result<Option<u32>> {
        Ok(Some(self.0))
    }
}

/// Describes an exit status: `status 1`, `status 0xC0000005 (access violation)`.
pub(super) fn describe(status: ExitStatus, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let code = status.code().unwrap_or_default();
    match (code, error_name(code.cast_unsigned())) {
        (_, Some(name)) => write!(f, "status {code:#010X} ({name})"),
        (0.., None) => write!(f, "status {code}"),
        (_, None) => write!(f, "status {code:#010X}"),
    }
}

/// Returns the meaning of a status with which the system ends a process.
fn error_name(status: u32) -> Option<&'static str> {
    const NAMES: [(u32, &str); 10] = [
        (0x8000_0003, "breakpoint"),
        (0xC000_0005, "access violation"),
        (0xC000_0017, "out of memory"),
        (0xC000_001D, "illegal instruction"),
        (0xC000_0094, "division by zero"),
        (0xC000_00FD, "stack overflow"),
        (0xC000_0135, "a DLL was not found"),
        (0xC000_013A, "Ctrl-C"),
        (0xC000_0142, "a DLL could not be initialized"),
        (0xC000_0409, "the program aborted itself"),
    ];
    let named = NAMES.iter().find(|(known, _)| *known == status);
    named.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::os::windows::process::ExitStatusExt as _;

    use super::super::ProcessStatus;
    use super::*;

    #[test]
    fn statuses_of_the_system_are_named() {
        for (code, text) in [
            (0, "status 0"),
            (3, "status 3"),
            (0xC000_0005, "status 0xC0000005 (access violation)"),
            (0xC000_1234, "status 0xC0001234"),
        ] {
            let status = ProcessStatus(Some(ExitStatus::from_raw(code)));
            assert_eq!(status.to_string(), text);
        }
    }
}
