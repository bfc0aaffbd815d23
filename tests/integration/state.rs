//! State that proxies leave for other commands: `status`, `logs` and `doctor`.

mod doctor;

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{
    DEADLINE, Peer, Project, Proxy, Run, eventually, example, initialize_params, marked,
};

fn project() -> Project {
    let project = Project::new();
    project.write("weather.json", &marked("v0"));
    project
}

/// A `dev` in front of the fake server `weather`, with its state in the project.
fn dev(project: &Project) -> Proxy {
    Proxy::dev([example("fake_server"), "weather.json".into()])
        .options(["--name", "weather", "--watch", "weather.json"])
        .known_to(project)
}

/// Starts the proxy, and a session with it.
#[track_caller]
fn started(proxy: Proxy) -> Peer {
    let peer = proxy.spawn();
    peer.initialize(&initialize_params()).result();
    peer.expect_stderr("ready in");
    peer
}

/// The object that `status --json` prints.
#[track_caller]
fn status(project: &Project) -> Value {
    let run = Run::within(project, &["status", "--json"]).ended_with(0);
    serde_json::from_str(&run.stdout).unwrap()
}

/// Waits until `status --json` fulfils the condition.
#[track_caller]
fn status_with(project: &Project, condition: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    eventually(DEADLINE, || {
        last = status(project);
        condition(&last)
    });
    last
}

#[test]
fn a_running_proxy_is_listed_until_its_end() {
    let project = project();
    let nothing = Run::within(&project, &["status"]).ended_with(0);
    assert_eq!(nothing.stdout, "no proxy of this user is running\n");

    let peer = started(dev(&project));
    let first = status_with(&project, |it| {
        it["running"][0]["servers"][0]["generation"] == 1
    });
    let run = &first["running"][0];
    assert_eq!(run["pid"], peer.pid());
    assert_eq!(run["command"], "dev");
    let root = project.root().canonicalize().unwrap();
    assert_eq!(run["project"], json!(root));
    assert_eq!(
        run["client"],
        json!({"name": "raw-client", "version": "1.0.0"})
    );
    let server = &run["servers"][0];
    assert_eq!(server["name"], "weather");
    assert_eq!(server["state"], "ready");
    assert_eq!(server["last_reload"], Value::Null);
    let old = server["pid"].as_u64().unwrap();

    project.write("weather.json", &marked("v1"));
    let second = status_with(&project, |it| {
        it["running"][0]["servers"][0]["generation"] == 2
    });
    let server = &second["running"][0]["servers"][0];
    assert!(server["last_reload"].is_string(), "{second}");
    assert_ne!(server["pid"].as_u64().unwrap(), old);

    let broken = json!({"exit_at_start": {"code": 3, "stderr": "boom"}});
    project.write("weather.json", &broken.to_string());
    let third = status_with(&project, |it| {
        it["running"][0]["servers"][0]["state"] == "broken"
    });
    let error = &third["running"][0]["servers"][0]["last_error"]["text"];
    assert!(error.as_str().unwrap().contains("status 3"), "{third}");
    let table = Run::within(&project, &["status"]).ended_with(0).stdout;
    let row = table.lines().nth(1).unwrap();
    for word in [
        "raw-client 1.0.0",
        "weather",
        "broken",
        "status 3",
        " s ago",
    ] {
        assert!(row.contains(word), "{table}");
    }

    peer.close_stdin();
    assert!(peer.wait_exit().success());
    assert_eq!(status(&project), json!({"running": [], "died": []}));
}

