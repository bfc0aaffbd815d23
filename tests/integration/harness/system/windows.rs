//! Links and processes of Windows.

use std::io;
use std::path::Path;
use std::process::Command;

/// Whether [`processes_with_tag`] finds processes.
pub(crate) const SHOWS_TAGS: bool = false;
/// Variable with the directory of the proxy's cache.
pub(crate) const CACHE: &str = "LOCALAPPDATA";
/// Variable with the directory of the proxies' state.
pub(crate) const STATE: &str = "LOCALAPPDATA";

/// Creates a link to a directory.
pub(crate) fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// Returns nothing: Windows does not show the environment of other processes. The tests in `windows` look for the
/// names of programs instead.
pub(crate) fn processes_with_tag(_tag: &str) -> Vec<(u32, String)> {
    Vec::new()
}

/// Returns the number of running processes with this program name, such as `server-1.exe`.
#[track_caller]
pub(crate) fn processes_named(name: &str) -> usize {
    let listed = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let bytes = output.map(|output| output.stdout).unwrap_or_default();
        // The second program writes UTF-16.
        let text: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&text).into_owned()
    };
    let mut all = listed("tasklist", &["/fo", "csv", "/nh"]);
    if !all.contains(".exe") {
        // Wine's own list is empty.
        all = listed("wmic", &["process", "get", "Name"]);
    }
    assert!(all.contains(".exe"), "no list of processes: {all:?}");
    all.lines().filter(|line| line.contains(name)).count()
}
