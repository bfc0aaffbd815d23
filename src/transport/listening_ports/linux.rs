//! Listening sockets by `/proc`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::SocketsByProcess;
use crate::transport::process_table::tree;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// Unit in which Linux reports start times, independent of the kernel's timer frequency.
const TICK_MILLIS: u64 = 10;

pub(super) fn listening_sockets(root: u32) -> Option<SocketsByProcess> {
    sockets_of(&tree(root))
}

/// Returns the sockets on which these processes listen.
pub(super) fn sockets_of(processes: &HashSet<u32>) -> Option<SocketsByProcess> {
    let all = sockets_by_inode()?;
    let of_process = |pid: u32| {
        let found = sockets(pid).into_iter();
        let found: Vec<_> = found.filter_map(|inode| all.get(&inode).copied()).collect();
        (!found.is_empty()).then_some((pid, found))
    };
    Some(processes.iter().copied().filter_map(of_process).collect())
}

/// Returns the age of the process `root` and of all that it has started, without those that have ended.
pub(super) fn tree_ages(root: u32) -> Option<BTreeMap<u32, Duration>> {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
    let age = |pid| Some((pid, now.saturating_sub(begun(pid)?)));
    Some(tree(root).into_iter().filter_map(age).collect())
}

/// Returns the time between the start of the machine and that of the process; `None` if the process has ended.
fn begun(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A watcher may not wait for its server, which is a zombie then.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    Some(Duration::from_millis(TICK_MILLIS * ticks))
}

/// Returns the listening sockets of the network namespace.
fn sockets_by_inode() -> Option<HashMap<u64, SocketAddr>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).ok());
    tables[0].as_ref()?;
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    Some(lines.filter_map(listening).collect())
}

/// Reads the inode and the address of a listening socket from its line.
fn listening(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((
        fields.get(9)?.parse().ok()?,
        SocketAddr::new(ip(address)?, port),
    ))
}

/// Reads an address, whose groups of 32 bits are written in the byte order of the machine.
fn ip(text: &str) -> Option<IpAddr> {
    let group = |at| {
        let group = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(group.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(group(0)?.into());
    }
    let groups = [group(0)?, group(8)?, group(16)?, group(24)?];
    let address: [u8; 16] = groups.concat().try_into().ok()?;
    Some(address.into())
}

/// Returns the inodes of the sockets that a process has open.
fn sockets(pid: u32) -> Vec<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let targets = open
        .flatten()
        .filter_map(|it| fs::read_link(it.path()).ok());
    let inode = |target: std::path::PathBuf| {
        let text = target.to_str()?;
        text.strip_prefix("socket:[")?
            .strip_suffix(']')?
            .parse()
            .ok()
    };
    targets.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;
    use std::thread;
    use std::time::Instant;

    use super::super::{all_listen_on, tree_processes};
    use super::*;

    #[test]
    fn a_child_is_younger_than_its_parent() {
        let before = Instant::now();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (own, pid) = (std::process::id(), child.id());
        let processes = tree_processes(own).unwrap();
        assert!(processes.ages[&pid] <= before.elapsed() + Duration::from_millis(TICK_MILLIS));
        assert!(processes.ages[&own] >= processes.ages[&pid]);
        assert!(!processes.listeners.contains_key(&pid));
        child.kill().unwrap();
        // Not waited for yet.
        while begun(pid).is_some() {
            thread::yield_now();
        }
        assert!(!tree_processes(own).unwrap().ages.contains_key(&pid));
        child.wait().unwrap();
    }

    #[test]
    fn the_ports_of_a_process_are_known() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let own = std::process::id();
        let processes = tree_processes(own).unwrap();
        assert!(processes.listeners[&own].contains(&port));
        assert_eq!(all_listen_on(&[own].into(), port), Some(true));
        drop(socket);
        assert_eq!(all_listen_on(&[own].into(), port), Some(false));
    }

    #[test]
    fn only_listening_sockets_count() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0        0 4711 1"
            )
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        // The byte order of the line is that of most machines.
        if cfg!(target_endian = "little") {
            assert_eq!(listening(&line("0A")), Some((4711, address)));
        }
        assert_eq!(listening(&line("01")), None);
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }
}
