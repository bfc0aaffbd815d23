//! Listening sockets of macOS and Windows, by the crate listeners.

#[cfg(not(target_os = "linux"))]
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
#[cfg(not(target_os = "linux"))]
use std::time::Duration;

use listeners::{Protocol, SocketState};

use super::SocketsByProcess;
use crate::transport::process_table::tree;

pub(super) fn listening_sockets(root: u32) -> Option<SocketsByProcess> {
    sockets_of(&tree(root))
}

/// Returns the sockets on which these processes listen; `None` if the system does not tell.
pub(super) fn sockets_of(processes: &HashSet<u32>) -> Option<SocketsByProcess> {
    if tells_owners() {
        all_sockets(processes)
    } else {
        None
    }
}

/// Returns false if the owners of sockets are hidden, as under Wine: a list without a socket of this process is no list.
fn tells_owners() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let known = TELLS.get().copied().or_else(own_socket_is_listed);
    known.is_some_and(|it| *TELLS.get_or_init(|| it))
}

/// Returns true if a socket of this process is in the list; `None` if there is no socket or no list.
fn own_socket_is_listed() -> Option<bool> {
    let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let address = own.local_addr().ok()?;
    let all = all_sockets(&HashSet::from([std::process::id()]))?;
    Some(all.values().flatten().any(|socket| *socket == address))
}

fn all_sockets(processes: &HashSet<u32>) -> Option<SocketsByProcess> {
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
#[cfg(not(target_os = "linux"))]
pub(super) fn tree_ages(_root: u32) -> Option<BTreeMap<u32, Duration>> {
    None
}
