//! Servers that own an exclusive resource: the proxy says how to reload them.

use std::fs::File;

use serde_json::{Value, json};

use crate::harness::{
    Project, Proxy, SOURCE, Watched, example, free_port, initialize_params, require,
};

/// Behind a wrapper in Python that takes something first, and lets the fake server speak.
#[track_caller]
fn behind_python(takes: &str, options: &[&str]) -> Watched {
    behind(PYTHON, with_python(takes), options)
}

const PYTHON: &[&str] = &["python3", "owner.py"];

/// Returns the project of such a server.
#[track_caller]
fn with_python(takes: &str) -> Project {
    require("python3", "install Python 3");
    let project = Project::new();
    let wrapper = format!(
        "import fcntl, sqlite3, subprocess, sys\n{takes}\nsys.exit(subprocess.call(sys.argv[1:]))\n"
    );
    project.write("owner.py", &wrapper);
    project
}

#[track_caller]
fn behind(wrapper: &[&str], project: Project, options: &[&str]) -> Watched {
    Watched::of(project, proxy_before(wrapper, options))
}

fn proxy_before(wrapper: &[&str], options: &[&str]) -> Proxy {
    let server = wrapper.iter().map(Into::into);
    let server = server.chain([example("fake_server").into_os_string(), SOURCE.into()]);
    Proxy::dev(server)
        .options(["--watch", "src/**"])
        .options(options.iter().copied())
}

#[track_caller]
fn is_told_to_stop_first(watched: &Watched, words: &str) {
    watched.write("v1");
    let broken = watched.until("broken", 1);
    let advice = broken[0]["failure"]["advice"].as_str().unwrap_or_default();
    assert!(advice.contains("--reload stop-first"), "{}", watched.log());
    let text = watched.peer.call("mark", &json!({})).tool_text();
    for part in [words, "--reload stop-first"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

const FLOCK: &str = "lock = open('lock', 'w')\nfcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)";
const SQLITE: &str = "db = sqlite3.connect('db', timeout=0)\ndb.execute('begin exclusive')";
const INSTANCE: &str = "lock = open('lock', 'w')
try:
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit('error: another instance is running')";

#[test]
fn the_owner_of_a_lock_is_told_to_stop_first() {
    for (takes, words) in [
        (FLOCK, "Resource temporarily unavailable"),
        (SQLITE, "database is locked"),
        (INSTANCE, "another instance is running"),
    ] {
        is_told_to_stop_first(&behind_python(takes, &[]), words);
    }
}

#[test]
fn a_lock_that_flock_takes_without_a_word_is_known_by_the_command() {
    require("flock", "install util-linux");
    let watched = behind(&["flock", "-n", "lock"], Project::new(), &[]);
    is_told_to_stop_first(&watched, "exited with status 1");
}

#[test]
fn a_lock_of_another_program_is_told_and_the_next_call_tries_again() {
    for options in [&[][..], &["--reload", "stop-first"]] {
        let project = with_python(FLOCK);
        project.write(SOURCE, r#"{"mark": "v0"}"#);
        let other = File::create(project.path("lock")).unwrap();
        other.lock().unwrap();
        let peer = proxy_before(PYTHON, options).within(&project).spawn();
        peer.initialize(&initialize_params()).result();
        for _ in 0..2 {
            let text = peer.call("mark", &json!({})).tool_text();
            assert!(
                text.contains("another process has the port or lock"),
                "{text}"
            );
            for wrong in ["stop-first", "saved code", "fix the code"] {
                assert!(!text.contains(wrong), "{wrong}: {text}");
            }
        }
        drop(other);
        let answer = peer.call("mark", &json!({})).result();
        assert_eq!(answer["structuredContent"]["mark"], "v0");
    }
}

#[test]
fn the_owner_of_a_lock_that_is_stopped_first_reloads() {
    let watched = behind_python(FLOCK, &["--reload", "stop-first"]);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

/// Runs the words behind it, as a server with a debugger that children do not inherit.
const WRAPPER: &str = "const [, , program, ...args] = process.argv;
require('child_process').spawn(program, args, {stdio: 'inherit'}).on('exit', (code) => process.exit(code));";

#[track_caller]
fn with_a_debugger(options: &[&str]) -> Watched {
    require("node", "install Node.js");
    let inspect = format!("--inspect=127.0.0.1:{}", free_port());
    let project = Project::new();
    project.write("wrapper.js", WRAPPER);
    behind(&["node", &inspect, "wrapper.js"], project, options)
}

#[test]
fn a_debugger_that_did_not_get_its_port_is_told_of() {
    let watched = with_a_debugger(&[]);
    watched.write("v1");
    let missed = watched.until("port_missed", 1);
    let line = missed[0]["line"].as_str().unwrap();
    assert!(line.contains("Starting inspector on 127.0.0.1"), "{line}");
    watched.peer.expect_stderr("--reload stop-first");
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn a_debugger_that_is_stopped_first_keeps_its_port() {
    let watched = with_a_debugger(&["--reload", "stop-first"]);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.events("port_missed"), Vec::<Value>::new());
}
