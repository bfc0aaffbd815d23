//! Record of one running proxy, kept up to date from its events. Pure: time is an argument.
#![deny(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::HiddenValues;
use crate::event::Event;

/// Time as milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    /// Converts a time of the system's clock.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns the time, for formatting.
    pub(crate) fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }

    /// Returns the number of milliseconds since 1970.
    pub(super) fn millis(self) -> u64 {
        self.0
    }
}

/// Text about something that happened at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occurrence {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// State of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServerCondition {
    /// The first generation builds, starts or connects.
    Starting,
    /// A generation serves.
    Ready,
    /// The saved code does not run.
    Broken,
    /// The active generation exited without a request of the proxy.
    Exited,
}

impl ServerCondition {
    /// Returns the word that people and programs read.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Broken => "broken",
            Self::Exited => "exited",
        }
    }
}

/// One server of a proxy. Over HTTP, sessions with servers of their own share it; the last event wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerRecord {
    pub(crate) condition: ServerCondition,
    /// Active generation; 0 before the first.
    pub(crate) generation: u64,
    /// Process of the active generation; `None` for a remote server.
    pub(crate) pid: Option<u32>,
    /// Time of the last reload.
    pub(crate) last_reload: Option<Timestamp>,
    /// Last failure; a later start or reload does not erase it.
    pub(crate) last_error: Option<Occurrence>,
    /// Processes that run, by generation.
    processes: BTreeMap<u64, u32>,
}

impl ServerRecord {
    fn new() -> Self {
        Self {
            condition: ServerCondition::Starting,
            generation: 0,
            pid: None,
            last_reload: None,
            last_error: None,
            processes: BTreeMap::new(),
        }
    }

    fn serve(&mut self, generation: u64) {
        self.condition = ServerCondition::Ready;
        self.generation = generation;
        self.pid = self.processes.get(&generation).copied();
    }

    fn fail(&mut self, condition: ServerCondition, at: Timestamp, text: String) {
        self.condition = condition;
        self.last_error = Some(Occurrence { at, text });
    }

    fn stop(&mut self, generation: u64) {
        self.processes.remove(&generation);
        if generation == self.generation {
            self.pid = None;
        }
    }
}

/// Client that connected last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientRecord {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// One running proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) pid: u32,
    pub(crate) started: Timestamp,
    /// Version of the program.
    pub(crate) version: String,
    /// `dev` or `serve`.
    pub(crate) subcommand: String,
    /// Folder of the configuration, or of the command; bytes that are not UTF-8 are replaced.
    pub(crate) project: String,
    /// Address for clients over HTTP.
    pub(crate) url: Option<String>,
    /// Link of the page.
    pub(crate) page: Option<String>,
    pub(crate) client: Option<ClientRecord>,
    pub(crate) servers: BTreeMap<String, ServerRecord>,
    /// Last fault of the configuration.
    pub(crate) last_error: Option<Occurrence>,
    /// Last line of the log that is not output of a server or of a build.
    pub(crate) last_line: Option<String>,
    /// Reason why the proxy shuts down.
    pub(crate) ending: Option<String>,
    /// Error that ended the proxy.
    pub(crate) failure: Option<String>,
}

impl RunRecord {
    /// Creates the record of a proxy that starts.
    pub(crate) fn new(pid: u32, started: Timestamp, subcommand: &str, project: String) -> Self {
        Self {
            pid,
            started,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subcommand: subcommand.to_owned(),
            project,
            url: None,
            page: None,
            client: None,
            servers: BTreeMap::new(),
            last_error: None,
            last_line: None,
            ending: None,
            failure: None,
        }
    }

    /// Returns the name that no other proxy of this user has; names sort by the time of the start.
    pub(crate) fn id(&self) -> String {
        format!("{:013}-{}", self.started.millis(), self.pid)
    }

