//! A project with a configuration of several scripted servers, and the proxy in front of them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::LIST_CHANGED;
use crate::harness::{
    DEADLINE, Log, Message, Peer, Project, Proxy, example, initialize_params, marked,
    processes_with_tag,
};

/// The configuration of a project that is not run yet. The script of the server `a` is `a.json`, which is all of
/// it that is watched.
pub(super) struct Servers {
    pub(super) project: Project,
    toml: String,
    options: Vec<String>,
}

/// The command of every server, as it stands in a configuration.
pub(super) fn command() -> String {
    json!(example("fake_server")).to_string()
}

/// The section of the server `name` in `mcp-proxy.toml`, with these settings besides.
pub(super) fn section(name: &str, settings: &str) -> String {
    let key = json!(name);
    let command = command();
    let script = format!("{name}.json");
    format!(
        "[servers.{key}]\ncommand = {command}\nargs = ['{script}']\nwatch = ['{script}']\n{settings}\n"
    )
}

impl Servers {
    pub(super) fn new() -> Self {
        Self {
            project: Project::new(),
            toml: String::new(),
            options: Vec::new(),
        }
    }

    /// `count` servers `a`, `b`, …, whose tool `mark` returns their names.
    pub(super) fn marked<const N: usize>(names: [&str; N]) -> Self {
        names.iter().fold(Self::new(), |servers, name| {
            servers.with(name, &json!({"mark": name}))
        })
    }

    /// Puts text into the configuration.
    pub(super) fn text(mut self, text: &str) -> Self {
        writeln!(self.toml, "{text}").unwrap();
        self
    }

    /// With the server `name`, which follows this script.
    pub(super) fn with(self, name: &str, script: &Value) -> Self {
        self.set(name, script, "")
    }

    /// As [`with`](Self::with), with these settings besides.
    pub(super) fn set(self, name: &str, script: &Value, settings: &str) -> Self {
        self.project
            .write(&format!("{name}.json"), &script.to_string());
        self.text(&section(name, settings))
    }

    pub(super) fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Starts `mcp-proxy dev` without the proxy's own tools; nobody has said anything to it.
    #[track_caller]
    pub(super) fn dev(self) -> Fleet {
        self.option("--meta-tools").option("none").start("dev")
    }

    /// Starts the proxy.
    #[track_caller]
    pub(super) fn start(self, subcommand: &'static str) -> Fleet {
        if !self.toml.is_empty() {
            self.project.write("mcp-proxy.toml", &self.toml);
        }
        let log = Log::new();
        let home = self.project.path("home");
        let proxy = Proxy::configured(subcommand)
            .options(self.options)
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", home.join("cache"));
        let peer = log.written_by(proxy).within(&self.project).spawn();
        Fleet {
            project: self.project,
            peer,
            log,
        }
    }

    /// Starts `mcp-proxy dev` and introduces a legacy client to it, which reads the list of tools as clients do.
    #[track_caller]
    pub(super) fn legacy(self) -> Fleet {
        let fleet = self.dev();
        fleet.peer.initialize(&initialize_params()).result();
        fleet.peer.ask("tools/list", &json!({}));
        fleet
    }
}

/// A proxy in front of several servers.
pub(super) struct Fleet {
    pub(super) project: Project,
    pub(super) peer: Peer,
    pub(super) log: Log,
}

impl Fleet {
    /// Saves the script of a server.
    #[track_caller]
    pub(super) fn save(&self, name: &str, script: &Value) {
        self.project
            .save(&format!("{name}.json"), &script.to_string());
    }

    /// Saves a script with this mark for a server, and waits until it is live.
    #[track_caller]
    pub(super) fn reload(&self, name: &str, mark: &str) {
        let (before, told) = (self.events_of("reloaded", name), self.told());
        self.project.save(&format!("{name}.json"), &marked(mark));
        self.until("reloaded", name, before + 1);
        self.told_again(told);
    }

