//! `--build`, `--reload stop-first` and `--on-broken`: the steps around a start.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Project, Proxy, SOURCE, Watched, eventually, example, free_port, marked,
    processes_with_tag, require,
};

fn built_by(project: Project, build: &str) -> Watched {
    Watched::with(project, &["--watch", "src/**", "--build", build])
}

#[test]
fn the_build_runs_before_each_start() {
    // Without a null stdin the first `cat` would take the client's messages and never end.
    let build = "cat; echo run >> runs; echo building; echo 'a warning' >&2";
    let watched = built_by(Project::new(), build);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
    // The first start, the save, and the save that ends the check.
    assert_eq!(watched.project.read("runs"), "run\nrun\nrun\n");
    let names = ["building", "build_output", "spawned"];
    let log = watched.log();
    let order: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .filter(|name| names.contains(&name.as_str()))
        .collect();
    let once = ["building", "build_output", "build_output", "spawned"];
    assert_eq!(order, once.repeat(3), "{log}");
    let output = watched.events("build_output");
    assert_eq!(output[0]["line"], "building");
    assert_eq!(output[1]["line"], "a warning");
    watched.peer.expect_stderr("a warning");
}

#[test]
fn a_build_that_fails_answers_calls_while_the_old_code_lives() {
    let project = Project::new();
    project.write("ok", "");
    let build = "test -e ok || { echo 'src/a.rs:7: no such type'; exit 3; }";
    let watched = built_by(project, build);
    let first = pid_of(&watched, 0);
    fs::remove_file(watched.project.path("ok")).unwrap();
    watched.write("v1");
    watched.until("broken", 1);
    let answer = watched.peer.call("mark", &json!({}));
    assert_eq!(answer.result()["isError"], true, "{}", answer.line);
    let text = answer.tool_text();
    for part in ["src/a.rs:7: no such type", "status 3", SOURCE] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(is_alive(&watched, first), "{}", watched.log());
    let listed = watched.peer.ask("tools/list", &json!({})).result();
    assert!(!listed["tools"].as_array().unwrap().is_empty());

    watched.project.write("ok", "");
    watched.write("v2");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v2");
    eventually(DEADLINE, || !is_alive(&watched, first));
    watched.exactly("broken", 1);
    watched.exactly("spawned", 2);
}

#[test]
fn a_first_build_that_fails_leaves_a_session_that_recovers() {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    let server = [example("fake_server").into_os_string(), SOURCE.into()];
    let peer = Proxy::dev(server)
        .options(["--watch", "src/**", "--build", "grep -q good src/*.json"])
        .within(&project)
        .spawn();
    peer.initialize(&crate::harness::initialize_params())
        .result();
    let answer = peer.call("mark", &json!({}));
    assert!(answer.line.contains("grep -q good"), "{}", answer.line);
    project.save(SOURCE, &marked("good"));
    peer.expect_notification("notifications/tools/list_changed");
    let answer = peer.call("mark", &json!({})).result();
    assert_eq!(answer["structuredContent"]["mark"], "good");
}

/// A second `initialize` of the client does not start the output of an earlier build.
#[test]
fn a_build_that_failed_is_run_again_for_another_client() {
    let project = Project::new();
    project.write(SOURCE, &marked("broken"));
    project.write("built.json", &marked("stale"));
    let server = [example("fake_server").into_os_string(), "built.json".into()];
    let build = format!("grep -q good {SOURCE} && cp {SOURCE} built.json");
    let peer = Proxy::dev(server)
        .options(["--watch", "src/**", "--build", &build])
        .within(&project)
        .spawn();
    let mark = json!({"name": "mark"});
    peer.modern("server/discover", json!({}));
    let answer = peer.modern("tools/call", mark.clone());
    assert_eq!(answer.result()["isError"], true, "{}", answer.line);
    peer.initialize(&crate::harness::initialize_params());
    let answer = peer.ask("tools/call", &mark);
    assert_eq!(answer.result()["isError"], true, "{}", answer.line);
    assert!(
        answer.tool_text().contains("cannot be built"),
        "{}",
        answer.line
    );

    project.save(SOURCE, &marked("good"));
    peer.expect_notification("notifications/tools/list_changed");
    let answer = peer.ask("tools/call", &mark).result();
    assert_eq!(answer["structuredContent"]["mark"], "good");
}

