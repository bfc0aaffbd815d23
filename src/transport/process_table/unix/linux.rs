//! Process table of Linux, in `/proc`; empty on systems without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{MarkedProcess, ProcessEntry, mark_in};

/// Unit in which Linux reports CPU time, independent of the kernel's timer frequency.
const TICK: Duration = Duration::from_millis(10);

/// Returns all processes.
pub(super) fn processes() -> Vec<ProcessEntry> {
    let all = directories().filter_map(|(pid, directory)| Some(Stat::read(pid, &directory)?.entry));
    all.collect()
}

/// Returns the processes of this user with a proxy's mark.
pub(super) fn marked() -> Vec<MarkedProcess> {
    let marked = directories().filter_map(|(pid, directory)| {
        let environment = fs::read(directory.join("environ")).ok()?;
        let mark = mark_in(environment.split(|byte| *byte == 0))?;
        let entry = Stat::read(pid, &directory)?.entry;
        Some(MarkedProcess { entry, mark })
    });
    marked.collect()
}

/// Returns the CPU time of the group's processes and of their terminated children.
pub(super) fn processor_time(group: u32) -> Option<Duration> {
    let all = directories().filter_map(|(pid, directory)| Stat::read(pid, &directory));
    let of_group = all.filter(|it| it.entry.group == group);
    let ticks: u64 = of_group.map(|it| it.ticks).sum();
    Some(TICK * u32::try_from(ticks).ok()?)
}

/// Returns the resident memory of a process in bytes.
pub(super) fn resident_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Returns all processes with their directories.
fn directories() -> impl Iterator<Item = (u32, PathBuf)> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, entry.path()))
    })
}

/// Parts of `/proc/PID/stat`.
struct Stat {
    entry: ProcessEntry,
    /// CPU time of the process and of its terminated children.
    ticks: u64,
}

impl Stat {
    fn read(pid: u32, directory: &Path) -> Option<Self> {
        let text = fs::read_to_string(directory.join("stat")).ok()?;
        // The name of the program stands in brackets and may contain anything. The state follows it.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(1);
        let mut number = || fields.next()?.parse().ok();
        let entry = ProcessEntry {
            pid,
            parent: number()?,
            group: number()?,
            session: number()?,
        };
        let times = fields.skip(7).take(4);
        let ticks = times.filter_map(|it| it.parse::<u64>().ok()).sum();
        Some(Self { entry, ticks })
    }
}
