//! Events as `FSEvents` reports them through notify: late, merged, in other spellings, and with gaps.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

use notify::event::{CreateKind, DataChange, Flag, ModifyKind, RemoveKind, RenameMode};
use notify::{Config, Event, EventHandler, EventKind, RecursiveMode, WatcherKind};
use unicode_normalization::UnicodeNormalization as _;

use super::super::debounced::start_on;
use super::super::dispatcher::NoticeDispatcher;
use super::super::file_events::{BackendTraits, Reach, WatchBackend};
use super::super::matcher::Matcher;
use super::*;

/// Manner of reporting.
trait Manner: Debug + Send + 'static {
    /// Time in which events are merged.
    const LATENCY: Duration = Duration::from_millis(20);

    /// Returns the events for a changed path, below a watched directory, to which all of `kinds` happened so far.
    fn events(path: PathBuf, kinds: &BTreeSet<Kind>) -> Vec<Event> {
        let kinds = kinds.iter().map(|kind| kind.of_notify());
        kinds
            .map(|it| Event::new(it).add_path(path.clone()))
            .collect()
    }

    /// Returns the name of an entry as events spell it.
    fn name(name: &str) -> String {
        name.to_owned()
    }
}

/// Change of an entry, in the order in which notify reports merged ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Created,
    Removed,
    Renamed,
    Modified,
}

impl Kind {
    fn of_notify(self) -> EventKind {
        match self {
            Self::Created => EventKind::Create(CreateKind::Any),
            Self::Removed => EventKind::Remove(RemoveKind::Any),
            Self::Renamed => EventKind::Modify(ModifyKind::Name(RenameMode::Any)),
            Self::Modified => EventKind::Modify(ModifyKind::Data(DataChange::Content)),
        }
    }
}

/// Each event names its entry.
#[derive(Debug)]
struct Merged;
impl Manner for Merged {}

/// So late that several saves are one event.
#[derive(Debug)]
struct Late;
impl Manner for Late {
    const LATENCY: Duration = Duration::from_millis(300);
}

/// In the case in which another process opened the entry.
#[derive(Debug)]
struct OtherCase;
impl Manner for OtherCase {
    fn name(name: &str) -> String {
        name.to_uppercase()
    }
}

/// Characters with accents are two.
#[derive(Debug)]
struct Decomposed;
impl Manner for Decomposed {
    fn name(name: &str) -> String {
        name.nfd().collect()
    }
}

/// Only the directory of the entry is named.
#[derive(Debug)]
struct ByDirectory;
impl Manner for ByDirectory {
    fn events(path: PathBuf, _: &BTreeSet<Kind>) -> Vec<Event> {
        let existing = path.parent().unwrap().ancestors().find(|it| it.is_dir());
        vec![Event::new(EventKind::Any).add_path(existing.unwrap().to_owned())]
    }
}

/// The system dropped the events of a directory.
#[derive(Debug)]
struct Dropped;
impl Manner for Dropped {
    fn events(path: PathBuf, _: &BTreeSet<Kind>) -> Vec<Event> {
        let directory = path.parent().unwrap().to_owned();
        let event = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        vec![event.add_path(directory)]
    }
}

/// Watcher that compares snapshots of the disk, as late as `FSEvents`.
#[derive(Debug)]
struct Scanner<M> {
    state: Arc<Mutex<ScannerState>>,
    /// Ends the thread when dropped.
    _end: Sender<()>,
    manner: PhantomData<M>,
}

#[derive(Debug, Default)]
struct ScannerState {
    watched: BTreeMap<PathBuf, RecursiveMode>,
    seen: Snapshot,
    /// Changes of each path so far.
    kinds: HashMap<PathBuf, BTreeSet<Kind>>,
}

/// Inode, whether it is a directory, and for others size and time of the last change.
type Stamp = (u64, bool, u64, i64, i64);
type Snapshot = BTreeMap<PathBuf, Stamp>;

impl ScannerState {
    fn snapshot(&self) -> Snapshot {
        let mut found = Snapshot::new();
        for (path, mode) in &self.watched {
            let below = *mode == RecursiveMode::Recursive;
            scan(&mut found, path, if below { usize::MAX } else { 1 });
        }
        found
    }

