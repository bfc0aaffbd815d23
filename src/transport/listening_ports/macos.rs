//! Listening sockets of macOS, by the crate listeners, which reads them from `libproc`.

use std::collections::HashSet;
use std::net::SocketAddr;

use listeners::{Protocol, SocketState};

use crate::transport::process_table::tree;

pub(super) fn listening_sockets(root: u32) -> Option<Vec<SocketAddr>> {
    sockets_of(&tree(root))
}

/// Returns the sockets on which these processes listen.
pub(super) fn sockets_of(processes: &HashSet<u32>) -> Option<Vec<SocketAddr>> {
    let sockets = listeners::get_all().ok()?;
    let listening = sockets.iter().filter(|it| {
        let is_open = it.protocol == Protocol::TCP && it.state == SocketState::Listen;
        is_open && processes.contains(&it.process.pid)
    });
    Some(listening.map(|it| it.socket).collect())
}
