//! Trees that are added and removed while others are watched.

#[cfg(target_os = "linux")]
use std::os::linux::fs::MetadataExt as _;
use std::time::SystemTime;

use super::*;

/// Servers below one directory.
pub(super) struct SiblingServers {
    dir: TempDir,
    pub(super) notices: UnboundedReceiver<(u64, WatchNotice)>,
    events: Receiver<Box<SessionEvent>>,
    pub(super) watcher: Watcher,
    pub(super) suspected: BTreeSet<u64>,
}

impl SiblingServers {
    pub(super) fn new(files: &[&str]) -> Self {
        Self::with(files, WatchOptions::default())
    }

    pub(super) fn with(files: &[&str], options: WatchOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            put(&dir.path().join(file), file);
        }
        let (sender, notices) = unbounded_channel();
        let (event_sender, events) = sync_channel(EVENT_BACKLOG);
        let reporter = EventSender::new(event_sender, Arc::default());
        Self {
            dir,
            notices,
            events,
            watcher: Watcher::start(options, into(sender), reporter).unwrap(),
            suspected: BTreeSet::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    pub(super) async fn add(&self, id: u64, cwd: &str, globs: &[&str]) {
        let request = sources(&self.path(cwd), globs);
        self.watcher.add(id, request).await.unwrap();
    }

    pub(super) async fn notice(&mut self) -> (u64, WatchNotice) {
        let (id, notice) = tokio::time::timeout(DEADLINE, self.notices.recv())
            .await
            .expect("no notice before the deadline")
            .expect("the watcher ended");
        let fits = if notice == WatchNotice::Suspect {
            self.suspected.insert(id)
        } else {
            self.suspected.remove(&id)
        };
        assert!(fits, "suspicions and verdicts alternate: {id} {notice:?}");
        (id, notice)
    }

    /// Returns the next `count` changes, sorted by id; skips other notices.
    async fn changes(&mut self, count: usize) -> Vec<(u64, Vec<PathBuf>)> {
        let mut changes = Vec::new();
        while changes.len() < count {
            if let (id, WatchNotice::Changed(paths)) = self.notice().await {
                changes.push((id, paths));
            }
        }
        changes.sort();
        changes
    }

    #[track_caller]
    pub(super) fn change(&mut self, id: u64, path: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let expected = vec![(id, vec![PathBuf::from(path)])];
        async move { assert_eq!(self.changes(1).await, expected, "at {caller}") }
    }

    /// Returns the number of inotify watches of this process for the directory.
    #[cfg(target_os = "linux")]
    fn watches(&self, name: &str) -> usize {
        let inode = fs::metadata(self.path(name)).unwrap().st_ino();
        let wanted = format!(" ino:{inode:x} ");
        fs::read_dir("/proc/self/fdinfo")
            .unwrap()
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
            .flat_map(|info| info.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.starts_with("inotify ") && line.contains(&wanted))
            .count()
    }
}

#[tokio::test]
async fn each_server_hears_of_its_own_files() {
    let mut fleet = SiblingServers::new(&["shared/lib.py", "a/server.py", "b/server.py"]);
    for (id, cwd) in [(10, "a"), (20, "b")] {
        fleet.add(id, cwd, &["**/*.py", "../shared/**"]).await;
    }
    fleet.write("b/server.py", "y");
    fleet.change(20, "server.py").await;
    fleet.write("shared/lib.py", "y");
    let lib = dunce::canonicalize(fleet.path("shared/lib.py")).unwrap();
    let both = [(10, vec![lib.clone()]), (20, vec![lib])];
    assert_eq!(fleet.changes(2).await, both);
    let SiblingServers {
        watcher,
        mut notices,
        ..
    } = fleet;
    drop(watcher);
    let ended = async { while notices.recv().await.is_some() {} };
    let ended = tokio::time::timeout(DEADLINE, ended).await;
    ended.expect("the thread ends with the guard");
}

#[tokio::test]
async fn nothing_is_said_of_a_tree_that_was_removed() {
    let mut fleet = SiblingServers::new(&["a/x.py", "b/x.py"]);
    fleet.add(1, "a", &["**"]).await;
    fleet.add(2, "b", &["**"]).await;
    fleet.watcher.remove(1);
    // Resolves after the removal.
    fleet.add(3, "b", &["*.none"]).await;
    fleet.write("a/x.py", "new");
    fleet.write("b/x.py", "new");
    assert_eq!(fleet.notice().await, (2, WatchNotice::Suspect));
    fleet.change(2, "x.py").await;
    fleet.add(4, "a", &["**"]).await;
    fleet.write("a/x.py", "newer");
    assert_eq!(fleet.notice().await, (4, WatchNotice::Suspect));
    fleet.change(4, "x.py").await;
}

#[tokio::test]
async fn a_save_right_after_adding_counts() {
    let mut fleet = SiblingServers::new(&["0/x.py"]);
    fleet.add(0, "0", &["**"]).await;
    for id in 1..20 {
        let (file, text) = (format!("{id}/x.py"), "old");
        fleet.write(&file, text);
        fleet.write("0/x.py", &id.to_string());
        fleet.add(id, &id.to_string(), &["**"]).await;
        fleet.write(&file, "new");
        let expected = [(0, vec!["x.py".into()]), (id, vec!["x.py".into()])];
        assert_eq!(fleet.changes(2).await, expected);
    }
}

#[tokio::test]
async fn a_tree_is_replaced_by_another() {
    let mut fleet = SiblingServers::new(&["a/x.py", "a/y.js", "b/y.js"]);
    fleet.add(1, "a", &["*.py"]).await;
    fleet.add(1, "a", &["*.js"]).await;
    fleet.write("a/x.py", "new");
    fleet.write("a/y.js", "new");
    fleet.change(1, "y.js").await;
    fleet.add(1, "b", &["*.js"]).await;
    fleet.write("a/y.js", "newer");
    fleet.write("b/y.js", "new");
    fleet.change(1, "y.js").await;
    #[cfg(target_os = "linux")]
    assert_eq!(fleet.watches("a"), 0);
    fleet.write("b/y.js", "newer");
    fleet.change(1, "y.js").await;
}

#[tokio::test]
async fn a_save_right_before_a_replacement_counts() {
    let mut fleet = SiblingServers::new(&["a/x.py", "a/y.py"]);
    fleet.add(1, "a", &["*.py"]).await;
    for round in 0..10 {
        fleet.write("a/x.py", &round.to_string());
        fleet.add(1, "a", &["x.*"]).await;
        fleet.change(1, "x.py").await;
        fs::remove_file(fleet.path("a/x.py")).unwrap();
        fleet.add(1, "a", &["*.py"]).await;
        fleet.change(1, "x.py").await;
    }
    fleet.write("a/x.py", "last");
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    // The suspicion is answered, though the file is no longer watched. On a slow machine the save may be over before.
    fleet.add(1, "a", &["y.py"]).await;
    let answer = fleet.notice().await.1;
    let changed = WatchNotice::Changed(vec!["x.py".into()]);
    assert!(
        answer == WatchNotice::Unchanged || answer == changed,
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_newly_watched_file_counts_if_it_is_newer_than_the_start() {
    let mut fleet = SiblingServers::new(&["a/old.py", "a/kept.js", "b/lib.js"]);
    fleet.add(1, "a", &["*.py"]).await;
    for (round, globs) in [&["*.js"][..], &["**", "../b/**"]].iter().enumerate() {
        age(&fleet.path("a")).await;
        let mut request = sources(&fleet.path("a"), globs);
        let WatchRequest::Sources { since, .. } = &mut request else {
            panic!("it is not for files")
        };
        *since = Some(SystemTime::now());
        let saved = format!("a/new{round}.js");
        fleet.write(&saved, "after the start, before the watch");
        fleet.watcher.add(1, request).await.unwrap();
        fleet.change(1, &saved["a/".len()..]).await;
    }
}

/// Waits until the clock of the file system distinguishes earlier writes from later ones.
pub(super) async fn age(place: &Path) {
    let file = place.join("clock");
    let now = || {
        put(&file, "");
        fs::metadata(&file).unwrap().modified().unwrap()
    };
    let until = now() + Duration::from_millis(30);
    while now() < until {
        tokio::task::yield_now().await;
    }
    fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_replacement_looks_for_saves_that_no_event_told_of() {
    let never = WatchOptions {
        poll: Some(Duration::from_secs(3600)),
        ..WatchOptions::default()
    };
    let mut fleet = SiblingServers::with(&["a/x.py", "a/y.py"], never);
    fleet.add(1, "a", &["*.py"]).await;
    fleet.write("a/x.py", "new");
    fs::remove_file(fleet.path("a/y.py")).unwrap();
    fleet.write("a/z.py", "new");
    fleet.add(1, "a", &["**"]).await;
    let paths = ["x.py", "y.py", "z.py"].map(PathBuf::from).into();
    assert_eq!(fleet.changes(1).await, [(1, paths)]);
}

#[tokio::test]
async fn a_failed_addition_leaves_the_existing_watches() {
    let mut fleet = SiblingServers::new(&["a/x.py"]);
    fleet.add(1, "a", &["**"]).await;
    let watcher = &fleet.watcher;
    let bad = [
        sources(&fleet.path("a"), &["[a"]),
        sources(&fleet.path("absent"), &["**"]),
    ];
    for request in bad {
        assert!(watcher.add(1, request.clone()).await.is_err());
        assert!(watcher.add(2, request).await.is_err());
    }
    fleet.write("a/x.py", "new");
    fleet.change(1, "x.py").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn watches_that_nobody_needs_are_given_back() {
    let mut fleet = SiblingServers::new(&["shared/deep/lib.py", "a/x.py", "b/x.py", "c/x.py"]);
    fleet.add(1, "a", &["**", "../shared/**"]).await;
    fleet.add(2, "b", &["**", "../shared/**"]).await;
    fleet.add(3, "c", &["**"]).await;
    let all = ["", "a", "b", "c", "shared", "shared/deep"];
    let watches = |fleet: &SiblingServers| {
        all.map(|name| fleet.watches(name))
            .map(|count| count.to_string())
            .concat()
    };
    assert_eq!(watches(&fleet), "111111");
    fleet.watcher.remove(1);
    fleet.write("shared/deep/lib.py", "new");
    let changes = fleet.changes(1).await;
    assert_eq!(changes[0].0, 2);
    assert_eq!(watches(&fleet), "101111");
    fleet.watcher.remove(2);
    fleet.write("c/x.py", "new");
    fleet.change(3, "x.py").await;
    assert_eq!(watches(&fleet), "100100");
    fleet.watcher.remove(3);
    // No tree is left whose change could be awaited; the addition resolves after the removal.
    fleet.add(4, "a", &["**"]).await;
    assert_eq!(watches(&fleet), "110000");
    fleet.write("a/x.py", "new");
    fleet.change(4, "x.py").await;
}

#[tokio::test]
async fn a_shared_directory_that_is_renamed_is_found_by_all() {
    let mut fleet = SiblingServers::new(&["shared/old/lib.py", "a/x", "b/x"]);
    fleet.add(1, "a", &["../shared/**"]).await;
    fleet.add(2, "b", &["../shared/**"]).await;
    fs::rename(fleet.path("shared/old"), fleet.path("shared/new")).unwrap();
    let ids = |changes: Vec<(u64, Vec<PathBuf>)>| changes.into_iter().map(|(id, _)| id);
    assert!(ids(fleet.changes(2).await).eq([1, 2]));
    fleet.write("shared/new/lib.py", "new");
    assert!(ids(fleet.changes(2).await).eq([1, 2]));
    fleet.watcher.remove(1);
    fleet.write("shared/new/lib.py", "newer");
    assert!(ids(fleet.changes(1).await).eq([2]));
}

#[tokio::test]
async fn an_ignore_file_concerns_its_own_tree() {
    let mut fleet = SiblingServers::new(&["a/x.py", "b/x.py"]);
    fleet.add(1, "a", &["**/*.py"]).await;
    fleet.add(2, "b", &["**/*.py"]).await;
    fleet.write("a/.gitignore", "x.py");
    assert_eq!(fleet.notice().await, (1, WatchNotice::Suspect));
    assert_eq!(fleet.notice().await, (1, WatchNotice::Unchanged));
    fleet.write("b/x.py", "new");
    assert_eq!(fleet.notice().await, (2, WatchNotice::Suspect));
    fleet.change(2, "x.py").await;
}

#[tokio::test]
async fn saves_during_the_walk_of_another_tree_are_told_after_it() {
    let mut fleet = SiblingServers::new(&["a/x.py", "b/x.py"]);
    fleet.add(1, "a", &["**"]).await;
    for n in 0..500 {
        fleet.write(&format!("b/d{}/f{n}.py", n % 50), "x");
    }
    let request = sources(&fleet.path("b"), &["**"]);
    // Polled in this order: the walk is requested before the file is written.
    let (armed, ()) = tokio::join!(fleet.watcher.add(2, request), async {
        fleet.write("a/x.py", "new");
    });
    armed.unwrap();
    fleet.change(1, "x.py").await;
    fleet.write("b/d49/f49.py", "new");
    fleet.change(2, "d49/f49.py").await;
}

#[tokio::test]
async fn each_tree_is_introduced() {
    let fleet = SiblingServers::new(&["a/x.py", "b/x.py"]);
    fleet.add(1, "a", &["**"]).await;
    fleet.add(2, "b", &["**"]).await;
    let events: Vec<Event> = fleet.events.try_iter().map(|it| it.event).collect();
    let introduced = |event: &Event| matches!(event, Event::Watching { files: 1, .. });
    assert!(
        events.len() == 2 && events.iter().all(introduced),
        "{events:?}"
    );
}
