//! Servers come and go.

use std::sync::Arc;

use super::{Fleet, Member, Sources};
use crate::config::{Reload, ServerSpec};
use crate::event::{Event, Failure};
use crate::server::ServerHandle;
use crate::watcher::WatchError;

/// Why a server could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The configuration has no such server; what it has.
    #[error("the configuration has no server `{name}`")]
    Unknown { name: String, there: Vec<String> },
    /// The configuration has it, but not as it should be.
    #[error("the definition of `{name}` in the configuration is not usable:\n{fault}")]
    Faulty { name: String, fault: String },
    /// It is switched off.
    #[error("`{0}` is switched off in the configuration (`enabled = false`)")]
    Disabled(String),
    /// It was unloaded before it answered.
    #[error("it was unloaded before it answered")]
    Unloaded,
    /// It does not start.
    #[error("it does not start")]
    Broken(ServerHandle, Arc<Failure>),
}

impl Fleet {
    /// Loads the servers that are to start with the session, as soon as there is a client. An error
    /// means that the only server's files cannot be watched. Walking the files goes on behind it, so that
    /// neither the client nor a signal waits for a large tree.
    pub(crate) fn begin(&self) -> Result<(), WatchError> {
        let config = self.config();
        let begins =
            |spec: &&ServerSpec| self.is_transparent() || (spec.autostart && !self.is_lazy());
        for spec in config.servers.iter().filter(begins) {
            if self.is_transparent() && self.watches() {
                Sources::check(spec)?;
            }
            let (server, watch) = self.enrol(Arc::new(spec.clone()));
            self.arm_soon(server, watch);
        }
        self.refresh();
        self.follow_configuration();
        Ok(())
    }

    /// Whether the loaded server might run now, though its code did not when it was tried last: nobody
    /// watches its files, or its time ran out.
    pub(crate) fn is_worth_a_try(&self, server: &ServerHandle) -> bool {
        let refusal = server.gate().refusal();
        refusal.is_some_and(|failure| failure.late || !self.watches())
    }

    /// Loads the server of that name, unless it is loaded, and waits until it answers. Says whether it
    /// was loaded before.
    pub(crate) async fn load(&self, name: &str) -> Result<(ServerHandle, bool), LoadError> {
        self.reread(&[]);
        let (server, before) = self.find_or_enrol(name)?;
        if before {
            // The configuration may just have defined it otherwise.
            server.hears().await;
        } else {
            self.announce();
        }
        if before && server.gate().refusal().is_some() {
            // Whatever was wrong may be mended by now.
            let _ = server.reload().await;
        }
        match server.answers().await {
            Err(failure) => Err(LoadError::Broken(server, failure)),
            // One that is stopped keeps nobody waiting either.
            Ok(()) if !self.loaded(name).is_some_and(|it| it.is(&server)) => {
                Err(LoadError::Unloaded)
            }
            Ok(()) => Ok((server, before)),
        }
    }

