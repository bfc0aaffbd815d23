//! Watched files inferred from the command alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::{Log, Project, Proxy, Watched, example, marked};

/// A proxy in front of a command whose program, found on the `PATH`, runs the fake server with this
/// script. `home` is a directory in the project.
fn started(project: Project, words: &[&str], script: &str, cwd: &str, home: &str) -> Watched {
    let program = project.path(&format!(".local/bin/{}", words[0]));
    let server = example("fake_server");
    project.write(
        &format!(".local/bin/{}", words[0]),
        &format!("#!/bin/sh\nexec '{}' {script}\n", server.display()),
    );
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let log = Log::new();
    let proxy = Proxy::dev(words.iter().copied()).options(["--cwd", cwd]);
    let proxy = proxy.env("PATH", path);
    let proxy = proxy.env("HOME", project.path(home));
    let peer = log.written_by(proxy).within(&project).spawn();
    Watched::met(project, peer, log)
}

/// Saves this file, and waits until a server made of it answers.
#[track_caller]
fn save_counts(watched: &Watched, file: &str) {
    watched.project.save(file, &marked("saved"));
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "saved");
    assert_eq!(watched.until("changed", 1).len(), 1, "{}", watched.log());
}

#[test]
fn a_script_of_a_client_that_starts_anywhere() {
    for is_root in [true, false] {
        let project = Project::new();
        project.write("work/app/server.rb", &marked("v0"));
        project.write("work/app/Gemfile", "");
        for number in 0..50 {
            project.write(&format!("music/{number}/cover.rb"), "");
        }
        let script = project.path("work/app/server.rb");
        let home = project.root().to_str().unwrap().to_owned();
        let cwd = if is_root { "/" } else { &home };
        let words = ["ruby", script.to_str().unwrap()];
        let watched = started(project, &words, "\"$1\"", cwd, "");
        let watching = watched.until("watching", 1);
        assert_eq!(watching[0]["directories"], 1, "{}", watched.log());
        save_counts(&watched, "work/app/server.rb");
    }
}

#[test]
fn nothing_is_swept_where_the_project_is_unknown() {
    let project = Project::new();
    project.write("server.json", &marked("v0"));
    let words = ["uv", "run", "weather"];
    let script = project.path("server.json").display().to_string();
    let watched = started(project, &words, &script, "/", "");
    let watching = watched.until("watching", 1);
    assert_eq!(watching[0]["directories"], 0, "{}", watched.log());
    let warnings = watched.until("watch_warning", 1);
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("--cwd"), "{message}");
}

#[test]
fn a_package_of_others_is_not_restarted() {
    let project = Project::new();
    project.write("package.json", r#"{"name":"mine"}"#);
    project.write("src/index.ts", &marked("v0"));
    let words = ["npx", "-y", "other-server@latest"];
    let root = project.root().to_str().unwrap().to_owned();
    let watched = started(project, &words, "src/index.ts", &root, "home");
    let note = &watched.until("watch_note", 1)[0]["message"];
    assert!(note.as_str().unwrap().contains("other-server@latest"));
    let watching = watched.until("watching", 1);
    assert_eq!(watching[0]["globs"], json!([]));
    assert_eq!(watching[0]["directories"], 0);
    assert_eq!(watched.events("watch_warning").len(), 0);
}

#[test]
fn a_jar_is_watched_and_its_runtime_is_not() {
    let project = Project::new();
    project.write("pom.xml", "");
    project.write("target/app.jar", &marked("v0"));
    let words = ["java", "-jar", "target/app.jar"];
    let root = project.root().to_str().unwrap().to_owned();
    let watched = started(project, &words, "\"$2\"", &root, "home");
    let watching = watched.until("watching", 1);
    assert_eq!(watching[0]["globs"], json!(["target/app.jar"]));
    save_counts(&watched, "target/app.jar");
}

#[test]
fn a_work_tree_in_the_project_is_not_the_project() {
    let project = Project::new();
    project.write("server.rb", &marked("v0"));
    project.write("trees/old/.git", "gitdir: elsewhere");
    project.write("trees/old/a.rb", "1");
    let root = project.root().to_str().unwrap().to_owned();
    let watched = started(project, &["ruby", "server.rb"], "\"$1\"", &root, "home");
    let watching = watched.until("watching", 1);
    assert_eq!(watching[0]["files"], 1, "{}", watched.log());
    // One that comes while the server runs.
    watched.project.write("trees/new/.git", "gitdir: elsewhere");
    watched.project.write("trees/new/a.rb", "1");
    watched.project.write("trees/old/a.rb", "2");
    save_counts(&watched, "server.rb");
    let changed = watched.events("changed");
    assert_eq!(changed[0]["paths"], json!(["server.rb"]));
}

#[test]
fn a_watcher_inside_the_command_is_told() {
    let project = Project::new();
    project.write("server.js", &marked("v0"));
    let root = project.root().to_str().unwrap().to_owned();
    let words = ["nodemon", "server.js"];
    let watched = started(project, &words, "\"$1\"", &root, "home");
    let warnings = watched.until("watch_warning", 1);
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("without `nodemon`"), "{message}");
}

#[test]
fn inferred_globs_and_the_number_of_files_are_shown() {
    let project = Project::new();
    project.write("app/server.rb", &marked("v0"));
    project.write("app/Gemfile", "");
    let watched = started(project, &["ruby", "server.rb"], "\"$1\"", "app", "home");
    watched.until("ready", 1);
    let shown = || {
        let answer = watched.peer.call("get_loaded_servers", &json!({}));
        answer.result()["structuredContent"]["servers"][0].clone()
    };
    let before = shown();
    let globs = before["watch"].as_array().unwrap();
    assert!(globs.iter().any(|it| it == "**/*.rb"), "{before}");
    assert_eq!(before["watched_files"], 2, "{before}");
    watched.project.write("app/lib/new.rb", "");
    watched.until("reloaded", 1);
    assert_eq!(shown()["watched_files"], 3, "{}", watched.log());
}
