//! Systems on which listening sockets are not attributed to processes.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::SocketsByProcess;

pub(super) fn listening_sockets(_root: u32) -> Option<SocketsByProcess> {
    None
}

pub(super) fn sockets_of(_processes: &HashSet<u32>) -> Option<SocketsByProcess> {
    None
}

pub(super) fn tree_ages(_root: u32) -> Option<BTreeMap<u32, Duration>> {
    None
}
