//! Symlinks among the sources: the content of the target counts, under the name of the symlink.

use std::os::unix::fs::symlink;

use super::*;

/// Runs `prepare`, then watches `src/**` of the project.
fn project(files: &[&str], prepare: impl FnOnce(&Path)) -> Project {
    polled(files, None, prepare)
}

fn polled(files: &[&str], poll: Option<Duration>, prepare: impl FnOnce(&Path)) -> Project {
    let options = WatchOptions {
        poll,
        ..WatchOptions::default()
    };
    Project::with(files, &["src/**"], options, prepare).unwrap()
}

/// Changes the target of a symlink, as `ln -sfn` does.
fn point(project: &Project, link: &str, target: &str) {
    let new = project.path("new-link");
    symlink(target, &new).unwrap();
    fs::rename(new, project.path(link)).unwrap();
}

fn link(dir: &Path, link: &str, target: &str) {
    let link = dir.join(link);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(target, link).unwrap();
}

#[tokio::test]
async fn the_target_of_a_linked_file_is_watched() {
    let mut project = project(&["store/one.py", "store/two.py"], |dir| {
        link(dir, "src/app.py", "../store/one.py");
    });
    project.write("store/one.py", "written");
    project.one_change(&["src/app.py"]).await;
    project.write("store/x.tmp", "renamed over");
    fs::rename(project.path("store/x.tmp"), project.path("store/one.py")).unwrap();
    project.one_change(&["src/app.py"]).await;
    point(&project, "src/app.py", "../store/two.py");
    project.one_change(&["src/app.py"]).await;
    project.write("store/one.py", "no longer meant");
    project.nothing_more().await;
    project.write("store/two.py", "written");
    project.one_change(&["src/app.py"]).await;
}

#[tokio::test]
async fn each_link_of_a_chain_counts() {
    let files = ["v1/a.py", "v2/a.py"];
    let mut project = project(&files, |dir| {
        link(dir, "current", "v1");
        link(dir, "bin/a.py", "../current/a.py");
        link(dir, "src/a.py", "../bin/a.py");
    });
    project.write("v1/a.py", "written");
    project.one_change(&["src/a.py"]).await;
    point(&project, "current", "v2");
    project.one_change(&["src/a.py"]).await;
    project.write("v2/a.py", "written as well");
    project.one_change(&["src/a.py"]).await;
    point(&project, "bin/a.py", "../v1/a.py");
    project.one_change(&["src/a.py"]).await;
}

#[tokio::test]
async fn a_script_that_is_a_link() {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("store/server.py"), "old");
    link(dir.path(), "project/server.py", "../store/server.py");
    let (sender, mut notices) = unbounded_channel();
    let watcher =
        Watcher::start(WatchOptions::default(), into(sender), EventSender::silent()).unwrap();
    let request = WatchRequest::Sources {
        server: "weather".into(),
        session: None,
        cwd: dir.path().join("project"),
        program: "python3".into(),
        args: vec!["server.py".into()],
        globs: Vec::new(),
        builds: false,
        may_reload: false,
        left_out: Vec::new(),
        own_writes: None,
        uses_standby: None,
        since: None,
    };
    watcher.add(1, request).await.unwrap();
    put(&dir.path().join("store/server.py"), "new");
    for expected in [
        WatchNotice::Suspect,
        WatchNotice::Changed(vec!["server.py".into()]),
    ] {
        let notice = tokio::time::timeout(DEADLINE, notices.recv()).await;
        assert_eq!(notice.unwrap(), Some((1, expected)));
    }
}

#[tokio::test]
async fn a_linked_directory_is_walked() {
    for poll in [None, Some(Duration::from_millis(50))] {
        let files = ["shared/one/deep/a.py", "shared/two/deep/a.py"];
        let mut project = polled(&files, poll, |dir| link(dir, "src/lib", "../shared/one"));
        project.write("shared/one/deep/a.py", "written");
        project.one_change(&["src/lib/deep/a.py"]).await;
        project.write("shared/one/new/b.py", "created");
        project.one_change(&["src/lib/new/b.py"]).await;
        project.write("shared/one/new/b.py", "written");
        project.one_change(&["src/lib/new/b.py"]).await;
        point(&project, "src/lib", "../shared/two");
        project
            .one_change(&["src/lib/deep/a.py", "src/lib/new/b.py"])
            .await;
        project.write("shared/one/deep/a.py", "no longer meant");
        project.nothing_more().await;
        project.write("shared/two/deep/a.py", "written");
        project.one_change(&["src/lib/deep/a.py"]).await;
        fs::remove_file(project.path("src/lib")).unwrap();
        project.one_change(&["src/lib/deep/a.py"]).await;
    }
}

/// A directory counts under each of its names.
#[tokio::test]
async fn a_directory_that_lies_in_the_project_too() {
    let mut project = project(&["src/real/a.py"], |dir| link(dir, "src/other", "real"));
    project.write("src/real/a.py", "written");
    project
        .one_change(&["src/other/a.py", "src/real/a.py"])
        .await;
}

#[tokio::test]
async fn a_directory_reached_through_several_links() {
    let mut project = project(&["v1/a.py", "v2/a.py"], |dir| {
        link(dir, "current", "v1");
        link(dir, "src/lib", "../current");
    });
    point(&project, "current", "v2");
    project.one_change(&["src/lib/a.py"]).await;
    project.write("v2/a.py", "written");
    project.one_change(&["src/lib/a.py"]).await;
}

#[tokio::test]
async fn circles_end() {
    let mut project = project(&["src/a/one.py", "src/b/two.py"], |dir| {
        link(dir, "src/up", "..");
        link(dir, "src/root", "/");
        link(dir, "src/self.py", "self.py");
        link(dir, "src/a/b", "../b");
        link(dir, "src/b/a", "../a");
    });
    project.write("src/a/one.py", "written");
    project
        .one_change(&["src/a/one.py", "src/b/a/one.py"])
        .await;
    project.write("outside.py", "x");
    project.nothing_more().await;
}

#[tokio::test]
async fn a_link_to_nothing_comes_alive() {
    let mut project = project(&[], |dir| {
        link(dir, "src/later.py", "../gen/deep/later.py");
        link(dir, "src/lib", "../gen/lib");
    });
    project.write("gen/deep/later.py", "came");
    project.one_change(&["src/later.py"]).await;
    project.write("gen/lib/a.py", "came");
    project.one_change(&["src/lib/a.py"]).await;
    fs::remove_dir_all(project.path("gen")).unwrap();
    project.one_change(&["src/later.py", "src/lib/a.py"]).await;
    project.write("gen/deep/later.py", "came again");
    project.one_change(&["src/later.py"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_comes_later() {
    let mut project = project(&["store/a.py", "shared/b.py"], |_| {});
    symlink("../store/a.py", project.path("src/a.py")).unwrap();
    project.one_change(&["src/a.py"]).await;
    project.write("store/a.py", "written");
    project.one_change(&["src/a.py"]).await;
    symlink("../shared", project.path("src/lib")).unwrap();
    project.one_change(&["src/lib/b.py"]).await;
    project.write("shared/b.py", "written");
    project.one_change(&["src/lib/b.py"]).await;
}
