//! `WeakWatcher::report_pending`: saves known to the kernel are reported before it returns, even if the watcher thread
//! is late.

use std::os::unix::fs::symlink;

use super::*;

impl Project {
    /// Calls `WeakWatcher::report_pending`; returns whether a suspicion was reported by then.
    fn is_suspected(&mut self) -> bool {
        self.watcher.downgrade().report_pending();
        let told = self.notices.try_recv().ok();
        self.suspect |= told.is_some();
        assert!(
            matches!(told, None | Some((7, WatchNotice::Suspect))),
            "{told:?}"
        );
        told.is_some()
    }
}

#[tokio::test]
async fn every_kind_of_save_is_suspected_when_a_glance_is_over() {
    let mut project = Project::new(&["src/a.py", "src/b.py", "src/x/c.py"]);
    for round in 0..30 {
        let text = round.to_string();
        project.write("src/a.py", &text);
        assert!(project.is_suspected(), "written in place, round {round}");
        assert_eq!(project.change().await, ["src/a.py"]);

        project.write("away", &format!("renamed {text}"));
        fs::rename(project.path("away"), project.path("src/a.py")).unwrap();
        assert!(project.is_suspected(), "renamed over, round {round}");
        project.change().await;

        project.write(&format!("src/new{round}/deep/d.py"), &text);
        assert!(project.is_suspected(), "a new directory, round {round}");
        project.change().await;

        let (from, to) = (project.path("src/x"), project.path("src/y"));
        fs::rename(&from, &to).unwrap();
        assert!(project.is_suspected(), "a directory moved, round {round}");
        project.change().await;
        fs::rename(to, from).unwrap();
        assert!(project.is_suspected(), "and back, round {round}");
        project.change().await;
    }
    fs::remove_file(project.path("src/b.py")).unwrap();
    assert!(project.is_suspected(), "removed");
    assert_eq!(project.change().await, ["src/b.py"]);
    project.nothing_more().await;
}

#[tokio::test]
async fn files_that_are_not_wanted_hold_nothing_up() {
    let files = ["src/a.py", "src/notes.json", ".ignore"];
    let mut project = Project::watching(&files, &["src/**/*.py"]);
    project.write(".ignore", "out_*.py");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    assert_eq!(project.notice().await, WatchNotice::Unchanged);
    for round in 0..50 {
        project.write("src/out_1.py", &round.to_string());
        project.write("src/notes.json", &round.to_string());
        project.write("src/__pycache__/a.pyc", &round.to_string());
        fs::remove_dir_all(project.path("src/__pycache__")).unwrap();
        assert!(!project.is_suspected(), "round {round}");
    }
    project.nothing_more().await;
}

#[tokio::test]
async fn a_suspicion_that_comes_to_nothing_is_taken_back_at_once() {
    let slow = WatchOptions {
        quiet: Duration::from_secs(3600),
        ..WatchOptions::default()
    };
    let mut project = Project::with(&["src/a.py"], &["src/**/*.py"], slow, |_| {}).unwrap();
    for round in 0..30 {
        fs::create_dir(project.path(&format!("src/{round}"))).unwrap();
        // The watcher thread may have handled the event already.
        project.watcher.downgrade().report_pending();
        assert_eq!(project.notice().await, WatchNotice::Suspect);
        assert_eq!(project.notice().await, WatchNotice::Unchanged);
        while project.suspect || !project.notices.is_empty() {
            project.notice().await;
        }
    }
}

#[tokio::test]
async fn a_save_after_which_the_last_one_is_decided_is_suspected_again() {
    let mut project = Project::new(&["src/a.py"]);
    let end = std::time::Instant::now() + Duration::from_secs(2);
    let (mut round, mut verdicts) = (0, 0);
    while std::time::Instant::now() < end {
        round += 1;
        project.write("src/a.py", &round.to_string());
        project.watcher.downgrade().report_pending();
        // On a busy machine the result of this save may be there already.
        let mut was_suspected = false;
        while let Ok((_, notice)) = project.notices.try_recv() {
            assert_eq!(
                project.suspect,
                notice != WatchNotice::Suspect,
                "round {round}"
            );
            project.suspect = !project.suspect;
            was_suspected |= project.suspect;
            verdicts += usize::from(!project.suspect);
        }
        assert!(project.suspect || was_suspected, "round {round}");
        // Close to the quiet time, so that results and saves coincide.
        std::thread::sleep(Duration::from_millis(28 + round % 6));
    }
    assert!(verdicts > 5, "{verdicts} verdicts");
    while project.suspect {
        project.notice().await;
    }
    project.nothing_more().await;
}

#[cfg(unix)]
#[tokio::test]
async fn named_files_and_the_links_to_them_are_suspected_too() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("real/server.toml"), "1");
    let link = dir.path().join("server.toml");
    symlink("real/server.toml", &link).unwrap();
    let (sender, mut notices) = unbounded_channel();
    let watcher =
        Watcher::start(WatchOptions::default(), into(sender), EventSender::silent()).unwrap();
    let request = WatchRequest::Files {
        name: "configuration".into(),
        files: vec![link.clone()],
    };
    add(&watcher, 1, request).unwrap();
    for text in ["2", "3"] {
        put(&dir.path().join("real/server.toml"), text);
        watcher.downgrade().report_pending();
        assert_eq!(notices.try_recv(), Ok((1, WatchNotice::Suspect)));
        assert_eq!(
            notices.recv().await,
            Some((1, WatchNotice::Changed(vec![link.clone()])))
        );
    }
    put(&dir.path().join("real/other.toml"), "x");
    watcher.downgrade().report_pending();
    assert!(notices.try_recv().is_err(), "not named");
}
