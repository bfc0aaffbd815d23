//! Processes of Windows.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns whether a process has this id; `None` if the system does not tell.
pub(crate) fn exists(pid: u32) -> Option<bool> {
    let [pid, own] = [pid, std::process::id()].map(Pid::from_u32);
    let mut system = System::new();
    let which = ProcessesToUpdate::Some(&[pid, own]);
    system.refresh_processes_specifics(which, false, ProcessRefreshKind::nothing());
    // A list without this process is no list.
    system.process(own)?;
    Some(system.process(pid).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_processes_exist() {
        assert_eq!(exists(std::process::id()), Some(true));
        // The numbers of processes are multiples of four.
        assert_eq!(exists(u32::MAX), Some(false));
    }
}
