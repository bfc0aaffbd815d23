//! Processes of Unix, which each system lists in its own way: the processes that proxies started, by the mark in their
//! environment, the descendants of a process, the processor time of a group, and the memory of a process.

#[cfg(not(target_os = "macos"))]
mod linux;
#[cfg(any(target_os = "macos", all(test, target_os = "linux")))]
mod macos;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

#[cfg(not(target_os = "macos"))]
use linux as this;
#[cfg(target_os = "macos")]
use macos as this;

use crate::process_lookup;
use crate::transport::reaper::MARK;

/// Place of a process among the others. A number is 0 if the process has none, or one that this namespace does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessEntry {
    pid: u32,
    parent: u32,
    group: u32,
    session: u32,
}

/// Process with a proxy's mark in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MarkedProcess {
    entry: ProcessEntry,
    mark: String,
}

impl MarkedProcess {
    /// Returns true if the proxy with this mark, which the marks of its starts begin with, started the process.
    fn is_of(&self, proxy: &str) -> bool {
        let rest = self.mark.strip_prefix(proxy);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Returns true if no other start has this mark.
    fn is_of_one_start(&self) -> bool {
        self.mark.split('-').count() > 2
    }

    /// Returns the pid of the proxy that started the process or one of its ancestors.
    fn proxy(&self) -> Option<u32> {
        let (pid, _) = self.mark.split_once('-')?;
        pid.parse().ok()
    }
}

/// Returns the proxy's mark in an environment, given as `NAME=VALUE`.
fn mark_in<'a>(environment: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut variables = environment.into_iter();
    let mark = variables.find_map(|it| it.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(mark.to_owned()).ok()
}

/// Returns the groups of this login session in which a process has a mark of `proxy` in its environment, and those of
/// any session with a mark in `trees`. Any other process that opened its own session intends to survive.
pub(in super::super) fn groups_marked(proxy: &str, trees: &BTreeSet<String>) -> Vec<i32> {
    let mut all = this::processes().into_iter();
    let own = all.find(|it| it.pid == std::process::id());
    let own = own.map(|it| it.session);
    let marked = this::marked().into_iter();
    let to_end = marked.filter(|it| {
        let is_here = Some(it.entry.session) == own;
        trees.contains(&it.mark) || is_here && it.is_of(proxy)
    });
    let groups = to_end.map(|it| it.entry.group.cast_signed());
    groups.filter(|group| *group > 1).collect()
}

/// Returns the processes that ended proxies left, each with the proxy's pid. A process in a session that a process of a
/// server opened intends to survive.
pub(crate) fn left_processes() -> Vec<(u32, u32)> {
    let marked = this::marked();
    let is_detached = |session| marked.iter().any(|it| it.entry.pid == session);
    let left = marked.iter().filter_map(|process| {
        let proxy = process.proxy()?;
        let has_ended = process_lookup::exists(proxy) == Some(false);
        let ProcessEntry { pid, session, .. } = process.entry;
        (has_ended && !is_detached(session)).then_some((pid, proxy))
    });
    left.collect()
}

/// Returns the process `root`, the processes of its group and those of its start, and the descendants of all these.
pub(in super::super) fn tree(root: u32) -> HashSet<u32> {
    let marked = this::marked();
    let mark = marked
        .iter()
        .find(|it| it.entry.pid == root && it.is_of_one_start());
    let same = marked
        .iter()
        .filter(|it| mark.is_some_and(|mark| it.mark == mark.mark));
    let roots = same.map(|it| it.entry.pid).chain([root]).collect();
    tree_among(this::processes(), root, roots)
}

/// Returns the processes outside of the group `root` that belong to its leader: the descendants of the group, and the
/// processes with the mark of its start.
pub(in super::super) fn outsiders(root: u32, mark: &str) -> Vec<u32> {
    let marked = this::marked().into_iter().filter(|it| it.mark == mark);
    let roots = marked.map(|it| it.entry.pid).chain([root]).collect();
    let all = this::processes();
    let tree = tree_among(all.clone(), root, roots);
    let outside = all
        .iter()
        .filter(|it| it.group != root && tree.contains(&it.pid));
    outside.map(|it| it.pid).collect()
}

/// Returns the processes `tree`, those of the group `root`, and the descendants of all these.
fn tree_among(mut others: Vec<ProcessEntry>, root: u32, mut tree: HashSet<u32>) -> HashSet<u32> {
    loop {
        let before = tree.len();
        others.retain(|it| {
            let is_within = it.group == root || tree.contains(&it.parent);
            if is_within {
                tree.insert(it.pid);
            }
            !is_within
        });
        if tree.len() == before {
            return tree;
        }
    }
}

/// Returns the processor time that the processes of a group have used; `None` if there are none, or if the system does
/// not tell.
pub(in super::super) fn processor_time(group: u32) -> Option<Duration> {
    this::processor_time(group)
}

/// Returns the resident memory of a process in bytes; `None` if the system does not tell.
pub(crate) fn resident_memory(pid: u32) -> Option<u64> {
    this::resident_memory(pid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::Instant;

    use rustix::process::{Pid, Signal, kill_process, kill_process_group};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// Process that ends with the test.
    struct Process(Child);

    impl Process {
        fn start(script: &str, mark: &str) -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env(MARK, mark);
            command.process_group(0).stdin(Stdio::null());
            Self(command.spawn().unwrap())
        }

        fn pid(&self) -> u32 {
            self.0.id()
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }

    /// Waits until `found` returns a result; the system shows a new process slightly after its start.
    #[track_caller]
    fn soon<T>(mut found: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < end, "not before the deadline");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_group_is_found_by_its_mark() {
        let process = Process::start("sleep 300; true", "1-found");
        let group = process.pid().cast_signed();
        // The shell and its child are in the same group.
        let none = BTreeSet::new();
        soon(|| (groups_marked("1-found", &none) == [group, group]).then_some(()));
        assert!(groups_marked("1-foun", &none).is_empty());
        let start = Process::start("sleep 300", "1-found-2");
        let group = start.pid().cast_signed();
        soon(|| {
            groups_marked("1-found", &none)
                .contains(&group)
                .then_some(())
        });
    }

    #[test]
    fn a_tree_has_sessions_of_its_own_whose_parents_have_ended() {
        let mark = "1-sessions-1";
        let leader = Process::start("(setsid sleep 300 &); sleep 300; true", mark);
        let detached = soon(|| {
            let found = outsiders(leader.pid(), mark);
            (found.len() == 1).then(|| found[0])
        });
        soon(|| {
            let entry = this::processes().into_iter().find(|it| it.pid == detached);
            entry.filter(|it| it.session == detached && it.parent != leader.pid())
        });
        assert!(tree(leader.pid()).contains(&detached));
        let trees = BTreeSet::from([mark.to_owned()]);
        let group = detached.cast_signed();
        assert!(groups_marked("2-other", &trees).contains(&group));
        assert!(!groups_marked("1-sessions", &BTreeSet::new()).contains(&group));
        kill_process(Pid::from_raw(group).unwrap(), Signal::KILL).unwrap();
    }

    #[test]
    fn the_processes_of_an_ended_proxy_are_left() {
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let left = Process::start("sleep 300; true", &format!("{}-a", ended.id()));
        let kept = Process::start("sleep 300; true", &format!("{}-b", std::process::id()));
        let detached = Process::start("setsid sleep 300; true", &format!("{}-c", ended.id()));
        let pids = |process: &Process| {
            let marked = this::marked().into_iter().map(|it| it.entry);
            let of_group = marked.filter(|it| it.group == process.pid());
            of_group.map(|it| it.pid).collect::<Vec<_>>()
        };
        for process in [&left, &kept] {
            soon(|| (pids(process).len() == 2).then_some(()));
        }
        let opened = soon(|| {
            let mut marked = this::marked().into_iter();
            let is_opened = |it: &ProcessEntry| it.session == it.pid;
            marked.find(|it| it.mark == format!("{}-c", ended.id()) && is_opened(&it.entry))
        });
        let opened = opened.entry.pid;
        let found = left_processes();
        for pid in pids(&left) {
            assert!(found.contains(&(pid, ended.id())), "{found:?}");
        }
        let is_found = |pid| found.iter().any(|(it, _)| *it == pid);
        assert!(!pids(&kept).into_iter().any(is_found), "{found:?}");
        assert!(!is_found(opened), "{found:?}");
        drop(detached);
        let opened = Pid::from_raw(opened.cast_signed()).unwrap();
        kill_process(opened, Signal::KILL).unwrap();
    }

    #[test]
    fn a_process_names_its_proxy() {
        let marked = |variable: &'static [u8]| mark_in([&b"A=1"[..], variable]);
        assert_eq!(marked(b"MCP_PROXY_GUARD=42-1a2b").unwrap(), "42-1a2b");
        assert_eq!(marked(b"XMCP_PROXY_GUARD=42-1a2b"), None);
        let entry = ProcessEntry {
            pid: 1,
            parent: 0,
            group: 1,
            session: 1,
        };
        let proxy = |mark: &str| {
            let mark = mark.to_owned();
            MarkedProcess { entry, mark }.proxy()
        };
        assert_eq!((proxy("42-1a2b"), proxy("x")), (Some(42), None));
    }

    #[test]
    fn a_tree_has_the_group_and_all_descendants() {
        let entry = |(pid, parent, group)| ProcessEntry {
            pid,
            parent,
            group,
            session: 1,
        };
        let entries = [
            (9, 7, 9),
            (1, 0, 1),
            (5, 1, 5),
            (6, 5, 5),
            (7, 6, 7),
            (8, 1, 5),
            (2, 1, 2),
            (3, 2, 2),
        ];
        let tree = |entries, roots| tree_among(entries, 5, HashSet::from_iter(roots));
        let entries = entries.map(entry).to_vec();
        assert_eq!(tree(entries.clone(), vec![5]), [5, 6, 7, 8, 9].into());
        assert_eq!(tree(entries, vec![5, 2]), [2, 3, 5, 6, 7, 8, 9].into());
        assert_eq!(tree(Vec::new(), vec![5]), [5].into());
    }

    /// The table for macOS is made by a crate that also runs here. It must tell the same as the table of this system.
    #[test]
    fn each_table_tells_the_same() {
        let busy = Process::start("while :; do :; done", "1-same");
        let is_same = |it: &MarkedProcess| it.mark == "1-same";
        let marked = |all: Vec<MarkedProcess>| all.into_iter().filter(is_same).collect::<Vec<_>>();
        let found = soon(|| Some(marked(this::marked())).filter(|it| !it.is_empty()));
        assert_eq!(found, marked(macos::marked()));

        let entry = |all: Vec<ProcessEntry>| {
            let mut all = all.into_iter();
            all.find(|it| it.pid == busy.pid()).unwrap()
        };
        let found = entry(this::processes());
        assert_eq!((found.parent, found.group), (std::process::id(), found.pid));
        assert_eq!(found, entry(macos::processes()));

        let much = Duration::from_millis(300);
        let spent = soon(|| this::processor_time(busy.pid()).filter(|it| *it > much));
        let also = macos::processor_time(busy.pid()).unwrap();
        assert!(
            also >= spent && also < spent + DEADLINE,
            "{spent:?} {also:?}"
        );

        let memory = |of: fn(u32) -> Option<u64>| of(busy.pid()).unwrap();
        assert_eq!(
            memory(this::resident_memory),
            memory(macos::resident_memory)
        );
    }
}