    /// The members of a list, as they were written.
    #[track_caller]
    pub(super) fn list(&self, method: &str) -> Vec<Value> {
        let result = self.peer.ask(method, &json!({})).result();
        let mut members = result.as_object().unwrap().values();
        members.next().unwrap().as_array().unwrap().clone()
    }

    /// The names of a list's members.
    #[track_caller]
    pub(super) fn names(&self, method: &str) -> Vec<String> {
        let entries = self.list(method).into_iter();
        let names = entries.map(|entry| entry["name"].as_str().unwrap().to_owned());
        names.collect()
    }

    /// The names of the tools that end in `__mark`: whose servers are there.
    #[track_caller]
    pub(super) fn present(&self) -> Vec<String> {
        let names = self.names("tools/list").into_iter();
        let owners = names.filter_map(|name| Some(name.strip_suffix("__mark")?.to_owned()));
        owners.collect()
    }

    /// Waits until just these servers' tools are listed.
    #[track_caller]
    pub(super) fn until_present(&self, owners: &[&str]) {
        let mut last = Vec::new();
        let deadline = std::time::Instant::now() + DEADLINE;
        while std::time::Instant::now() < deadline {
            last = self.present();
            if last == owners {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("{last:?} are there, not {owners:?}:\n{}", self.log.text());
    }

    #[track_caller]
    pub(super) fn call(&self, tool: &str, arguments: &Value) -> Message {
        self.peer.call(tool, arguments)
    }

    /// The result of the tool `mark` of a server: its script's mark and its process.
    #[track_caller]
    pub(super) fn mark(&self, name: &str) -> (String, u64) {
        let answer = self.call(&format!("{name}__mark"), &json!({}));
        let result = answer.result();
        let said = &result["structuredContent"];
        match (said["mark"].as_str(), said["pid"].as_u64()) {
            (Some(mark), Some(pid)) => (mark.to_owned(), pid),
            _ => panic!("{}\n{}", answer.line, self.log.text()),
        }
    }

    /// The server's knowledge of its client so far.
    #[track_caller]
    pub(super) fn state(&self, name: &str) -> Value {
        let answer = self.call(&format!("{name}__state"), &json!({}));
        answer.result()["structuredContent"].take()
    }

    /// How many events of this name there are of a server.
    pub(super) fn events_of(&self, event: &str, server: &str) -> usize {
        let events = self.log.events(event);
        let of = events.iter().filter(|event| event["server"] == server);
        of.count()
    }

    /// Waits until there are `count` events of this name of a server.
    #[track_caller]
    pub(super) fn until(&self, event: &str, server: &str, count: usize) {
        let deadline = std::time::Instant::now() + DEADLINE;
        while self.events_of(event, server) < count {
            assert!(
                std::time::Instant::now() < deadline,
                "no {count} events `{event}` of `{server}`:\n{}",
                self.log.text()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until just so many processes of servers were started, which were told of as well.
    #[track_caller]
    pub(super) fn spawned(&self, count: usize) {
        let spawned = self.log.until("spawned", count).len();
        assert_eq!(spawned, count, "{}", self.log.text());
    }

    /// The living processes of servers.
    pub(super) fn running(&self) -> Vec<(u32, String)> {
        let mut processes = processes_with_tag(self.peer.tag());
        processes.retain(|(_, command)| command.contains("fake_server"));
        processes
    }

    /// How often the client was told that the tools have changed.
    pub(super) fn told(&self) -> usize {
        self.peer.notifications(LIST_CHANGED)
    }

    /// Waits until the client was told so once more than `before`.
    #[track_caller]
    pub(super) fn told_again(&self, before: usize) {
        let deadline = std::time::Instant::now() + DEADLINE;
        while self.told() <= before {
            let in_time = std::time::Instant::now() < deadline;
            assert!(in_time, "the client was not told:\n{}", self.log.text());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