#[test]
fn a_newer_save_cancels_the_build() {
    let project = Project::new();
    let build = "if test -e slow; then sh -c 'sleep 1000; true'; fi";
    let watched = built_by(project, build);
    watched.project.write("slow", "");
    watched.write("v1");
    let sleeping = || {
        let processes = processes_with_tag(watched.peer.tag());
        let sleeps = processes.iter().filter(|(_, line)| line == "sleep 1000");
        sleeps.count()
    };
    eventually(DEADLINE, || sleeping() == 1);
    fs::remove_file(watched.project.path("slow")).unwrap();
    watched.write("v2");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v2");
    eventually(DEADLINE, || sleeping() == 0);
    watched.exactly("building", 3);
    watched.exactly("reloaded", 1);
    assert_eq!(watched.events("broken").len(), 0, "{}", watched.log());
}

/// The build writes among the sources, at its start or its end.
#[test]
fn a_build_that_stamps_a_source_is_built_for_each_save_once() {
    for build in [
        "date +%s%N > src/stamp",
        "date +%s%N > src/stamp; sleep 0.3",
        "sleep 0.3; date +%s%N | tee src/stamp > src/other",
    ] {
        let watched = built_by(Project::new(), build);
        assert_eq!(watched.mark(), "v0", "{build}");
        let first = watched.events("building").len();
        assert!((2..=4).contains(&first), "{build}: {}", watched.log());
        for mark in ["v1", "v2"] {
            watched.write(mark);
            watched.until("reloaded", mark[1..].parse().unwrap());
            assert_eq!(watched.mark(), mark, "{build}: {}", watched.log());
        }
        let builds = watched.events("building").len() - first;
        assert_eq!(builds, 2, "{build}: {}", watched.log());
    }
}

/// The build writes the very file that is saved: at first it cannot be told from the user.
#[test]
fn a_build_that_stamps_the_saved_file_comes_to_rest() {
    let build = format!("printf ' ' >> {SOURCE}");
    let watched = built_by(Project::new(), &build);
    assert_eq!(watched.mark(), "v0");
    watched.write("v1");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v1");
    let first = watched.events("building").len();
    watched.write("v2");
    watched.until("reloaded", 2);
    assert_eq!(watched.mark(), "v2");
    assert_eq!(
        watched.events("building").len(),
        first + 1,
        "{}",
        watched.log()
    );
}

/// A formatter changes the saved file once, and leaves it alone the next time.
#[test]
fn a_build_that_formats_the_saved_file_is_run_once_more() {
    let build = format!("grep -q '{{ ' {SOURCE} || sed -i 's/{{/{{ /' {SOURCE}");
    let watched = built_by(Project::new(), &build);
    assert_eq!(watched.mark(), "v0");
    for mark in ["v1", "v2", "v3"] {
        let before = watched.events("building").len();
        watched.write(mark);
        watched.until("reloaded", mark[1..].parse().unwrap());
        assert_eq!(watched.mark(), mark);
        let builds = watched.events("building").len() - before;
        assert!((1..=2).contains(&builds), "{}", watched.log());
        assert!(watched.project.read(SOURCE).starts_with("{ "));
    }
}

/// A file is saved while a build runs that is known to write another file.
#[test]
fn a_save_during_a_build_that_stamps_a_source_is_built() {
    let build = "touch begun; sleep 0.4; date +%s%N > src/stamp";
    let watched = built_by(Project::new(), build);
    for round in 0..3 {
        let begun = watched.project.path("begun");
        fs::remove_file(&begun).unwrap();
        watched.write(&format!("v{round}"));
        eventually(DEADLINE, || begun.exists());
        let last = format!("saved-meanwhile-{round}");
        watched.write(&last);
        watched.until("reloaded", round + 1);
        eventually(DEADLINE, || watched.mark() == last);
    }
}

