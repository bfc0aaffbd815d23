//! No process is left behind, however the proxy ends and however the server was started. Processes are found by a
//! variable that each of them inherits.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{
    DEADLINE, Peer, Project, Proxy, SOURCE, Watched, eventually, example, initialize_params,
    marked, peers, processes_with_tag, require,
};

/// The end of stdin, SIGTERM, SIGKILL: 4 s altogether, and time for a machine that is busy.
pub(crate) const LADDER: Duration = Duration::from_secs(30);
/// Time in which a client that has closed its side may still get responses.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// How the server comes to be started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Direct,
    /// A shell that stays between.
    Shell,
    /// As npx does: a program, a shell, the server.
    Nested,
    NpmRun,
    Npx,
    UvRun,
    /// Neither the end of stdin nor a signal that can be ignored ends it.
    Stubborn,
    /// A process of its own keeps its stdout and stderr open.
    Grandchild,
}

impl Start {
    const ALL: [Self; 8] = [
        Self::Direct,
        Self::Shell,
        Self::Nested,
        Self::NpmRun,
        Self::Npx,
        Self::UvRun,
        Self::Stubborn,
        Self::Grandchild,
    ];

    /// Prepares the project and gives the server's command.
    #[track_caller]
    pub(crate) fn command(self, project: &Project) -> Vec<OsString> {
        if !project.path(SOURCE).exists() {
            project.write(SOURCE, &marked("v0"));
        }
        let server = example("fake_server");
        let server = server.display();
        let source = project.path(SOURCE);
        let line = format!("'{server}' '{}'", source.display());
        let root = project.root().display();
        match self {
            Self::Direct => vec![example("fake_server").into(), SOURCE.into()],
            Self::Shell => sh(&format!("cd '{root}' && {line}; true")),
            Self::Nested => sh(&format!("sh -c \"{line}; true\"; true")),
            Self::NpmRun | Self::Npx => {
                require("npm", "install Node.js with npm");
                npm_package(project, &line);
                let words: &[&str] = if matches!(self, Self::Npx) {
                    &["npx", "--no-install", "served"]
                } else {
                    &["npm", "run", "--silent", "serve"]
                };
                words.iter().map(OsString::from).collect()
            }
            Self::UvRun => {
                let uv = peers().join("python/.venv/bin/uv");
                let options = ["run", "--no-project", "--offline", "--quiet"];
                let mut words = vec![uv.into_os_string()];
                words.extend(options.map(OsString::from));
                words.extend([example("fake_server").into(), SOURCE.into()]);
                words
            }
            Self::Stubborn => sh(&format!(
                "trap '' TERM INT HUP; {line}; while :; do sleep 1000; done"
            )),
            Self::Grandchild => sh(&format!("sleep 1000 & exec {line}")),
        }
    }
}

fn sh(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).to_vec()
}

/// A package whose script and whose program start the server.
fn npm_package(project: &Project, line: &str) {
    let package = json!({
        "name": "served",
        "version": "1.0.0",
        "bin": {"served": "serve.sh"},
        "scripts": {"serve": "./serve.sh"},
    });
    project.write("package.json", &package.to_string());
    project.write("serve.sh", &format!("#!/bin/sh\n{line}\n"));
    let script = project.path("serve.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let programs = project.path("node_modules/.bin");
    fs::create_dir_all(&programs).unwrap();
    std::os::unix::fs::symlink(script, programs.join("served")).unwrap();
}

/// How the proxy is made to end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client closes the proxy's stdin.
    Close,
    Signal(Signal),
    /// Ctrl-C until it exits.
    Repeated,
}

impl End {
    const KILL: Self = Self::Signal(Signal::KILL);
    const ALL: [Self; 6] = [
        Self::Close,
        Self::Signal(Signal::TERM),
        Self::Signal(Signal::INT),
        Self::Signal(Signal::HUP),
        Self::Repeated,
        Self::KILL,
    ];