    /// Returns the changed paths since the last call. Only the topmost directory that came or went counts, as for one
    /// that was renamed.
    fn changes(&mut self) -> Vec<(PathBuf, BTreeSet<Kind>)> {
        let now = self.snapshot();
        let before = std::mem::replace(&mut self.seen, now.clone());
        let mut changes = Vec::new();
        for path in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(path), now.get(path));
            let is_moved = |it: &Path| {
                let inode = |all: &Snapshot| all.get(it).map(|stamp| stamp.0);
                inode(&before) != inode(&now)
            };
            let kind = match (old, new) {
                (None, Some(_)) => Kind::Created,
                (Some(_), None) => Kind::Removed,
                (Some(old), Some(new)) if old.0 != new.0 => Kind::Renamed,
                (old, new) if old != new => Kind::Modified,
                _ => continue,
            };
            let kinds = self.kinds.entry(path.clone()).or_default();
            kinds.insert(kind);
            if !path.parent().is_some_and(is_moved) {
                changes.push((path.clone(), kinds.clone()));
            }
        }
        changes
    }

    /// Returns the watched directory around a path.
    fn root(&self, path: &Path) -> PathBuf {
        let above = self.watched.keys().filter(|it| path.starts_with(it));
        above.max().unwrap().clone()
    }
}

fn scan(found: &mut Snapshot, path: &Path, depth: usize) {
    let Ok(stat) = fs::symlink_metadata(path) else {
        return;
    };
    let stamp = if stat.is_dir() {
        (stat.ino(), true, 0, 0, 0)
    } else {
        (
            stat.ino(),
            false,
            stat.size(),
            stat.mtime(),
            stat.mtime_nsec(),
        )
    };
    found.insert(path.to_owned(), stamp);
    if stat.is_dir() && depth > 0 {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            scan(found, &entry.path(), depth.saturating_sub(1));
        }
    }
}

impl<M: Manner> notify::Watcher for Scanner<M> {
    fn new<F: EventHandler>(mut handler: F, _: Config) -> notify::Result<Self> {
        let state = Arc::new(Mutex::new(ScannerState::default()));
        let (end, ended) = channel::<()>();
        let scanned = state.clone();
        std::thread::spawn(move || {
            while ended.recv_timeout(M::LATENCY) == Err(RecvTimeoutError::Timeout) {
                let mut state = scanned.lock().unwrap();
                for (path, kinds) in state.changes() {
                    let root = state.root(&path);
                    let below = path.strip_prefix(&root).unwrap().iter();
                    let spelled = root.join(
                        below
                            .map(|it| M::name(it.to_str().unwrap()))
                            .collect::<PathBuf>(),
                    );
                    for event in M::events(spelled, &kinds) {
                        handler.handle_event(Ok(event));
                    }
                }
            }
        });
        Ok(Self {
            state,
            _end: end,
            manner: PhantomData,
        })
    }

    /// Replaces the stream: changes that were not reported yet are lost.
    fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.watched.insert(path.canonicalize()?, mode);
        state.seen = state.snapshot();
        Ok(())
    }

    fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        let mut state = self.state.lock().unwrap();
        let ended = state.watched.remove(path);
        state.seen = state.snapshot();
        ended.map(drop).ok_or_else(notify::Error::watch_not_found)
    }

    fn kind() -> WatcherKind {
        WatcherKind::Fsevent
    }
}

/// Returns the path as a listing of each directory spells it, as `canonicalize` does on macOS.
fn listed(path: &Path) -> PathBuf {
    let folded = |name: &std::ffi::OsStr| {
        name.to_str()
            .unwrap()
            .nfc()
            .collect::<String>()
            .to_lowercase()
    };
    let mut found = PathBuf::new();
    for part in path {
        let exact = found.join(part);
        let entries = fs::read_dir(&found).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        found = match names.find(|name| folded(name) == folded(part)) {
            Some(name) if !exact.exists() => found.join(name),
            _ => exact,
        };
    }
    found
}

fn start<M: Manner>(dispatcher: &Arc<NoticeDispatcher>) -> io::Result<Box<dyn WatchBackend>> {
    let traits = BackendTraits {
        is_recursive: true,
        is_interrupted: true,
        canonical: Some(listed),
    };
    start_on::<Scanner<M>>(dispatcher, traits)
}

