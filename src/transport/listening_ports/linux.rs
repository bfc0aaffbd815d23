//! Listening ports by `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

pub(super) fn listening_ports(root: u32) -> Option<Vec<u16>> {
    let ports = ports_by_inode()?;
    let mut found: Vec<u16> = tree(root)?
        .into_iter()
        .flat_map(sockets)
        .filter_map(|inode| ports.get(&inode).copied())
        .collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
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

/// Returns the process `root`, the processes of its group and their descendants.
fn tree(root: u32) -> Option<HashSet<u32>> {
    let all = fs::read_dir("/proc").ok()?.flatten();
    let mut others: Vec<(u32, u32, u32)> = all
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
            let mut number = || fields.next()?.parse().ok();
            Some((pid, number()?, number()?))
        })
        .collect();
    let mut tree = HashSet::from([root]);
    loop {
        let before = tree.len();
        others.retain(|(pid, parent, group)| {
            let is_within = *group == root || tree.contains(parent);
            if is_within {
                tree.insert(*pid);
            }
            !is_within
        });
        if tree.len() == before {
            return Some(tree);
        }
    }
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

    use super::*;

    #[test]
    fn ports_of_this_process_are_found() {
        let sockets = ["127.0.0.1:0", "0.0.0.0:0"].map(|it| TcpListener::bind(it).unwrap());
        let found = listening_ports(std::process::id()).unwrap();
        for socket in &sockets {
            assert!(found.contains(&socket.local_addr().unwrap().port()));
        }
        let port = sockets[0].local_addr().unwrap().port();
        drop(sockets);
        let left = listening_ports(std::process::id()).unwrap();
        assert!(!left.contains(&port), "{left:?}");
    }

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