    /// Brings it about and waits until nothing is left.
    #[track_caller]
    fn of(self, peer: &Peer, what: &str) {
        let before = processes_with_tag(peer.tag());
        let started = Instant::now();
        match self {
            Self::Close => peer.close_stdin(),
            Self::Signal(signal) => peer.signal(signal),
            Self::Repeated => eventually(LADDER, || {
                peer.signal(Signal::INT);
                peer.has_exited()
            }),
        }
        let status = peer.wait_exit();
        nothing_left(peer.tag(), &format!("{what} {self:?} {before:#?}"));
        let took = started.elapsed();
        let limit = match self {
            Self::Close => LAST_ANSWERS + LADDER,
            _ => LADDER,
        };
        assert!(took < limit, "{what} {self:?}: gone after {took:?}");
        let code = match self {
            Self::Close => Some(0),
            Self::Signal(Signal::KILL) => None,
            Self::Signal(_) | Self::Repeated => Some(130),
        };
        assert_eq!(status.code(), code, "{what}\n{}", peer.transcript());
    }
}

#[track_caller]
pub(crate) fn nothing_left(tag: &str, what: &str) {
    let deadline = Instant::now() + LADDER;
    loop {
        let left = processes_with_tag(tag);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: left are {left:#?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The proxy in front of a server that was started this way and has answered.
#[track_caller]
fn running(start: Start, project: &Project, options: &[&str]) -> Peer {
    let peer = Proxy::dev(start.command(project))
        .options(["--watch", "src/**"])
        .options(options)
        .within(project)
        .spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    peer
}

/// Ends it in each way, with the server started in this way.
#[track_caller]
fn ends(start: Start) {
    thread::scope(|scope| {
        for end in End::ALL {
            scope.spawn(move || {
                let project = Project::new();
                let peer = running(start, &project, &[]);
                end.of(&peer, &format!("{start:?}"));
            });
        }
    });
}

#[test]
fn a_server_started_directly() {
    ends(Start::Direct);
}

#[test]
fn a_server_behind_a_shell() {
    ends(Start::Shell);
}

#[test]
fn a_server_behind_two_shells() {
    ends(Start::Nested);
}

#[test]
fn a_server_behind_npm_run() {
    ends(Start::NpmRun);
}

#[test]
fn a_server_behind_npx() {
    ends(Start::Npx);
}

#[test]
fn a_server_behind_uv_run() {
    ends(Start::UvRun);
}

#[test]
fn a_server_that_ignores_all_requests_to_end() {
    ends(Start::Stubborn);
}

#[test]
fn a_server_whose_child_holds_its_stdout() {
    ends(Start::Grandchild);
}

#[test]
fn a_copy_of_a_signal_does_not_cut_the_end_short() {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    let server = example("fake_server");
    // The shell needs a moment after its server has ended, perhaps more than it has before SIGTERM on a busy machine. A
    // forced end would kill it before.
    let line = format!(
        "trap '' TERM; '{}' {SOURCE}; sleep 0.5; : > ended",
        server.display()
    );
    let peer = Proxy::dev(sh(&line)).within(&project).spawn();
    peer.initialize(&initialize_params()).result();
    peer.call("mark", &json!({})).result();
    // Of one signal that is sent twice, the system may deliver only one.
    peer.signal(Signal::INT);
    peer.signal(Signal::TERM);
    assert_eq!(peer.wait_exit().code(), Some(130), "{}", peer.transcript());
    assert!(project.path("ended").exists(), "{}", peer.transcript());
}

/// Whether the fake server runs among the processes with this tag.
pub(crate) fn serves(tag: &str) -> bool {
    let processes = processes_with_tag(tag);
    let server = example("fake_server").display().to_string();
    processes.iter().any(|(_, line)| line.starts_with(&server))
}

/// In the midst of something that takes longer than any test.
fn in_each_way(what: &str, prepare: impl Fn(&Project) -> Peer + Sync) {
    thread::scope(|scope| {
        for end in End::ALL {
            let prepare = &prepare;
            scope.spawn(move || {
                let project = Project::new();
                let peer = prepare(&project);
                end.of(&peer, what);
            });
        }
    });
}

#[test]
fn during_the_first_start() {
    in_each_way("during a start", |project| {
        project.write(SOURCE, &json!({"start_delay_ms": 1_000_000}).to_string());
        let peer = Proxy::dev(Start::Shell.command(project))
            .within(project)
            .spawn();
        peer.request("initialize", &initialize_params());
        eventually(DEADLINE, || serves(peer.tag()));
        peer
    });
}

#[test]
fn during_a_start_beside_the_old_code() {
    in_each_way("during a reload", |project| {
        let peer = running(Start::Nested, project, &[]);
        let before = processes_with_tag(peer.tag()).len();
        project.write(SOURCE, &json!({"start_delay_ms": 1_000_000}).to_string());
        eventually(DEADLINE, || {
            processes_with_tag(peer.tag()).len() == before + 3
        });
        peer
    });
}

#[test]
fn during_the_first_build() {
    in_each_way("during a build", |project| {
        let peer = Proxy::dev(Start::Direct.command(project))
            .options(["--build", "sh -c 'sleep 1000; true'; true"])
            .within(project)
            .spawn();
        peer.request("initialize", &initialize_params());
        eventually(DEADLINE, || runs(&peer, "sleep 1000"));
        peer
    });
}

#[test]
fn during_a_stubborn_build() {
    in_each_way("during a rebuild", |project| {
        let build =
            "trap '' TERM INT HUP; if test -e slow; then sh -c 'sleep 1000; true'; fi; true";
        let peer = running(Start::Direct, project, &["--build", build]);
        project.write("slow", "");
        project.write(SOURCE, &marked("v1"));
        eventually(DEADLINE, || runs(&peer, "sleep 1000"));
        peer
    });
}

#[test]
fn during_a_drain() {
    in_each_way("during a drain", |project| {
        let peer = running(Start::Shell, project, &[]);
        let slow = json!({"name": "slow", "arguments": {"ms": 1_000_000}});
        let slow = peer.request("tools/call", &slow);
        // Answered behind the slow call, so the server has that.
        peer.call("mark", &json!({})).result();
        project.write(SOURCE, &marked("v1"));
        peer.expect_notification("notifications/tools/list_changed");
        let answer = peer.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], "v1");
        assert_eq!(peer.responses_to(slow), 0);
        peer
    });
}

#[test]
fn during_a_slow_call() {
    for start in [Start::Shell, Start::Stubborn] {
        in_each_way("during a call", |project| {
            let peer = running(start, project, &[]);
            let slow = json!({"name": "slow", "arguments": {"ms": 1_000_000}});
            peer.request("tools/call", &slow);
            peer.call("mark", &json!({})).result();
            peer
        });
    }
}

fn runs(peer: &Peer, command: &str) -> bool {
    let processes = processes_with_tag(peer.tag());
    processes.iter().any(|(_, line)| line == command)
}

/// After each reload all processes of the old generation are gone, and there are as many as before.
#[test]
fn reloads_leave_nothing() {
    thread::scope(|scope| {
        for start in Start::ALL {
            scope.spawn(move || {
                let project = Project::new();
                let command = start.command(&project);
                // Standbys come and go at times of their own.
                let proxy = Proxy::dev(command).options(["--watch", "src/**", "--no-warm"]);
                let watched = Watched::of(project, proxy);
                let mut before = servers_of(&watched.peer);
                let count = before.len();
                for round in 1..=3 {
                    watched.write(&format!("v{round}"));
                    watched.until("reloaded", round);
                    assert_eq!(watched.mark(), format!("v{round}"));
                    eventually(LADDER, || {
                        let now = servers_of(&watched.peer);
                        now.len() == count && now.iter().all(|process| !before.contains(process))
                    });
                    before = servers_of(&watched.peer);
                }
                // Only a fully stopped generation is said to have stopped.
                watched.until("stopped", 3);
                End::Close.of(&watched.peer, &format!("{start:?}, reloaded"));
            });
        }
    });
}

/// The processes that belong to neither the proxy nor its guard.
fn servers_of(peer: &Peer) -> Vec<(u32, String)> {
    let mut processes = processes_with_tag(peer.tag());
    processes.retain(|(pid, line)| *pid != peer.pid() && !line.starts_with("mcp-proxy __reaper "));
    processes
}

/// Ctrl-C in a terminal reaches the whole foreground group: the servers are in groups of their own.
#[test]
fn signals_to_the_proxys_group_do_not_reach_the_server() {
    let watched = Watched::start();
    let group_of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(2).unwrap().to_owned()
    };
    let own = group_of(watched.peer.pid());
    let others = processes_with_tag(watched.peer.tag());
    assert_eq!(
        others.len(),
        3,
        "the proxy, its guard, the server: {others:?}"
    );
    for (pid, line) in others.iter().filter(|(pid, _)| *pid != watched.peer.pid()) {
        assert_ne!(group_of(*pid), own, "{line}");
    }
}
