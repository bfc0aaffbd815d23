//! Facts about Linux.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tokio::process::Command;

use super::super::commands::stdout_of;
use super::super::report::Finding;

/// `PATH` of desktop sessions that systemd does not start.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CHECK: &str = "inotify";
/// Part of a limit, in percent, at which a warning makes sense.
const MUCH: usize = 90;

/// Returns the `PATH` of applications that were not started from a shell.
pub(crate) fn desktop_path() -> OsString {
    let mut command = Command::new("systemctl");
    let text = stdout_of(command.args(["--user", "show-environment"])).unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("PATH="));
    path.unwrap_or(DEFAULT_PATH).into()
}

/// Returns findings about the limits on watched directories and on watchers, which all programs of the user share.
pub(crate) fn limits() -> Vec<Finding> {
    let limit = |name: &str| -> Option<usize> {
        let text = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse().ok()
    };
    let (instances, watches) = in_use(Path::new("/proc"));
    [
        ("max_user_watches", "watched directories", watches),
        ("max_user_instances", "watchers", instances),
    ]
    .into_iter()
    .filter_map(|(name, of, used)| Some(finding(name, of, used, limit(name)?)))
    .collect()
}

fn finding(name: &str, of: &str, used: usize, limit: usize) -> Finding {
    let text = format!("{used} of {limit} {of} are in use by your processes");
    if used * 100 < limit * MUCH {
        return Finding::good(CHECK, text);
    }
    let advice = format!(
        "raise the limit: sudo sysctl fs.inotify.{name}={}; without watches, files are polled",
        limit * 4
    );
    Finding::problem(CHECK, text).advice(advice)
}

/// Returns the numbers of inotify instances and watches in the processes below `proc` that this user may inspect.
fn in_use(proc: &Path) -> (usize, usize) {
    let (mut instances, mut watches) = (0, 0);
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for process in entries(proc) {
        for file in entries(&process.path().join("fdinfo")) {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let target = process.path().join("fd").join(file.file_name());
            let is_inotify = |path: &Path| path == Path::new("anon_inode:inotify");
            if fs::read_link(target).is_ok_and(|it| is_inotify(&it)) {
                instances += 1;
                watches += text.lines().filter(|it| it.starts_with("inotify ")).count();
            }
        }
    }
    (instances, watches)
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Severity;
    use super::*;

    #[test]
    fn a_limit_is_a_problem_before_it_is_reached() {
        let severity = |used| finding("max_user_watches", "x", used, 1000).severity;
        assert_eq!(
            (severity(0), severity(899)),
            (Severity::Good, Severity::Good)
        );
        assert_eq!(
            (severity(900), severity(1000)),
            (Severity::Problem, Severity::Problem)
        );
    }

    #[test]
    fn watches_of_this_process_are_counted() {
        let room = tempfile::tempdir().unwrap();
        let process = |name: &str| room.path().join(name);
        std::os::unix::fs::symlink("/proc/self", process("1")).unwrap();
        let before = in_use(room.path());
        let flags = rustix::fs::inotify::CreateFlags::CLOEXEC;
        let inotify = rustix::fs::inotify::init(flags).unwrap();
        let all = rustix::fs::inotify::WatchFlags::MODIFY;
        rustix::fs::inotify::add_watch(&inotify, "/", all).unwrap();
        let after = in_use(room.path());
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "{before:?} {after:?}"
        );
    }
}
