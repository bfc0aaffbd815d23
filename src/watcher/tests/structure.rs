//! Directories that appear, disappear, move or are unreadable.

#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::messages::WatcherMessage;
use super::*;

#[tokio::test]
async fn new_directories_lose_no_file() {
    let mut project = Project::new(&[]);
    let mut written = Vec::new();
    for n in 0..100 {
        for file in [format!("src/n{n}/b/c/x.py"), format!("src/n{n}/g.py")] {
            project.write(&file, "x");
            written.push(file);
        }
    }
    project.all_reported(written).await;
    project.write("src/n99/b/c/x.py", "later");
    project.all_reported(["src/n99/b/c/x.py".into()]).await;
}

#[tokio::test]
async fn a_directory_that_is_moved_in_is_found() {
    let mut project = Project::new(&["elsewhere/deep/a.py"]);
    fs::rename(project.path("elsewhere"), project.path("src/here")).unwrap();
    project.one_change(&["src/here/deep/a.py"]).await;
    project.write("src/here/deep/a.py", "new");
    project.one_change(&["src/here/deep/a.py"]).await;
}

#[tokio::test]
async fn a_directory_in_the_place_of_a_file_is_the_end_of_the_file() {
    let mut project = Project::new(&["src/a.py"]);
    fs::remove_file(project.path("src/a.py")).unwrap();
    fs::create_dir(project.path("src/a.py")).unwrap();
    project.one_change(&["src/a.py"]).await;
    project.write("src/a.py/__main__.py", "x");
    project.one_change(&["src/a.py/__main__.py"]).await;
}

#[tokio::test]
async fn a_directory_that_is_renamed_is_watched_under_its_new_name() {
    let mut project = Project::new(&["src/old/deep/a.py"]);
    fs::rename(project.path("src/old"), project.path("src/new")).unwrap();
    project
        .one_change(&["src/new/deep/a.py", "src/old/deep/a.py"])
        .await;
    project.write("src/new/deep/a.py", "new");
    project.one_change(&["src/new/deep/a.py"]).await;
    project.write("src/old/deep/a.py", "again");
    project.one_change(&["src/old/deep/a.py"]).await;
}

#[tokio::test]
async fn the_root_may_go_and_come_again() {
    let mut project = Project::new(&["src/a.py"]);
    for round in 0..3 {
        fs::rename(project.path("src"), project.path("away")).unwrap();
        assert!(project.change().await.contains(&"src/a.py".into()));
        project.write("src/a.py", &format!("new {round}"));
        assert_eq!(project.change().await, ["src/a.py"]);
        project.nothing_more().await;
        fs::remove_dir_all(project.path("src")).unwrap();
        assert!(project.change().await.contains(&"src/a.py".into()));
        fs::rename(project.path("away"), project.path("src")).unwrap();
        assert!(project.change().await.contains(&"src/a.py".into()));
        project.nothing_more().await;
    }
}

#[tokio::test]
async fn a_root_that_is_rebuilt_with_the_same_files_did_not_change() {
    let mut project = Project::new(&["src/a.py"]);
    fs::remove_dir_all(project.path("src")).unwrap();
    project.write("src/a.py", "src/a.py");
    project.nothing_more().await;
}

/// A process in the removed directory finds no file any more.
#[tokio::test]
async fn a_working_directory_that_is_made_anew_with_the_same_files_did_change() {
    let mut project = Project::new(&["src/a.py", "src/b.py"]);
    for _ in 0..2 {
        fs::remove_dir_all(project.dir.path()).unwrap();
        project.write("src/a.py", "src/a.py");
        project.write("src/b.py", "src/b.py");
        let files = ["src/a.py", "src/b.py"];
        project.all_reported(files.map(ToOwned::to_owned)).await;
    }
}

