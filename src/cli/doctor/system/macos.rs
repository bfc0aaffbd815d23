//! Facts about macOS, from launchd, which starts desktop applications.

use std::ffi::OsString;

use tokio::process::Command;

use super::super::commands::stdout_of;
use super::super::report::Finding;

/// `PATH` that launchd gives applications by default.
const DEFAULT_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
/// Number of open files with which a proxy of several servers surely gets by.
const ENOUGH_FILES: u64 = 1024;

/// Returns the `PATH` of applications that were not started from a shell.
pub(crate) fn desktop_path() -> OsString {
    let path = stdout_of(Command::new("launchctl").args(["getenv", "PATH"])).unwrap_or_default();
    match path.trim() {
        "" => DEFAULT_PATH.into(),
        path => path.into(),
    }
}

/// Returns the finding about the limit on open files. Watched directories have none.
pub(crate) fn limits() -> Vec<Finding> {
    let text = stdout_of(Command::new("launchctl").args(["limit", "maxfiles"]));
    let finding = text.ok().and_then(|text| open_files(&text));
    finding.into_iter().collect()
}

/// Returns the finding about a line `maxfiles SOFT HARD` of launchctl, in which HARD may be `unlimited`.
fn open_files(line: &str) -> Option<Finding> {
    const CHECK: &str = "open files";
    let [_, soft, hard] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return None;
    };
    let text = format!("a desktop application may open {soft} files, and {hard} if it asks");
    let is_low = hard.parse::<u64>().is_ok_and(|hard| hard < ENOUGH_FILES);
    if !is_low {
        return Some(Finding::good(CHECK, text));
    }
    let advice = format!("raise the limit: sudo launchctl limit maxfiles {ENOUGH_FILES} unlimited");
    Some(Finding::problem(CHECK, text).advice(advice))
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Severity;
    use super::*;

    #[test]
    fn a_low_limit_on_open_files_is_a_problem() {
        let severity = |line: &str| open_files(line).map(|it| it.severity);
        let unlimited = "\tmaxfiles    256            unlimited      \n";
        assert_eq!(severity(unlimited), Some(Severity::Good));
        assert_eq!(severity("maxfiles 256 10240"), Some(Severity::Good));
        assert_eq!(severity("maxfiles 256 512"), Some(Severity::Problem));
        assert_eq!(severity(""), None);
    }
}
