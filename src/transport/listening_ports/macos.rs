//! Listening sockets of macOS, by the crate listeners, which reads them from `libproc`.

use std::net::SocketAddr;

use listeners::{Protocol, SocketState};

use crate::transport::process_table::tree;

pub(super) fn listening_sockets(root: u32) -> Option<Vec<SocketAddr>> {
    let sockets = listeners::get_all().ok()?;
    let tree = tree(root);
    let listening = sockets.iter().filter(|it| {
        let is_open = it.protocol == Protocol::TCP && it.state == SocketState::Listen;
        is_open && tree.contains(&it.process.pid)
    });
    Some(listening.map(|it| it.socket).collect())
}
