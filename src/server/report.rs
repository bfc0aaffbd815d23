//! Resources shared by the tasks of a server, and the reports that they send to its supervisor.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::ReloadResult;
use super::build_outputs::BuildOutputs;
use super::call::{Call, Client, ResponseSink};
use super::connection::{Connection, ConnectionNotice};
use super::generation::{GenerationExit, ProvenGeneration};
use super::handshake::{ClientHello, ProofFailure};
use super::package_watch::PackageInstallation;
use super::start_permits::StartPermits;
use crate::bridge::Identity;
use crate::config::ServerSpec;
use crate::event::{EventSender, Failure};
use crate::lock::locked;
use crate::mcp::{Era, List, ListKind};
use crate::transport::build::BuildFailure;
use crate::transport::http::{self, Fate};
use crate::transport::reaper::Reaper;
use crate::warm::StandbyPool;

/// Resources shared by all servers.
#[derive(Debug, Clone)]
pub(crate) struct ProxyResources {
    pub(crate) events: EventSender,
    pub(crate) reaper: Reaper,
    /// Maximum length of a message in bytes.
    pub(crate) max_message: usize,
    /// Era forced by the user for all servers.
    pub(crate) era: Option<Era>,
    /// HTTP sender for remote servers.
    pub(crate) http: Arc<http::HttpClients>,
    /// True if the servers' files are watched.
    pub(crate) watches_files: bool,
    /// Limit on concurrent starts.
    pub(crate) start_permits: StartPermits,
    /// See [`Self::shared_build`].
    pub(super) builds: Arc<Mutex<SharedBuilds>>,
    /// Pool of standby processes, if standbys are enabled.
    pub(crate) standby_pool: Option<StandbyPool>,
}

/// Builds by working directory and command.
type SharedBuilds = HashMap<(PathBuf, String), Arc<SharedBuild>>;

/// State of a build command, shared by the servers of several sessions that have the same build.
#[derive(Debug, Default)]
pub(super) struct SharedBuild {
    /// Held while the build runs: concurrent runs would write the same files.
    pub(super) running: tokio::sync::Mutex<()>,
    pub(super) outputs: Mutex<BuildOutputs>,
}

impl ProxyResources {
    /// Creates the resources; `max_message` is in bytes.
    pub(crate) fn new(events: EventSender, max_message: usize, era: Option<Era>) -> Self {
        Self {
            events,
            reaper: Reaper::new(),
            max_message,
            era,
            http: Arc::default(),
            watches_files: true,
            start_permits: StartPermits::default(),
            builds: Arc::default(),
            standby_pool: None,
        }
    }

    /// Returns the shared state of the build `command` in a directory.
    pub(super) fn shared_build(&self, directory: &Path, command: &str) -> Arc<SharedBuild> {
        let key = (directory.to_owned(), command.to_owned());
        locked(&self.builds).entry(key).or_default().clone()
    }
}

/// Resources for every task of a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerContext {
    pub(crate) spec: Arc<ServerSpec>,
    pub(crate) resources: ProxyResources,
    /// Channel to the supervisor. Unbounded, because its few senders are tasks of this server.
    pub(crate) reports: UnboundedSender<Report>,
    /// Channel to the supervisor for notices of connections.
    pub(crate) notices: UnboundedSender<ConnectionNotice>,
}

/// List kind with the list, the server's raw error, or the reason why neither arrived.
pub(crate) type RelistResult = (ListKind, Result<Result<List, String>, ProofFailure>);

/// Report to the supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// A client was introduced; the number counts introductions.
    Hello(Box<ClientHello>, Arc<dyn Client>, u64),
    /// The client's identity changed, which needs no new handshake.
    Identity(Box<Identity>),
    /// Reports of the watcher: a file was touched; files changed, perhaps not all; nothing changed; files changed.
    Suspect,
    Saved(Vec<PathBuf>),
    Unchanged,
    Changed(Vec<PathBuf>),
    /// Packages were installed while the server was broken.
    Installed(PackageInstallation),
    /// The definition changed, in these files.
    Redefined(Arc<ServerSpec>, Vec<PathBuf>),
    /// Request for a confirmation that all earlier reports are processed.
    ConfirmProcessed(oneshot::Sender<()>),
    /// Request for the connections of the draining generations.
    Draining(oneshot::Sender<Vec<Arc<Connection>>>),
    /// Request for a reload and its result.
    Reload(oneshot::Sender<ReloadResult>),
    /// The client's subscriptions or its log level changed.
    SettingsChanged,
    /// The client cancelled its request with this raw id; the second string holds the raw params.
    Cancel(Arc<dyn ResponseSink>, Box<str>, Box<str>),
    /// The build for the generation ended.
    Built(u64, Result<(), BuildFailure>),
    /// A remote server does not answer this call; the string is the reason as a sentence fragment.
    Unanswered(Box<Call>, Fate, String),
    /// A remote server rejected this call of the generation because its headers do not match its body.
    Mismatched(u64, Box<Call>),
    /// The standalone stream of a remote generation was interrupted and is open again.
    Resumed(u64),
    /// A candidate has proved itself, or has failed and its process has ended.
    Proved(u64, Box<ProvenGeneration>),
    Failed(u64, Box<Failure>),
    /// The process of a generation ended or its link was lost, expectedly or not.
    Ended(u64, GenerationExit),
    /// A retired generation or a cancelled candidate has ended.
    Gone(u64),
    /// The lists that belong to a changed list were read again.
    Relisted(u64, ListKind, Vec<RelistResult>),
    /// A modern generation ended its listen stream with this number.
    StreamEnded(u64, u64),
    /// Request to stop; calls in flight have this long to finish.
    Stop(Duration, oneshot::Sender<()>),
}
