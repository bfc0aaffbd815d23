//! Process table of Windows, by sysinfo. It shows the parent of a process, but not its job.

use std::collections::HashSet;
use std::time::Duration;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns no process: those of a proxy end with it.
pub(crate) fn left_processes() -> Vec<(u32, u32)> {
    Vec::new()
}

/// Returns the process `root` and its descendants, without those whose parent has ended.
pub(in super::super) fn tree(root: u32) -> HashSet<u32> {
    let all = processes(ProcessRefreshKind::nothing());
    tree_in(&all, root).into_iter().map(Pid::as_u32).collect()
}

/// Returns the processor time that a process and its descendants have used; `None` if the process has ended.
pub(in super::super) fn processor_time(root: u32) -> Option<Duration> {
    let all = processes(ProcessRefreshKind::nothing().with_cpu());
    let tree = tree_in(&all, root);
    let found = tree.into_iter().filter_map(|pid| all.process(pid));
    let milliseconds = found.map(Process::accumulated_cpu_time);
    let total = milliseconds.reduce(|sum, more| sum + more)?;
    Some(Duration::from_millis(total))
}

/// Returns the resident memory of a process in bytes; `None` if it has ended.
pub(crate) fn resident_memory(pid: u32) -> Option<u64> {
    let all = processes(ProcessRefreshKind::nothing().with_memory());
    all.process(Pid::from_u32(pid)).map(Process::memory)
}

fn processes(kind: ProcessRefreshKind) -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    system
}

fn tree_in(all: &System, root: u32) -> HashSet<Pid> {
    let mut tree = HashSet::from([Pid::from_u32(root)]);
    loop {
        let is_child = |it: &&Process| {
            let parent = it.parent().filter(|parent| tree.contains(parent));
            let parent = parent.and_then(|parent| all.process(parent));
            // The number of a parent that has ended may be that of a younger process.
            parent.is_some_and(|parent| parent.start_time() <= it.start_time())
        };
        let found = all.processes().values().filter(is_child);
        let more: Vec<Pid> = found
            .map(Process::pid)
            .filter(|pid| !tree.contains(pid))
            .collect();
        if more.is_empty() {
            return tree;
        }
        tree.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_tree_has_the_children_of_a_process() {
        let mut child = Command::new("cmd")
            .args(["/c", "set /p line="])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let own = std::process::id();
        let found = tree(own);
        assert!(
            found.contains(&own) && found.contains(&child.id()),
            "{found:?}"
        );
        assert!(!tree(child.id()).contains(&own));
        assert!(processor_time(own).is_some());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!tree(own).contains(&child.id()));
    }
}
