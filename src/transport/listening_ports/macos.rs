//! Listening sockets of macOS, by the crate listeners, which reads them from `libproc`.

#[cfg(target_os = "macos")]
use std::collections::BTreeMap;
use std::collections::HashSet;
#[cfg(target_os = "macos")]
use std::time::Duration;

use listeners::{Protocol, SocketState};

use super::SocketsByProcess;
use crate::transport::process_table::tree;

pub(super) fn listening_sockets(root: u32) -> Option<SocketsByProcess> {
    sockets_of(&tree(root))
}

/// Returns the sockets on which these processes listen.
pub(super) fn sockets_of(processes: &HashSet<u32>) -> Option<SocketsByProcess> {
    let mut found = SocketsByProcess::new();
    for it in listeners::get_all().ok()? {
        let is_open = it.protocol == Protocol::TCP && it.state == SocketState::Listen;
        if is_open && processes.contains(&it.process.pid) {
            found.entry(it.process.pid).or_default().push(it.socket);
        }
    }
    Some(found)
}

/// Returns `None`: sysinfo knows the start of a process to the second only.
#[cfg(target_os = "macos")]
pub(super) fn tree_ages(_root: u32) -> Option<BTreeMap<u32, Duration>> {
    None
}
