//! Warm reload: a standby behaves as a plain start of the server, and is live at once.

mod early;
mod equal;
mod flurry;
mod fresh;
mod late;
mod node;
mod programs;
mod random;
mod setups;
mod several;
mod unlike;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Log, Peer, Project, Proxy, initialize_params, peers, processes_with_tag,
};

/// A server of `fixtures/warm` behind the proxy.
struct Warmed {
    project: Project,
    peer: Peer,
    log: Log,
    source: &'static str,
}

/// A project with the servers of `fixtures/warm`.
#[track_caller]
fn project() -> Project {
    let project = Project::new();
    for name in ["look.py", "server.py", "fast.py"] {
        project.copy(&format!("fixtures/warm/{name}"), name);
    }
    project
}

/// A program of the Python that has the SDKs.
#[track_caller]
fn python(program: &str) -> OsString {
    python_path(program).into()
}

#[track_caller]
fn python_path(program: &str) -> PathBuf {
    peers().join("python/.venv/bin").join(program)
}

/// A program of the project with this text.
#[track_caller]
fn executable(project: &Project, path: &str, text: &str) -> OsString {
    project.write(path, text);
    let path = project.path(path);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.into()
}

/// The command line with which a process was started, even if it changed it later.
#[track_caller]
fn environment(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap()
}

/// A plain start, one that is learned from and one that was prepared tell the same, and are `also` alike.
#[track_caller]
fn all_alike(
    project: Project,
    source: &'static str,
    proxy: impl Fn() -> Proxy,
    also: fn(&Value, &Value, &str),
) {
    let plain = Warmed::of(project, source, proxy().option("--no-warm"));
    let expected = plain.look();
    let Warmed { project, peer, .. } = plain;
    peer.close_stdin();
    peer.wait_exit();

    let warmed = Warmed::of(project, source, proxy());
    let check = |which: &str| {
        let found = warmed.look();
        assert_alike(&expected, &found, which);
        also(&expected, &found, which);
    };
    check("learned from");
    for mark in ["v1", "v2"] {
        warmed.warm_save(mark);
        check(mark);
    }
    assert_eq!(warmed.log.events("cold"), [] as [Value; 0]);
}

/// Compares member by member, so that a difference can be read.
#[track_caller]
fn assert_alike(expected: &Value, found: &Value, which: &str) {
    for part in ["first", "last"] {
        for (name, expected) in expected[part].as_object().unwrap() {
            // Packages of Python change these when they are loaded, whenever that is.
            if part == "last"
                || !["meta_path", "path_hooks", "filters", "hooks"].contains(&name.as_str())
            {
                assert_eq!(&found[part][name], expected, "{which}: {part}.{name}");
            }
        }
    }
    assert_eq!(found["failure"], expected["failure"], "{which}");
}

impl Warmed {
    /// In `project`, with `source` as the file that is edited.
    #[track_caller]
    fn start(project: Project, source: &'static str, command: Vec<OsString>) -> Self {
        Self::of(project, source, Proxy::dev(command))
    }

    #[track_caller]
    fn of(project: Project, source: &'static str, proxy: Proxy) -> Self {
        Self::meeting(project, source, proxy.options(["--meta-tools", "none"]))
    }

    /// As [`of`](Self::of), in the project of another one, which saves.
    #[track_caller]
    fn beside(project: &Project, source: &'static str, proxy: Proxy) -> Self {
        let nothing = Project::new();
        Self::within(
            project.root(),
            nothing,
            source,
            proxy.options(["--meta-tools", "none"]),
        )
    }

    /// As [`of`](Self::of), with the tools that the proxy was given.
    #[track_caller]
    fn meeting(project: Project, source: &'static str, proxy: Proxy) -> Self {
        let root = project.root().to_owned();
        Self::within(&root, project, source, proxy)
    }

    #[track_caller]
    fn within(root: &Path, project: Project, source: &'static str, proxy: Proxy) -> Self {
        let log = Log::new();
        let proxy = proxy.options(["--watch", source]);
        let peer = log.written_by(proxy).at(root).spawn();
        peer.initialize(&initialize_params()).result();
        let warmed = Self {
            project,
            peer,
            log,
            source,
        };
        warmed.log.until("ready", 1);
        warmed
    }

