//! Links and processes of Windows.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// Variable with the directory of the proxy's cache.
pub(crate) const CACHE: &str = "LOCALAPPDATA";
/// Variable with the directory of the proxies' state.
pub(crate) const STATE: &str = "LOCALAPPDATA";

/// Creates a link to a directory.
pub(crate) fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Process as the system lists it: pid, start in seconds, parent and name.
type ListedProcess = (u32, u64, Option<u32>, OsString);

/// Tags of the processes so far. Each environment is read once: Wine interrupts the process for it, again and again for a
/// test that waits for the end of its processes, and an interrupted process may fail in the middle of a message.
static TAGS: Mutex<BTreeMap<ListedProcess, String>> = Mutex::new(BTreeMap::new());

/// Returns pid and command line of the running processes with this tag.
pub(crate) fn processes_with_tag(tag: &str) -> Vec<(u32, String)> {
    let mut system = System::new();
    let nothing = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, nothing);
    let mut tags = TAGS.lock().unwrap();
    // A process with this tag is read again: another one may have got its pid.
    let is_to_read = |process: &&Process| tags.get(&listed(process)).is_none_or(|it| it == tag);
    let all = system.processes().values().filter(is_to_read);
    let pids: Vec<Pid> = all.map(Process::pid).collect();
    let kind = nothing
        .with_environ(UpdateKind::Always)
        .with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, kind);
    let mut found = Vec::new();
    for process in pids.iter().filter_map(|pid| system.process(*pid)) {
        let environment = process.environ();
        let values = environment.iter().filter_map(|it| it.to_str());
        let mut values = values.filter_map(|it| it.strip_prefix("MCP_PROXY_TEST_TAG="));
        let own = values.next().unwrap_or_default();
        if own == tag {
            let command = process.cmd().join(OsStr::new(" "));
            let command = command.to_string_lossy().into_owned();
            found.push((process.pid().as_u32(), command));
        }
        // A process that has just begun has no environment yet, and another one may get its pid in the same second.
        if !environment.is_empty() && process.run_time() > 1 {
            tags.insert(listed(process), own.to_owned());
        }
    }
    found
}

fn listed(process: &Process) -> ListedProcess {
    (
        process.pid().as_u32(),
        process.start_time(),
        process.parent().map(Pid::as_u32),
        process.name().to_owned(),
    )
}
