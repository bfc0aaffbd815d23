//! Saves by editors and tools.

use std::io::Write;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Instant;

use super::*;

const A: &str = "src/a.py";

#[tokio::test]
async fn a_save_is_suspected_then_reported() {
    let mut project = Project::new(&[A]);
    project.write(A, "new");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Changed(vec![A.into()]));
    project.nothing_more().await;
}

#[tokio::test]
async fn a_save_right_after_the_start_counts_even_if_it_keeps_the_length() {
    for round in 0..20 {
        let mut project = Project::new(&[A]);
        project.write(A, "src/b.py");
        assert_eq!(project.change().await, [A], "round {round}");
    }
}

#[tokio::test]
async fn truncate_then_write() {
    let mut project = Project::new(&[A]);
    fs::write(project.path(A), "").unwrap();
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    // Longer than the quiet time, as with an editor on a busy machine.
    tokio::time::sleep(Duration::from_millis(90)).await;
    project.write(A, "new");
    project.one_change(&[A]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn vim() {
    let mut project = Project::new(&[A]);
    let file = project.path(A);
    project.write("src/.a.py.swp", "swap");
    project.write("src/.a.py.swx", "swap");
    project.write("src/4913", "");
    fs::remove_file(project.path("src/4913")).unwrap();
    fs::rename(&file, project.path("src/a.py~")).unwrap();
    project.write(A, "new");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(project.path("src/a.py~")).unwrap();
    fs::remove_file(project.path("src/.a.py.swp")).unwrap();
    project.one_change(&[A]).await;
    // The name belongs to a new file; its next save counts as well.
    project.write(A, "newer");
    project.one_change(&[A]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn emacs() {
    let mut project = Project::new(&[A]);
    symlink("me@host.1234:5678", project.path("src/.#a.py")).unwrap();
    project.write("src/#a.py#", "autosave");
    project.nothing_more().await;
    fs::rename(project.path(A), project.path("src/a.py~")).unwrap();
    project.write(A, "new");
    fs::remove_file(project.path("src/.#a.py")).unwrap();
    fs::remove_file(project.path("src/#a.py#")).unwrap();
    project.one_change(&[A]).await;
}

#[tokio::test]
async fn jetbrains() {
    let mut project = Project::new(&[A]);
    let temporary = project.path("src/a.py___jb_tmp___");
    let old = project.path("src/a.py___jb_old___");
    project.write("src/a.py___jb_tmp___", "new");
    fs::rename(project.path(A), &old).unwrap();
    fs::rename(temporary, project.path(A)).unwrap();
    fs::remove_file(old).unwrap();
    project.one_change(&[A]).await;
}

#[tokio::test]
async fn write_aside_and_rename_over() {
    let mut project = Project::new(&[A]);
    project.write("src/sedXyZ.tmp", "new");
    fs::rename(project.path("src/sedXyZ.tmp"), project.path(A)).unwrap();
    project.one_change(&[A]).await;
}

#[tokio::test]
async fn delete_and_create() {
    let mut project = Project::new(&[A]);
    // On a busy machine the pause may be longer than a deletion is given.
    for round in 0..20 {
        fs::remove_file(project.path(A)).unwrap();
        assert_eq!(project.notice().await, WatchNotice::Suspect);
        tokio::time::sleep(Duration::from_millis(60)).await;
        project.write(A, &format!("new {round}"));
        assert_eq!(project.change().await, [A]);
        project.write(SENTINEL, &round.to_string());
        match &project.change().await[..] {
            [only] if only == SENTINEL => return,
            changed => assert_eq!(changed[0], A),
        }
    }
    panic!("each deletion was a change of its own");
}

#[tokio::test]
async fn deleted_for_real() {
    let mut project = Project::new(&[A]);
    fs::remove_file(project.path(A)).unwrap();
    project.one_change(&[A]).await;
}

#[tokio::test]
async fn replaced_and_deleted_at_once() {
    // A debouncer may take the rename for a creation and cancel it against the removal.
    let mut project = Project::new(&[A]);
    // Lets earlier events pass, such as those of reading the baseline: they would prevent the cancellation.
    project.nothing_more().await;
    project.write("src/x.tmp", "new");
    fs::rename(project.path("src/x.tmp"), project.path(A)).unwrap();
    fs::remove_file(project.path(A)).unwrap();
    project.one_change(&[A]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn no_change_of_content_is_no_change() {
    let mut project = Project::new(&[A]);
    let file = project.path(A);
    let times = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    let open = fs::File::options().write(true).open(&file).unwrap();
    open.set_times(times).unwrap();
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Unchanged);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    project.nothing_more().await;
    project.write(A, A);
    project.nothing_more().await;
    fs::remove_file(&file).unwrap();
    project.write(A, A);
    project.nothing_more().await;
}

#[tokio::test]
async fn ignored_places_are_not_even_suspected() {
    let mut project = Project::with(
        &[
            A,
            "src/__pycache__/x",
            "src/node_modules/x/i.js",
            "src/gen/b.py",
        ],
        &["src/**"],
        WatchOptions::default(),
        |dir| put(&dir.join(".gitignore"), "gen/\n*.sqlite\n"),
    )
    .unwrap();
    for noise in [
        "src/__pycache__/a.pyc",
        "src/node_modules/x/i.js",
        "src/gen/b.py",
        "src/data.sqlite",
        "src/.git/index",
        "src/.a.py.swp",
        "src/b.pyc",
    ] {
        project.write(noise, "noise");
    }
    fs::read(project.path(A)).unwrap();
    project.write(SENTINEL, "1");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(
        project.notice().await,
        WatchNotice::Changed(vec![SENTINEL.into()]),
        "the first suspicion is the sentinel's"
    );
    project.sentinels = 1;
    project.nothing_more().await;
}

#[tokio::test]
async fn a_file_that_is_written_all_the_time_is_suspected_at_once_and_reported_in_time() {
    let mut project = Project::new(&[A]);
    let file = project.path(A);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let start = Instant::now();
    let writer = std::thread::spawn(move || {
        // Kept open: events of opening and closing would let a debouncer report early.
        let mut file = fs::File::create(file).unwrap();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            file.write_all(b"x").unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    let suspected = start.elapsed();
    assert_eq!(project.change().await, [A]);
    let reported = start.elapsed();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    // A debouncer alone would report nothing before the writes stop.
    assert!(suspected < Duration::from_millis(500), "{suspected:?}");
    assert!(reported < Duration::from_secs(5), "{reported:?}");
}

#[tokio::test]
async fn a_file_that_is_replaced_all_the_time_is_suspected_at_once() {
    let mut project = Project::new(&[A]);
    let (neighbour, file) = (project.path("src/a.tmp~"), project.path(A));
    let start = Instant::now();
    let writer = std::thread::spawn(move || {
        while start.elapsed() < Duration::from_millis(500) {
            fs::write(&neighbour, format!("{:?}", start.elapsed())).unwrap();
            fs::rename(&neighbour, &file).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    let suspected = start.elapsed();
    assert_eq!(project.change().await, [A]);
    writer.join().unwrap();
    // A debouncer alone would report nothing before the writes stop.
    assert!(suspected < Duration::from_millis(400), "{suspected:?}");
}

#[tokio::test]
async fn a_checkout_of_many_files_is_one_change() {
    let mut project = Project::with(&[], &["src/**/*.py"], WatchOptions::default(), |dir| {
        let write = |text: &str, more: bool| {
            for n in 0..600 {
                put(&dir.join(format!("src/d{}/f{n}.py", n % 40)), text);
                if more && n < 200 {
                    put(&dir.join(format!("src/new{}/deep/f{n}.py", n % 40)), text);
                }
            }
        };
        git(dir, "init -q -b one");
        write("one", false);
        git(dir, "add -A");
        git(dir, "commit -q -m one");
        git(dir, "checkout -q -b two");
        write("two", true);
        git(dir, "add -A");
        git(dir, "commit -q -m two");
        git(dir, "checkout -q one");
        put(&dir.join(SENTINEL), "");
    })
    .unwrap();
    git(project.dir.path(), "checkout -q two");
    assert_eq!(project.change().await.len(), 800);
    project.nothing_more().await;
    // The new directories are watched.
    project.write("src/new7/deep/f7.py", "three");
    project.one_change(&["src/new7/deep/f7.py"]).await;
    git(project.dir.path(), "checkout -q -f one");
    assert_eq!(project.change().await.len(), 800);
    project.nothing_more().await;
}
