//! Loads and unloads servers.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Fleet, Member, WatchSubscriptions};
use crate::config::{ReloadMode, ServerSpec};
use crate::event::{Event, Failure};
use crate::server::ServerHandle;
use crate::watcher::{WatchDescription, WatchError};

/// Reason why a server could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The configuration has no such server; `available` are the names it has.
    #[error("the configuration has no server `{name}`")]
    Unknown {
        name: String,
        available: Vec<String>,
    },
    /// The configuration has it, but its definition has a fault.
    #[error("invalid definition of `{name}` in the configuration:\n{fault}")]
    Faulty { name: String, fault: String },
    /// It is disabled.
    #[error("`{0}` is disabled in the configuration (`enabled = false`)")]
    Disabled(String),
    /// It was unloaded before it answered.
    #[error("it was unloaded before it was ready")]
    Unloaded,
    /// It does not start.
    #[error("it does not start")]
    Broken(ServerHandle, Arc<Failure>),
}

impl Fleet {
    /// Loads the servers that start with the session; they start once there is a client. Returns an error if the files
    /// of the only server cannot be watched. The files are walked in the background, so that neither the client nor a
    /// signal waits for a large tree.
    pub(crate) fn begin(&self) -> Result<(), WatchError> {
        let config = self.config();
        let starts =
            |spec: &&ServerSpec| self.is_transparent() || (spec.autostart && !self.is_lazy());
        for spec in config.servers.iter().filter(starts) {
            if self.is_transparent() && self.watches() {
                WatchSubscriptions::check(spec)?;
            }
            let (server, watch) = self.add_member(Arc::new(spec.clone()));
            self.spawn_watch_and_introduce(server, watch);
        }
        self.refresh();
        self.watch_configuration();
        Ok(())
    }

    /// Returns true if the loaded server might run now although its code did not run at the last attempt: its files are
    /// not watched, or the cause may have passed.
    pub(crate) fn should_retry(&self, server: &ServerHandle) -> bool {
        let refusal = server.refusal();
        refusal.is_some_and(|failure| failure.may_pass() || !self.watches())
    }

    /// Loads the server with that name, unless it is loaded, and waits until it answers. Returns true if it was loaded
    /// before.
    pub(crate) async fn load(&self, name: &str) -> Result<(ServerHandle, bool), LoadError> {
        self.reread().await;
        let (server, before) = self.find_or_add(name)?;
        if before {
            // The new configuration may define it differently.
            server.wait_processed().await;
        } else {
            self.announce();
        }
        if before && server.refusal().is_some() {
            // The cause of the failure may be fixed by now.
            let _ = server.reload().await;
        }
        match server.answers().await {
            Err(failure) => Err(LoadError::Broken(server, failure)),
            // A server that is stopped ends the wait too.
            Ok(()) if !self.loaded(name).is_some_and(|it| it.is(&server)) => {
                Err(LoadError::Unloaded)
            }
            Ok(()) => Ok((server, before)),
        }
    }

    fn find_or_add(&self, name: &str) -> Result<(ServerHandle, bool), LoadError> {
        if let Some(server) = self.loaded(name) {
            return Ok((server, true));
        }
        if self.0.stopped.is_cancelled() {
            return Err(LoadError::Unloaded);
        }
        let config = self.config();
        if let Some(spec) = config.server(name) {
            let (server, watch) = self.add_member(Arc::new(spec.clone()));
            self.spawn_watch_and_introduce(server.clone(), watch);
            return Ok((server, false));
        }
        let name = name.to_owned();
        if config.disabled.contains(&name) {
            return Err(LoadError::Disabled(name));
        }
        if let Some(fault) = self.fault_of(&name) {
            return Err(LoadError::Faulty { name, fault });
        }
        let there = config
            .servers
            .iter()
            .map(|spec| spec.name.clone())
            .collect();
        Err(LoadError::Unknown {
            name,
            available: there,
        })
    }

    /// Returns the loaded server with that name.
    pub(crate) fn loaded(&self, name: &str) -> Option<ServerHandle> {
        let state = self.state();
        let mut servers = state.members.iter().map(|member| &member.server);
        servers.find(|server| server.spec().name == name).cloned()
    }

    /// Returns the first `most` watched files of a loaded server, and the answer for the file `path`, if given. `None`
    /// if no files of it are watched.
    pub(crate) async fn describe_watch(
        &self,
        name: &str,
        path: Option<PathBuf>,
        most: usize,
    ) -> Option<WatchDescription> {
        let watch = {
            let state = self.state();
            let mut members = state.members.iter();
            members.find(|it| it.server.spec().name == name)?.watch
        };
        let subscriptions = self.0.subscriptions.as_ref()?;
        subscriptions.describe(watch, path, most).await
    }

