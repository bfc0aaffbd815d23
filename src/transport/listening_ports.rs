//! Sockets on which a process and its descendants listen: whether an answer on a port comes from the process that was
//! started.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod macos;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod other;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
use other as system;

/// Returns the TCP sockets on which the process `root`, its process group and its descendants listen, in the order of
/// ports; `None` if the system does not report them. Reads the state of every process.
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

fn in_order(mut sockets: Vec<SocketAddr>) -> Vec<SocketAddr> {
    sockets.sort_unstable_by_key(|socket| (socket.port(), socket.ip()));
    sockets.dedup();
    sockets
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The sockets for macOS are found by a crate that also runs on Linux.
    #[test]
    fn sockets_of_this_process_are_found() {
        for found in [system::listening_sockets, macos::listening_sockets] {
            let found = || found(std::process::id()).unwrap();
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
