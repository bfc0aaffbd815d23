//! Search on Windows, where `PATHEXT` completes the names of programs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Extensions of programs, also for a process without `PATHEXT`: clients with the TypeScript SDK do not pass it on.
const EXTENSIONS: [&str; 4] = [".com", ".exe", ".bat", ".cmd"];

pub(super) fn find(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> Option<PathBuf> {
    let completed = |folder: PathBuf| {
        EXTENSIONS.iter().find_map(|extension| {
            let mut name = program.to_owned();
            name.push(extension);
            which::which_in(name, Some(&folder), cwd).ok()
        })
    };
    let found = which::which_in(program, path, cwd).ok();
    found.or_else(|| env::split_paths(path.unwrap_or_default()).find_map(completed))
}
