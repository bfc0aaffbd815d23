//! Systems on which listening sockets are not attributed to processes.

use std::collections::HashSet;
use std::net::SocketAddr;

pub(super) fn listening_sockets(_root: u32) -> Option<Vec<SocketAddr>> {
    None
}

pub(super) fn sockets_of(_processes: &HashSet<u32>) -> Option<Vec<SocketAddr>> {
    None
}