#[tokio::test]
async fn a_root_that_does_not_exist_yet_is_watched_once_it_does() {
    let mut project = Project::watching(&[], &["src/**", "gen/deep/**/*.py", "../shared-x/*.py"]);
    assert!(project.warnings()[0].contains("src/** matches no file"));
    project.write("gen/deep/er/a.py", "new");
    project.one_change(&["gen/deep/er/a.py"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn both_spellings_of_a_linked_root_are_one_place() {
    let real = tempfile::tempdir().unwrap();
    put(&real.path().join("lib/a.py"), "a");
    let place = real.path().to_owned();
    let mut project = Project::with(
        &[],
        &["src/**", "linked/lib/**"],
        WatchOptions::default(),
        |dir| symlink(place, dir.join("linked")).unwrap(),
    )
    .unwrap();
    let canonical = real.path().canonicalize().unwrap().join("lib/a.py");
    put(&project.path("linked/lib/a.py"), "b");
    project.one_change(&[canonical.to_str().unwrap()]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_unreadable_directory_hides_only_itself() {
    let mut project = Project::with(
        &["src/a/x.py", "src/b/x.py", "src/c/x.py"],
        &["src/**"],
        WatchOptions::default(),
        |dir| {
            fs::set_permissions(dir.join("src/b"), fs::Permissions::from_mode(0o000)).unwrap();
        },
    )
    .unwrap();
    for file in ["src/a/x.py", "src/c/x.py"] {
        project.write(file, "new");
        project.one_change(&[file]).await;
    }
    fs::set_permissions(project.path("src/b"), fs::Permissions::from_mode(0o755)).unwrap();
    project.write("src/b/x.py", "new");
    project.all_reported(["src/b/x.py".into()]).await;
}

#[tokio::test]
async fn ignore_files_are_read_again() {
    let mut project = Project::with(
        &["src/a.py", "src/data/b.py"],
        &["src/**"],
        WatchOptions::default(),
        |dir| git(dir, "init -q"),
    )
    .unwrap();
    project.write(".gitignore", "data/\n");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Unchanged);
    project.write("src/data/b.py", "ignored");
    project.nothing_more().await;
    project.write(".gitignore", "");
    project.one_change(&["src/data/b.py"]).await;
    project.write("src/data/b.py", "watched");
    project.one_change(&["src/data/b.py"]).await;
}

#[tokio::test]
async fn the_exclude_file_of_the_repository_is_read_again() {
    const EXCLUDE: &str = ".git/info/exclude";
    let files = ["src/a.py", "src/data/b.py", EXCLUDE];
    let watching = Project::with(&files, &["src/**"], WatchOptions::default(), |_| {});
    let mut project = watching.unwrap();
    project.write(EXCLUDE, "data/\n");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Unchanged);
    project.write("src/data/b.py", "ignored");
    project.nothing_more().await;
    project.write(EXCLUDE, "");
    project.one_change(&["src/data/b.py"]).await;
}

#[tokio::test]
async fn a_virtual_environment_of_any_name_is_left_alone() {
    let mut project = Project::new(&["src/a.py", "src/env39/pyvenv.cfg", "src/env39/lib/x.py"]);
    project.write("src/env39/lib/x.py", "new");
    project.nothing_more().await;
}

#[tokio::test]
async fn lost_events_lead_to_a_look_at_everything() {
    let never = WatchOptions {
        poll: Some(Duration::from_secs(3600)),
        ..WatchOptions::default()
    };
    let files = ["src/a.py", "src/b.py", "src/c.py"];
    let mut project = Project::with(&files, &["src/**"], never, |_| {}).unwrap();
    project.write("src/a.py", "new");
    project.write("src/new/d.py", "new");
    fs::remove_file(project.path("src/b.py")).unwrap();
    project
        .watcher
        .dispatcher
        .messages
        .send(WatcherMessage::Rescan)
        .unwrap();
    assert_eq!(
        project.change().await,
        ["src/a.py", "src/b.py", "src/new/d.py"]
    );
    project
        .watcher
        .dispatcher
        .messages
        .send(WatcherMessage::Rescan)
        .unwrap();
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Unchanged);
}