    /// The text that a tool without arguments returns.
    #[track_caller]
    fn ask(&self, tool: &str) -> Value {
        let answer = self.peer.call(tool, &json!({}));
        let told = answer.result()["structuredContent"].clone();
        assert!(told.is_object(), "{}\n{}", answer.line, self.log.text());
        told
    }

    /// The second report of its start: modules that the first call loads are loaded then.
    #[track_caller]
    fn look(&self) -> Value {
        self.ask("look");
        self.ask("look")
    }

    #[track_caller]
    fn mark(&self) -> String {
        self.ask("mark")["mark"].as_str().unwrap().to_owned()
    }

    /// Saves the source with another mark.
    #[track_caller]
    fn save(&self, mark: &str) {
        let text = self.project.read(self.source);
        let begin = text.find("MARK = \"").unwrap() + 8;
        let end = begin + text[begin..].find('"').unwrap();
        self.project
            .save(self.source, &[&text[..begin], mark, &text[end..]].concat());
    }

    /// Waits until a standby is ready for the next save.
    #[track_caller]
    fn until_prepared(&self) {
        let newest = |text: &str, name: &str| text.rfind(&format!(r#""event":"{name}""#));
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.log.text();
            let live = newest(&text, "ready").max(newest(&text, "reloaded"));
            if newest(&text, "standby") > live {
                return;
            }
            assert!(Instant::now() < deadline, "nothing is prepared:\n{text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process that was started last.
    #[track_caller]
    fn newest(&self) -> u32 {
        let pid = &self.log.events("spawned").pop().unwrap()["pid"];
        u32::try_from(pid.as_u64().unwrap()).unwrap()
    }

    /// The processes that are prepared or ready.
    #[track_caller]
    fn standbys(&self) -> Vec<u32> {
        let serves = |pid: &u32| {
            let spawned = self.log.events("spawned");
            spawned.iter().any(|it| it["pid"] == u64::from(*pid))
        };
        let processes = processes_with_tag(self.peer.tag()).into_iter();
        let servers = processes
            .filter(|(_, line)| line.ends_with(self.source) && !line.contains("mcp-proxy"));
        servers
            .map(|(pid, _)| pid)
            .filter(|pid| !serves(pid))
            .collect()
    }

    /// One of those, if there is any.
    #[track_caller]
    fn standby(&self) -> Option<u32> {
        self.standbys().pop()
    }

    /// Waits for the next standby, then saves, and checks that it was the standby that took over.
    #[track_caller]
    fn warm_save(&self, mark: &str) {
        let reloads = self.log.events("reloaded").len();
        self.until_prepared();
        let before = processes_with_tag(self.peer.tag());
        self.save(mark);
        self.log.until("reloaded", reloads + 1);
        let pid = self.newest();
        let was_there = before.iter().any(|(it, _)| *it == pid);
        assert!(was_there, "it started cold:\n{}", self.log.text());
        assert_eq!(self.mark(), mark);
    }

    /// Saves, and checks that a new process took over, for a reason that was told.
    #[track_caller]
    fn cold_save(&self, mark: &str, reason: &str) {
        let reloads = self.log.events("reloaded").len();
        let before = processes_with_tag(self.peer.tag());
        self.save(mark);
        self.log.until("reloaded", reloads + 1);
        let pid = self.newest();
        let log = self.log.text();
        assert!(
            before.iter().all(|(it, _)| *it != pid),
            "it started warm:\n{log}"
        );
        let reasons = self.log.events("cold");
        let told = |event: &Value| event["reason"].as_str().unwrap().contains(reason);
        assert!(
            reason.is_empty() || reasons.iter().any(told),
            "{reason}:\n{log}"
        );
        assert_eq!(self.mark(), mark);
    }

    /// Checks that nothing is ever prepared for it because of the package or module `patch`, which is told once.
    #[track_caller]
    fn is_never_prepared(&self, patch: &str) {
        let cold = self.log.until("cold", 1).remove(0);
        let reason = format!("`{patch}` changes modules that are loaded after it");
        assert_eq!(cold["reason"], reason, "{}", self.log.text());
        assert_eq!(cold["for_good"], true, "{cold}");
        for mark in ["v1", "v2"] {
            self.cold_save(mark, &reason);
        }
        self.log.exactly("cold", 1);
        assert_eq!(self.log.events("standby"), [] as [Value; 0]);
    }
}
