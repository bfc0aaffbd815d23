//! A package that was missing is installed while the server is broken: it is started again without a save.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{IMPORT, REQUIRE, in_node, in_python, project};
use crate::harness::{Log, Peer, Project, Proxy, initialize_params};

const SERVER: &str = "from late import MARK";
const MODULE: &str = "MARK = 'installed'\n";

/// The proxy before a command in `app` that does not start yet.
struct Broken {
    project: Project,
    peer: Peer,
    log: Log,
}

impl Broken {
    #[track_caller]
    fn new(project: Project, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let log = Log::new();
        let options = ["--startup-wait", "100ms"];
        let proxy = Proxy::dev(words.iter().copied()).options(options);
        let set = |proxy: Proxy, (name, path): &(&str, &str)| proxy.env(name, project.path(path));
        let proxy = variables.iter().fold(proxy, set);
        let peer = log.written_by(proxy).at(&project.path("app")).spawn();
        peer.initialize(&initialize_params()).result();
        log.until("broken", 1);
        Self { project, peer, log }
    }

    /// It is started again by itself, and only then is it asked.
    #[track_caller]
    fn is_mended(&self) {
        self.log.until("ready", 1);
        let answer = self.peer.call("mark", &json!({})).result();
        let mark = &answer["structuredContent"]["mark"];
        assert_eq!(mark, "installed", "{}", self.log.text());
        let spawned = self.log.events("spawned").len();
        assert!(spawned < 8, "{spawned} starts:\n{}", self.log.text());
    }
}

/// A project whose server in Python misses a module.
fn python() -> Project {
    let project = project();
    project.write("app/server.py", &in_python(SERVER, "MARK"));
    project
}

#[track_caller]
fn make_environment(place: &Path) {
    let made = Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(place)
        .status();
    assert!(made.unwrap().success(), "python3 needs its module `venv`");
}

/// The directory `site-packages` below `prefix`, for the Python that tests are run with.
#[track_caller]
fn packages(prefix: &str) -> String {
    let version = "import sys; print('python%d.%d' % sys.version_info[:2], end='')";
    let version = Command::new("python3").args(["-c", version]).output();
    let version = String::from_utf8(version.unwrap().stdout).unwrap();
    format!("{prefix}/lib/{version}/site-packages")
}

#[test]
fn into_an_environment() {
    let project = python();
    make_environment(&project.path("app/.venv"));
    let broken = Broken::new(project, &[".venv/bin/python", "server.py"], &[]);
    let place = packages("app/.venv");
    broken.project.write(&format!("{place}/late.py"), MODULE);
    broken.is_mended();
}

#[test]
fn into_an_environment_that_is_made_for_it() {
    let broken = Broken::new(python(), &[".venv/bin/python", "server.py"], &[]);
    make_environment(&broken.project.path("app/.venv"));
    let place = packages("app/.venv");
    broken.project.write(&format!("{place}/late.py"), MODULE);
    broken.is_mended();
}

#[test]
fn into_the_directory_of_the_user_which_is_made_for_it() {
    let base = [("PYTHONUSERBASE", "base")];
    let broken = Broken::new(python(), &["python3", "server.py"], &base);
    let place = packages("base");
    broken.project.write(&format!("{place}/late.py"), MODULE);
    broken.is_mended();
}

#[test]
fn into_an_environment_somewhere_else_in_place() {
    let project = python();
    make_environment(&project.path("outside"));
    project.write("sibling/late.py", MODULE);
    let python = project.path("outside/bin/python");
    let broken = Broken::new(project, &[python.to_str().unwrap(), "server.py"], &[]);
    let link = packages("outside") + "/__editable__.late.pth";
    let sibling = broken.project.path("sibling");
    broken.project.write(&link, sibling.to_str().unwrap());
    broken.is_mended();
}

/// The files that `npm install` leaves behind; `whole` is false while it is at work.
fn install(project: &Project, whole: bool) {
    let place = "app/node_modules/late";
    project.write(&format!("{place}/package.json"), r#"{"main": "index.js"}"#);
    if whole {
        let module = "exports.MARK = 'installed';\n";
        project.write(&format!("{place}/index.js"), module);
        project.write("app/node_modules/.package-lock.json", "{}");
    }
}

#[test]
fn into_a_directory_of_node_that_is_made_for_it() {
    for (name, head) in [
        ("server.mjs", format!("{IMPORT} import late from 'late';")),
        (
            "server.cjs",
            format!("{REQUIRE} const late = require('late');"),
        ),
    ] {
        let project = project();
        project.write(&format!("app/{name}"), &in_node(&head, "late.MARK"));
        let broken = Broken::new(project, &["node", name], &[]);
        install(&broken.project, true);
        broken.is_mended();
    }
}

#[test]
fn an_installation_that_begins_anew_and_takes_long() {
    let project = project();
    let head = format!("{REQUIRE} const late = require('late');");
    project.write("app/server.cjs", &in_node(&head, "late.MARK"));
    project.write("app/node_modules/early/index.js", "");
    let broken = Broken::new(project, &["node", "server.cjs"], &[]);
    fs::remove_dir_all(broken.project.path("app/node_modules")).unwrap();
    install(&broken.project, false);
    broken.log.until("broken", 2);
    install(&broken.project, true);
    broken.is_mended();
}

#[test]
fn beside_code_that_answers_until_then() {
    let project = project();
    let text = |head: &str, mark: &str| in_node(&format!("{REQUIRE} {head}"), mark);
    project.write("app/server.cjs", &text("", "'before'"));
    let log = Log::new();
    let options = ["--on-broken", "serve-last-good"];
    let proxy = Proxy::dev(["node", "server.cjs"]).options(options);
    let peer = log.written_by(proxy).at(&project.path("app")).spawn();
    peer.initialize(&initialize_params()).result();
    log.until("ready", 1);
    let saved = text("const late = require('late');", "late.MARK");
    project.save("app/server.cjs", &saved);
    log.until("broken", 1);
    install(&project, true);
    log.until("reloaded", 1);
    let broken = Broken { project, peer, log };
    broken.is_mended();
}
