//! Tests on real file systems with real events: each way of saving counts as one change, anything else as none.

mod debounced;
mod exact;
mod explaining;
mod fallback;
#[cfg(unix)]
mod fsevents;
#[cfg(target_os = "linux")]
mod glancing;
mod inferring;
mod joining;
#[cfg(unix)]
mod linked;
mod matching;
#[cfg(target_os = "linux")]
mod pending;
mod saved;
mod saves;
mod sharing;
mod structure;
mod unwrapping;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::file_events::MakeBackend;
use super::{
    Coverage, WatchError, WatchNotice, WatchOptions, WatchRequest, Watcher, start_backend,
};
use crate::event::{EVENT_BACKLOG, Event, EventSender, SessionEvent};

/// Generous, since the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(30);
const SENTINEL: &str = "src/sentinel.py";

/// Watched project.
struct Project {
    dir: TempDir,
    notices: UnboundedReceiver<(u64, WatchNotice)>,
    events: Receiver<Box<SessionEvent>>,
    watcher: Watcher,
    sentinels: u32,
    suspect: bool,
}

impl Project {
    /// Creates `files`, each with its own name as content, and watches everything below `src`.
    fn new(files: &[&str]) -> Self {
        Self::watching(files, &["src/**"])
    }

    fn watching(files: &[&str], globs: &[&str]) -> Self {
        Self::with(files, globs, WatchOptions::default(), |_| {}).expect("valid globs")
    }

    fn with(
        files: &[&str],
        globs: &[&str],
        options: WatchOptions,
        prepare: impl FnOnce(&Path),
    ) -> Result<Self, WatchError> {
        Self::on(start_backend, files, globs, options, prepare)
    }

    fn on(
        make: MakeBackend,
        files: &[&str],
        globs: &[&str],
        options: WatchOptions,
        prepare: impl FnOnce(&Path),
    ) -> Result<Self, WatchError> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            put(&dir.path().join(file), file);
        }
        fs::create_dir_all(dir.path().join("src")).unwrap();
        prepare(dir.path());
        let request = sources(dir.path(), globs);
        let (sender, notices) = unbounded_channel();
        let (event_sender, events) = sync_channel(EVENT_BACKLOG);
        let reporter = EventSender::new(event_sender, Arc::default());
        let watcher = Watcher::start_on(make, options, into(sender), reporter)?;
        add(&watcher, 7, request)?;
        Ok(Self {
            dir,
            notices,
            events,
            watcher,
            sentinels: 0,
            suspect: false,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    /// Returns the next notice; asserts that suspicions and results alternate.
    async fn notice(&mut self) -> WatchNotice {
        let (server, notice) = tokio::time::timeout(DEADLINE, self.notices.recv())
            .await
            .expect("no notice before the deadline")
            .expect("the watcher ended");
        assert_eq!(server, 7);
        assert_eq!(self.suspect, notice != WatchNotice::Suspect, "{notice:?}");
        self.suspect = !self.suspect;
        notice
    }

    /// Returns the paths of the next change.
    async fn change(&mut self) -> Vec<String> {
        loop {
            if let WatchNotice::Changed(paths) = self.notice().await {
                return paths
                    .iter()
                    .map(|path| path.to_str().unwrap().replace(MAIN_SEPARATOR, "/"))
                    .collect();
            }
        }
    }

    /// Waits until all of `paths` are reported, in any number of changes.
    async fn all_reported(&mut self, paths: impl IntoIterator<Item = String>) {
        let mut missing: BTreeSet<String> = paths.into_iter().collect();
        while !missing.is_empty() {
            for path in self.change().await {
                missing.remove(&path);
            }
        }
    }

    /// Asserts that the next change is the sentinel, which is written now.
    #[track_caller]
    fn nothing_more(&mut self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            self.sentinels += 1;
            self.write(SENTINEL, &self.sentinels.to_string());
            assert_eq!(self.change().await, [SENTINEL], "at {caller}");
        }
    }

    /// Asserts exactly one change, of these paths.
    #[track_caller]
    fn one_change<'a>(&'a mut self, paths: &'a [&str]) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            assert_eq!(self.change().await, paths, "at {caller}");
            self.nothing_more().await;
        }
    }

    /// Asserts that files in a new directory are found, also after the directory has moved.
    async fn finds_new_and_moved_directories(&mut self) {
        self.write("src/new/deep/c.py", "new");
        self.one_change(&["src/new/deep/c.py"]).await;
        fs::rename(self.path("src/new"), self.path("src/newer")).unwrap();
        let moved = ["src/new/deep/c.py", "src/newer/deep/c.py"];
        self.one_change(&moved).await;
        self.write("src/newer/deep/c.py", "newer");
        self.one_change(&["src/newer/deep/c.py"]).await;
    }

    fn warnings(&self) -> Vec<String> {
        self.events
            .try_iter()
            .filter_map(|event| match event.event {
                Event::WatchWarning { message, .. } => Some(message),
                _ => None,
            })
            .collect()
    }
}

/// Returns a callback that forwards notices but merges `Saved` into the result of the save, since the split between the
/// two depends on the timing of the writes.
fn into(sender: UnboundedSender<(u64, WatchNotice)>) -> impl Fn(u64, WatchNotice) {
    let early = Mutex::new(BTreeMap::<u64, BTreeSet<PathBuf>>::new());
    move |id, notice| {
        let mut early = early.lock().unwrap();
        let notice = match notice {
            WatchNotice::Saved(paths) => return early.entry(id).or_default().extend(paths),
            WatchNotice::Suspect => notice,
            WatchNotice::Unchanged | WatchNotice::Changed(_) => match (early.remove(&id), notice) {
                (None, notice) => notice,
                (Some(early), WatchNotice::Changed(paths)) => WatchNotice::Changed(
                    early
                        .into_iter()
                        .chain(paths)
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .collect(),
                ),
                (Some(early), _) => WatchNotice::Changed(early.into_iter().collect()),
            },
        };
        // The receiver is gone at the end of the test.
        let _ = sender.send((id, notice));
    }
}

fn sources(cwd: &Path, globs: &[&str]) -> WatchRequest {
    WatchRequest::Sources {
        server: "weather".into(),
        session: None,
        cwd: cwd.to_owned(),
        program: "python".into(),
        args: Vec::new(),
        builds: false,
        may_reload: false,
        globs: globs.iter().map(ToString::to_string).collect(),
        left_out: Vec::new(),
        own_writes: None,
        uses_standby: None,
        since: None,
    }
}

/// Adds a watch. Waits on another thread, since this one may run a test's runtime.
fn add(watcher: &Watcher, id: u64, request: WatchRequest) -> Result<Coverage, WatchError> {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(watcher.add(id, request))
    };
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap())
}

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[track_caller]
fn git(dir: &Path, args: &str) {
    let output = Command::new("git")
        .args(["-c", "user.name=n", "-c", "user.email=e@example.org"])
        .args(args.split(' '))
        .current_dir(dir)
        .output()
        .expect("git is needed for this test");
    assert!(output.status.success(), "git {args}: {output:?}");
}
