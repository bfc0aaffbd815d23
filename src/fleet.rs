//! The servers of one session: the configured ones, the loaded ones, and their combined entries.
//!
//! A session sees only [`Fleet`]. It publishes a [`Catalog`], which is never changed but replaced, in
//! [`Fleet::refresh`] alone, once for each change. The sources of a loaded server are watched before the server is
//! introduced to the client, so that no save goes unnoticed. The fleet reaches a client only through [`FleetClient`].

mod catalog;
mod catalog_part;
mod fingerprint;
mod loading;
mod names;
mod open_fleets;
mod publishing;
mod reconfiguring;
mod server_handshakes;
mod setup;
#[cfg(test)]
pub(crate) mod test_fleet;
mod tool_cache;
mod watch_subscriptions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bridge::Identity;
use crate::config::{Config, Fault, ServerSpec};
use crate::jsonrpc::{OwnedJson, RawId, RawJson};
use crate::lock::locked;
use crate::mcp::Entry;
use crate::server::{
    ClientHello, ClientSettings, ProxyResources, ResponseSink, ServerHandle, Snapshot,
};
pub(crate) use crate::suggestions::nearest;
use crate::transport::reaper::Reaper;
use crate::transport::stream::Cork;
pub(crate) use catalog::Catalog;
pub(crate) use fingerprint::fingerprint;
pub(crate) use loading::LoadError;
pub(crate) use names::public_name;
pub(crate) use open_fleets::OpenFleets;
pub(crate) use publishing::FleetClient;
pub(crate) use server_handshakes::ServerHandshakes;
pub(crate) use setup::{ConfigReader, FleetSetup, Loading};
pub(crate) use tool_cache::ToolCache;
pub(crate) use watch_subscriptions::WatchSubscriptions;

/// The servers of one session. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fleet(Arc<FleetInner>);

struct FleetInner {
    resources: ProxyResources,
    is_transparent: bool,
    is_lazy: bool,
    watches_sources: bool,
    reader: Option<ConfigReader>,
    files: Vec<PathBuf>,
    /// None if no files are watched.
    subscriptions: Option<Arc<WatchSubscriptions>>,
    /// Last-known tools of servers, on disk.
    tool_cache: Option<Arc<ToolCache>>,
    /// Cancelled when the fleet is stopped.
    stopped: CancellationToken,
    state: Mutex<FleetState>,
    catalog: watch::Sender<Arc<Catalog>>,
    /// Background tasks: watches being set up, servers being stopped.
    tasks: TaskTracker,
}

#[derive(Default)]
struct FleetState {
    config: Arc<Config>,
    /// The loaded servers, in the order of the configuration.
    members: Vec<Member>,
    /// Servers that are being stopped.
    stopping: Vec<ServerHandle>,
    introduced: Option<IntroducedClient>,
    /// The log level that a legacy client has set.
    level: Option<OwnedJson>,
    /// Faults of the configuration that were reported.
    faults: Vec<Fault>,
    /// Configuration files that had content when they were last applied.
    filled_files: Vec<PathBuf>,
    /// Number of times that a read of the configuration has begun.
    reads_begun: u64,
    /// Number of the newest read that was applied.
    read_applied: u64,
}

/// A loaded server.
struct Member {
    server: ServerHandle,
    /// Number of its watch.
    watch: u64,
    /// True if its files are watched or need no watch, so that it may be introduced.
    is_ready: bool,
    /// Snapshot whose tools are stored on disk.
    cached_snapshot: Option<Arc<Snapshot>>,
}

/// Information about the client for the servers.
#[derive(Clone)]
struct IntroducedClient {
    hello: ClientHello,
    client: Arc<dyn FleetClient>,
    /// Number of the introduction, from 1.
    hello_number: u64,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fleet").field(&self.catalog()).finish()
    }
}