    /// Unloads a server; resolves when it has finished its requests and stopped. Returns false if it is not loaded.
    pub(crate) async fn unload(&self, name: &str) -> bool {
        match self.remove_member(name) {
            Some(server) => {
                self.announce();
                self.stop_removed(server).await;
                true
            }
            None => false,
        }
    }

    /// Removes a server from the fleet.
    pub(super) fn remove_member(&self, name: &str) -> Option<ServerHandle> {
        let mut state = self.state();
        let at = state
            .members
            .iter()
            .position(|member| member.server.spec().name == name)?;
        let member = state.members.remove(at);
        if let Some(subscriptions) = &self.0.subscriptions {
            subscriptions.remove(member.watch);
        }
        state.stopping.push(member.server.clone());
        Some(member.server)
    }

    /// Lets a removed server finish its requests, then stops it.
    pub(super) async fn stop_removed(&self, server: ServerHandle) {
        let (fleet, removed) = (self.clone(), server.clone());
        let stopped = self.0.tasks.spawn(async move {
            removed.stop(removed.spec().timeouts.drain).await;
            fleet.state().stopping.retain(|it| !it.is(&removed));
            let server = removed.spec().name.clone();
            fleet.0.resources.events.send(Event::Unloaded { server });
        });
        let _ = stopped.await;
    }

    /// Returns the servers that finish their requests before they stop.
    pub(crate) fn stopping(&self) -> Vec<ServerHandle> {
        self.state().stopping.clone()
    }

    /// Adds a server as a member. It starts once it is ready and there is a client.
    pub(super) fn add_member(&self, spec: Arc<ServerSpec>) -> (ServerHandle, u64) {
        let server = ServerHandle::new(spec, self.0.resources.clone());
        self.show_cached_tools(&server);
        let watch = self
            .0
            .subscriptions
            .as_ref()
            .map_or(0, |it| it.next_number());
        let mut state = self.state();
        server.change_settings(|settings| settings.level.clone_from(&state.level));
        let member = Member {
            server: server.clone(),
            watch,
            is_ready: false,
            cached_snapshot: None,
        };
        state.members.push(member);
        state.sort();
        (server, watch)
    }

    /// Shows a server with its last-known tools until it has listed. A call of one of them waits for its start.
    pub(super) fn show_cached_tools(&self, server: &ServerHandle) {
        let cache = self.0.tool_cache.as_ref();
        let tools = cache.and_then(|cache| cache.load(&server.spec()));
        server.show_cached_tools(tools.unwrap_or_default());
    }

    /// Starts watching a new member's files, then introduces it to the client.
    async fn watch_and_introduce(
        &self,
        server: ServerHandle,
        watch: u64,
    ) -> Result<(), WatchError> {
        let session = self.0.resources.events.session();
        let watched = match &self.0.subscriptions {
            Some(subscriptions) if self.watches() => {
                subscriptions
                    .watch(watch, server.clone(), session, None)
                    .await
            }
            _ => Ok(()),
        };
        self.wait_for_predecessor(&server).await;
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(member) = state.members.iter_mut().find(|it| it.server.is(&server)) {
            member.is_ready = true;
            if let Some(introduced) = &state.introduced {
                introduced.introduce_to(&server, self);
            }
        }
        drop(guard);
        self.end_watch_if_removed(&server, watch);
        watched
    }

    /// Ends the watch of a server that was unloaded while the watch was being set up.
    pub(super) fn end_watch_if_removed(&self, server: &ServerHandle, watch: u64) {
        let is_member = self.state().members.iter().any(|it| it.server.is(server));
        if let (false, Some(subscriptions)) = (is_member, &self.0.subscriptions) {
            subscriptions.remove(watch);
        }
    }

    /// Waits until a server of the same name that is being stopped has ended, if only one of them may run.
    async fn wait_for_predecessor(&self, server: &ServerHandle) {
        let spec = server.spec();
        if spec.reload != ReloadMode::StopFirst {
            return;
        }
        for predecessor in self
            .stopping()
            .iter()
            .filter(|it| it.spec().name == spec.name)
        {
            // The server is already being stopped; this only waits.
            predecessor.stop(predecessor.spec().timeouts.drain).await;
        }
    }

    /// Does the same as [`Self::watch_and_introduce`] without waiting. A server that cannot be watched still runs.
    pub(super) fn spawn_watch_and_introduce(&self, server: ServerHandle, watch: u64) {
        let fleet = self.clone();
        self.0.tasks.spawn(async move {
            let stopped = fleet.0.stopped.clone();
            let armed = fleet.watch_and_introduce(server.clone(), watch);
            if let Some(Err(error)) = stopped.run_until_cancelled(armed).await {
                fleet.warn_unwatched(&server, &error);
            }
        });
    }

    pub(super) fn warn_unwatched(&self, server: &ServerHandle, error: &WatchError) {
        self.0.resources.events.send(Event::WatchWarning {
            server: server.spec().name.clone(),
            message: format!("the server's files are not watched: {error}"),
        });
    }
}
