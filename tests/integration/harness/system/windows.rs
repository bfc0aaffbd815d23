//! Links and processes of Windows.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// Variable with the directory of the proxy's cache.
pub(crate) const CACHE: &str = "LOCALAPPDATA";
/// Variable with the directory of the proxies' state.
pub(crate) const STATE: &str = "LOCALAPPDATA";

/// Creates a link to a directory.
pub(crate) fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Returns pid and command line of the running processes with this tag.
pub(crate) fn processes_with_tag(tag: &str) -> Vec<(u32, String)> {
    let kind = ProcessRefreshKind::nothing()
        .with_environ(UpdateKind::Always)
        .with_cmd(UpdateKind::Always);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let variable = format!("MCP_PROXY_TEST_TAG={tag}");
    let all = system.processes().iter();
    let tagged = all.filter(|(_, process)| process.environ().iter().any(|it| *it == *variable));
    tagged
        .map(|(pid, process)| {
            let command = process.cmd().join(OsStr::new(" "));
            (pid.as_u32(), command.to_string_lossy().into_owned())
        })
        .collect()
}
