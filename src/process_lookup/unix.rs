//! Processes of Unix.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Returns whether a process has this id; `None` if the system does not tell.
pub(crate) fn exists(pid: u32) -> Option<bool> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Some(false);
    };
    match test_kill_process(pid) {
        // It may belong to another user.
        Ok(()) | Err(Errno::PERM) => Some(true),
        Err(Errno::SRCH) => Some(false),
        Err(_) => None,
    }
}