    /// Returns the reason why the proxy, which has died, did so, as far as it is known.
    pub(crate) fn reason_of_death(&self) -> String {
        match (&self.failure, &self.ending) {
            (Some(failure), _) => failure.clone(),
            (None, Some(ending)) => format!("was killed while it shut down ({ending})"),
            (None, None) => "was killed, or crashed".to_owned(),
        }
    }

    /// Hides values in all texts that the proxy or its servers worded.
    pub(super) fn hiding(mut self, hidden: &HiddenValues) -> Self {
        let of_servers = self.servers.values_mut().map(|it| &mut it.last_error);
        let errors = of_servers.chain([&mut self.last_error]).flatten();
        let texts = [&mut self.last_line, &mut self.ending, &mut self.failure];
        let texts = texts.into_iter().flatten();
        for text in texts.chain(errors.map(|it| &mut it.text)) {
            *text = hidden.hide_in_json(text);
        }
        self
    }

    /// Updates the record. `line` is the event's first line in the log. Returns false if nothing has changed.
    pub(crate) fn apply(&mut self, event: &Event, line: Option<&str>, now: Timestamp) -> bool {
        let is_output = matches!(
            event,
            Event::Stderr { .. } | Event::BuildOutput { .. } | Event::Stray { .. }
        );
        if is_output {
            return false;
        }
        let is_recorded = self.apply_to_proxy(event, now) || self.apply_to_server(event, now);
        if let Some(line) = line {
            self.last_line = Some(line.trim_end().to_owned());
        }
        is_recorded || line.is_some()
    }

    fn apply_to_proxy(&mut self, event: &Event, now: Timestamp) -> bool {
        match event {
            Event::ClientConnected { name, version, .. } => {
                self.client = Some(ClientRecord {
                    name: name.clone(),
                    version: version.clone(),
                });
            }
            Event::Listening { url } => self.url = Some(url.clone()),
            Event::Page { url, .. } => self.page = Some(url.clone()),
            Event::ConfigFault { text } => {
                let text = text.lines().next().unwrap_or_default().to_owned();
                self.last_error = Some(Occurrence { at: now, text });
            }
            Event::Reconfigured { removed, .. } => {
                self.servers.retain(|name, _| !removed.contains(name));
                self.last_error = None;
            }
            Event::Unloaded { server } => _ = self.servers.remove(server),
            Event::Ending { reason } => self.ending = Some(reason.clone()),
            Event::Failed { reason } => self.failure = Some(reason.clone()),
            _ => return false,
        }
        true
    }

    fn apply_to_server(&mut self, event: &Event, now: Timestamp) -> bool {
        match event {
            Event::Building { server, .. } | Event::Connecting { server, .. } => {
                self.server(server);
            }
            Event::Spawned {
                server,
                generation,
                pid,
            } => _ = self.server(server).processes.insert(*generation, *pid),
            Event::Ready {
                server, generation, ..
            } => self.server(server).serve(*generation),
            Event::Reloaded {
                server, generation, ..
            } => {
                let server = self.server(server);
                server.serve(*generation);
                server.last_reload = Some(now);
            }
            Event::Broken {
                server, failure, ..
            } => {
                let reason = failure.reason.clone();
                let server = self.server(server);
                // A candidate that fails ends without an event of its own.
                server.processes.remove(&failure.generation);
                server.fail(ServerCondition::Broken, now, reason);
            }
            Event::Exited { server, status, .. } => {
                let server = self.server(server);
                server.fail(ServerCondition::Exited, now, status.clone());
            }
            Event::Stopped { server, generation } => {
                // A server that was removed stops after its entry is gone.
                if let Some(server) = self.servers.get_mut(server) {
                    server.stop(*generation);
                }
            }
            _ => return false,
        }
        true
    }