/// All that inotify would find, found with events of this manner.
async fn finds_everything<M: Manner>() {
    let files = [
        "src/a.py",
        "src/x/b.py",
        "src/x/y/c.py",
        "src/caf\u{e9}/d.py",
    ];
    let options = WatchOptions::default();
    let project = Project::on(start::<M>, &files, &["src/**"], options, |_| {});
    let mut project = project.unwrap();
    for text in ["new", "newer"] {
        project.write("src/a.py", text);
        project.one_change(&["src/a.py"]).await;
    }
    project.write("src/caf\u{e9}/d.py", "new");
    project.one_change(&["src/caf\u{e9}/d.py"]).await;
    project.write("src/n.py", "new");
    project.one_change(&["src/n.py"]).await;
    fs::remove_file(project.path("src/n.py")).unwrap();
    project.one_change(&["src/n.py"]).await;
    project.write("src/n.py", "again");
    project.one_change(&["src/n.py"]).await;
    project.finds_new_and_moved_directories().await;
    fs::remove_dir_all(project.path("src/x")).unwrap();
    project.one_change(&["src/x/b.py", "src/x/y/c.py"]).await;
    fs::rename(project.path("src"), project.path("away")).unwrap();
    assert_eq!(project.change().await.len(), 5);
    project.write("src/a.py", "back");
    project.one_change(&["src/a.py"]).await;
}

#[tokio::test]
async fn merged_events_lose_nothing() {
    finds_everything::<Merged>().await;
}

#[tokio::test]
async fn late_events_lose_nothing() {
    finds_everything::<Late>().await;
}

#[tokio::test]
async fn events_in_other_case_lose_nothing() {
    finds_everything::<OtherCase>().await;
}

#[tokio::test]
async fn events_with_decomposed_names_lose_nothing() {
    finds_everything::<Decomposed>().await;
}

#[tokio::test]
async fn events_of_directories_lose_nothing() {
    finds_everything::<ByDirectory>().await;
}

#[tokio::test]
async fn dropped_events_lose_nothing() {
    finds_everything::<Dropped>().await;
}

#[tokio::test]
async fn a_save_before_the_next_watch_is_not_lost() {
    let options = WatchOptions::default();
    let project = Project::on(start::<Late>, &["src/a.py"], &["src/**"], options, |_| {});
    let mut project = project.unwrap();
    let other = tempfile::tempdir().unwrap();
    put(&other.path().join("b.py"), "b");
    for text in ["new", "newer"] {
        project.write("src/a.py", text);
        project.write(&format!("src/{text}.py"), text);
        // Replaces the stream before it reports the save.
        add(&project.watcher, 8, sources(other.path(), &["**"])).unwrap();
        project.watcher.remove(8);
        let created = format!("src/{text}.py");
        project.all_reported(["src/a.py".into(), created]).await;
    }
}

#[tokio::test]
async fn a_named_file_is_found_in_any_spelling() {
    for make in [
        start::<OtherCase>,
        start::<Decomposed>,
        start::<ByDirectory>,
    ] as [MakeBackend; 3]
    {
        let options = WatchOptions::default();
        let mut project = Project::on(make, &["src/a.py"], &["src/**"], options, |_| {}).unwrap();
        let file = project.path("caf\u{e9}.toml");
        put(&file, "old");
        let request = WatchRequest::Files {
            name: "configuration".into(),
            files: vec![file.clone()],
        };
        add(&project.watcher, 7, request).unwrap();
        for text in ["new", "newer"] {
            put(&file, text);
            assert_eq!(project.change().await, [file.to_str().unwrap()]);
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(project.change().await, [file.to_str().unwrap()]);
    }
}

/// On macOS the folder for temporary files is `/var/folders/…`, and `/var` is a symlink.
#[tokio::test]
async fn a_project_below_a_symlink_is_watched_at_its_real_place() {
    let real = tempfile::tempdir().unwrap();
    let room = tempfile::tempdir().unwrap();
    let link = room.path().join("var");
    std::os::unix::fs::symlink(real.path(), &link).unwrap();
    let mut project = Project::on(
        start::<Merged>,
        &["src/a.py"],
        &["src/**"],
        WatchOptions::default(),
        |_| {},
    )
    .unwrap();
    put(&real.path().join("lib/b.py"), "b");
    add(&project.watcher, 7, sources(&link, &["lib/*.py"])).unwrap();
    put(&link.join("lib/b.py"), "new");
    assert_eq!(project.change().await, ["lib/b.py"]);
}

#[test]
fn only_directories_with_sources_in_subdirectories_are_watched_with_all_below() {
    let globs = ["src/**", "flat/*.py", "two/*/*.py"].map(String::from);
    let matcher = Matcher::new("/project".into(), globs.to_vec()).unwrap();
    for (directory, reach) in [
        ("src", Reach::Below),
        ("src/a", Reach::Below),
        ("flat", Reach::Entries),
        ("two", Reach::Below),
        ("two/a", Reach::Entries),
        ("", Reach::Entries),
    ] {
        let directory = Path::new("/project").join(directory);
        assert_eq!(matcher.reach(&directory), reach, "{}", directory.display());
    }
}
