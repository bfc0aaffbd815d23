//! Polling, where file events are unavailable.

use super::*;

const POLLED: WatchOptions = WatchOptions {
    quiet: Duration::from_millis(30),
    max_wait: Duration::from_secs(1),
    poll: Some(Duration::from_millis(50)),
};

#[tokio::test]
async fn polling_finds_what_events_would() {
    let mut project =
        Project::with(&["src/a.py", "src/x/b.py"], &["src/**"], POLLED, |_| {}).unwrap();
    project.write("src/a.py", "new");
    project.one_change(&["src/a.py"]).await;
    project.write("src/new/deep/c.py", "new");
    project.one_change(&["src/new/deep/c.py"]).await;
    fs::remove_dir_all(project.path("src/x")).unwrap();
    project.one_change(&["src/x/b.py"]).await;
    fs::rename(project.path("src"), project.path("away")).unwrap();
    assert_eq!(project.change().await.len(), 3);
    project.write("src/a.py", "back");
    project.one_change(&["src/a.py"]).await;
}

/// As by a tool that restores times, or on a file system that stores whole seconds.
#[cfg(unix)]
#[tokio::test]
async fn polling_finds_saves_that_keep_length_and_time() {
    let mut project = Project::with(&["src/a.py"], &["src/**"], POLLED, |_| {}).unwrap();
    let path = project.path("src/a.py");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    for text in ["src/b.py", "src/c.py"] {
        project.write("src/a.py", text);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(before).unwrap();
        project.one_change(&["src/a.py"]).await;
    }
}

/// Runs `test` of this file in a user namespace in which `limit` is `value`; skipped where namespaces are forbidden.
fn again_limited(limit: &str, value: u32, test: &str) {
    let script = format!(
        "echo {value} > /proc/sys/user/{limit} && exec \"$0\" --exact watcher::tests::fallback::{test} --ignored --nocapture"
    );
    let allowed = Command::new("unshare")
        .args(["-U", "-r", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !allowed {
        assert!(
            std::env::var_os("CI").is_none(),
            "unshare -U -r must be permitted in CI"
        );
        eprintln!("SKIPPED {test}: unshare -U -r is not permitted here");
        return;
    }
    let output = Command::new("unshare")
        .args(["-U", "-r", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn the_limit_of_watches_leads_to_polling() {
    again_limited("max_inotify_watches", 30, "beyond_the_limit_of_watches");
    again_limited("max_inotify_watches", 30, "the_limit_is_reached_later");
}

#[test]
fn the_limit_of_instances_leads_to_polling() {
    again_limited("max_inotify_instances", 0, "without_instances");
}

async fn still_works(project: &mut Project, file: &str) {
    project.write(file, "new");
    project.one_change(&[file]).await;
}

#[tokio::test]
#[ignore = "run by the_limit_of_watches_leads_to_polling"]
async fn beyond_the_limit_of_watches() {
    let files: Vec<String> = (0..60).map(|n| format!("src/d{n}/a.py")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut project = Project::new(&files);
    let warnings = project.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("max_user_watches"), "{warnings:?}");
    for file in ["src/d0/a.py", "src/d59/a.py"] {
        still_works(&mut project, file).await;
    }
}

#[tokio::test]
#[ignore = "run by the_limit_of_watches_leads_to_polling"]
async fn the_limit_is_reached_later() {
    let mut project = Project::new(&["src/a.py"]);
    assert!(project.warnings().is_empty());
    let files: Vec<String> = (0..60).map(|n| format!("src/d{n}/a.py")).collect();
    for file in &files {
        project.write(file, "x");
    }
    project.all_reported(files).await;
    still_works(&mut project, "src/a.py").await;
    still_works(&mut project, "src/d59/a.py").await;
    assert_eq!(project.warnings().len(), 1);
}

#[tokio::test]
#[ignore = "run by the_limit_of_instances_leads_to_polling"]
async fn without_instances() {
    let mut project = Project::new(&["src/a.py"]);
    let warnings = project.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("max_user_instances"), "{warnings:?}");
    still_works(&mut project, "src/a.py").await;
}
