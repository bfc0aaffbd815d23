//! Finds the processes of a test by an environment variable that all of them inherit.

use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a tag that no other test, and no other run of the tests, uses.
pub(crate) fn new_tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{count}", std::process::id(), since_epoch.as_nanos())
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
