//! Tells servers what happens to their files, and the fleet what happens to its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::config::ServerSpec;
use crate::event::Events;
use crate::lock::locked;
use crate::server::ServerHandle;
use crate::watcher::{Notice, WatchError, WatchOptions, WatchRequest, Watcher};

/// Whoever hears of a watch.
#[derive(Debug)]
enum Hearer {
    Server(ServerHandle),
    Configuration(mpsc::UnboundedSender<Vec<PathBuf>>),
}

/// The one watcher, and who hears what from it. Dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Sources {
    watcher: Watcher,
    hearers: Arc<Mutex<HashMap<u64, Hearer>>>,
    last: AtomicU64,
}

impl Sources {
    /// Watches nothing yet.
    pub(crate) fn new(options: WatchOptions, events: Events) -> Result<Self, WatchError> {
        // Unbounded: the settle stage sends a few notices a second at most.
        let (sender, notices) = mpsc::unbounded_channel();
        let watcher = Watcher::start(options, sender, events)?;
        let hearers = Arc::default();
        tokio::spawn(tell(notices, Arc::clone(&hearers)));
        Ok(Self {
            watcher,
            hearers,
            last: AtomicU64::new(0),
        })
    }

    /// A number for a new watch.
    pub(super) fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Watches what `spec` says for `server`, instead of what was watched under `number` before.
    /// Resolves when no later save can go unnoticed.
    pub(super) async fn watch(
        &self,
        number: u64,
        spec: &ServerSpec,
        server: ServerHandle,
    ) -> Result<(), WatchError> {
        if spec.remote.is_some() && spec.watch.is_empty() {
            // What it runs of lies elsewhere. It may have been a command before.
            self.forget(number);
            return Ok(());
        }
        let request = WatchRequest::Sources {
            server: spec.name.clone(),
            cwd: spec.cwd.clone(),
            program: spec.program.clone(),
            args: spec.args.clone(),
            globs: spec.watch.clone(),
        };
        locked(&self.hearers).insert(number, Hearer::Server(server));
        let added = self.watcher.add(number, request).await;
        if added.is_err() {
            self.forget(number);
        }
        added
    }

    /// Watches the files of the configuration under `number`; gives what changed, each time.
    pub(super) async fn watch_configuration(
        &self,
        number: u64,
        files: &[PathBuf],
    ) -> Result<UnboundedReceiver<Vec<PathBuf>>, WatchError> {
        let (sender, changes) = mpsc::unbounded_channel();
        locked(&self.hearers).insert(number, Hearer::Configuration(sender));
        let request = WatchRequest::Files {
            name: "configuration".to_owned(),
            files: files.to_vec(),
        };
        self.watcher.add(number, request).await?;
        Ok(changes)
    }

    /// Ends a watch.
    pub(super) fn forget(&self, number: u64) {
        locked(&self.hearers).remove(&number);
        self.watcher.remove(number);
    }
}

async fn tell(
    mut notices: UnboundedReceiver<(u64, Notice)>,
    hearers: Arc<Mutex<HashMap<u64, Hearer>>>,
) {
    while let Some((number, notice)) = notices.recv().await {
        match (locked(&hearers).get(&number), notice) {
            (Some(Hearer::Server(server)), Notice::Suspect) => server.suspect(),
            (Some(Hearer::Server(server)), Notice::Unchanged) => server.unchanged(),
            (Some(Hearer::Server(server)), Notice::Changed(paths)) => server.changed(paths),
            (Some(Hearer::Configuration(changes)), Notice::Changed(paths)) => {
                let _ = changes.send(paths);
            }
            // It is as it was when the watcher looked last; it may have been read meanwhile, when it was not.
            (Some(Hearer::Configuration(changes)), Notice::Unchanged) => {
                let _ = changes.send(Vec::new());
            }
            (Some(Hearer::Configuration(_)), Notice::Suspect) | (None, _) => {}
        }
    }
}
