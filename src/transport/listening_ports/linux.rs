//! Listening sockets by `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::transport::process_table::tree;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

pub(super) fn listening_sockets(root: u32) -> Option<Vec<SocketAddr>> {
    sockets_of(&tree(root))
}

/// Returns the sockets on which these processes listen.
pub(super) fn sockets_of(processes: &HashSet<u32>) -> Option<Vec<SocketAddr>> {
    let all = sockets_by_inode()?;
    let sockets = processes.iter().copied().flat_map(sockets);
    let found = sockets.filter_map(|inode| all.get(&inode).copied());
    Some(found.collect())
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
    use super::*;

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
