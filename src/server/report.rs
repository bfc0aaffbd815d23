//! Resources shared by the tasks of a server, and the messages to its supervisor: commands and reports.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::ReloadResult;
use super::build_outputs::BuildOutputs;
use super::call::{Call, ResponseSink};
use super::connection::{Client, Connection, ConnectionNotice};
use super::generation::{GenerationExit, ProvenGeneration};
use super::handshake::{ClientHello, ProofFailure};
use super::lists::ListsObserver;
use super::package_watch::PackageInstallation;
use super::start_permits::StartPermits;
use crate::bridge::Identity;
use crate::config::{EraChoice, RehearsedCall, ServerSpec};
use crate::event::{EventSender, Failure};
use crate::jsonrpc::RequestId;
use crate::lock::locked;
use crate::mcp::{List, ListKind};
use crate::transport::build::BuildFailure;
use crate::transport::http::{self, Fate};
use crate::transport::reaper::Reaper;
use crate::warm::StandbyPool;

/// Resources shared by all servers.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct ProxyResources {
    pub(crate) events: EventSender,
    pub(crate) reaper: Reaper,
    /// Maximum length of a message in bytes.
    pub(crate) max_message: usize,
    /// Era that the command line sets for all servers; it overrides the configuration.
    pub(crate) era: Option<EraChoice>,
    /// HTTP sender for remote servers.
    pub(crate) http: Arc<http::HttpClients>,
    /// True if the servers' files are watched.
    pub(crate) watches_files: bool,
    /// True if other sessions may run servers of the same definitions.
    pub(crate) has_other_sessions: bool,
    /// True if clients see the tools under names that all of them accept, instead of the servers' own.
    pub(crate) renames_tools: bool,
    /// True if the lists before the last reload are kept, for the page.
    pub(crate) keeps_former_lists: bool,
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
    pub(crate) fn new(events: EventSender, max_message: usize, era: Option<EraChoice>) -> Self {
        Self {
            events,
            reaper: Reaper::new(),
            max_message,
            era,
            http: Arc::default(),
            watches_files: true,
            has_other_sessions: false,
            renames_tools: false,
            keeps_former_lists: false,
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
    pub(crate) reports: ReportSender,
    /// Channel to the supervisor for notices of connections.
    pub(crate) notices: UnboundedSender<ConnectionNotice>,
}

/// Sends the reports of a server's tasks to its supervisor.
#[derive(Debug, Clone)]
pub(crate) struct ReportSender(pub(super) UnboundedSender<SupervisorMessage>);

impl ReportSender {
    /// Sends a report, unless the supervisor has ended.
    pub(crate) fn send(&self, report: Report) {
        let _ = self.0.send(SupervisorMessage::Report(report));
    }
}

/// Message to the supervisor. All share one unbounded channel, because a command may presume an earlier report; its
/// few senders are the handles and tasks of this server.
#[derive(Debug)]
pub(crate) enum SupervisorMessage {
    Command(Command),
    Report(Report),
}

/// Command of a [`ServerHandle`](super::ServerHandle).
#[derive(Debug)]
pub(crate) enum Command {
    /// Introduces a client; the number counts introductions.
    Introduce {
        hello: Box<ClientHello>,
        client: Arc<dyn Client>,
        hello_number: u64,
        lists_observer: Option<Arc<dyn ListsObserver>>,
    },
    /// Replaces the client's identity, which needs no new handshake.
    UpdateIdentity(Box<Identity>),
    /// A watched file was touched.
    Suspect,
    /// Files changed, perhaps not all.
    Saved(Vec<PathBuf>),
    /// No touched file changed, or changed again.
    Unchanged,
    /// Files changed.
    Changed(Vec<PathBuf>),
    /// Replaces the definition, which changed in these files.
    Redefine {
        spec: Arc<ServerSpec>,
        files: Vec<PathBuf>,
    },
    /// Confirms that all earlier messages are processed.
    ConfirmProcessed(oneshot::Sender<()>),
    /// Confirms that the lists that the server reports as changed are read.
    AwaitLists(oneshot::Sender<()>),
    /// Returns the connections of the draining generations.
    ListDraining(oneshot::Sender<Vec<Arc<Connection>>>),
    /// Reloads the server and returns the result.
    Reload(oneshot::Sender<ReloadResult>),
    /// Lets new code answer the call before it goes live, or no longer if it is not `wanted`.
    Rehearse { call: RehearsedCall, wanted: bool },
    /// Retries an unreachable remote server, for which a request waits.
    RetryForCall,
    /// Applies the client's changed subscriptions or log level.
    ApplySettings,
    /// Cancels the client's request with this id; `params` are those of its notification.
    Cancel {
        sink: Arc<dyn ResponseSink>,
        id: RequestId,
        params: Box<str>,
    },
    /// Stops the server; calls in flight have `max_wait` to finish.
    Stop {
        max_wait: Duration,
        done: oneshot::Sender<()>,
    },
}

/// List kind with the list, the server's error, or the reason why neither arrived.
pub(crate) type RelistResult = (ListKind, Result<Result<List, String>, ProofFailure>);

/// Report of a task to the supervisor. Numbers are generations.
#[derive(Debug)]
pub(crate) enum Report {
    /// Packages were installed while the server was broken.
    Installed(PackageInstallation),
    /// The process, which reloads itself, runs another instance than the one that failed.
    Renewed,
    /// The build for the generation ended.
    Built {
        number: u64,
        result: Result<(), BuildFailure>,
    },
    /// The candidate has proved itself.
    Proved(Box<ProvenGeneration>),
    /// The candidate has failed, and its process has ended.
    Failed(Box<Failure>),
    /// The process of a generation ended or its link was lost, expectedly or not.
    Ended { number: u64, exit: GenerationExit },
    /// A retired generation or a cancelled candidate has ended.
    Gone { number: u64 },
    /// A server over HTTP does not answer this call; `how` is the reason as a sentence fragment, and `stderr` has the
    /// last lines of a process that has exited.
    Unanswered {
        call: Box<Call>,
        fate: Fate,
        how: String,
        stderr: Vec<String>,
    },
    /// A remote server rejected this call of the generation because its headers do not match its body.
    Mismatched { number: u64, call: Box<Call> },
    /// The standalone stream of a remote generation was interrupted and is open again.
    Resumed { number: u64 },
    /// The lists that belong to the changed list `kind` were read again.
    Relisted {
        number: u64,
        kind: ListKind,
        read: Vec<RelistResult>,
    },
    /// A modern generation ended its listen stream with the number `stream`.
    StreamEnded { number: u64, stream: u64 },
}
