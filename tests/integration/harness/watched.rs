//! The fake server behind a watching proxy, with the proxy's own log of what it made of each save.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DEADLINE, Peer, Project, Proxy, eventually, example, initialize_params};

/// The server's script, which is its source: it says what the tool `mark` answers.
pub(crate) const SOURCE: &str = "src/server.json";
/// A watched file that only the checks below write.
const SENTINEL: &str = "src/sentinel.json";
const LIST_CHANGED: &str = "notifications/tools/list_changed";

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) project: Project,
    pub(crate) peer: Peer,
    log: Log,
    /// Reloads that an earlier check has taken note of.
    seen: Cell<usize>,
}

/// A script whose tool `mark` answers this.
pub(crate) fn marked(mark: &str) -> String {
    json!({ "mark": mark }).to_string()
}

impl Watched {
    /// Everything in a new project is watched, so that only the rules keep a file from counting.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(Project::new(), &["--watch", "**/*"])
    }

    /// In front of a fake server in `project`, which gets a source if it has none.
    #[track_caller]
    pub(crate) fn with(project: Project, options: &[&str]) -> Self {
        let server = [example("fake_server").into_os_string(), SOURCE.into()];
        Self::of(project, Proxy::dev(server).options(options))
    }

    /// As [`with`](Self::with), in front of the server that the proxy was made for.
    #[track_caller]
    pub(crate) fn of(project: Project, proxy: Proxy) -> Self {
        if !project.path(SOURCE).exists() {
            project.write(SOURCE, &marked("v0"));
        }
        let log = Log::new();
        let peer = log.written_by(proxy).within(&project).spawn();
        Self::met(project, peer, log)
    }

    /// Takes a proxy that was started in another way, and introduces a client to it.
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

    /// What the server that answers now was made of.
    #[track_caller]
    pub(crate) fn mark(&self) -> String {
        let answer = self.peer.call("mark", &json!({}));
        match answer.result()["structuredContent"]["mark"].as_str() {
            Some(mark) => mark.to_owned(),
            None => panic!("{}\n{}", answer.line, self.log.text()),
        }
    }

    /// The events of this name so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        self.log.events(name)
    }

    /// The whole log, for a failing test's message.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until there are `count` events of this name, and gives them.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, count: usize) -> Vec<Value> {
        self.log.until(name, count)
    }

    /// Since the last check one save was noticed, of exactly these files, and led to one reload.
    #[track_caller]
    pub(crate) fn one_reload(&self, files: &[&str]) {
        self.reloads(&[files]);
    }

    /// Since the last check nothing was noticed that counts.
    #[track_caller]
    pub(crate) fn no_reload(&self) {
        self.reloads(&[]);
    }

    /// Since the last check exactly these saves were noticed, and each led to one reload and one
    /// announcement to the client. Each part of a save that was noticed by itself led to one started
    /// process. A last save, of a file of its own, proves that nothing else was on its way.
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
        assert_eq!(changed, wanted, "{}", self.log.text());
        let total = expected + 1;
        assert_eq!(self.events("reloaded").len(), total, "{}", self.log.text());
        let starts = self.events("changed").len() + 1;
        assert_eq!(self.events("spawned").len(), starts, "{}", self.log());
        eventually(DEADLINE, || self.peer.notifications(LIST_CHANGED) >= total);
        self.peer.ask("ping", &json!({})).result();
        assert_eq!(self.peer.notifications(LIST_CHANGED), total);
        self.seen.set(total);
    }
}

impl Watched {
    /// The files that changed before each reload.
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

/// The proxy's log as NDJSON, outside of what is watched.
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

    /// Makes the proxy write it.
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

    /// The events of this name so far.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let mut events = self.all();
        events.retain(|event| event["event"] == name);
        events
    }

    fn all(&self) -> Vec<Value> {
        let text = self.text();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let events = whole.lines();
        events
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until there are `count` events of this name, and gives them.
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
}

fn paths(changed: &Value) -> Vec<String> {
    let paths = changed["paths"].as_array().unwrap();
    let paths = paths.iter().map(|path| path.as_str().unwrap().to_owned());
    paths.collect()
}
