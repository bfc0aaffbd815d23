//! Applies changes of the configuration while servers run: only servers that differ are started, reloaded or stopped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::Fleet;
use crate::config::{Config, ConfigDiff, Fault, HiddenValues, LoadedConfig, diff};
use crate::event::Event;
use crate::watcher::WatchError;

/// Time in which a configuration file that is empty or gone may be written anew before its servers stop: scripts and
/// synchronised folders replace a file in two steps.
const REWRITE_TIME: Duration = Duration::from_secs(2);

impl Fleet {
    /// Returns the values that must not be shown.
    pub(crate) fn hidden(&self) -> Arc<Mutex<HiddenValues>> {
        self.0.resources.events.hidden()
    }

    /// Reads the configuration again whenever one of its files changes.
    pub(super) fn watch_configuration(&self) {
        if self.0.subscriptions.is_none() || self.0.reader.is_none() {
            return;
        }
        let fleet = self.clone();
        tokio::spawn(async move {
            let Some(subscriptions) = &fleet.0.subscriptions else {
                return;
            };
            let number = subscriptions.next_number();
            let watch = async {
                let mut files = fleet.0.files.clone();
                let mut saved = Vec::new();
                loop {
                    let changes = subscriptions.watch_configuration(number, &files).await;
                    let mut changes = match changes {
                        Ok(changes) => changes,
                        Err(error) => return fleet.warn_config_unwatched(&error),
                    };
                    // Applies saves from before the watch, then each later one, until more files count.
                    while !fleet
                        .reread_files(&mut saved, &mut files, &mut changes)
                        .await
                    {
                        match changes.recv().await {
                            Some(paths) => saved = paths,
                            None => return,
                        }
                    }
                    saved.clear();
                }
            };
            fleet.0.stopped.run_until_cancelled(watch).await;
            subscriptions.remove(number);
        });
    }

    fn warn_config_unwatched(&self, error: &WatchError) {
        self.0.resources.events.send(Event::WatchWarning {
            server: "configuration".to_owned(),
            message: format!(
                "the configuration files are not watched; restart the proxy after a change: {error}"
            ),
        });
    }

