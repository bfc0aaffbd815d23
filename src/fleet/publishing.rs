//! Publishes catalogs, and notifies the client of them.

use std::sync::Arc;

use super::{Catalog, Fleet};
use crate::event::Event;
use crate::mcp::ListKind;
use crate::server::{Client, ListsChange, ListsObserver, Snapshot};

/// Client of a fleet.
pub(crate) trait FleetClient: Client {
    /// Takes a change of the published lists. `first` is true for the lists of the start that the first introduction
    /// caused.
    fn lists_changed(&self, kinds: &[ListKind], first: bool);

    /// Takes the news that new code serves the resources of `server`, so that contents read before may be out of date.
    fn resources_renewed(&self, server: &str);
}

impl ListsObserver for Fleet {
    fn publish_lists(&self) {
        self.refresh();
    }

    fn notify_client(&self, change: &ListsChange<'_>) {
        let client = self.state().introduced.as_ref().map(|it| it.client.clone());
        if let Some(client) = client {
            client.lists_changed(change.kinds, change.is_first);
            if let Some(server) = change.renewed {
                client.resources_renewed(server);
            }
        }
    }
}

impl Fleet {
    /// Publishes the current entries of the loaded servers.
    pub(crate) fn refresh(&self) {
        let state = self.state();
        let mut servers: Vec<_> = state
            .members
            .iter()
            .map(|member| member.server.clone())
            .collect();
        let catalog = if self.0.is_transparent {
            servers
                .pop()
                .map_or_else(Catalog::default, Catalog::transparent)
        } else {
            Catalog::new(servers, state.config.max_name, &self.catalog())
        };
        let before = self.0.catalog.send_replace(Arc::new(catalog));
        drop(state);
        let catalog = self.catalog();
        let mut new = catalog.collisions.iter();
        for collision in new.by_ref().filter(|it| !before.collisions.contains(it)) {
            self.0.resources.events.send(Event::NameTaken {
                server: collision.second.clone(),
                kind: collision.kind,
                name: collision.name.clone(),
                holder: collision.first.clone(),
            });
        }
        self.cache_tools();
    }

    /// Stores the current tools on disk, for the time when a server is not loaded.
    fn cache_tools(&self) {
        let Some(cache) = &self.0.tool_cache else {
            return;
        };
        for member in &mut self.state().members {
            let snapshot = member.server.snapshot();
            let tools = snapshot
                .list(ListKind::Tools)
                .filter(|_| snapshot.generation > 0);
            let is_cached = |cached: &Arc<Snapshot>| Arc::ptr_eq(cached, &snapshot);
            if let (Some(tools), false) = (
                tools,
                member.cached_snapshot.as_ref().is_some_and(is_cached),
            ) {
                let (cache, spec, tools) = (cache.clone(), member.server.spec(), tools.clone());
                self.0.tasks.spawn_blocking(move || {
                    if let Err(error) = cache.store(&spec, &tools) {
                        tracing::debug!(%error, "tools are not kept on disk");
                    }
                });
                member.cached_snapshot = Some(snapshot.clone());
            }
        }
    }

    /// Publishes the current entries of the loaded servers and notifies the client of the lists that changed.
    pub(super) fn announce(&self) {
        let before = self.catalog();
        self.refresh();
        let kinds = self.catalog().changes(&before);
        if !kinds.is_empty() {
            self.notify_client(&ListsChange {
                kinds: &kinds,
                is_first: false,
                renewed: None,
            });
        }
    }
}
