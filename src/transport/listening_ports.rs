//! Ports on which a process and its descendants listen: whether an answer on a port comes from the process that was
//! started.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

/// Returns the TCP ports on which the process `root`, its process group and its descendants listen; `None` if the
/// system does not report them. Reads the state of every process.
pub(crate) fn listening_ports(root: u32) -> Option<Vec<u16>> {
    system::listening_ports(root)
}