#[test]
fn a_killed_proxy_is_told_apart_and_its_log_is_left() {
    let project = project();
    let peer = started(dev(&project));
    let other = started(dev(&project));
    status_with(&project, |it| {
        let runs = it["running"].as_array().unwrap();
        runs.len() == 2 && runs.iter().all(|it| it["servers"][0]["generation"] == 1)
    });
    peer.signal(Signal::KILL);
    peer.wait_exit();
    let after = status(&project);
    assert_eq!(after["running"][0]["pid"], other.pid(), "{after}");
    let died = &after["died"][0];
    assert_eq!(died["pid"], peer.pid(), "{after}");
    assert_eq!(died["reason"], "was killed, or crashed");
    assert!(died["last_line"].as_str().unwrap().contains("weather  "));
    assert!(died["last_seen"].is_string());
    let text = Run::within(&project, &["status"]).ended_with(0).stdout;
    assert!(
        text.contains(&format!("died: pid {} in ", peer.pid())),
        "{text}"
    );
    let pid = peer.pid().to_string();
    let log = Run::within(&project, &["logs", "--pid", &pid]).ended_with(0);
    assert!(log.stdout.contains("ready in"), "{log:#?}");
}

#[test]
fn a_proxy_that_fails_says_so_where_its_client_hides_stderr() {
    let project = project();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let peer = dev(&project).options(["--http", &address]).spawn();
    assert!(!peer.wait_exit().success());
    let after = status(&project);
    let reason = after["died"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&address), "{after}");
    let log = Run::within(&project, &["logs"]).ended_with(0).stdout;
    assert!(log.contains(&format!("failed: {reason}")), "{log}");
}

#[test]
fn the_log_has_the_lines_of_stderr_and_is_private() {
    let project = project();
    let script =
        json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}], "stderr_flood": 250});
    project.write("weather.json", &script.to_string());
    let peer = started(dev(&project));
    project.write("weather.json", &marked("v1"));
    peer.expect_stderr("reloaded in");
    peer.close_stdin();
    peer.wait_exit();
    let log = Run::within(&project, &["logs"]).ended_with(0).stdout;
    let mut lines = log.lines();
    let head = lines.next().unwrap();
    assert!(
        head.contains(&format!("dev (pid {}) in ", peer.pid())),
        "{head}"
    );
    let lines: Vec<&str> = lines
        .map(|line| line.split_once("Z  ").unwrap().1)
        .collect();
    assert_eq!(lines, peer.stderr());
    assert!(log.contains("| xxx"), "{log}");

    let of_server = Run::within(&project, &["logs", "weather"])
        .ended_with(0)
        .stdout;
    assert!(
        of_server.contains("reloaded") && !of_server.contains("proxy  "),
        "{of_server}"
    );
    let none = Run::within(&project, &["logs", "wether"]).ended_with(0);
    assert_eq!(none.stdout, "");
    assert!(
        none.stderr.contains("no line of `wether`"),
        "{}",
        none.stderr
    );

    let folder = project.state().join("mcp-proxy/runs");
    let entries: Vec<_> = folder.read_dir().unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(entries[0].path()), 0o600);
    assert_eq!(mode(folder), 0o700);
}

#[test]
fn a_log_of_any_length_takes_two_files_of_limited_size() {
    let project = project();
    let peer = started(dev(&project));
    let folder = project.state().join("mcp-proxy/runs");
    let sizes = || {
        let files = folder.read_dir().unwrap().map(|it| it.unwrap());
        let logs = files.filter(|it| it.file_name().to_string_lossy().ends_with(".log"));
        // A file may be renamed at this moment.
        logs.filter_map(|it| Some(it.metadata().ok()?.len()))
            .collect::<Vec<_>>()
    };
    let mut round = 0;
    // Its answer shows that the saved script runs: a flood may displace any line.
    let mut saved = |flood: usize| {
        round += 1;
        let script = json!({"mark": round.to_string(), "stderr_flood": flood});
        project.write("weather.json", &script.to_string());
        let answer = peer.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], round.to_string());
        format!("(generation {})", round + 1)
    };
    eventually(DEADLINE, || {
        saved(400_000);
        sizes().len() == 2
    });
    assert!(
        sizes().iter().all(|size| *size <= 512 << 10),
        "{:?}",
        sizes()
    );
    eventually(DEADLINE, || {
        let last = saved(0);
        let log = Run::within(&project, &["logs"]).ended_with(0).stdout;
        assert_eq!(log.matches("# mcp-proxy").count(), 1);
        log.contains(&last)
    });
}

