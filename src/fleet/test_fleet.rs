//! Fleets for unit tests, of servers that are never started.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::{Fleet, FleetSetup, ToolCache};
use crate::config::{Config, ServerSpec};
use crate::event::EventSender;
use crate::jsonrpc::quoted;
use crate::mcp::{Entry, List, ListKind};
use crate::server::{Client, Connection, ProxyResources, ServerHandle};
use crate::transport::reaper::Reaper;
use crate::transport::stream::Outbox;

impl Fleet {
    /// Creates a fleet with these servers in its configuration, of which none is loaded.
    pub(crate) fn configured(
        names: &[&str],
        is_transparent: bool,
        tool_cache: Option<ToolCache>,
    ) -> Self {
        let server = |name: &&str| {
            let cwd = std::env::temp_dir();
            ServerSpec::new((*name).to_owned(), "none".into(), Vec::new(), cwd)
        };
        let config = Config {
            servers: names.iter().map(server).collect(),
            ..Config::default()
        };
        let setup = FleetSetup {
            is_transparent,
            ..FleetSetup::of_one(config)
        };
        let mut resources = ProxyResources::new(EventSender::silent(), 1 << 20, None);
        resources.reaper = Reaper::absent();
        Self::new(setup, resources, None, tool_cache.map(Arc::new))
    }

    /// Creates a fleet in which these servers are loaded.
    pub(crate) fn loaded_with(names: &[&str], is_transparent: bool) -> Self {
        let fleet = Self::configured(names, is_transparent, None);
        for name in names {
            fleet.add_unstarted(name);
        }
        fleet
    }

    /// Loads a server without introducing it to a client, so that it is not started.
    pub(crate) fn add_unstarted(&self, name: &str) {
        let spec = self.config().server(name).unwrap().clone();
        self.add_member(Arc::new(spec));
        self.refresh();
    }

    /// Returns the loaded server with that name.
    pub(crate) fn one(&self, name: &str) -> ServerHandle {
        self.loaded(name).unwrap()
    }

    /// Makes a server list these entries from now on.
    pub(crate) fn list(&self, server: &str, entries: &[(ListKind, &str)]) {
        let lists = ListKind::ALL.map(|kind| {
            let mut list = List::default();
            for (_, name) in entries.iter().filter(|(of, _)| *of == kind) {
                let raw = format!(r#"{{"name":{}}}"#, quoted(name));
                let name = (*name).to_owned();
                list.entries.push(Entry { name, raw });
            }
            Ok(list)
        });
        self.one(server).show(lists);
        self.refresh();
    }

    /// Opens the gate of a server to a connection that appends its messages to the file `path`.
    pub(crate) fn connect(
        &self,
        server: &str,
        client: Arc<dyn Client>,
        path: &Path,
    ) -> Arc<Connection> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let outbox = Outbox::new(file.into()).unwrap();
        let connection = Connection::to(outbox, server, client);
        self.one(server).open_gate(connection.clone());
        connection
    }
}

/// Returns the lines that a connection has written to the file `path` since the last call.
pub(crate) fn taken(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, "").unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}