    /// Reads the configuration again for the files in `saved`, and for those in `changes` while a file is being written
    /// anew. Adds the files it returns to `files`; returns true if any of them is new.
    async fn reread_files(
        &self,
        saved: &mut Vec<PathBuf>,
        files: &mut Vec<PathBuf>,
        changes: &mut UnboundedReceiver<Vec<PathBuf>>,
    ) -> bool {
        let before = files.len();
        let end = Instant::now() + REWRITE_TIME;
        let mut without_them = false;
        let env_files = loop {
            if let Some(env_files) = self.read_and_apply(saved, without_them).await {
                break env_files;
            }
            match timeout_at(end, changes.recv()).await {
                Ok(Some(paths)) => saved.extend(paths),
                Ok(None) | Err(_) => without_them = true,
            }
        };
        for file in env_files {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files.len() > before
    }

    /// Reads the configuration again and applies it, unless a file is being written anew: the watch applies it then.
    pub(crate) async fn reread(&self) {
        let is_watched = self.0.subscriptions.is_some();
        self.read_and_apply(&[], !is_watched).await;
    }

    /// Reads the configuration again and applies it; `files` are the files known to have changed. Returns the files with
    /// variables that its servers name. Returns `None` and applies nothing if a file that had content is empty or gone,
    /// unless `without_them`.
    async fn read_and_apply(&self, files: &[PathBuf], without_them: bool) -> Option<Vec<PathBuf>> {
        let reader = self.0.reader.clone();
        let Some(read) = reader.filter(|_| !self.0.stopped.is_cancelled()) else {
            return Some(Vec::new());
        };
        let (number, before) = {
            let mut state = self.state();
            state.reads_begun += 1;
            (state.reads_begun, state.filled_files.clone())
        };
        // On another thread: an env file may be a named pipe, which is read only when a program writes to it.
        let reading = spawn_blocking(move || {
            let is_any_hollow = || before.iter().any(|file| is_hollow(file));
            let was_hollow = is_any_hollow();
            let loaded = read()?;
            let filled = loaded.files.iter().filter(|file| !is_hollow(file));
            let filled: Vec<PathBuf> = filled.cloned().collect();
            let is_complete = !was_hollow && !is_any_hollow();
            Some((loaded, filled, is_complete))
        });
        let Ok(Some((loaded, filled, is_complete))) = reading.await else {
            return Some(Vec::new());
        };
        if !is_complete && !without_them {
            return None;
        }
        let env_files = loaded.env_files.clone();
        self.apply(number, loaded, filled, files);
        Some(env_files)
    }

    /// Applies the result of the read with this number, unless a later one was applied before. `filled` are the
    /// configuration files with content, `files` those known to have changed.
    fn apply(&self, number: u64, loaded: LoadedConfig, filled: Vec<PathBuf>, files: &[PathBuf]) {
        {
            let mut state = self.state();
            if self.0.stopped.is_cancelled() || number < state.read_applied {
                return;
            }
            state.read_applied = number;
        }
        self.report_faults(&loaded.faults);
        let files = match files {
            [] => loaded.files.clone(),
            files => files.to_vec(),
        };
        let before = self.config();
        let Some(config) = merged(&before, loaded) else {
            return;
        };
        self.state().filled_files = filled;
        if config == *before {
            return;
        }
        self.report_restart_needed(&config.needing_restart(&before));
        let changes = diff(&before, &config);
        self.state().config = Arc::new(config);
        self.0.resources.events.send(Event::Reconfigured {
            added: changes.added.clone(),
            changed: changes.changed.clone(),
            removed: changes.removed.clone(),
        });
        // A server whose `autostart` was off before starts like a new one.
        let starts_now = |name: &&String| {
            before.server(name).is_some_and(|spec| !spec.autostart) && self.loaded(name).is_none()
        };
        let starting = changes.changed.iter().filter(starts_now);
        let new: Vec<String> = changes.added.iter().chain(starting).cloned().collect();
        self.apply_changes(&changes, &new, &files);
    }

    fn apply_changes(&self, changes: &ConfigDiff, new: &[String], files: &[PathBuf]) {
        let config = self.config();
        for name in &changes.removed {
            if let Some(server) = self.remove_member(name) {
                let fleet = self.clone();
                tokio::spawn(async move { fleet.stop_removed(server).await });
            }
        }
        for name in &changes.changed {
            let (Some(server), Some(spec)) = (self.loaded(name), config.server(name)) else {
                continue;
            };
            let (old, since) = (server.spec(), SystemTime::now());
            server.redefine(Arc::new(spec.clone()), files.to_vec());
            let has_same_watch = (&old.cwd, &old.watch, &old.program, &old.args)
                == (&spec.cwd, &spec.watch, &spec.program, &spec.args)
                && old.build.is_some() == spec.build.is_some();
            if !has_same_watch {
                self.rewatch(name, since);
            }
            // The last-known tools of the old definition may not fit the new one.
            self.show_cached_tools(&server);
        }
        let added = config
            .servers
            .iter()
            .filter(|spec| new.contains(&spec.name));
        for spec in added.filter(|spec| spec.autostart && !self.is_lazy()) {
            let (server, watch) = self.add_member(Arc::new(spec.clone()));
            self.spawn_watch_and_introduce(server, watch);
        }
        self.state().sort();
        self.announce();
    }

    /// Watches the files of a server's newest definition; its process may have started `since` then.
    fn rewatch(&self, name: &str, since: SystemTime) {
        if !self.watches() {
            return;
        }
        let state = self.state();
        let mut members = state.members.iter();
        let Some(member) = members.find(|member| member.server.spec().name == name) else {
            return;
        };
        let (fleet, server, number) = (self.clone(), member.server.clone(), member.watch);
        self.0.tasks.spawn(async move {
            let Some(subscriptions) = &fleet.0.subscriptions else {
                return;
            };
            let session = fleet.0.resources.events.session();
            let watched = subscriptions.watch(number, server.clone(), session, Some(since));
            let watched = fleet.0.stopped.run_until_cancelled(watched).await;
            if let Some(Err(error)) = watched {
                fleet.warn_unwatched(&server, &error);
            }
            fleet.end_watch_if_removed(&server, number);
        });
    }

    fn report_restart_needed(&self, keys: &[&str]) {
        if !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            self.0.resources.events.send(Event::WatchWarning {
                server: "configuration".to_owned(),
                message: format!(
                    "{} changed: restart the proxy to apply the change",
                    keys.join(", ")
                ),
            });
        }
    }

    /// Reports the faults that did not exist at the last read.
    pub(super) fn report_faults(&self, faults: &[Fault]) {
        let before = std::mem::replace(&mut self.state().faults, faults.to_vec());
        let texts = |faults: &[Fault]| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let before = texts(&before);
        for text in texts(faults) {
            if !before.contains(&text) {
                self.0.resources.events.send(Event::ConfigFault { text });
            }
        }
    }

    /// Returns the fault in the definition of the server with that name, as the configuration was read last.
    pub(super) fn fault_of(&self, name: &str) -> Option<String> {
        let state = self.state();
        let mut faults = state.faults.iter();
        let fault = faults.find(|fault| fault.server.as_deref().is_none_or(|it| it == name))?;
        Some(fault.to_string())
    }
}

/// Returns true if the file is empty or cannot be found.
fn is_hollow(file: &Path) -> bool {
    std::fs::metadata(file).map_or(true, |data| data.len() == 0)
}

/// Returns the configuration to apply after `loaded` was read: all of it, except that a server with a faulty definition
/// stays as it was. None if a whole file cannot be parsed, since it may be half written.
fn merged(before: &Config, loaded: LoadedConfig) -> Option<Config> {
    if loaded.faults.iter().any(|fault| fault.server.is_none()) {
        return None;
    }
    let mut config = loaded.config;
    for (at, spec) in before.servers.iter().enumerate() {
        let concerns = |fault: &Fault| fault.server.as_deref() == Some(&*spec.name);
        if loaded.faults.iter().any(concerns) && config.server(&spec.name).is_none() {
            config
                .servers
                .insert(at.min(config.servers.len()), spec.clone());
        }
    }
    Some(config)
}
