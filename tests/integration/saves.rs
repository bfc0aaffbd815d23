//! Save sequences of editors and tools: each causes exactly one reload, and a touch without a
//! change of content causes none.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::harness::{Project, SOURCE, Watched, marked, require};

#[test]
fn written_in_place() {
    let watched = Watched::start();
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn truncated_then_written_as_vs_code_does() {
    let watched = Watched::start();
    let mut file = File::create(watched.project.path(SOURCE)).unwrap();
    pause(Duration::from_millis(20));
    file.write_all(marked("v1").as_bytes()).unwrap();
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn saved_by_vim() {
    let watched = Watched::start();
    let path = watched.project.path(SOURCE);
    // The swap files are there from the opening of the file on.
    let (swap, spare) = (".server.json.swp", ".server.json.swx");
    watched.project.write(&beside(swap), "");
    watched.project.write(&beside(spare), "");
    fs::remove_file(watched.project.path(&beside(spare))).unwrap();
    watched.project.write(&beside(swap), "b0VIM 9.0");
    vim_writes(&path, true);
    watched.project.write(&beside(swap), "b0VIM 9.0 saved");
    fs::remove_file(watched.project.path(&beside(swap))).unwrap();
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn saved_by_neovim() {
    let watched = Watched::start();
    // Its swap file lies in its own state directory.
    vim_writes(&watched.project.path(SOURCE), false);
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

/// `:w` with `backupcopy=auto`: a trial file, the old file aside as the backup, a new file of the name.
fn vim_writes(path: &Path, sets_mode: bool) {
    let trial = path.with_file_name("4913");
    let backup = path.with_file_name("server.json~");
    let mode = fs::metadata(path).unwrap().permissions();
    File::create(&trial).unwrap();
    fs::set_permissions(&trial, mode.clone()).unwrap();
    fs::remove_file(&trial).unwrap();
    fs::rename(path, &backup).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(marked("v1").as_bytes()).unwrap();
    file.sync_all().unwrap();
    if sets_mode {
        fs::set_permissions(path, mode).unwrap();
    }
    fs::remove_file(backup).unwrap();
}

#[test]
fn saved_by_emacs() {
    let watched = Watched::start();
    let project = &watched.project;
    let (lock, autosave) = (beside(".#server.json"), beside("#server.json#"));
    // A link to nowhere, from the first keystroke on.
    symlink("me@machine.1234:1700000000", project.path(&lock)).unwrap();
    project.write(&autosave, &marked("half"));
    fs::rename(project.path(SOURCE), project.path(&beside("server.json~"))).unwrap();
    watched.write("v1");
    fs::remove_file(project.path(&lock)).unwrap();
    fs::remove_file(project.path(&autosave)).unwrap();
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn saved_by_jetbrains() {
    let watched = Watched::start();
    let path = |name: &str| watched.project.path(&beside(name));
    let (new, old) = ("server.json___jb_tmp___", "server.json___jb_old___");
    fs::write(path(new), marked("v1")).unwrap();
    fs::rename(path("server.json"), path(old)).unwrap();
    fs::rename(path(new), path("server.json")).unwrap();
    fs::remove_file(path(old)).unwrap();
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn edited_by_sed() {
    require("sed", "it is part of every system");
    let watched = Watched::start();
    run(watched.project.root(), &["sed", "-i", "s/v0/v1/", SOURCE]);
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn renamed_over() {
    let watched = Watched::start();
    watched.project.save(SOURCE, &marked("v1"));
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn deleted_and_created() {
    let watched = Watched::start();
    fs::remove_file(watched.project.path(SOURCE)).unwrap();
    watched.write("v1");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "v1");
}

#[test]
fn formatted_right_after_the_save() {
    let watched = Watched::start();
    watched.write("v1");
    // The quickest formatters take that long.
    pause(Duration::from_millis(10));
    watched
        .project
        .save(SOURCE, "{\n    \"mark\": \"formatted\"\n}\n");
    watched.one_reload(&[SOURCE]);
    assert_eq!(watched.mark(), "formatted");
}

/// A slow formatter is a second save, which takes the place of the first one's start.
#[test]
fn formatted_while_the_server_starts() {
    let slow = |mark: &str| json!({"mark": mark, "start_delay_ms": 1500}).to_string();
    let watched = Watched::start();
    watched.project.write(SOURCE, &slow("v1"));
    watched.until("spawned", 2);
    watched.project.save(SOURCE, &slow("formatted"));
    watched.until("reloaded", 1);
    assert_eq!(watched.mark(), "formatted");
    watched.exactly("changed", 2);
    watched.exactly("spawned", 3);
    watched.exactly("reloaded", 1);
}

#[test]
fn another_branch_checked_out() {
    require("git", "install git");
    let project = Project::new();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"];
        run(
            project.root(),
            &[&["git"], &identity[..], arguments].concat(),
        );
    };
    let names: Vec<String> = (0..1000)
        .map(|number| format!("src/d{:02}/f{number:04}.json", number % 40))
        .collect();
    let fill = |mark: &str| {
        project.write(SOURCE, &marked(mark));
        for name in &names {
            project.write(name, &marked(mark));
        }
    };
    git(&["init", "-q", "-b", "main"]);
    fill("v0");
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["checkout", "-q", "-b", "other"]);
    fill("v1");
    project.write("src/new/deep/more.json", "{}");
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "two"]);
    git(&["checkout", "-q", "main"]);

    let watched = Watched::with(project, &["--watch", "**/*"]);
    let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
    files.extend([SOURCE, "src/new/deep/more.json"]);
    files.sort_unstable();
    run(watched.project.root(), &["git", "checkout", "-q", "other"]);
    watched.one_reload(&files);
    assert_eq!(watched.mark(), "v1");
    run(watched.project.root(), &["git", "checkout", "-q", "main"]);
    watched.one_reload(&files);
    assert_eq!(watched.mark(), "v0");
}

#[test]
fn a_write_without_a_change_of_content_is_no_save() {
    let watched = Watched::start();
    let path = watched.project.path(SOURCE);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    watched.no_reload();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    watched.no_reload();
    watched.write("v0");
    watched.no_reload();
    watched.project.save(SOURCE, &marked("v0"));
    watched.no_reload();
    fs::read(&path).unwrap();
    watched.no_reload();
}

#[test]
fn a_write_to_a_file_that_is_no_source_is_no_save() {
    let project = Project::new();
    project.write(".gitignore", "generated/\n*.gen.json\n");
    run(project.root(), &["git", "init", "-q"]);
    let watched = Watched::with(project, &["--watch", "**/*"]);
    for file in [
        "__pycache__/server.cpython-311.pyc",
        "src/__pycache__/server.cpython-311.pyc",
        "src/module.pyc",
        ".git/index.lock",
        ".git/objects/ab/cdef",
        "node_modules/left-pad/index.js",
        "src/node_modules/.cache/x.json",
        ".venv/lib/site.py",
        "target/debug/server.d",
        ".idea/workspace.xml",
        "generated/types.json",
        "src/schema.gen.json",
        "src/.server.json.swp",
        "src/.server.json.swx",
        "src/4913",
        "src/server.json~",
        "src/#server.json#",
        "src/server.json___jb_tmp___",
        "src/.DS_Store",
        "src/out.tmp",
        "src/debug.log",
    ] {
        watched.project.write(file, "1");
        watched.project.write(file, "2");
    }
    symlink("nowhere", watched.project.path("src/.#server.json")).unwrap();
    fs::remove_file(watched.project.path(".git/index.lock")).unwrap();
    fs::remove_dir_all(watched.project.path("node_modules")).unwrap();
    watched.no_reload();
}

/// A leftover lock: no git command is at work.
#[test]
fn a_lock_of_git_from_the_future_delays_no_save() {
    for ahead in [60, 3600, 400 * 86400] {
        let project = Project::new();
        run(project.root(), &["git", "init", "-q"]);
        let lock = File::create(project.path(".git/index.lock")).unwrap();
        let future = SystemTime::now() + Duration::from_secs(ahead);
        lock.set_modified(future).unwrap();
        let watched = Watched::with(project, &["--watch", "src/**"]);
        let started = std::time::Instant::now();
        watched.write("v1");
        watched.until("reloaded", 1);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(40), "{ahead} s ahead: {took:?}");
    }
}

/// The name of a neighbour of the source.
fn beside(name: &str) -> String {
    format!("src/{name}")
}

/// The time that an editor or a tool takes between two steps of a save.
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[track_caller]
fn run(directory: &Path, words: &[&str]) {
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).current_dir(directory).output();
    let output = output.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
}
