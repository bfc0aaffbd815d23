//! Files watched by exact path, such as configuration files.

#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// Two watched files in two directories.
struct TwoFiles {
    dir: TempDir,
    notices: UnboundedReceiver<(u64, WatchNotice)>,
    events: Receiver<Box<SessionEvent>>,
    /// Keeps the watcher running.
    _watcher: Watcher,
}

const TOML: &str = "project/mcp-proxy.toml";
const JSON: &str = "client/.mcp.json";

impl TwoFiles {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        Self::with(WatchOptions::default(), prepare)
    }

    fn with(options: WatchOptions, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["project", "client"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        prepare(dir.path());
        let (sender, notices) = unbounded_channel();
        let (event_sender, events) = sync_channel(EVENT_BACKLOG);
        let reporter = EventSender::new(event_sender, Arc::default());
        let watcher = Watcher::start(options, into(sender), reporter).unwrap();
        let request = WatchRequest::Files {
            name: "configuration".into(),
            files: [TOML, JSON].map(|file| dir.path().join(file)).into(),
        };
        add(&watcher, 1, request).unwrap();
        Self {
            dir,
            notices,
            events,
            _watcher: watcher,
        }
    }

    /// Creates both files, each with its own name as content.
    fn there() -> Self {
        Self::new(|dir| {
            for file in [TOML, JSON] {
                put(&dir.join(file), file);
            }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    async fn notice(&mut self) -> WatchNotice {
        let received = tokio::time::timeout(DEADLINE, self.notices.recv()).await;
        received.expect("no notice before the deadline").unwrap().1
    }

    async fn change(&mut self) -> Vec<PathBuf> {
        loop {
            if let WatchNotice::Changed(paths) = self.notice().await {
                return paths;
            }
        }
    }

    /// Asserts one change, of this file alone, under the requested name.
    #[track_caller]
    fn one_change(&mut self, name: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let expected = [self.path(name)];
        async move {
            assert_eq!(self.change().await, expected, "at {caller}");
            self.nothing_more().await;
        }
    }

    /// Asserts that the next change is a save made now, of the file that is a symlink in no test.
    async fn nothing_more(&mut self) {
        let text = fs::read_to_string(self.path(TOML)).unwrap_or_default();
        self.write(TOML, &format!("{text}#"));
        assert_eq!(self.change().await, [self.path(TOML)]);
    }
}

#[tokio::test]
async fn each_way_of_saving_counts() {
    let mut named = TwoFiles::there();
    named.write(JSON, "written");
    named.one_change(JSON).await;
    for text in ["renamed", "renamed again"] {
        named.write("client/x.tmp", text);
        fs::rename(named.path("client/x.tmp"), named.path(JSON)).unwrap();
        named.one_change(JSON).await;
    }
    fs::write(named.path(JSON), "").unwrap();
    assert_eq!(named.notice().await, WatchNotice::Suspect);
    named.write(JSON, "truncated, then written");
    named.one_change(JSON).await;
    fs::remove_file(named.path(JSON)).unwrap();
    assert_eq!(named.notice().await, WatchNotice::Suspect);
    named.write(JSON, "deleted, then created");
    named.one_change(JSON).await;
    fs::rename(named.path(JSON), named.path("client/.mcp.json~")).unwrap();
    named.write(JSON, "a backup was made");
    named.one_change(JSON).await;
    fs::remove_file(named.path(JSON)).unwrap();
    named.one_change(JSON).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_touch_and_the_same_bytes_do_not_count() {
    let mut named = TwoFiles::there();
    let times = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
    let open = fs::File::options().write(true).open(named.path(JSON));
    open.unwrap().set_times(times).unwrap();
    assert_eq!(named.notice().await, WatchNotice::Suspect);
    assert_eq!(named.notice().await, WatchNotice::Unchanged);
    fs::set_permissions(named.path(JSON), fs::Permissions::from_mode(0o600)).unwrap();
    named.write(JSON, JSON);
    named.nothing_more().await;
}

#[tokio::test]
async fn neighbours_are_not_even_suspected_and_ignore_files_do_not_count() {
    let mut named = TwoFiles::new(|dir| {
        git(dir, "init -q");
        put(&dir.join(".gitignore"), ".mcp.json\n");
        put(&dir.join(JSON), "old");
        put(&dir.join("client/deep/.mcp.json"), "old");
    });
    named.write("client/.gitignore", "*");
    named.write("client/other.json", "x");
    named.write("client/deep/.mcp.json", "x");
    named.write("project/deep/mcp-proxy.toml", "x");
    named.write(JSON, "new");
    assert_eq!(named.notice().await, WatchNotice::Suspect);
    let expected = WatchNotice::Changed(vec![named.path(JSON)]);
    assert_eq!(named.notice().await, expected);
    assert_eq!(named.events.try_iter().count(), 0, "it is no server");
}

#[tokio::test]
async fn a_file_that_does_not_exist_yet() {
    let mut named = TwoFiles::new(|_| {});
    named.write(JSON, "created");
    named.one_change(JSON).await;
    fs::remove_dir_all(named.path("client")).unwrap();
    named.one_change(JSON).await;
    named.write(JSON, "created again");
    named.one_change(JSON).await;
    named.write(JSON, "saved");
    named.one_change(JSON).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_linked_file_and_what_it_leads_to() {
    let mut named = TwoFiles::new(|dir| {
        put(&dir.join("dotfiles/one.json"), "one");
        put(&dir.join("dotfiles/two/two.json"), "two");
        symlink("../dotfiles/one.json", dir.join(JSON)).unwrap();
    });
    named.write("dotfiles/one.json", "written");
    named.one_change(JSON).await;
    named.write("dotfiles/x.tmp", "renamed over");
    let target = named.path("dotfiles/one.json");
    fs::rename(named.path("dotfiles/x.tmp"), &target).unwrap();
    named.one_change(JSON).await;
    // Changes the target, as `ln -sfn` does.
    symlink(
        named.path("dotfiles/two/two.json"),
        named.path("client/new"),
    )
    .unwrap();
    fs::rename(named.path("client/new"), named.path(JSON)).unwrap();
    named.one_change(JSON).await;
    named.write("dotfiles/two/two.json", "written");
    named.one_change(JSON).await;
    named.write("dotfiles/one.json", "no longer meant");
    named.nothing_more().await;
    fs::remove_file(named.path(JSON)).unwrap();
    named.write(JSON, "a file now");
    named.one_change(JSON).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_within_the_way_is_followed() {
    let mut named = TwoFiles::new(|dir| {
        for (name, text) in [("v1", "one"), ("v2", "two")] {
            put(&dir.join("client").join(name).join("x.json"), text);
        }
        symlink("v1", dir.join("client/current")).unwrap();
        symlink("current/x.json", dir.join(JSON)).unwrap();
    });
    symlink("v2", named.path("client/new")).unwrap();
    fs::rename(named.path("client/new"), named.path("client/current")).unwrap();
    named.one_change(JSON).await;
    named.write("client/v2/x.json", "written");
    named.one_change(JSON).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_nothing_and_a_circle() {
    let mut named = TwoFiles::new(|dir| {
        fs::create_dir(dir.join("dotfiles")).unwrap();
        symlink("../dotfiles/later.json", dir.join(JSON)).unwrap();
    });
    named.write("dotfiles/later.json", "came");
    named.one_change(JSON).await;
    fs::remove_file(named.path(JSON)).unwrap();
    symlink(".mcp.json", named.path(JSON)).unwrap();
    named.one_change(JSON).await;
    fs::remove_file(named.path(JSON)).unwrap();
    named.write(JSON, "mended");
    named.one_change(JSON).await;
}

#[tokio::test]
async fn a_name_that_reads_like_a_glob_is_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("[ab]{c}*.json");
    let (sender, mut notices) = unbounded_channel();
    let watcher =
        Watcher::start(WatchOptions::default(), into(sender), EventSender::silent()).unwrap();
    let request = WatchRequest::Files {
        name: "configuration".into(),
        files: vec![file.clone()],
    };
    watcher.add(1, request).await.unwrap();
    put(&file, "x");
    for expected in [WatchNotice::Suspect, WatchNotice::Changed(vec![file])] {
        let notice = tokio::time::timeout(DEADLINE, notices.recv()).await;
        assert_eq!(notice.unwrap(), Some((1, expected)));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn polling_finds_the_same() {
    let polled = WatchOptions {
        poll: Some(Duration::from_millis(50)),
        ..WatchOptions::default()
    };
    let mut named = TwoFiles::with(polled, |dir| {
        put(&dir.join("dotfiles/one.json"), "one");
        put(&dir.join("dotfiles/two.json"), "two");
        symlink("../dotfiles/one.json", dir.join(JSON)).unwrap();
    });
    named.write("dotfiles/one.json", "written");
    named.one_change(JSON).await;
    fs::remove_file(named.path(JSON)).unwrap();
    symlink("../dotfiles/two.json", named.path(JSON)).unwrap();
    named.one_change(JSON).await;
}
