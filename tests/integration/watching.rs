//! Watched files, means of watching, and messages about them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Log, Peer, Project, Proxy, SOURCE, Watched, example, marked, require};

#[test]
fn new_directories_with_files() {
    let watched = Watched::start();
    watched.project.write("src/a/b/c/deep.json", "1");
    watched.project.write("src/a/near.json", "1");
    watched.one_reload(&["src/a/b/c/deep.json", "src/a/near.json"]);
    watched.project.write("src/a/b/c/deep.json", "2");
    watched.one_reload(&["src/a/b/c/deep.json"]);
}

#[test]
fn a_directory_moved_in_and_out() {
    let watched = Watched::start();
    let outside = TempDir::new().unwrap();
    let directory = outside.path().join("lib");
    fs::create_dir_all(directory.join("inner")).unwrap();
    fs::write(directory.join("a.json"), "1").unwrap();
    fs::write(directory.join("inner/b.json"), "1").unwrap();
    let files = ["src/lib/a.json", "src/lib/inner/b.json"];
    let inside = watched.project.path("src/lib");
    fs::rename(&directory, &inside).unwrap();
    watched.one_reload(&files);
    watched.project.write(files[1], "2");
    watched.one_reload(&files[1..]);
    fs::rename(&inside, &directory).unwrap();
    watched.one_reload(&files);
    // It is no longer ours.
    fs::write(directory.join("a.json"), "3").unwrap();
    watched.no_reload();
}

#[test]
fn a_root_deleted_and_created_again() {
    let project = Project::new();
    project.write("lib/a.json", "1");
    let watched = Watched::with(project, &["--watch", "lib/**", "--watch", "src/**"]);
    for round in 0..3 {
        fs::remove_dir_all(watched.project.path("lib")).unwrap();
        watched.one_reload(&["lib/a.json"]);
        watched.project.write("lib/a.json", &round.to_string());
        watched.one_reload(&["lib/a.json"]);
        watched.project.save("lib/a.json", "saved");
        watched.one_reload(&["lib/a.json"]);
    }
}

#[test]
fn a_root_that_comes_later() {
    let watched = Watched::with(
        Project::new(),
        &["--watch", "src/**", "--watch", "lib/deep/**"],
    );
    watched.project.write("lib/deep/inner/a.json", "1");
    watched.one_reload(&["lib/deep/inner/a.json"]);
    watched.project.write("lib/deep/inner/a.json", "2");
    watched.one_reload(&["lib/deep/inner/a.json"]);
}

#[test]
fn a_working_directory_behind_a_link() {
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    let elsewhere = TempDir::new().unwrap();
    let link = elsewhere.path().join("link");
    symlink(project.root(), &link).unwrap();
    let watched = Watched::with(
        project,
        &["--cwd", link.to_str().unwrap(), "--watch", "src/**"],
    );
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    fs::write(link.join(SOURCE), marked("v2")).unwrap();
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v2");
}

#[test]
fn a_root_that_is_a_link() {
    let project = Project::new();
    let elsewhere = TempDir::new().unwrap();
    fs::write(elsewhere.path().join("a.json"), "1").unwrap();
    symlink(elsewhere.path(), project.path("lib")).unwrap();
    let watched = Watched::with(project, &["--watch", "src/**", "--watch", "lib/**"]);
    fs::write(elsewhere.path().join("a.json"), "2").unwrap();
    assert_eq!(changed_names(&watched, 1), ["a.json"]);
    watched.project.write("lib/a.json", "3");
    assert_eq!(changed_names(&watched, 2), ["a.json"]);
    watched.project.save("lib/new.json", "1");
    assert_eq!(changed_names(&watched, 3), ["new.json"]);
    assert_eq!(
        watched.events("watch_warning").len(),
        0,
        "{}",
        watched.log()
    );
}