    fn server(&mut self, name: &str) -> &mut ServerRecord {
        self.servers
            .entry(name.to_owned())
            .or_insert_with(ServerRecord::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, ToolDiff};

    fn record() -> RunRecord {
        RunRecord::new(7, Timestamp(5), "dev", "/project".into())
    }

    fn spawned(generation: u64, pid: u32) -> Event {
        Event::Spawned {
            server: "a".into(),
            generation,
            pid,
        }
    }

    fn reloaded(generation: u64) -> Event {
        Event::Reloaded {
            server: "a".into(),
            generation,
            took: Duration::ZERO,
            diff: ToolDiff::default(),
            rehearsal: None,
        }
    }

    fn broken(generation: u64, reason: &str) -> Event {
        Event::Broken {
            server: "a".into(),
            failure: Failure::new(generation, reason.into()),
            serving_last_good: false,
        }
    }

    #[test]
    fn a_candidate_counts_when_it_has_taken_over() {
        let mut record = record();
        let mut apply = |event: &Event, now| {
            assert!(record.apply(event, None, Timestamp(now)));
            record.servers["a"].clone()
        };
        let server = apply(&spawned(1, 100), 1);
        assert_eq!((server.generation, server.pid), (0, None));
        let server = apply(&reloaded(1), 2);
        assert_eq!((server.generation, server.pid), (1, Some(100)));
        let server = apply(&spawned(2, 200), 3);
        assert_eq!((server.generation, server.pid), (1, Some(100)));
        let server = apply(&reloaded(2), 4);
        assert_eq!((server.generation, server.pid), (2, Some(200)));
        assert_eq!(server.last_reload, Some(Timestamp(4)));
        let stopped = |generation| Event::Stopped {
            server: "a".into(),
            generation,
        };
        assert_eq!(apply(&stopped(1), 5).pid, Some(200));
        assert_eq!(apply(&stopped(2), 6).pid, None);
    }

    #[test]
    fn an_error_stays_known_after_its_repair() {
        let mut record = record();
        record.apply(&broken(2, "exited with status 1"), None, Timestamp(3));
        assert_eq!(record.servers["a"].condition, ServerCondition::Broken);
        record.apply(&reloaded(3), None, Timestamp(4));
        let server = &record.servers["a"];
        assert_eq!(server.condition, ServerCondition::Ready);
        let text = "exited with status 1".to_owned();
        let at = Timestamp(3);
        assert_eq!(server.last_error, Some(Occurrence { at, text }));
    }

    #[test]
    fn a_server_that_is_gone_leaves_no_entry() {
        let mut record = record();
        for event in [
            Event::Unloaded { server: "a".into() },
            Event::Reconfigured {
                added: Vec::new(),
                changed: Vec::new(),
                removed: vec!["a".into()],
            },
        ] {
            record.apply(&spawned(1, 100), None, Timestamp(1));
            assert!(record.apply(&event, None, Timestamp(2)));
            let stopped = Event::Stopped {
                server: "a".into(),
                generation: 1,
            };
            record.apply(&stopped, None, Timestamp(3));
            assert!(record.servers.is_empty(), "{record:?}");
        }
    }

    #[test]
    fn output_of_a_server_changes_nothing_and_a_line_is_remembered() {
        let mut record = record();
        let output = Event::Stderr {
            server: "a".into(),
            generation: 1,
            line: "x".into(),
        };
        assert!(!record.apply(&output, Some("a  | x\n"), Timestamp(1)));
        let note = Event::WatchNote {
            server: "a".into(),
            message: "x".into(),
        };
        assert!(!record.apply(&note, None, Timestamp(1)));
        assert!(record.apply(&note, Some("a  x\n"), Timestamp(1)));
        assert_eq!(record.last_line.as_deref(), Some("a  x"));
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<RunRecord>(&text).unwrap(), record);
    }

    #[test]
    fn names_sort_by_start() {
        let id = |started| RunRecord::new(7, Timestamp(started), "dev", "/".into()).id();
        assert!(id(999) < id(1_000) && id(1_000) < id(1_764_000_000_000));
    }
}
