//! Signals, modes, links and processes of Unix.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Pid, Signal, kill_process};

use super::super::{Peer, Project};

/// Variable with the directory of the proxy's cache.
pub(crate) const CACHE: &str = "XDG_CACHE_HOME";
/// Variable with the directory of the proxies' state.
pub(crate) const STATE: &str = "XDG_STATE_HOME";

pub(crate) use std::os::unix::fs::symlink;

impl Peer {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        // The process may have exited already, which the test has to detect itself.
        let _ = kill_process(pid.expect("a child has a positive pid"), signal);
    }

    /// Returns the most memory that the process has ever used.
    #[track_caller]
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = peak.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse().unwrap()
    }
}

impl Project {
    /// Sets the mode of a file.
    pub(crate) fn set_mode(&self, relative: &str, mode: u32) {
        set_permissions(self.path(relative), Permissions::from_mode(mode)).unwrap();
    }
}

/// Returns pid and command line of the running processes with this tag. Zombies are not included, since they have no
/// environment.
pub(crate) fn processes_with_tag(tag: &str) -> Vec<(u32, String)> {
    let variable = format!("MCP_PROXY_TEST_TAG={tag}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end between the listing and the reading.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == variable.as_bytes())
        {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push((pid, command.trim_end().to_owned()));
        }
    }
    found
}
