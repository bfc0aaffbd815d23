//! Process table of macOS, by sysinfo, which reads it from `libproc` and `sysctl`.
//!
//! macOS hides the environment of the programs that it protects itself (`/bin/sh`, `/usr/bin/python3`), so that such a
//! process has no mark. A group usually has others.

use std::time::Duration;

use nix::unistd::{Pid, getpgid, getsid};
use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{MarkedProcess, ProcessEntry, mark_in};

/// Returns all processes.
pub(super) fn processes() -> Vec<ProcessEntry> {
    let system = system(ProcessesToUpdate::All, ProcessRefreshKind::nothing());
    system.processes().values().filter_map(entry).collect()
}

/// Returns the processes of this user with a proxy's mark.
pub(super) fn marked() -> Vec<MarkedProcess> {
    let kind = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    let system = system(ProcessesToUpdate::All, kind);
    let marked = system.processes().values().filter_map(|process| {
        let environment = process.environ().iter();
        let mark = mark_in(environment.map(|it| it.as_encoded_bytes()))?;
        let entry = entry(process)?;
        Some(MarkedProcess { entry, mark })
    });
    marked.collect()
}

/// Returns the CPU time of the group's processes, without that of terminated children; `None` without any process.
pub(super) fn processor_time(group: u32) -> Option<Duration> {
    let kind = ProcessRefreshKind::nothing().with_cpu();
    let system = system(ProcessesToUpdate::All, kind);
    let all = system.processes().values();
    let of_group = all.filter(|it| entry(it).is_some_and(|entry| entry.group == group));
    let milliseconds = of_group.map(Process::accumulated_cpu_time);
    let total = milliseconds.reduce(|sum, more| sum + more)?;
    Some(Duration::from_millis(total))
}

/// Returns the resident memory of a process in bytes.
pub(super) fn resident_memory(pid: u32) -> Option<u64> {
    let pid = sysinfo::Pid::from_u32(pid);
    let kind = ProcessRefreshKind::nothing().with_memory();
    let system = system(ProcessesToUpdate::Some(&[pid]), kind);
    system.process(pid).map(Process::memory)
}

fn system(which: ProcessesToUpdate<'_>, kind: ProcessRefreshKind) -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(which, true, kind);
    system
}

/// Returns `None` for a process that has ended since.
fn entry(process: &Process) -> Option<ProcessEntry> {
    let pid = process.pid().as_u32();
    let of = Some(Pid::from_raw(pid.cast_signed()));
    Some(ProcessEntry {
        pid,
        parent: process.parent().map_or(0, sysinfo::Pid::as_u32),
        group: getpgid(of).ok()?.as_raw().cast_unsigned(),
        session: getsid(of).ok()?.as_raw().cast_unsigned(),
    })
}