    fn find_or_enrol(&self, name: &str) -> Result<(ServerHandle, bool), LoadError> {
        if let Some(server) = self.loaded(name) {
            return Ok((server, true));
        }
        if self.0.stopped.is_cancelled() {
            return Err(LoadError::Unloaded);
        }
        let config = self.config();
        if let Some(spec) = config.server(name) {
            let (server, watch) = self.enrol(Arc::new(spec.clone()));
            self.arm_soon(server.clone(), watch);
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
        Err(LoadError::Unknown { name, there })
    }

    /// The loaded server of that name.
    pub(crate) fn loaded(&self, name: &str) -> Option<ServerHandle> {
        let state = self.state();
        let mut servers = state.members.iter().map(|member| &member.server);
        servers.find(|server| server.spec().name == name).cloned()
    }

    /// Unloads a server: it finishes what it is at and is gone when this resolves. False if it is not
    /// loaded.
    pub(crate) async fn unload(&self, name: &str) -> bool {
        match self.expel(name) {
            Some(server) => {
                self.announce();
                self.see_off(server).await;
                true
            }
            None => false,
        }
    }

    /// Takes a server out of the fleet.
    pub(super) fn expel(&self, name: &str) -> Option<ServerHandle> {
        let mut state = self.state();
        let at = state
            .members
            .iter()
            .position(|member| member.server.spec().name == name)?;
        let member = state.members.remove(at);
        if let Some(sources) = &self.0.sources {
            sources.forget(member.watch);
        }
        state.leaving.push(member.server.clone());
        Some(member.server)
    }

    /// Lets a server that is no longer of the fleet finish what it is at, then stops it.
    pub(super) async fn see_off(&self, server: ServerHandle) {
        let (fleet, leaving) = (self.clone(), server.clone());
        let gone = self.0.tasks.spawn(async move {
            leaving.stop(leaving.spec().timeouts.drain).await;
            fleet.state().leaving.retain(|it| !it.is(&leaving));
            let server = leaving.spec().name.clone();
            fleet.0.means.events.send(Event::Unloaded { server });
        });
        let _ = gone.await;
    }

    /// The servers that finish what they are at, and then stop.
    pub(crate) fn leaving(&self) -> Vec<ServerHandle> {
        self.state().leaving.clone()
    }

    /// Makes a server a member. It is started once it is armed and there is a client.
    pub(super) fn enrol(&self, spec: Arc<ServerSpec>) -> (ServerHandle, u64) {
        let server = ServerHandle::new(spec, self.0.means.clone());
        self.show_known(&server);
        let watch = self.0.sources.as_ref().map_or(0, |it| it.number());
        let mut state = self.state();
        server.want(|wanted| wanted.level.clone_from(&state.level));
        let member = Member {
            server: server.clone(),
            watch,
            armed: false,
            kept: None,
        };
        state.members.push(member);
        state.sort();
        (server, watch)
    }

    /// Lets a server be seen with its last-known tools until it has listed. A call of one of them waits for its start.
    pub(super) fn show_known(&self, server: &ServerHandle) {
        let known = self.0.known.as_ref();
        let tools = known.and_then(|known| known.recall(&server.spec()));
        server.show_meanwhile(tools.unwrap_or_default());
    }

    /// Has a new member's files watched, then introduces it to the client.
    async fn arm(&self, server: ServerHandle, watch: u64) -> Result<(), WatchError> {
        let watched = match &self.0.sources {
            Some(sources) if self.watches() => sources.watch(watch, server.clone(), None).await,
            _ => Ok(()),
        };
        self.make_room(&server).await;
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(member) = state.members.iter_mut().find(|it| it.server.is(&server)) {
            member.armed = true;
            if let Some(introduction) = &state.introduction {
                introduction.make(&server);
            }
        }
        drop(guard);
        self.forget_if_gone(&server, watch);
        watched
    }

    /// Ends the watch of a server that was unloaded while the watch was being set up.
    pub(super) fn forget_if_gone(&self, server: &ServerHandle, watch: u64) {
        let is_member = self.state().members.iter().any(|it| it.server.is(server));
        if let (false, Some(sources)) = (is_member, &self.0.sources) {
            sources.forget(watch);
        }
    }

    /// Waits until a server of the same name that is being stopped is gone, where there may be only one of them.
    async fn make_room(&self, server: &ServerHandle) {
        let spec = server.spec();
        if spec.reload != Reload::StopFirst {
            return;
        }
        for before in self
            .leaving()
            .iter()
            .filter(|it| it.spec().name == spec.name)
        {
            // It is being stopped already; this only waits.
            before.stop(before.spec().timeouts.drain).await;
        }
    }

    /// As [`Self::arm`], without waiting. A server that cannot be watched is run all the same.
    pub(super) fn arm_soon(&self, server: ServerHandle, watch: u64) {
        let fleet = self.clone();
        self.0.tasks.spawn(async move {
            let stopped = fleet.0.stopped.clone();
            let armed = fleet.arm(server.clone(), watch);
            if let Some(Err(error)) = stopped.run_until_cancelled(armed).await {
                fleet.warn_unwatched(&server, &error);
            }
        });
    }

    pub(super) fn warn_unwatched(&self, server: &ServerHandle, error: &WatchError) {
        self.0.means.events.send(Event::WatchWarning {
            server: server.spec().name.clone(),
            message: format!("its files are not watched: {error}"),
        });
    }
}
