//! Servers that a fleet starts with, and the source of their configuration.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::config::{Config, Fault, LoadedConfig};

/// Reads the configuration again; returns None if it cannot be applied in the way the command line demands.
pub(crate) type ConfigReader = Arc<dyn Fn() -> Option<LoadedConfig> + Send + Sync>;

/// Time at which servers are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    /// With the session.
    AtStart,
    /// When a tool loads or needs them.
    OnDemand,
}

/// Servers that a fleet consists of.
#[derive(Clone)]
pub(crate) struct FleetSetup {
    pub(crate) config: Config,
    /// True if there is only one server and clients see it unchanged.
    pub(crate) is_transparent: bool,
    /// When the servers are loaded.
    pub(crate) loading: Loading,
    /// True if the servers' sources are watched.
    pub(crate) watches_sources: bool,
    /// Source of the configuration; None for a server from the command line.
    pub(crate) reader: Option<ConfigReader>,
    /// Files that the configuration is read from.
    pub(crate) files: Vec<PathBuf>,
    /// Faults in these files.
    pub(crate) faults: Vec<Fault>,
    /// True if the faults were already reported to the user.
    pub(crate) faults_reported: bool,
}

impl FleetSetup {
    /// Creates a setup with the one server of `config`, which comes from the command line.
    pub(crate) fn of_one(config: Config) -> Self {
        Self {
            config,
            is_transparent: true,
            loading: Loading::AtStart,
            watches_sources: true,
            reader: None,
            files: Vec::new(),
            faults: Vec::new(),
            faults_reported: false,
        }
    }

    /// Returns true if local servers are started immediately.
    pub(crate) fn starts_processes(&self) -> bool {
        self.loading == Loading::AtStart && self.config.servers.iter().any(|it| it.remote.is_none())
    }

    /// Returns the setup for a further session: rereads the configuration and marks its faults as reported.
    pub(crate) async fn for_next_session(&self) -> Self {
        let mut setup = self.clone();
        setup.faults_reported = true;
        let Some(read) = setup.reader.clone() else {
            return setup;
        };
        // As in `Fleet::reread`, the read may wait for another program.
        if let Ok(Some(loaded)) = spawn_blocking(move || read()).await {
            if loaded.faults.is_empty() {
                setup.config = loaded.config;
            }
            setup.faults = loaded.faults;
        }
        setup
    }
}
