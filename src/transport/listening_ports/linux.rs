//! Listening ports by `/proc`.

use std::collections::HashMap;
use std::fs;

use crate::transport::process_table::tree;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

pub(super) fn listening_ports(root: u32) -> Option<Vec<u16>> {
    let ports = ports_by_inode()?;
    let sockets = tree(root).into_iter().flat_map(sockets);
    let found = sockets.filter_map(|inode| ports.get(&inode).copied());
    Some(found.collect())
}

/// Returns the ports of all listening sockets of the network namespace.
fn ports_by_inode() -> Option<HashMap<u64, u16>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).ok());
    tables[0].as_ref()?;
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    Some(lines.filter_map(listening).collect())
}

/// Reads the inode and the port of a listening socket from its line.
fn listening(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    Some((
        fields.get(9)?.parse().ok()?,
        u16::from_str_radix(port, 16).ok()?,
    ))
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
        assert_eq!(listening(&line("0A")), Some((4711, 8080)));
        assert_eq!(listening(&line("01")), None);
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }
}