/// The globs match the files in the directories, not the links.
#[test]
fn links_to_directories() {
    let project = Project::new();
    for directory in ["shared/one", "shared/two", "deep/two"] {
        project.write(&format!("{directory}/a.json"), directory);
    }
    fs::create_dir(project.path("src")).unwrap();
    symlink("../shared/one", project.path("src/lib")).unwrap();
    symlink("../shared", project.path("src/far")).unwrap();
    let watched = Watched::with(project, &["--watch", "src/**/*.json"]);
    let point = |link: &str, target: &str| {
        let link = watched.project.path(link);
        let command = Command::new("ln")
            .arg("-sfn")
            .arg(target)
            .arg(link)
            .status();
        assert!(command.unwrap().success());
    };
    point("src/lib", "../shared/two");
    watched.one_reload(&["src/lib/a.json"]);
    fs::remove_file(watched.project.path("src/lib")).unwrap();
    watched.one_reload(&["src/lib/a.json"]);
    symlink("../shared/one", watched.project.path("src/lib")).unwrap();
    watched.one_reload(&["src/lib/a.json"]);
    // A link outside of the watched directories, on the way to the files.
    point("current", "shared/two");
    point("src/lib", "../current");
    watched.one_reload(&["src/lib/a.json"]);
    symlink("deep/two", watched.project.path("next")).unwrap();
    let current = watched.project.path("current");
    fs::rename(watched.project.path("next"), current).unwrap();
    watched.one_reload(&["src/lib/a.json"]);
    watched.project.write("deep/two/a.json", "written");
    watched.one_reload(&["src/lib/a.json"]);
    fs::rename(
        watched.project.path("src/far"),
        watched.project.path("src/near"),
    )
    .unwrap();
    watched.one_reload(&[
        "src/far/one/a.json",
        "src/far/two/a.json",
        "src/near/one/a.json",
        "src/near/two/a.json",
    ]);
}

/// The file names of the given change, once it has led to a reload.
#[track_caller]
fn changed_names(watched: &Watched, number: usize) -> Vec<String> {
    watched.until("reloaded", number);
    let changed = watched.until("changed", number);
    assert_eq!(changed.len(), number, "{}", watched.log());
    let paths = changed[number - 1]["paths"].as_array().unwrap();
    let name = |path: &Value| path.as_str().unwrap().rsplit('/').next().map(str::to_owned);
    paths.iter().filter_map(name).collect()
}

#[test]
fn polling_on_request() {
    let watched = Watched::with(Project::new(), &["--poll", "--watch", "**/*"]);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
    watched.project.write("src/a/b/new.json", "1");
    watched.one_reload(&["src/a/b/new.json"]);
    watched.write("v1");
    watched.no_reload();
    assert_eq!(watched.events("watch_warning"), Vec::<Value>::new());
}

#[test]
fn no_watch_reloads_only_when_asked() {
    let watched = Watched::with(Project::new(), &["--no-watch"]);
    watched.write("v1");
    // Nothing could tell a save that goes unnoticed from a slow one, but there is no watcher at all.
    assert_eq!(watched.events("watching"), Vec::<Value>::new());
    assert_eq!(watched.mark(), "v0");
    let answer = watched.peer.call("reload_mcp_server", &json!({})).result();
    assert_eq!(answer["structuredContent"]["success"], true, "{answer}");
    assert_eq!(watched.mark(), "v1");
    assert_eq!(watched.until("reloaded", 1).len(), 1);
    assert_eq!(watched.events("changed"), Vec::<Value>::new());
    watched
        .peer
        .expect_notification("notifications/tools/list_changed");
}

#[test]
fn watched_files_are_reported() {
    let project = Project::new();
    project.write("src/a.py", "");
    project.write("src/deep/b.py", "");
    project.write("src/deep/c.txt", "");
    let peer = Proxy::dev([example("fake_server")])
        .options(["--watch", "src/**/*.py", "--watch", "lib/*.py"])
        .within(&project)
        .spawn();
    let line = peer.expect_stderr("watching");
    let said = "watching 2 files in 2 directories: src/**/*.py lib/*.py";
    assert!(line.contains(said), "{line}");
    let line = peer.expect_stderr("matches no file");
    assert!(line.contains("lib/*.py"), "{line}");
    peer.close_stdin();
    peer.wait_exit();
    let warnings = peer.stderr();
    let warnings = warnings
        .iter()
        .filter(|line| line.contains("matches no file"));
    assert_eq!(warnings.count(), 1);
}

