//! Listeners with the same request share one tree; each receives its own notices.

use std::time::SystemTime;

use super::joining::{SiblingServers, age};
use super::*;
use crate::watcher::{FilesInUse, OwnWrites};

/// Returns a request whose globs are inferred in the directory.
fn inferring(cwd: &Path) -> WatchRequest {
    sources(cwd, &[])
}

fn since(mut request: WatchRequest, start: SystemTime) -> WatchRequest {
    let WatchRequest::Sources { since, .. } = &mut request else {
        panic!("it is not for files")
    };
    *since = Some(start);
    request
}

fn is_shared(first: &Coverage, second: &Coverage) -> bool {
    Arc::ptr_eq(&first.files, &second.files)
}

impl SiblingServers {
    async fn want(&self, id: u64, request: WatchRequest) -> Coverage {
        self.watcher.add(id, request).await.unwrap()
    }

    /// Writes the file. Its events are then in the watcher thread's channel, so they form one save.
    fn save(&self, name: &str, text: &str) {
        self.write(name, text);
        self.watcher.downgrade().report_pending();
    }

    /// Reports the files read by the process of `id`; waits until they are watched.
    async fn read(&self, id: u64, files: &[&str], since: SystemTime) {
        let in_use = FilesInUse {
            read: files.iter().map(|file| self.path(file)).collect(),
            since,
            ..FilesInUse::default()
        };
        self.watcher.downgrade().watch_in_use(id, in_use);
        // Resolves after the report is processed.
        self.add(99, "none", &["*.none"]).await;
        self.watcher.remove(99);
    }

    /// Returns the result of the next save for each of `ids`; a suspicion precedes each result.
    async fn verdicts(&mut self, ids: &[u64]) -> BTreeMap<u64, WatchNotice> {
        let mut verdicts = BTreeMap::new();
        while verdicts.len() < ids.len() {
            let (id, notice) = self.notice().await;
            if notice != WatchNotice::Suspect {
                verdicts.insert(id, notice);
            }
        }
        assert!(verdicts.keys().eq(ids), "{verdicts:?}");
        verdicts
    }
}

fn changed(path: &str) -> WatchNotice {
    WatchNotice::Changed(vec![path.into()])
}

#[tokio::test]
async fn one_tree_is_watched_for_all_who_want_the_same() {
    let mut fleet = SiblingServers::new(&["a/x.py", "a/y.py", "b/x.py"]);
    let a = fleet.path("a");
    let first = fleet.want(1, sources(&a, &["*.py"])).await;
    let second = fleet.want(2, sources(&a, &["*.py"])).await;
    assert!(is_shared(&first, &second));
    let others = [sources(&a, &["x.*"]), sources(&fleet.path("b"), &["*.py"])];
    for (id, request) in (3..).zip(others) {
        assert!(!is_shared(&first, &fleet.want(id, request).await));
        fleet.watcher.remove(id);
    }
    fleet.save("a/x.py", "new");
    let all = fleet.verdicts(&[1, 2]).await;
    assert!(all.values().all(|it| *it == changed("x.py")), "{all:?}");

    fleet.watcher.remove(1);
    // Resolves after the removal.
    let third = fleet.want(5, sources(&a, &["*.py"])).await;
    assert!(is_shared(&second, &third));
    fleet.save("a/x.py", "newer");
    let all = fleet.verdicts(&[2, 5]).await;
    assert!(all.values().all(|it| *it == changed("x.py")), "{all:?}");

    fleet.watcher.remove(2);
    fleet.watcher.remove(5);
    let last = fleet.want(6, sources(&a, &["*.py"])).await;
    assert!(!is_shared(&second, &last), "nobody was left");
    fleet.save("a/y.py", "new");
    fleet.change(6, "y.py").await;
}

