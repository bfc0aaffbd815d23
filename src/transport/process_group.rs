//! Manages a process group started by the proxy: its leader, signals to the whole group, and the guarantee that no
//! process of the group outlives the leader or the proxy. A process that creates its own session or group (a daemon,
//! `docker run`) escapes.

use std::fmt;
use std::future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::file_limit;
use super::lines::Lines;
use super::reaper::Reaper;

/// Time limit for reading the pipe of an exited leader that an escaped process may still hold open.
const FINAL_OUTPUT_TIMEOUT: Duration = Duration::from_millis(200);
/// Unit in which Linux reports CPU time, independent of the kernel's timer frequency.
#[cfg(target_os = "linux")]
const TICK: Duration = Duration::from_millis(10);
/// Poll interval; the system does not report when a group becomes empty.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Leader of a group; [`Self::wait_for_leader`] must run until it has exited. Dropping it earlier kills the group.
pub(super) struct GroupLeader {
    process: tokio::process::Child,
    group: Arc<ProcessGroup>,
}

impl GroupLeader {
    /// Starts `command` as the leader of a new process group.
    pub(super) fn start(mut command: Command, reaper: &Reaper) -> io::Result<Self> {
        reaper.start();
        let (name, value) = reaper.mark();
        let process = command.env(name, value).process_group(0).spawn()?;
        let pgid = process
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .expect("a process that nobody waited for has an id");
        reaper.watch(pgid);
        file_limit::grant_as_before(pgid);
        let group = Arc::new(ProcessGroup {
            pgid,
            reaper: reaper.clone(),
            ending: AtomicBool::new(false),
            swept: AtomicBool::new(false),
        });
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

/// Process group that can be signalled as a whole.
#[derive(Debug)]
pub(super) struct ProcessGroup {
    pgid: Pid,
    reaper: Reaper,
    /// True after SIGTERM was sent to the group and before SIGKILL.
    ending: AtomicBool,
    /// True once the id may belong to another group: no more signals.
    swept: AtomicBool,
}

impl ProcessGroup {
    pub(super) fn id(&self) -> u32 {
        self.pgid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Returns the CPU time of its processes and of their terminated children.
    #[cfg(target_os = "linux")]
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let all = std::fs::read_dir("/proc").ok()?.flatten();
        let ticks = all.filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.parse::<u32>().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(2);
            let group: i32 = fields.next()?.parse().ok()?;
            let times = fields.skip(8).take(4);
            (group == self.pgid.as_raw_nonzero().get())
                .then(|| times.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>())
        });
        let ticks: u64 = ticks.sum();
        Some(TICK * u32::try_from(ticks).ok()?)
    }

    /// Not implemented for other systems.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn processor_time(&self) -> Option<Duration> {
        None
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.ending.store(signal == Signal::TERM, Ordering::Release);
        if !self.swept.load(Ordering::Acquire) {
            // The only possible failure is that the group is empty.
            let _ = kill_process_group(self.pgid, signal);
        }
    }

    /// Waits for processes that received SIGTERM: a shell exits immediately, while the server it started may still need
    /// time to clean up. The later SIGKILL ends the wait.
    async fn ended(&self) {
        while self.ending.load(Ordering::Acquire) && test_kill_process_group(self.pgid).is_ok() {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Kills the remaining processes. They keep the group id from being reused. If none remain, the id became free only
    /// when the leader was reaped, immediately before.
    fn sweep(&self) {
        self.signal(Signal::KILL);
        if !self.swept.swap(true, Ordering::AcqRel) {
            self.reaper.forget(self.pgid);
        }
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
        let Some(status) = self.0 else {
            return f.write_str("unknown status");
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "status {code}"),
            (None, Some(signal)) => match signal_name(signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            (None, None) => status.fmt(f),
        }
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
