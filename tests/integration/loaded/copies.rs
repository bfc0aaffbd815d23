//! An installed copy of the project runs in place of the saved sources.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{IMPORT, in_node, in_python, link, project};
use crate::harness::{Log, Project, Proxy, Watched};

#[track_caller]
fn program(project: &Project, path: &str, text: &str) {
    project.write(path, text);
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(project.path(path), mode).unwrap();
}

/// The server of `app/src/weather`, installed into an environment outside as `pip install .` does.
#[track_caller]
fn installed() -> Project {
    let project = project();
    let venv = project.path("venv");
    let made = Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .status();
    assert!(made.unwrap().success(), "python3 needs its module `venv`");
    let find = "import sysconfig; print(sysconfig.get_path('purelib'), end='')";
    let packages = Command::new(venv.join("bin/python"))
        .args(["-c", find])
        .output();
    let packages = String::from_utf8(packages.unwrap().stdout).unwrap();
    let packages = packages.strip_prefix(&format!("{}/", project.root().display()));
    let server = in_python("", "'v0'").replace("from serve", "from weather.serve");
    for place in ["app/src", packages.unwrap()] {
        project.write(&format!("{place}/weather/__init__.py"), "");
        project.write(&format!("{place}/weather/serve.py"), super::SERVE);
        project.write(&format!("{place}/weather/server.py"), &server);
    }
    let python = venv.join("bin/python");
    let text = format!("#!{}\nimport weather.server\n", python.display());
    program(&project, "venv/bin/weather", &text);
    project
}

/// The proxy before a command in `app`; `bin` is a directory of programs.
#[track_caller]
fn started(project: Project, words: &[&str], bin: &str) -> Watched {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", project.path(bin).display());
    let log = Log::new();
    let proxy = Proxy::dev(words.iter().copied()).env("PATH", path);
    let peer = log.written_by(proxy).at(&project.path("app")).spawn();
    Watched::met(project, peer, log)
}

/// Saves the file twice; one warning names it and the remedy.
#[track_caller]
fn is_told_once(watched: &Watched, file: &str, cure: &str) {
    for count in 1..=2 {
        let text = watched.project.read(file);
        watched.project.save(file, &format!("{text}\n"));
        watched.until("reloaded", count);
        watched.until("watch_warning", 1);
    }
    let warnings = watched.events("watch_warning");
    assert_eq!(warnings.len(), 1, "{}", watched.log());
    let message = warnings[0]["message"].as_str().unwrap();
    let name = file.strip_prefix("app/").unwrap();
    assert!(
        message.contains(name) && message.contains(cure),
        "{message}"
    );
}

#[test]
fn of_python_as_a_console_script() {
    let watched = started(installed(), &["weather"], "venv/bin");
    is_told_once(&watched, "app/src/weather/server.py", "pip install -e .");
}

#[test]
fn of_python_as_a_module() {
    let watched = started(installed(), &["python", "-m", "weather.server"], "venv/bin");
    is_told_once(&watched, "app/src/weather/server.py", "pip install -e .");
}

#[test]
fn of_python_as_a_tool() {
    let project = installed();
    let text = format!(
        "#!/bin/sh\nshift 2\nexec '{}'/\"$@\"\n",
        project.path("venv/bin").display()
    );
    program(&project, "bin/uvx", &text);
    let watched = started(project, &["uvx", "--from", ".", "weather"], "bin");
    is_told_once(&watched, "app/src/weather/server.py", "uv run");
}

#[test]
fn of_node_as_a_global_package() {
    let project = project();
    let text = format!("#!/usr/bin/env node\n{}", in_node(IMPORT, "'v0'"));
    project.write("app/index.mjs", &text);
    let copy = "global/lib/node_modules/app";
    program(&project, &format!("{copy}/index.mjs"), &text);
    for file in ["package.json", "look.cjs"] {
        let text = project.read(&format!("app/{file}"));
        project.write(&format!("{copy}/{file}"), &text);
    }
    link(
        &project,
        "../lib/node_modules/app/index.mjs",
        "global/bin/app",
    );
    let watched = started(project, &["app"], "global/bin");
    is_told_once(&watched, "app/index.mjs", "npm link");
}

#[test]
fn of_a_project_that_is_installed_in_place_nothing_is_told() {
    let project = installed();
    let packages = project.path("venv");
    let copies = Command::new("find")
        .arg(packages)
        .args(["-path", "*/site-packages/weather"])
        .output();
    let copy = String::from_utf8(copies.unwrap().stdout).unwrap();
    let copy = copy.trim();
    fs::remove_dir_all(copy).unwrap();
    let source = project.path("app/src");
    fs::write(format!("{copy}.pth"), source.display().to_string()).unwrap();
    let watched = started(project, &["weather"], "venv/bin");
    let file = "app/src/weather/server.py";
    watched.project.edit(file, "v0", "v1");
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "v1");
    watched.project.edit(file, "v1", "v2");
    watched.until("reloaded", 2);
    assert_eq!(
        watched.events("watch_warning").len(),
        0,
        "{}",
        watched.log()
    );
}