/// A limit on the size of files stands for a full disk.
#[test]
fn a_log_on_a_full_disk_keeps_whole_lines_and_the_proxy_serves() {
    let project = project();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 200; exec \"$@\"", "sh"];
    let peer = Peer::spawn_command(dev(&project).run_by(limited.map(OsString::from)));
    peer.initialize(&initialize_params()).result();
    peer.expect_stderr("ready in");
    let limits = fs::read_to_string(format!("/proc/{}/limits", peer.pid())).unwrap();
    let limit = limits
        .lines()
        .find_map(|it| it.strip_prefix("Max file size"));
    let limit: usize = limit
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let log = || {
        let folder = project.state().join("mcp-proxy/runs");
        let mut files = folder.read_dir().unwrap().map(|it| it.unwrap().path());
        let log = files.find(|it| it.extension().is_some_and(|it| it == "log"));
        fs::read_to_string(log.unwrap()).unwrap()
    };
    let mut round = 0;
    eventually(DEADLINE, || {
        round += 1;
        let script = json!({"mark": round.to_string(), "stderr_flood": 100_000});
        project.write("weather.json", &script.to_string());
        let answer = peer.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], round.to_string());
        log().len() + 4096 > limit
    });
    eventually(DEADLINE, || log().ends_with('\n'));
    let status = status_with(&project, |it| it["running"][0]["pid"] == peer.pid());
    assert_eq!(status["running"][0]["servers"][0]["state"], "ready");
}

#[test]
fn a_log_is_followed_until_the_proxy_ends() {
    let project = project();
    let peer = started(dev(&project));
    let mut command = Command::new(Proxy::program());
    command
        .args(["logs", "-f", "weather"])
        .current_dir(project.root())
        .env("XDG_STATE_HOME", project.state())
        .stdout(Stdio::piped());
    let mut following = command.spawn().unwrap();
    let mut stdout = following.stdout.take().unwrap();
    let mut text = String::new();
    let mut until = |word: &str| {
        let mut bytes = [0; 4096];
        while !text.contains(word) {
            let length = stdout.read(&mut bytes).unwrap();
            assert!(length > 0, "{text}");
            text += &String::from_utf8_lossy(&bytes[..length]);
        }
    };
    until("ready in");
    project.write("weather.json", &marked("v1"));
    until("reloaded in");
    assert!(following.try_wait().unwrap().is_none());
    peer.signal(Signal::KILL);
    eventually(DEADLINE, || following.try_wait().unwrap().is_some());
}

#[test]
fn a_project_without_a_log_names_those_with_one() {
    let project = project();
    let error = Run::within(&project, &["logs"]).ended_with(1).stderr;
    assert!(error.contains("no log of a proxy in "), "{error}");
    let peer = started(dev(&project).option("--no-log"));
    status_with(&project, |it| it["running"][0]["pid"] == peer.pid());
    let error = Run::within(&project, &["logs"]).ended_with(1).stderr;
    assert!(error.contains("--no-log"), "{error}");
    let other = started(dev(&project));
    let mut command = Command::new(Proxy::program());
    let elsewhere = Project::new();
    command
        .arg("logs")
        .current_dir(elsewhere.root())
        .env("XDG_STATE_HOME", project.state());
    let error = Run::of(command).ended_with(1).stderr;
    assert!(
        error.contains(&format!("--pid {} in ", other.pid())),
        "{error}"
    );
}

#[test]
fn a_proxy_serves_without_a_place_for_its_state() {
    let project = project();
    project.write("file", "");
    let peer = started(
        dev(&project)
            .env("XDG_STATE_HOME", project.path("file"))
            .option("-v"),
    );
    let line = peer.expect_stderr("not recorded");
    assert!(line.contains("/file/mcp-proxy"), "{line}");
    peer.call("mark", &json!({})).result();
    peer.close_stdin();
    assert!(peer.wait_exit().success());
}
