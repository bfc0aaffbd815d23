//! A project whose `.mcp.json` names servers, with a cache of its own.

use std::cell::RefCell;
use std::ffi::OsString;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::client::{Client, Era};
use crate::harness::{CACHE, Log, Peer, Project, Proxy, example, initialize_params};

/// The servers of the project, and the clients started in it.
pub(super) struct Stage {
    pub(super) project: Project,
    pub(super) log: Log,
    entries: RefCell<Map<String, Value>>,
}

impl Stage {
    /// With these fake servers, each by its script.
    #[track_caller]
    pub(super) fn new<'a>(servers: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let stage = Self {
            project: Project::new(),
            log: Log::new(),
            entries: RefCell::default(),
        };
        for (name, script) in servers {
            stage.save(name, &script);
            let file = format!("{name}.json");
            stage.define(
                name,
                json!({"command": example("fake_server"), "args": [file]}),
            );
        }
        stage
    }

    /// Adds a server, or changes its definition.
    #[track_caller]
    pub(super) fn define(&self, name: &str, definition: Value) {
        let mut entries = self.entries.borrow_mut();
        entries.insert(name.to_owned(), definition);
        let text = json!({ "mcpServers": *entries }).to_string();
        self.project.save(".mcp.json", &text);
    }

    /// Adds a server that a line of shell runs; `FAKE` in it stands for the fake server.
    #[track_caller]
    pub(super) fn define_shell(&self, name: &str, line: &str) {
        let line = line.replace("FAKE", &example("fake_server").display().to_string());
        self.define(name, json!({"command": "sh", "args": ["-c", line]}));
    }

    /// Writes a fake server's script.
    #[track_caller]
    pub(super) fn save(&self, name: &str, script: &Value) {
        self.project
            .save(&format!("{name}.json"), &script.to_string());
    }

    /// A proxy in the project, away from the tester's own configuration and cache.
    pub(super) fn at_home(&self, proxy: Proxy) -> Proxy {
        let root = self.project.root();
        self.log
            .written_by(proxy)
            .within(&self.project)
            .env("HOME", root)
            .env(CACHE, root.join("cache"))
    }

    /// A client of the legacy era before `mcp-proxy serve`.
    #[track_caller]
    pub(super) fn serve(&self) -> Client {
        self.client(Era::Legacy, Proxy::serve())
    }

    /// A client of the legacy era before `mcp-proxy dev` with all meta-tools.
    #[track_caller]
    pub(super) fn dev(&self) -> Client {
        let proxy = Proxy::dev([] as [OsString; 0]);
        self.client(Era::Legacy, proxy.options(["--meta-tools", "all"]))
    }

    #[track_caller]
    pub(super) fn client(&self, era: Era, proxy: Proxy) -> Client {
        let peer = self.at_home(proxy).spawn();
        if era == Era::Legacy {
            peer.initialize(&initialize_params()).result();
        }
        Client { peer, era }
    }

    /// A client program, given by its first words, that starts `mcp-proxy serve`.
    pub(super) fn served_to(&self, client: impl IntoIterator<Item = OsString>) -> Command {
        self.at_home(Proxy::serve()).run_by(client)
    }

    /// As [`Self::served_to`], started.
    #[track_caller]
    pub(super) fn peer_served_to(&self, client: impl IntoIterator<Item = OsString>) -> Peer {
        Peer::spawn_command(self.served_to(client))
    }
}

/// A tool of a script's `tools`.
pub(super) fn tool(name: &str, more: &Value) -> Value {
    let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
    for (member, value) in more.as_object().unwrap() {
        tool[member] = value.clone();
    }
    tool
}

/// The values of a member of each of `values`, which are strings.
#[track_caller]
pub(super) fn each<'a>(values: &'a Value, member: &str) -> Vec<&'a str> {
    let values = values.as_array().unwrap().iter();
    values
        .map(|value| value[member].as_str().unwrap())
        .collect()
}