/// A build that never comes to rest does not keep a call waiting without a word.
#[test]
fn a_build_that_writes_another_file_each_time_is_named() {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    let build = "date > src/gen-$(date +%s%N); sleep 0.1";
    let text = format!(
        "[proxy]\nhold_timeout = '2s'\n[servers.fake]\ncommand = '{}'\nargs = ['{SOURCE}']\n\
         watch = ['src/**']\nbuild = '{build}'\n",
        example("fake_server").display()
    );
    project.write("mcp-proxy.toml", &text);
    let peer = Proxy::configured("dev")
        .options(["--server", "fake"])
        .within(&project)
        .spawn();
    peer.initialize(&crate::harness::initialize_params());
    let mut answer = peer.call("mark", &json!({}));
    for _ in 0..3 {
        answer = peer.call("mark", &json!({}));
    }
    assert!(
        answer.line.contains("--watch '!src/gen-"),
        "{}",
        answer.line
    );
}

/// Of several servers, the one whose build is not over has listed nothing yet; a call of its tool says so.
#[test]
fn a_first_build_that_takes_longer_than_a_call_may_wait_is_named() {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    let fake = example("fake_server");
    let server = format!("command = '{}'\nargs = ['{SOURCE}']", fake.display());
    let text = format!(
        "[proxy]\nhold_timeout = '1s'\nstartup_wait = '100ms'\n[servers.fake]\n{server}\n\
         [servers.slow]\n{server}\nbuild = 'while ! test -e go; do sleep 0.1; done'\n"
    );
    project.write("mcp-proxy.toml", &text);
    let peer = Proxy::configured("dev").within(&project).spawn();
    peer.initialize(&crate::harness::initialize_params());
    let answer = peer.call("slow__mark", &json!({}));
    assert_eq!(answer.result()["isError"], true, "{}", answer.line);
    let text = answer.tool_text();
    assert!(
        text.contains("`slow` was not ready within 1 s") && text.contains("build"),
        "{text}"
    );
    project.write("go", "");
    eventually(DEADLINE, || {
        let answer = peer.call("slow__mark", &json!({})).result();
        answer["structuredContent"]["mark"] == "v0"
    });
}

/// A server that nobody can start twice: it listens on a port for as long as it lives.
const OWNS_A_PORT: &str = "
import socket, subprocess, sys
listener = socket.socket()
listener.bind(('127.0.0.1', int(sys.argv[1])))
listener.listen()
sys.exit(subprocess.call(sys.argv[2:]))
";

#[track_caller]
fn with_a_port(options: &[&str]) -> Watched {
    require("python3", "install Python 3");
    let port = free_port();
    let project = Project::new();
    project.write("owner.py", OWNS_A_PORT);
    let server = [
        "python3".into(),
        "owner.py".into(),
        port.to_string().into(),
        example("fake_server").into_os_string(),
        SOURCE.into(),
    ];
    let proxy = Proxy::dev(server)
        .options(["--watch", "src/**"])
        .options(options);
    Watched::of(project, proxy)
}

#[test]
fn stop_first_lets_a_server_own_a_port() {
    let watched = with_a_port(&["--reload", "stop-first"]);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
    watched.write("v2");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v2");
    assert_eq!(watched.events("broken"), Vec::<Value>::new());
}

/// The start that is given up has the port for as long as it lives.
#[test]
fn stop_first_waits_for_a_start_that_is_given_up() {
    let watched = with_a_port(&["--reload", "stop-first"]);
    let slow = json!({"mark": "v1", "start_delay_ms": 100_000}).to_string();
    watched.project.write(SOURCE, &slow);
    let owner = pid_of(&watched, 1);
    // The owner of the port runs its code only after it has the port.
    let owns = || {
        let processes = processes_with_tag(watched.peer.tag());
        let server = example("fake_server").display().to_string();
        is_alive(&watched, owner) && processes.iter().any(|(_, line)| line.starts_with(&server))
    };
    eventually(DEADLINE, owns);
    // In one step: it may only be about to read the file.
    watched.project.save(SOURCE, &marked("v2"));
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v2");
    assert_eq!(watched.events("broken"), Vec::<Value>::new());
}

