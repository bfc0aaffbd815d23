//! Cleans up after SIGKILL. A second process of this program, in its own process group so that Ctrl-C does not reach
//! it, reads a pipe that only the proxy holds open: `+PGID` for a started group, `-PGID` for a finished one, `=PATH`
//! for a directory to remove with the proxy, `*MARK` for a start of which no process may survive. At the end of the pipe
//! it kills the remaining groups, removes the directories and exits. A group that was started just before the kill and
//! never reported is found by the mark in its environment, as is a process of a tree in a session of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::lock::locked;
use crate::transport::process_table::groups_marked;
use crate::transport::resolve::this_program;

/// Name of the hidden subcommand.
const SUBCOMMAND: &str = "__reaper";

/// Environment variable of every process that is started; its value identifies the proxy, and for some the start.
pub(in super::super) const MARK: &str = "MCP_PROXY_GUARD";

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// Time after exec until the process table shows a program's environment.
const EXECUTED: Duration = Duration::from_millis(20);

/// Proxy's end of the pipe; clones share it. The reaper process starts with the first group.
#[derive(Clone)]
pub(crate) struct Reaper {
    state: Arc<Mutex<ReaperState>>,
    /// Identifies the proxy.
    mark: Arc<str>,
    /// Number of starts.
    starts: Arc<AtomicU64>,
}

enum ReaperState {
    Idle(Box<Command>),
    Running(Child),
    /// The process could not be started or has died. This is logged once; the proxy continues without it.
    Absent,
}

impl Reaper {
    pub(crate) fn new() -> Self {
        let born = SystemTime::now().duration_since(UNIX_EPOCH);
        let born = born.map_or(0, |born| born.as_nanos());
        let mark = format!("{}-{born:x}", std::process::id());
        let mut command = this_program();
        command.args([SUBCOMMAND, &mark]);
        Self::of(ReaperState::Idle(Box::new(command)), &mark)
    }

    fn of(state: ReaperState, mark: &str) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            mark: mark.into(),
            starts: Arc::default(),
        }
    }

    /// Returns a reaper that guards nothing.
    #[cfg(test)]
    pub(crate) fn absent() -> Self {
        Self::of(ReaperState::Absent, "")
    }

    /// Returns the variable that the next process must have in its environment. Its value identifies the proxy, and also
    /// the start if `of_start` is true. Other starts have equal marks: a standby must not differ from a plain start.
    pub(crate) fn mark(&self, of_start: bool) -> (&'static str, String) {
        if !of_start {
            return (MARK, self.mark.to_string());
        }
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        (MARK, format!("{}-{number}", self.mark))
    }

    /// Starts the reaper process unless it runs. Must be called before a group is started.
    pub(crate) fn start(&self) {
        self.attempt(ReaperState::start);
    }

    pub(crate) fn watch(&self, pgid: Pid) {
        self.attempt(|state| state.send(&format!("+{pgid}")));
    }

    pub(crate) fn forget(&self, pgid: Pid) {
        self.attempt(|state| state.send(&format!("-{pgid}")));
    }

    /// Registers the mark of a start of which no process may survive the proxy, in whatever session.
    pub(crate) fn watch_tree(&self, mark: &str) {
        self.attempt(|state| state.send(&format!("*{mark}")));
    }

    /// Registers a directory to be removed after the proxy has exited.
    pub(crate) fn remove(&self, directory: &Path) {
        self.start();
        self.attempt(|state| state.send(&format!("={}", directory.display())));
    }

    fn attempt(&self, act: impl FnOnce(&mut ReaperState) -> io::Result<()>) {
        let mut state = locked(&self.state);
        if let Err(error) = act(&mut state) {
            tracing::warn!(%error, "servers may outlive a killed proxy: the reaper process does not run");
            *state = ReaperState::Absent;
        }
    }
}

impl ReaperState {
    fn start(&mut self) -> io::Result<()> {
        if let Self::Idle(command) = self {
            command.process_group(0).current_dir("/");
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            *self = Self::Running(command.spawn()?);
        }
        Ok(())
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Running(Child {
                stdin: Some(pipe), ..
            }) => pipe.write_all(format!("{line}\n").as_bytes()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaper").finish_non_exhaustive()
    }
}

/// Entry point of the hidden subcommand: waits until stdin ends, then kills the remaining groups and those with `mark`.
pub(crate) fn main(mark: &str) {
    let Unfinished {
        mut groups,
        trees,
        directories,
    } = read_unfinished(io::stdin().lock());
    // The pipe reaches its end only after the last process that was being started calls exec. The system closes it
    // slightly before the process table shows that program's environment.
    thread::sleep(EXECUTED);
    groups.extend(groups_marked(mark, &trees));
    reap(&groups, GRACE);
    for directory in directories {
        let _ = fs::remove_dir_all(directory);
    }
}

/// Work at the end of the proxy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unfinished {
    /// Groups not reported as finished.
    groups: BTreeSet<i32>,
    /// Marks of starts of which no process may survive.
    trees: BTreeSet<String>,
    /// Directories to remove.
    directories: Vec<PathBuf>,
}