impl Fleet {
    /// Creates a fleet without loaded servers.
    pub(crate) fn new(
        setup: FleetSetup,
        mut resources: ProxyResources,
        subscriptions: Option<Arc<WatchSubscriptions>>,
        tool_cache: Option<Arc<ToolCache>>,
    ) -> Self {
        resources.renames_tools = !setup.is_transparent;
        let reported = setup.faults.iter().filter(|_| setup.faults_reported);
        let state = FleetState {
            config: Arc::new(setup.config),
            faults: reported.cloned().collect(),
            ..FleetState::default()
        };
        let fleet = Self(Arc::new(FleetInner {
            resources,
            is_transparent: setup.is_transparent,
            is_lazy: setup.loading == Loading::OnDemand,
            watches_sources: setup.watches_sources,
            reader: setup.reader,
            files: setup.files,
            subscriptions,
            tool_cache,
            stopped: CancellationToken::new(),
            state: Mutex::new(state),
            catalog: watch::Sender::default(),
            tasks: TaskTracker::new(),
        }));
        fleet.report_faults(&setup.faults);
        fleet
    }

    /// Returns the current catalog.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog.borrow().clone()
    }

    /// Returns the current configuration.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.state().config.clone()
    }

    /// Returns the files that the configuration is read from.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    /// Returns the faults found when the configuration was read last.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state()
            .faults
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Returns the reason why there is no server to load, if there is none.
    pub(crate) fn without_servers(&self) -> Option<String> {
        let state = self.state();
        if !state.config.servers.is_empty() {
            return None;
        }
        if !state.faults.is_empty() {
            let faults = state.faults.iter().map(ToString::to_string);
            let faults = faults.collect::<Vec<_>>().join("\n");
            return Some(format!(
                "configuration error; no server runs until it is fixed:\n{faults}"
            ));
        }
        let files = self.0.files.iter().map(|file| file.display().to_string());
        let files: Vec<String> = files.collect();
        Some(format!(
            "the configuration has no enabled server; it is read from {}",
            files.join(" and ")
        ))
    }

    /// Returns the reaper, which ends the remaining processes when the proxy is killed.
    pub(crate) fn reaper(&self) -> Reaper {
        self.0.resources.reaper.clone()
    }

    /// Returns true if the servers' sources are watched, so that lists may change at any time.
    pub(crate) fn watches(&self) -> bool {
        self.0.subscriptions.is_some() && self.0.watches_sources
    }

    /// Returns true if servers are loaded on demand only.
    pub(crate) fn is_lazy(&self) -> bool {
        self.0.is_lazy
    }

    /// Returns true if there is one server and clients see it unchanged.
    pub(crate) fn is_transparent(&self) -> bool {
        self.0.is_transparent
    }

    /// Introduces a client to every loaded server and to those loaded later; the first introduction starts them.
    /// Returns the introduction's number.
    pub(crate) fn introduce_client(&self, hello: ClientHello, client: Arc<dyn FleetClient>) -> u64 {
        let mut state = self.state();
        let hello_number = state
            .introduced
            .as_ref()
            .map_or(1, |last| last.hello_number + 1);
        let introduced = IntroducedClient {
            hello,
            client,
            hello_number,
        };
        for member in state.members.iter().filter(|member| member.is_ready) {
            introduced.introduce_to(&member.server, self);
        }
        state.introduced = Some(introduced);
        hello_number
    }

    /// Stores the client's changed description of itself and passes it to the servers.
    pub(crate) fn update_identity(&self, identity: &Identity) {
        let mut state = self.state();
        if let Some(introduced) = &mut state.introduced {
            introduced.hello.identity.clone_from(identity);
        }
        for member in &state.members {
            member.server.update_identity(identity.clone());
        }
    }

    /// Sets the log level of every server, now and later.
    pub(crate) fn set_level(&self, level: Option<RawJson<'_>>) {
        let mut state = self.state();
        state.level = level.map(OwnedJson::from);
        for member in &state.members {
            member.server.change_settings(|settings| {
                state.level.clone_into(&mut settings.level);
                settings.send_level = true;
            });
        }
    }

    /// Changes the client's subscriptions, server by server.
    pub(crate) fn change_settings(&self, change: impl Fn(&ServerHandle, &mut ClientSettings)) {
        for server in &self.catalog().servers {
            server.change_settings(|settings| change(server, settings));
        }
    }

    /// Cancels the client's request `id`; `params` are those of the client's notification.
    pub(crate) fn cancel(&self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>, params: &str) {
        for server in &self.catalog().servers {
            server.cancel(sink.clone(), id, params);
        }
        for server in &self.state().stopping {
            server.cancel(sink.clone(), id, params);
        }
    }

    /// Returns true if no server is starting or reloading.
    pub(crate) fn is_settled(&self) -> bool {
        !self.catalog().servers.iter().any(ServerHandle::is_held)
    }

    /// Waits until no server, or not the one of this name, is starting or reloading, at most as long as a list may wait
    /// for that.
    pub(crate) async fn settled(&self, name: Option<&str>) {
        let max_wait = self.config().timeouts.first_list();
        let all = async {
            for server in self.servers_of(name) {
                server.settled().await;
            }
        };
        let _ = tokio::time::timeout(max_wait, all).await;
    }

    /// Waits until the lists that servers report as changed are read, at most as long as in [`Self::settled`].
    pub(crate) async fn lists_read(&self, name: Option<&str>) {
        let max_wait = self.config().timeouts.first_list();
        let all = async {
            for server in self.servers_of(name) {
                server.lists_read().await;
            }
        };
        let _ = tokio::time::timeout(max_wait, all).await;
    }

    /// Returns all loaded servers, or the one of this name.
    fn servers_of(&self, name: Option<&str>) -> Vec<ServerHandle> {
        match name {
            Some(name) => self.loaded(name).into_iter().collect(),
            None => self.catalog().servers.clone(),
        }
    }

    /// Collects writes to all servers until the returned corks are dropped.
    pub(crate) fn corks(&self) -> Vec<Cork> {
        let catalog = self.catalog();
        let corks = catalog.servers.iter().filter_map(ServerHandle::cork);
        corks.collect()
    }

    /// Returns the last-known tools of a configured server that is not loaded, under its own names.
    pub(crate) fn cached_tools(&self, spec: &ServerSpec) -> Option<Vec<Entry>> {
        Some(self.0.tool_cache.as_ref()?.load(spec)?.entries)
    }

    fn state(&self) -> MutexGuard<'_, FleetState> {
        locked(&self.0.state)
    }

    /// Stops every server; resolves when all are gone.
    pub(crate) async fn stop(&self) {
        self.0.stopped.cancel();
        let servers: Vec<ServerHandle> = {
            let mut state = self.state();
            let members = std::mem::take(&mut state.members);
            // It holds the session, which holds the fleet.
            state.introduced = None;
            if let Some(subscriptions) = &self.0.subscriptions {
                for member in &members {
                    subscriptions.remove(member.watch);
                }
            }
            members
                .into_iter()
                .map(|member| member.server)
                .chain(state.stopping.clone())
                .collect()
        };
        let stops: Vec<_> = servers
            .into_iter()
            .map(|server| tokio::spawn(async move { server.stop(Duration::ZERO).await }))
            .collect();
        for stop in stops {
            let _ = stop.await;
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl FleetState {
    /// Sorts the members in the order of the configuration.
    fn sort(&mut self) {
        let config = self.config.clone();
        self.members.sort_by_key(|member| {
            let name = member.server.spec().name.clone();
            config.servers.iter().position(|spec| spec.name == name)
        });
    }
}

impl IntroducedClient {
    fn introduce_to(&self, server: &ServerHandle, fleet: &Fleet) {
        let (hello, client) = (self.hello.clone(), self.client.clone());
        let observer = Arc::new(fleet.clone());
        server.introduce_client(hello, client, self.hello_number, Some(observer));
    }
}
