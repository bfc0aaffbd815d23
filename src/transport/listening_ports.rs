//! Ports on which a process and its descendants listen: whether an answer on a port comes from the process that was
//! started.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod macos;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

/// Returns the TCP ports on which the process `root`, its process group and its descendants listen; `None` if the
/// system does not report them. Reads the state of every process.
pub(crate) fn listening_ports(root: u32) -> Option<Vec<u16>> {
    let mut ports = system::listening_ports(root)?;
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The ports for macOS are found by a crate that also runs on Linux.
    #[test]
    fn ports_of_this_process_are_found() {
        for ports in [system::listening_ports, macos::listening_ports] {
            let ports = || ports(std::process::id()).unwrap();
            let sockets = ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"].map(TcpListener::bind);
            let sockets: Vec<_> = sockets.into_iter().flatten().collect();
            let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
            let found = ports();
            assert!(
                sockets.iter().all(|it| found.contains(&port(it))),
                "{found:?}"
            );
            let closed = port(&sockets[0]);
            drop(sockets);
            let left = ports();
            assert!(!left.contains(&closed), "{left:?}");
        }
    }
}