/// Reads to the end.
fn read_unfinished(lines: impl BufRead) -> Unfinished {
    let mut unfinished = Unfinished::default();
    for line in lines.lines().map_while(Result::ok) {
        let Some((sign, pgid)) = line.split_at_checked(1) else {
            continue;
        };
        match (sign, pgid.parse()) {
            ("=", _) if pgid.starts_with('/') => unfinished.directories.push(pgid.into()),
            ("*", _) if !pgid.is_empty() => _ = unfinished.trees.insert(pgid.to_owned()),
            // 1 would mean every process on the system.
            ("+", Ok(pgid @ 2..)) => _ = unfinished.groups.insert(pgid),
            ("-", Ok(pgid)) => _ = unfinished.groups.remove(&pgid),
            _ => {}
        }
    }
    unfinished
}

fn reap(groups: &BTreeSet<i32>, grace: Duration) {
    let deadline = Instant::now() + grace;
    let groups = || groups.iter().filter_map(|&pgid| Pid::from_raw(pgid));
    let signal = |signal| groups().for_each(|pgid| _ = kill_process_group(pgid, signal));
    signal(Signal::TERM);
    while groups().any(|pgid| test_kill_process_group(pgid).is_ok()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    signal(Signal::KILL);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::env;

    use super::*;
    use crate::event::EventSender;
    use crate::transport::child;
    use crate::transport::test_support::{TAG, sh, tag, until_living};

    #[test]
    fn only_starts_of_whole_trees_differ_in_their_environment() {
        let reaper = Reaper::absent();
        assert_eq!(reaper.mark(false), reaper.mark(false));
        assert_ne!(reaper.mark(true), reaper.mark(true));
    }

    #[test]
    fn unfinished_groups_and_directories_are_read() {
        let lines =
            b"+100\n+200\n*7-a-1\n+300\n-200\n=/tmp/x y\n+200\n-100\nnoise\n\n+1\n+0\n+-5\n=\n*\n-400\n";
        let expected = Unfinished {
            groups: [200, 300].into(),
            trees: ["7-a-1".to_owned()].into(),
            directories: vec![PathBuf::from("/tmp/x y")],
        };
        assert_eq!(read_unfinished(&lines[..]), expected);
    }

    /// Returns a command that runs one of the next two tests, which are child processes of the third.
    fn process(test: &str, tag: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([
            "--ignored",
            "--exact",
            &format!("transport::reaper::unix::tests::{test}"),
        ]);
        command.env("REAPER_TEST", tag);
        command
    }

    #[test]
    #[ignore = "a process of the test below"]
    fn guard() {
        if env::var_os("REAPER_TEST").is_some() {
            main("none");
        }
    }

    #[tokio::test]
    #[ignore = "a process of the test below"]
    async fn holder() {
        let Ok(tag) = env::var("REAPER_TEST") else {
            return;
        };
        let guard = ReaperState::Idle(Box::new(process("guard", &tag)));
        let reaper = Reaper::of(guard, &tag);
        let mut children = Vec::new();
        for script in [
            "trap '' TERM; while :; do sleep 300; done",
            "sh -c 'sleep 300; true'; true",
        ] {
            let mut spec = sh(script);
            spec.env = vec![(TAG.into(), (&tag).into())];
            children.push(child::spawn(&spec, 1, &EventSender::silent(), &reaper).unwrap());
        }
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn nothing_outlives_a_killed_holder() {
        let tag = tag(&sh(""));
        let mut holder = process("holder", &tag)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until_living(&tag, 5).await;
        holder.kill().unwrap();
        holder.wait().unwrap();
        until_living(&tag, 0).await;
    }

    #[test]
    fn a_guard_that_does_not_start_is_done_without() {
        let missing = Command::new("/no/such/program");
        let reaper = Reaper::of(ReaperState::Idle(Box::new(missing)), "");
        reaper.start();
        reaper.watch(Pid::from_raw(4711).unwrap());
        assert!(matches!(*reaper.state.lock().unwrap(), ReaperState::Absent));
    }
}