#[tokio::test]
async fn commands_of_one_project_share_what_is_inferred() {
    let fleet = SiblingServers::new(&["a/pyproject.toml", "a/x.py"]);
    let first = fleet.want(1, inferring(&fleet.path("a"))).await;
    let mut request = inferring(&fleet.path("a"));
    let WatchRequest::Sources { server, args, .. } = &mut request else {
        panic!("it is not for files")
    };
    *server = "another".into();
    *args = vec!["-u".into()];
    assert!(is_shared(&first, &fleet.want(2, request).await));
    let named = sources(&fleet.path("a"), &["**/*.py"]);
    assert!(!is_shared(&first, &fleet.want(3, named).await));
}

#[tokio::test]
async fn all_are_suspected_when_a_glance_is_over() {
    let mut fleet = SiblingServers::new(&["a/x.py"]);
    for id in 1..=3 {
        fleet.add(id, "a", &["*.py"]).await;
    }
    for round in 0..30 {
        fleet.save("a/x.py", &round.to_string());
        for id in 1..=3 {
            let told = fleet.notices.try_recv();
            assert_eq!(told, Ok((id, WatchNotice::Suspect)), "round {round}");
            fleet.suspected.insert(id);
        }
        fleet.verdicts(&[1, 2, 3]).await;
    }
}

#[tokio::test]
async fn a_subscriber_that_joins_during_a_save_waits_for_its_end() {
    let slow = WatchOptions {
        quiet: Duration::from_secs(3600),
        max_wait: Duration::from_secs(3600),
        ..WatchOptions::default()
    };
    let mut fleet = SiblingServers::with(&["a/x.py"], slow);
    fleet.add(1, "a", &["*.py"]).await;
    fleet.add(3, "a", &["y.*"]).await;
    let _open = fs::File::create(fleet.path("a/x.py")).unwrap();
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    fleet.add(2, "a", &["*.py"]).await;
    assert_eq!(fleet.notice().await, (2, WatchNotice::Suspect));
    // The tree that the listener left no longer keeps it suspected.
    fleet.add(2, "a", &["y.*"]).await;
    assert_eq!(fleet.notice().await, (2, WatchNotice::Unchanged));
}

#[tokio::test]
async fn a_subscriber_is_told_only_of_files_newer_than_its_start() {
    let mut fleet = SiblingServers::new(&["a/old.py", "a/new.py"]);
    fleet.add(1, "a", &["*.py"]).await;
    age(&fleet.path("a")).await;
    let start = SystemTime::now();
    fleet.save("a/new.py", "after the start, before the watch");
    fleet.change(1, "new.py").await;
    let request = since(sources(&fleet.path("a"), &["*.py"]), start);
    fleet.want(2, request).await;
    assert_eq!(fleet.notice().await, (2, WatchNotice::Suspect));
    assert_eq!(fleet.notice().await, (2, changed("new.py")));
    fleet.save("a/old.py", "new");
    fleet.verdicts(&[1, 2]).await;
}

#[tokio::test]
async fn a_save_right_before_a_change_to_a_shared_tree_counts() {
    let mut fleet = SiblingServers::new(&["a/x.py", "a/y.py"]);
    fleet.add(1, "a", &["x.*"]).await;
    fleet.add(2, "a", &["*.py"]).await;
    fleet.add(3, "a", &["x.*"]).await;
    for round in 0..20 {
        let globs = [&["*.py"], &["x.*"]][round % 2];
        fleet.write("a/x.py", &round.to_string());
        fleet.add(1, "a", globs).await;
        let mut told = BTreeSet::new();
        while told.len() < 3 {
            if let (id, WatchNotice::Changed(paths)) = fleet.notice().await {
                assert_eq!(paths, [PathBuf::from("x.py")]);
                told.insert(id);
            }
        }
        // Reported twice if both the walk and an event find the change.
        while !fleet.suspected.is_empty() {
            fleet.notice().await;
        }
    }
    fs::remove_file(fleet.path("a/x.py")).unwrap();
    fleet.add(1, "a", &["*.py"]).await;
    let mut told = BTreeSet::new();
    while told.len() < 3 {
        if let (id, WatchNotice::Changed(_)) = fleet.notice().await {
            told.insert(id);
        }
    }
}

