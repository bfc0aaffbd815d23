//! Figures of the kernel about a process, and pinning. `None` on systems that do not give them.

use std::fs;
use std::process::{Command, Stdio};

/// CPU time of all living threads, in nanoseconds.
pub(crate) fn cpu_ns(pid: u32) -> Option<f64> {
    let mut total = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += stat.split(' ').next()?.parse::<f64>().ok()?;
    }
    Some(total)
}

/// How often the living threads of a process have waited for something, and were woken.
pub(crate) fn wake_ups(pid: u32) -> Option<f64> {
    let mut total = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let id = format!("{pid}/task/{}", task.ok()?.file_name().display());
        total += status(&id, "voluntary_ctxt_switches")?
            .parse::<f64>()
            .ok()?;
    }
    Some(total)
}

/// A memory figure of `/proc/PID/status` in MiB: `VmRSS` now, `VmHWM` at its peak.
pub(crate) fn memory_mib(pid: u32, field: &str) -> Option<f64> {
    let kib = status(&pid.to_string(), field)?;
    Some(kib.trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// Pins this thread, and so every process it starts, to one CPU until dropped.
pub(crate) struct Pinned {
    before: String,
}

impl Pinned {
    pub(crate) fn new() -> Option<Self> {
        let before = status("self", "Cpus_allowed_list")?;
        let first = before.split(['-', ',']).next()?;
        taskset(first).then_some(Self {
            before: before.clone(),
        })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        taskset(&self.before);
    }
}

fn taskset(cpus: &str) -> bool {
    let pid = std::process::id().to_string();
    Command::new("taskset")
        .args(["-cp", cpus, &pid])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn status(pid: &str, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim_start_matches(':').trim().to_owned())
}
