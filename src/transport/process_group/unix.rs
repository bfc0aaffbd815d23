//! Process groups of Unix, each led by the process that was started. A process that creates its own session or group (a
//! daemon, `docker run`) escapes, unless the group reaches over the whole tree: the descendants of the leader, and the
//! processes with the mark of its start in their environment, whose parents may have ended.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, kill_process, kill_process_group, test_kill_process, test_kill_process_group,
};
use tokio::process::Command;
use tokio::time::sleep;

use super::Reach;
use crate::lock::locked;
use crate::transport::file_limit;
use crate::transport::process_table;
use crate::transport::reaper::Reaper;

/// Poll interval; the system does not report when a group becomes empty.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Process that leads a group.
pub(super) type LeaderProcess = tokio::process::Child;

/// Starts `command` as the leader of a new process group.
pub(super) fn start(
    mut command: Command,
    reach: Reach,
    reaper: &Reaper,
) -> io::Result<(LeaderProcess, ProcessGroup)> {
    reaper.start();
    let (name, mark) = reaper.mark(reach == Reach::Tree);
    let tree = (reach == Reach::Tree).then(|| mark.clone());
    if let Some(mark) = &tree {
        reaper.watch_tree(mark);
    }
    let process = command.env(name, mark).process_group(0).spawn()?;
    let pgid = process
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .expect("a process that nobody waited for has an id");
    reaper.watch(pgid);
    file_limit::grant_as_before(pgid);
    let group = ProcessGroup {
        pgid,
        reaper: reaper.clone(),
        tree,
        outsiders: Mutex::default(),
        ending: AtomicBool::new(false),
        swept: AtomicBool::new(false),
    };
    Ok((process, group))
}

/// Process group that can be signalled as a whole.
#[derive(Debug)]
pub(crate) struct ProcessGroup {
    pgid: Pid,
    reaper: Reaper,
    /// Mark of the start, if all processes with it end with the leader.
    tree: Option<String>,
    /// Processes outside of the group that got the last signal.
    outsiders: Mutex<Vec<Pid>>,
    /// True after SIGTERM was sent to the group and before SIGKILL.
    ending: AtomicBool,
    /// True once the id may belong to another group: no more signals.
    swept: AtomicBool,
}

impl ProcessGroup {
    pub(crate) fn id(&self) -> u32 {
        self.pgid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Returns the CPU time of its processes; `None` if the system does not tell.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        process_table::processor_time(self.id())
    }

    /// Requests the end of all processes; returns true.
    pub(crate) fn terminate(&self) -> bool {
        self.signal(Signal::TERM);
        true
    }

    /// Kills all processes.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        self.ending.store(signal == Signal::TERM, Ordering::Release);
        if !self.swept.load(Ordering::Acquire) {
            // Before the signal: afterwards their parents may have ended.
            let outsiders = self.find_outsiders();
            locked(&self.outsiders).clone_from(&outsiders);
            // The only possible failure is that the group is empty.
            let _ = kill_process_group(self.pgid, signal);
            for pid in outsiders {
                let _ = kill_process(pid, signal);
            }
        }
    }

    fn find_outsiders(&self) -> Vec<Pid> {
        let Some(mark) = &self.tree else {
            return Vec::new();
        };
        let found = process_table::outsiders(self.id(), mark).into_iter();
        found
            .filter_map(|pid| Pid::from_raw(pid.cast_signed()))
            .collect()
    }

    fn is_alive(&self) -> bool {
        test_kill_process_group(self.pgid).is_ok()
            || locked(&self.outsiders)
                .iter()
                .any(|pid| test_kill_process(*pid).is_ok())
    }

    /// Waits for processes that received SIGTERM: a shell exits immediately, while the server it started may still need
    /// time to clean up. The later SIGKILL ends the wait.
    pub(super) async fn ended(&self) {
        while self.ending.load(Ordering::Acquire) && self.is_alive() {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills the remaining processes. They keep the group id from being reused. If none remain, the id became free only
    /// when the leader was reaped, immediately before.
    pub(super) fn sweep(&self) {
        self.kill();
        if !self.swept.swap(true, Ordering::AcqRel) {
            self.reaper.forget(self.pgid);
        }
    }
}

/// Describes an exit status: `status 1`, `signal 9 (SIGKILL)`.
pub(super) fn describe(status: ExitStatus, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (status.code(), status.signal()) {
        (Some(code), _) => write!(f, "status {code}"),
        (None, Some(signal)) => match signal_name(signal) {
            Some(name) => write!(f, "signal {signal} ({name})"),
            None => write!(f, "signal {signal}"),
        },
        (None, None) => fmt::Display::fmt(&status, f),
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 13] = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
    ];
    let named = NAMES.iter().find(|(signal, _)| signal.as_raw() == number);
    named.map(|(_, name)| *name)
}
