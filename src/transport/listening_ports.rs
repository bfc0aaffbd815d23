//! Sockets on which a process and its descendants listen: whether an answer on a port comes from the process that was
//! started, and whether a part of it was replaced.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", windows, all(test, target_os = "linux")))]
mod macos_and_windows;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod other;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(any(target_os = "macos", windows))]
use macos_and_windows as system;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use other as system;

/// Sockets on which each process listens, without processes that do not listen.
type SocketsByProcess = HashMap<u32, Vec<SocketAddr>>;

/// Processes of a tree at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TreeProcesses {
    /// Age of each process.
    pub(crate) ages: BTreeMap<u32, Duration>,
    /// Ports of each process that listens.
    pub(crate) listeners: BTreeMap<u32, BTreeSet<u16>>,
}

impl TreeProcesses {
    /// Returns true if a process is younger than `age`.
    pub(crate) fn has_younger(&self, age: Duration) -> bool {
        self.ages.values().any(|it| *it < age)
    }

    /// Returns true if a process that listens is younger than `age`.
    pub(crate) fn has_younger_listener(&self, age: Duration) -> bool {
        let mut ages = self.ages.iter();
        ages.any(|(pid, it)| *it < age && self.listeners.contains_key(pid))
    }

    /// Returns the processes that listen.
    pub(crate) fn listeners(&self) -> BTreeSet<u32> {
        self.listeners.keys().copied().collect()
    }

    /// Returns the processes that listen on `port`.
    pub(crate) fn listeners_on(&self, port: u16) -> BTreeSet<u32> {
        let all = self.listeners.iter();
        let on_port = all.filter(|(_, ports)| ports.contains(&port));
        on_port.map(|(pid, _)| *pid).collect()
    }
}

/// Returns the process `root` and all that it has started; `None` if the system does not report when they began. Reads the
/// state of every process.
pub(crate) fn tree_processes(root: u32) -> Option<TreeProcesses> {
    let ages = system::tree_ages(root)?;
    let sockets = system::sockets_of(&ages.keys().copied().collect())?;
    let ports = |sockets: Vec<SocketAddr>| sockets.iter().map(SocketAddr::port).collect();
    let listeners = sockets.into_iter().map(|(pid, it)| (pid, ports(it)));
    Some(TreeProcesses {
        listeners: listeners.collect(),
        ages,
    })
}

/// Returns true if each of the processes listens on `port`; `None` if the system does not report it.
pub(crate) fn all_listen_on(pids: &BTreeSet<u32>, port: u16) -> Option<bool> {
    let sockets = system::sockets_of(&pids.iter().copied().collect())?;
    let is_on_port = |socket: &SocketAddr| socket.port() == port;
    let listens = |pid| sockets.get(pid).is_some_and(|it| it.iter().any(is_on_port));
    Some(pids.iter().all(listens))
}

/// Returns the TCP sockets on which the process `root` and all that it has started listen, in the order of ports; `None`
/// if the system does not report them. Reads the state of every process.
pub(crate) fn listening_sockets(root: u32) -> Option<Vec<SocketAddr>> {
    system::listening_sockets(root).map(in_order)
}

/// Returns the TCP sockets on which this process itself listens; `None` if the system does not report them.
pub(crate) fn own_sockets() -> Option<Vec<SocketAddr>> {
    system::sockets_of(&HashSet::from([std::process::id()])).map(in_order)
}

/// Returns `listens on port 80` with the ports of the sockets.
pub(crate) fn listens_on(sockets: &[SocketAddr]) -> String {
    let ports: BTreeSet<u16> = sockets.iter().map(SocketAddr::port).collect();
    let noun = if ports.len() > 1 { "ports" } else { "port" };
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!("listens on {noun} {}", ports.join(", "))
}

fn in_order(sockets: SocketsByProcess) -> Vec<SocketAddr> {
    let mut sockets: Vec<_> = sockets.into_values().flatten().collect();
    sockets.sort_unstable_by_key(|socket| (socket.port(), socket.ip()));
    sockets.dedup();
    sockets
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The sockets for macOS and Windows are found by a crate that also runs on Linux.
    #[test]
    fn sockets_of_this_process_are_found() {
        for found in [
            system::listening_sockets,
            macos_and_windows::listening_sockets,
        ] {
            let found = || in_order(found(std::process::id()).unwrap());
            let sockets = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"].into_iter();
            // Some machines have no IPv6.
            let sockets: Vec<_> = sockets
                .filter_map(|it| TcpListener::bind(it).ok())
                .collect();
            assert!(sockets.len() > 1);
            let all = found();
            for socket in &sockets {
                let address = socket.local_addr().unwrap();
                assert!(all.contains(&address), "{address}: {all:?}");
            }
            let address = sockets[0].local_addr().unwrap();
            drop(sockets);
            let left = found();
            assert!(!left.contains(&address), "{left:?}");
        }
    }
}
