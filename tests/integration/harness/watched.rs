//! The fake server behind a watching proxy, with the log of the proxy's reaction to each save.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{MAIN_SEPARATOR, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DEADLINE, Peer, Project, Proxy, eventually, example, initialize_params};

/// Script of the fake server, which is its source file; determines the answer of the tool `mark`.
pub(crate) const SOURCE: &str = "src/server.json";
/// Watched file that only the checks below write.
const SENTINEL: &str = "src/sentinel.json";
const LIST_CHANGED: &str = "notifications/tools/list_changed";

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) project: Project,
    pub(crate) peer: Peer,
    log: Log,
    /// Number of reloads that earlier checks have accounted for.
    seen: Cell<usize>,
}

/// Returns a script whose tool `mark` answers `mark`.
pub(crate) fn marked(mark: &str) -> String {
    json!({ "mark": mark }).to_string()
}

impl Watched {
    /// Watches all files of a new project, so that only built-in rules exclude files.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(Project::new(), &["--watch", "**/*"])
    }

    /// Starts the proxy in front of a fake server in `project`; writes the source if there is none.
    #[track_caller]
    pub(crate) fn with(project: Project, options: &[&str]) -> Self {
        let server = [example("fake_server").into_os_string(), SOURCE.into()];
        Self::of(project, Proxy::dev(server).options(options))
    }

    /// Like [`with`](Self::with), in front of the server that `proxy` was built for.
    #[track_caller]
    pub(crate) fn of(project: Project, proxy: Proxy) -> Self {
        if !project.path(SOURCE).exists() {
            project.write(SOURCE, &marked("v0"));
        }
        let log = Log::new();
        let peer = log.written_by(proxy).within(&project).spawn();
        Self::met(project, peer, log)
    }

    /// Takes a proxy that is already running, and initializes a client session with it.
    #[track_caller]
    pub(crate) fn met(project: Project, peer: Peer, log: Log) -> Self {
        peer.initialize(&initialize_params()).result();
        let watched = Self {
            project,
            peer,
            log,
            seen: Cell::new(0),
        };
        watched.until("ready", 1);
        watched
    }

    /// Writes a script with this mark in place.
    #[track_caller]
    pub(crate) fn write(&self, mark: &str) {
        self.project.write(SOURCE, &marked(mark));
    }

    /// Returns the mark of the script that the answering server was started with.
    #[track_caller]
    pub(crate) fn mark(&self) -> String {
        let answer = self.peer.call("mark", &json!({}));
        match answer.result()["structuredContent"]["mark"].as_str() {
            Some(mark) => mark.to_owned(),
            None => panic!("{}\n{}", answer.line, self.log.text()),
        }
    }

    /// Returns the events of this name so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        self.log.events(name)
    }

    /// Returns the whole log, for the message of a failing test.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until there are `count` events of this name; returns all of them.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, count: usize) -> Vec<Value> {
        self.log.until(name, count)
    }

    /// Checks that there are `count` events of this name.
    #[track_caller]
    pub(crate) fn exactly(&self, name: &str, count: usize) {
        self.log.exactly(name, count);
    }

    /// Checks that since the last check exactly one save was noticed, of exactly these files, and led to one reload.
    #[track_caller]
    pub(crate) fn one_reload(&self, files: &[&str]) {
        self.reloads(&[files]);
    }

    /// Checks that since the last check no relevant change was noticed.
    #[track_caller]
    pub(crate) fn no_reload(&self) {
        self.reloads(&[]);
    }

    /// Checks that since the last check exactly these saves were noticed, and that each led to one reload and one
    /// notification to the client. Each part of a save that was noticed separately must have started one process. A
    /// final save of [`SENTINEL`] proves that no other reload was pending.
    #[track_caller]
    pub(crate) fn reloads(&self, saves: &[&[&str]]) {
        let expected = self.seen.get() + saves.len();
        self.until("reloaded", expected);
        self.project
            .write(SENTINEL, &json!({ "check": expected }).to_string());
        self.until("reloaded", expected + 1);
        let mut changed = self.changed();
        changed.drain(..self.seen.get());
        let mut wanted: Vec<Vec<String>> = saves
            .iter()
            .map(|files| files.iter().map(ToString::to_string).collect())
            .collect();
        wanted.push(vec![SENTINEL.to_owned()]);
        // A temporary file that outlives a look at the tree, as on a loaded machine, is a change of its own.
        let is_temporary = |file: &String| {
            !wanted.iter().flatten().any(|name| name == file) && !self.project.path(file).exists()
        };
        for files in &mut changed {
            files.retain(|file| !is_temporary(file));
        }
        assert_eq!(changed, wanted, "{}", self.log.text());
        let total = expected + 1;
        self.exactly("reloaded", total);
        let starts = self.events("changed").len() + 1;
        self.exactly("spawned", starts);
        eventually(DEADLINE, || self.peer.notifications(LIST_CHANGED) >= total);
        self.peer.ask("ping", &json!({})).result();
        assert_eq!(self.peer.notifications(LIST_CHANGED), total);
        self.seen.set(total);
    }
}

impl Watched {
    /// Returns the changed files before each reload.
    fn changed(&self) -> Vec<Vec<String>> {
        let mut groups = Vec::new();
        let mut files = BTreeSet::new();
        for event in self.log.all() {
            match event["event"].as_str() {
                Some("changed") => files.extend(paths(&event)),
                Some("reloaded") => groups.push(std::mem::take(&mut files).into_iter().collect()),
                _ => {}
            }
        }
        groups
    }
}

/// Log of the proxy as NDJSON, outside of the watched directory.
#[derive(Debug)]
pub(crate) struct Log {
    directory: TempDir,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::with_prefix("mcp-proxy-log-").unwrap(),
        }
    }

    /// Adds the options that make the proxy write this log.
    pub(crate) fn written_by(&self, proxy: Proxy) -> Proxy {
        proxy
            .options(["--log-format", "json", "--log"])
            .option(self.path())
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("events.ndjson")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// Returns the events of this name so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let mut events = self.all();
        events.retain(|event| event["event"] == name);
        events
    }

    fn all(&self) -> Vec<Value> {
        let text = self.text();
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let events = whole.lines();
        events
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until there are `count` events of this name; returns all of them.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, count: usize) -> Vec<Value> {
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            let events = self.events(name);
            if events.len() >= count {
                return events;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{} of {count} events `{name}` came:\n{}",
                events.len(),
                self.text()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Checks that there are `count` events of this name. Waits for them, since an event may be written after the
    /// message of which it tells.
    #[track_caller]
    pub(crate) fn exactly(&self, name: &str, count: usize) {
        let found = self.until(name, count).len();
        assert_eq!(found, count, "events `{name}`:\n{}", self.text());
    }
}

fn paths(changed: &Value) -> Vec<String> {
    let paths = changed["paths"].as_array().unwrap();
    // Tests name files with `/`.
    let text = |path: &Value| path.as_str().unwrap().replace(MAIN_SEPARATOR, "/");
    let paths = paths.iter().map(text);
    paths.collect()
}
