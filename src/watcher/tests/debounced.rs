//! The notify backend, as on systems without inotify.

use super::super::debounced;
use super::*;

#[tokio::test]
async fn it_finds_what_inotify_would() {
    let files = ["src/a.py", "src/x/b.py"];
    let options = WatchOptions::default();
    let project = Project::on(
        debounced::start_backend,
        &files,
        &["src/**"],
        options,
        |_| {},
    );
    let mut project = project.unwrap();
    project.write("src/a.py", "new");
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    project.one_change(&["src/a.py"]).await;
    project.finds_new_and_moved_directories().await;
    fs::remove_dir_all(project.path("src/x")).unwrap();
    project.one_change(&["src/x/b.py"]).await;
    fs::rename(project.path("src"), project.path("away")).unwrap();
    assert_eq!(project.change().await.len(), 3);
    project.write("src/a.py", "back");
    project.one_change(&["src/a.py"]).await;
}

#[tokio::test]
async fn a_file_that_is_written_all_the_time_is_suspected_at_once() {
    let options = WatchOptions::default();
    let project = Project::on(
        debounced::start_backend,
        &["src/a.py"],
        &["src/**"],
        options,
        |_| {},
    );
    let mut project = project.unwrap();
    let (path, (stop, stopped)) = (project.path("src/a.py"), sync_channel::<()>(0));
    let writer = std::thread::spawn(move || {
        let mut text = String::new();
        while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
            text.push('x');
            fs::write(&path, &text).unwrap();
        }
    });
    assert_eq!(project.notice().await, WatchNotice::Suspect);
    stop.send(()).unwrap();
    writer.join().unwrap();
    assert!(matches!(project.notice().await, WatchNotice::Changed(_)));
}