#[test]
fn a_glob_of_ignored_files_is_told_from_a_typing_mistake() {
    let project = Project::new();
    project.write(".gitignore", "*.gen.py\n");
    project.write("src/a.gen.py", "");
    let peer = Proxy::dev([example("fake_server")])
        .options(["--watch", "src/*.gen.py"])
        .within(&project)
        .spawn();
    let line = peer.expect_stderr("matches only ignored files");
    assert!(line.contains("src/*.gen.py"), "{line}");
}

/// Such a server is reloaded for ever; the user learns why, and how to end it.
#[test]
fn a_server_that_writes_what_is_watched_is_found_out() {
    let line = "date +%s%N > src/stamp.json; exec \"$0\" \"$@\"";
    let server = example("fake_server").into_os_string();
    let server = ["sh".into(), "-c".into(), line.into(), server, SOURCE.into()];
    let started =
        |options: &[&str]| Watched::of(Project::new(), Proxy::dev(server.clone()).options(options));
    let watched = started(&["--watch", "src/**"]);
    let warnings = watched.until("watch_warning", 1);
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("--watch '!src/stamp.json'"),
        "{}",
        watched.log()
    );
    // The message names the remedy.
    let watched = started(&["--watch", "src/**", "--watch", "!src/stamp.json"]);
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
}

#[test]
fn the_limit_of_watches_leads_to_polling() {
    let watched = limited("max_inotify_watches", 30);
    still_reloads(&watched, "file-watch limit");
}

#[test]
fn the_limit_of_instances_leads_to_polling() {
    let watched = limited("max_inotify_instances", 0);
    still_reloads(&watched, "instance limit");
}

#[test]
fn the_limit_of_watches_may_be_reached_later() {
    let watched = limited("max_inotify_watches", 60);
    assert_eq!(watched.events("watch_warning"), Vec::<Value>::new());
    for number in 0..60 {
        watched
            .project
            .write(&format!("src/later{number}/a.json"), "1");
    }
    watched.until("watch_warning", 1);
    watched.project.write("src/later59/a.json", "2");
    watched.write("late");
    let all_seen = || {
        let changed = watched.events("changed");
        let paths = changed.iter().filter_map(|event| event["paths"].as_array());
        let mut paths: Vec<&str> = paths.flatten().filter_map(Value::as_str).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.len() == 61
    };
    crate::harness::eventually(crate::harness::DEADLINE, all_seen);
    crate::harness::eventually(crate::harness::DEADLINE, || watched.mark() == "late");
    watched.exactly("watch_warning", 1);
}

/// Forty directories watched by a proxy with a low limit of inotify handles: a user namespace of its own has limits of
/// its own.
#[track_caller]
fn limited(limit: &str, value: u32) -> Watched {
    require("unshare", "it is part of util-linux");
    let project = Project::new();
    project.write(SOURCE, &marked("v0"));
    for number in 0..40 {
        project.write(&format!("src/d{number}/a.json"), "1");
    }
    let log = Log::new();
    let server = [example("fake_server").into_os_string(), SOURCE.into()];
    let proxy = Proxy::dev(server).options(["--watch", "**/*"]);
    let script = format!("echo {value} > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
    let mut words: Vec<OsString> = ["unshare", "-U", "-r", "sh", "-c", &script]
        .map(OsString::from)
        .to_vec();
    words.extend(log.written_by(proxy).words());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(project.root());
    Watched::met(project, Peer::spawn_command(command), log)
}

/// Said once and clearly; and saves are noticed all the same.
#[track_caller]
fn still_reloads(watched: &Watched, what: &str) {
    let warnings = watched.until("watch_warning", 1);
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("polling the files every 500 ms"),
        "{message}"
    );
    assert!(message.contains("sudo sysctl"), "{what}: {message}");
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
    watched.project.write("src/d39/a.json", "2");
    watched.project.write("src/new/b.json", "2");
    watched.one_reload(&["src/d39/a.json", "src/new/b.json"]);
    watched.exactly("watch_warning", 1);
}
