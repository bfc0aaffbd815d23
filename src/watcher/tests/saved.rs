//! Early notices about a save that is not over. The quiet time is longer than any test.

use std::io::Write as _;

use super::*;

struct Saving {
    dir: TempDir,
    other: TempDir,
    notices: UnboundedReceiver<(u64, WatchNotice)>,
    _watcher: Watcher,
}

impl Saving {
    fn new() -> Self {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join(".git")).unwrap();
        put(&dir.path().join("src/a.py"), "a");
        put(&dir.path().join("src/b.py"), "b");
        let (sender, notices) = unbounded_channel();
        let options = WatchOptions {
            quiet: DEADLINE * 10,
            max_wait: DEADLINE * 10,
            poll: None,
        };
        let tell = move |id, notice| drop(sender.send((id, notice)));
        let watcher = Watcher::start(options, tell, EventSender::silent()).unwrap();
        add(&watcher, 7, sources(dir.path(), &["src/**"])).unwrap();
        add(&watcher, 8, sources(other.path(), &["**"])).unwrap();
        Self {
            dir,
            other,
            notices,
            _watcher: watcher,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    async fn next(&mut self) -> (u64, WatchNotice) {
        let notice = tokio::time::timeout(DEADLINE, self.notices.recv()).await;
        notice.expect("no notice before the deadline").unwrap()
    }

    /// Asserts that the next notice reports these files as saved.
    #[track_caller]
    fn saved(&mut self, files: &[&str]) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let files = files.iter().map(PathBuf::from).collect();
        async move {
            assert_eq!(
                self.next().await,
                (7, WatchNotice::Saved(files)),
                "at {caller}"
            );
        }
    }

    /// Asserts a suspicion without an early notice so far: a save of another server is reported first.
    #[track_caller]
    fn only_suspected(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            assert_eq!(self.next().await, (7, WatchNotice::Suspect), "at {caller}");
            put(&self.other.path().join("c.py"), "new");
            assert_eq!(self.next().await, (8, WatchNotice::Suspect), "at {caller}");
            let saved = WatchNotice::Saved(vec!["c.py".into()]);
            assert_eq!(self.next().await, (8, saved), "at {caller}");
        }
    }
}

#[tokio::test]
async fn a_file_that_was_written_or_renamed_to_its_place() {
    let mut saving = Saving::new();
    saving.write("src/a.py", "new");
    assert_eq!(saving.next().await, (7, WatchNotice::Suspect));
    saving.saved(&["src/a.py"]).await;
    let mut saving = Saving::new();
    saving.write("a.tmp", "new");
    fs::rename(saving.path("a.tmp"), saving.path("src/a.py")).unwrap();
    assert_eq!(saving.next().await, (7, WatchNotice::Suspect));
    saving.saved(&["src/a.py"]).await;
}

#[tokio::test]
async fn not_while_a_file_is_open() {
    let mut saving = Saving::new();
    let mut file = fs::File::create(saving.path("src/a.py")).unwrap();
    file.write_all(b"half").unwrap();
    saving.write("src/b.py", "new");
    saving.only_suspected().await;
    file.write_all(b"whole").unwrap();
    drop(file);
    saving.saved(&["src/a.py", "src/b.py"]).await;
}

#[tokio::test]
async fn not_while_a_file_is_empty() {
    let mut saving = Saving::new();
    saving.write("src/a.py", "");
    saving.write("src/b.py", "new");
    saving.only_suspected().await;
    saving.write("src/a.py", "new");
    saving.saved(&["src/a.py", "src/b.py"]).await;
}

#[tokio::test]
async fn not_while_git_is_at_work() {
    let mut saving = Saving::new();
    saving.write(".git/index.lock", "");
    saving.write("src/a.py", "new");
    saving.only_suspected().await;
    fs::remove_file(saving.path(".git/index.lock")).unwrap();
    saving.write("src/b.py", "new");
    saving.saved(&["src/a.py", "src/b.py"]).await;
}

#[tokio::test]
async fn not_what_holds_what_it_held() {
    let mut saving = Saving::new();
    saving.write("src/a.py", "a");
    saving.only_suspected().await;
    saving.write("src/b.py", "new");
    saving.saved(&["src/b.py"]).await;
}