#[tokio::test]
async fn a_change_to_a_shared_tree_looks_for_saves_that_only_the_other_tree_has_seen() {
    let never = WatchOptions {
        poll: Some(Duration::from_secs(3600)),
        ..WatchOptions::default()
    };
    let mut fleet = SiblingServers::with(&["a/w.py", "a/x.py", "a/y.py"], never);
    fleet.add(1, "a", &["*.py"]).await;
    fleet.save("a/x.py", "new");
    fs::remove_file(fleet.path("a/y.py")).unwrap();
    fleet.write("a/z.py", "new");
    fleet.add(2, "a", &["**"]).await;
    fleet.add(1, "a", &["**"]).await;
    let paths = ["x.py", "z.py", "y.py"].map(PathBuf::from).into();
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    assert_eq!(fleet.notice().await, (1, WatchNotice::Changed(paths)));
}

#[tokio::test]
async fn files_used_by_one_process_concern_it_alone() {
    let mut fleet = SiblingServers::new(&["a/pyproject.toml", "a/x.py", "a/data.json", "none/x"]);
    let first = fleet.want(1, inferring(&fleet.path("a"))).await;
    let second = fleet.want(2, inferring(&fleet.path("a"))).await;
    assert!(is_shared(&first, &second));
    age(&fleet.path("a")).await;
    let start = SystemTime::now();
    fleet.read(2, &["a/data.json"], start).await;
    fleet.save("a/data.json", "new");
    let verdicts = fleet.verdicts(&[1, 2]).await;
    assert_eq!(verdicts[&1], WatchNotice::Unchanged);
    assert_eq!(verdicts[&2], changed("data.json"));
    let shows = |coverage: &Coverage| {
        let globs = coverage.globs.lock().unwrap();
        globs.iter().any(|(glob, _)| glob == "data.json")
    };
    assert!(shows(&second) && !shows(&first));

    // The process of id 1 had read the file before that save.
    fleet.read(1, &["a/data.json"], start).await;
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    assert_eq!(fleet.notice().await, (1, changed("data.json")));
    fleet.watcher.remove(2);
    // Resolves after the removal.
    fleet.read(1, &["a/data.json"], start).await;
    fleet.save("a/data.json", "newer");
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    fleet.change(1, "data.json").await;
}

#[tokio::test]
async fn a_save_while_the_files_of_a_process_are_examined_counts() {
    let names: Vec<String> = (0..200).map(|it| format!("a/{it}.txt")).collect();
    let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
    files.push("a/pyproject.toml");
    for round in 0..20 {
        let mut fleet = SiblingServers::new(&files);
        fleet.want(1, inferring(&fleet.path("a"))).await;
        age(&fleet.path("a")).await;
        let in_use = FilesInUse {
            read: names.iter().map(|name| fleet.path(name)).collect(),
            since: SystemTime::now(),
            ..FilesInUse::default()
        };
        fleet.watcher.downgrade().watch_in_use(1, in_use);
        // Each round saves at another moment of the examination, which has no event for its middle.
        std::thread::sleep(Duration::from_millis(round));
        fleet.write("a/150.txt", "new");
        fleet.change(1, "150.txt").await;
    }
}

#[tokio::test]
async fn files_written_by_one_server_concern_the_others() {
    let mut fleet = SiblingServers::new(&["a/pyproject.toml", "a/x.py", "a/state.py"]);
    for id in [1, 2] {
        let mut request = inferring(&fleet.path("a"));
        let WatchRequest::Sources { own_writes, .. } = &mut request else {
            panic!("it is not for files")
        };
        *own_writes = (id == 1).then(|| OwnWrites::new(|path| path.ends_with("state.py")));
        fleet.want(id, request).await;
    }
    fleet.save("a/state.py", "new");
    let verdicts = fleet.verdicts(&[1, 2]).await;
    assert_eq!(verdicts[&1], WatchNotice::Unchanged);
    assert_eq!(verdicts[&2], changed("state.py"));
}