/// A save while the old code ends is built before the new code starts.
#[test]
fn stop_first_builds_what_is_saved_while_the_old_code_ends() {
    let project = Project::new();
    let stubborn = |mark: &str| json!({"mark": mark, "ignore_eof": true}).to_string();
    project.write(SOURCE, &stubborn("v0"));
    let server = [example("fake_server").into_os_string(), "built.json".into()];
    let options = ["--watch", "src/**", "--reload", "stop-first", "--build"];
    let proxy = Proxy::dev(server).options(options);
    let watched = Watched::of(project, proxy.option(format!("cp {SOURCE} built.json")));
    watched.project.write(SOURCE, &stubborn("v1"));
    eventually(DEADLINE, || {
        watched.project.read("built.json").contains("v1")
    });
    watched.project.write(SOURCE, &stubborn("v2"));
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v2");
    watched.exactly("building", 3);
    watched.exactly("spawned", 2);
}

#[test]
fn overlap_names_the_cure_to_the_owner_of_a_port() {
    let watched = with_a_port(&[]);
    watched.write("v1");
    let broken = watched.until("broken", 1);
    let advice = broken[0]["failure"]["advice"].as_str().unwrap_or_default();
    assert!(advice.contains("--reload stop-first"), "{}", watched.log());
    let answer = watched.peer.call("mark", &json!({}));
    let text = answer.tool_text();
    for part in ["Address already in use", "--reload stop-first"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    watched.peer.expect_stderr("--reload stop-first");
}

#[test]
fn broken_code_is_reported() {
    let watched = Watched::start();
    let first = pid_of(&watched, 0);
    watched.project.write(SOURCE, "{broken");
    watched.until("broken", 1);
    let answer = watched.peer.call("mark", &json!({}));
    assert_eq!(answer.result()["isError"], true, "{}", answer.line);
    assert!(answer.tool_text().contains(SOURCE), "{}", answer.line);
    assert!(is_alive(&watched, first), "{}", watched.log());
    watched.write("v1");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn the_last_good_code_serves_if_so_wished() {
    let options = ["--watch", "**/*", "--on-broken", "serve-last-good"];
    let watched = Watched::with(Project::new(), &options);
    watched.project.write(SOURCE, "{broken");
    let broken = watched.until("broken", 1);
    assert_eq!(broken[0]["serving_last_good"], true, "{}", watched.log());
    assert_eq!(watched.mark(), "v0");
    watched.write("v1");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v1");
}

/// The error says why the saved code does not run, not how the code before it ended.
#[test]
fn broken_code_is_still_the_reason_when_the_old_code_ends() {
    for on_broken in ["report", "serve-last-good"] {
        let options = ["--watch", "**/*", "--on-broken", on_broken];
        let watched = Watched::with(Project::new(), &options);
        watched.project.write(SOURCE, "{broken");
        watched.until("broken", 1);
        let old = i32::try_from(pid_of(&watched, 0)).unwrap();
        kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
        watched.until("exited", 1);
        let text = watched.peer.call("mark", &json!({})).tool_text();
        for part in ["exited with status 2", "key must be a string"] {
            assert!(text.contains(part), "{on_broken}: {part}: {text}");
        }
    }
}

/// Undoing a broken save leads back to a server that answers, though its code is the old one.
#[test]
fn a_broken_save_that_is_undone() {
    let watched = Watched::start();
    watched.project.write(SOURCE, "{broken");
    watched.until("broken", 1);
    watched.write("v0");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v0");
}

fn pid_of(watched: &Watched, start: usize) -> u64 {
    watched.until("spawned", start + 1)[start]["pid"]
        .as_u64()
        .unwrap()
}

fn is_alive(watched: &Watched, pid: u64) -> bool {
    let processes = processes_with_tag(watched.peer.tag());
    processes
        .iter()
        .any(|(living, _)| u64::from(*living) == pid)
}
