//! One server: its state machine, its generations with their connections, and the gate in front of them.
//!
//! [`ServerHandle`] is the interface to the rest of the proxy; the supervisor task owns everything behind it. The
//! module does not know sessions: a client is an object that takes responses.

mod advice;
mod backend;
mod build_outputs;
mod bytecode;
mod call;
mod candidate;
mod client_settings;
mod connection;
mod error_replies;
mod former_tasks;
mod former_tools;
mod gate;
mod generation;
mod handshake;
mod http_process;
mod input_requests;
mod installed_copy;
mod link;
mod link_reader;
mod list_backoff;
mod lists;
mod loaded_files;
mod package_watch;
mod pending_requests;
mod process;
mod recent_calls;
mod rehearsing;
mod remote;
mod replay;
mod report;
mod requests;
mod result_checks;
mod self_trigger;
mod serving_process;
mod site;
mod stand_in;
mod start_permits;
mod state;
mod status;
mod stray_output;
mod supervisor;
mod tasks;
#[cfg(test)]
mod test_client;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{oneshot, watch};

pub(crate) use call::{Call, CallProgress, InputGrant, InputSource, ResponseSink};
pub(crate) use client_settings::ClientSettings;
pub(crate) use connection::{
    Client, Connection, InputOrigin, InputRound, ParkedRound, SiteExchange,
};
pub(crate) use error_replies::explain;
pub(crate) use gate::SaveProbe;
pub(crate) use handshake::{ClientHello, Handshake};
#[cfg(test)]
pub(crate) use lists::Lists;
pub(crate) use lists::{ListsChange, ListsObserver, Snapshot};
pub(crate) use loaded_files::LoadedFilesObserver;
pub(crate) use pending_requests::RawResponse;

use crate::bridge::Identity;
use crate::config::{CompiledToolFilter, ServerSpec};
use crate::event::{Failure, RehearsalReport, ToolDiff};
use crate::lock::locked;
use crate::mcp::{List, ListKind};
use crate::warm::{LoadedFiles, StandbyCost, WarmReload};
use gate::{Gate, GateStatus};
use recent_calls::RecentCalls;
use rehearsing::RememberedAnswers;
pub(crate) use report::ProxyResources;
use report::{Command, ReportSender, ServerContext, SupervisorMessage};
use serving_process::ServingProcess;
pub(crate) use stand_in::{AwaitedAnswer, PAGE_ID, Question, StandIn};
pub(crate) use status::{Status, WatchedFiles};
use supervisor::Supervisor;

/// Result of a reload.
pub(crate) type ReloadResult = Result<Reloaded, Arc<Failure>>;

/// Generation that went live by a reload.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// Number of the generation.
    pub(crate) generation: u64,
    /// Time from its start to its proof.
    pub(crate) took: Duration,
    /// Difference of its tools from the tools before.
    pub(crate) diff: ToolDiff,
    /// Its answers to the rehearsed calls, if there are any.
    pub(crate) rehearsal: Option<RehearsalReport>,
}

/// State shared by the supervisor and the holders of a handle.
#[derive(Debug)]
struct ServerShared {
    gate: Gate,
    snapshot: watch::Sender<Arc<Snapshot>>,
    handshake: watch::Sender<Option<Arc<Handshake>>>,
    client_settings: Mutex<ClientSettings>,
    /// True if a change of `client_settings` was reported and the supervisor has not read it yet.
    settings_reported: AtomicBool,
    status: Mutex<Status>,
    /// `None` while no files are watched.
    watched_files: Mutex<Option<WatchedFiles>>,
    /// `None` where no files are watched.
    files_observer: Mutex<Option<Arc<dyn LoadedFilesObserver>>>,
    /// Files loaded by the last generation that went live.
    loaded_files: Mutex<LoadedFiles>,
    /// Calls of clients that new code may rehearse.
    recent_calls: Arc<Mutex<RecentCalls>>,
    /// Answers of the live code to the rehearsed calls.
    remembered_answers: Mutex<RememberedAnswers>,
    /// False while the first code is asked for these answers.
    answers_learned: watch::Sender<bool>,
    /// True if the user was warned that an installed copy of the saved files runs.
    is_copy_reported: AtomicBool,
    /// Process that reloads itself, which the next generation is linked to.
    kept_process: Mutex<Option<Arc<ServingProcess>>>,
    /// Path at which a generation last shook hands, if each start finds its address.
    known_path: Mutex<Option<String>>,
    /// True if the user was told that other machines reach the server.
    is_exposure_told: AtomicBool,
    /// True if a start failed on the probe `server/discover` and succeeded without it: later starts skip the probe.
    no_probe: AtomicBool,
    /// True if the server did not answer a request for tools that it does not declare.
    tools_unanswered: AtomicBool,
    definition: Mutex<ServerDefinition>,
    /// True if `definition` filters tools; a copy that every request reads without the lock.
    is_filtered: AtomicBool,
    warm: Arc<WarmReload>,
}

/// Definition of the server, with the values derived from it.
#[derive(Debug, Clone)]
struct ServerDefinition {
    spec: Arc<ServerSpec>,
    /// Filter of the tools that clients are offered.
    tool_filter: Arc<CompiledToolFilter>,
}

impl ServerDefinition {
    fn new(spec: Arc<ServerSpec>) -> Self {
        let tool_filter = Arc::new(spec.tools.compile());
        Self { spec, tool_filter }
    }
}

impl ServerShared {
    fn new(spec: &Arc<ServerSpec>, resources: &ProxyResources) -> Self {
        let (events, reaper) = (resources.events.clone(), resources.reaper.clone());
        events.hide(&spec.hidden_values());
        let lists = ListKind::ALL.map(|_| Ok(List::default()));
        let snapshot = Snapshot {
            generation: 0,
            lists,
            took: Duration::ZERO,
            diff: ToolDiff::default(),
            since: None,
            former: None,
        };
        Self {
            gate: Gate::new(spec.name.clone(), spec.timeouts.hold),
            snapshot: watch::Sender::new(Arc::new(snapshot)),
            handshake: watch::Sender::new(None),
            client_settings: Mutex::default(),
            settings_reported: AtomicBool::new(false),
            status: Mutex::new(Status {
                state: "not started",
                ..Status::default()
            }),
            watched_files: Mutex::default(),
            files_observer: Mutex::default(),
            loaded_files: Mutex::default(),
            recent_calls: Arc::default(),
            remembered_answers: Mutex::default(),
            answers_learned: watch::Sender::new(true),
            is_copy_reported: AtomicBool::new(false),
            kept_process: Mutex::default(),
            known_path: Mutex::default(),
            is_exposure_told: AtomicBool::new(false),
            no_probe: AtomicBool::new(false),
            tools_unanswered: AtomicBool::new(false),
            is_filtered: AtomicBool::new(spec.tools.leaves_out()),
            definition: Mutex::new(ServerDefinition::new(spec.clone())),
            warm: Arc::new(WarmReload::new(
                resources.standby_pool.clone(),
                events,
                reaper,
            )),
        }
    }

    fn client_settings(&self) -> ClientSettings {
        locked(&self.client_settings).clone()
    }

    fn spec(&self) -> Arc<ServerSpec> {
        locked(&self.definition).spec.clone()
    }

    fn tool_filter(&self) -> Arc<CompiledToolFilter> {
        locked(&self.definition).tool_filter.clone()
    }

    fn redefine(&self, spec: Arc<ServerSpec>) {
        self.gate.set_max_wait(spec.timeouts.hold);
        let is_filtered = spec.tools.leaves_out();
        self.is_filtered.store(is_filtered, Ordering::Relaxed);
        *locked(&self.definition) = ServerDefinition::new(spec);
    }

    fn files_observer(&self) -> Option<Arc<dyn LoadedFilesObserver>> {
        locked(&self.files_observer).clone()
    }

    fn describe(&self, change: impl FnOnce(&mut Status)) {
        change(&mut locked(&self.status));
    }
}

/// Handle to a server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServerHandle {
    shared: Arc<ServerShared>,
    supervisor: UnboundedSender<SupervisorMessage>,
}

impl ServerHandle {
    /// Creates a server and its supervisor; the first [`Self::introduce_client`] starts it.
    pub(crate) fn new(spec: Arc<ServerSpec>, resources: ProxyResources) -> Self {
        let shared = Arc::new(ServerShared::new(&spec, &resources));
        let (supervisor, messages) = mpsc::unbounded_channel();
        let (notices, notice_receiver) = mpsc::unbounded_channel();
        let context = ServerContext {
            spec,
            resources,
            reports: ReportSender(supervisor.clone()),
            notices,
        };
        tokio::spawn(Supervisor::new(context, shared.clone()).run(messages, notice_receiver));
        Self { shared, supervisor }
    }

    fn command(&self, command: Command) {
        let _ = self.supervisor.send(SupervisorMessage::Command(command));
    }

    /// Returns the newest definition of the server.
    pub(crate) fn spec(&self) -> Arc<ServerSpec> {
        self.shared.spec()
    }

    /// Returns true if both handles belong to the same server.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Returns true if clients may call the tool `name`.
    pub(crate) fn admits(&self, name: &str) -> bool {
        locked(&self.shared.definition).tool_filter.admits(name)
    }

    /// Returns true if the configuration filters the server's tools.
    pub(crate) fn is_filtered(&self) -> bool {
        self.shared.is_filtered.load(Ordering::Relaxed)
    }

    /// Returns the newest lists.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.borrow().clone()
    }

    /// Shows `tools` until the server has given its own lists: some clients read the list only once.
    pub(crate) fn show_cached_tools(&self, mut tools: List) {
        let tool_filter = self.shared.tool_filter();
        tools.retain(|name| tool_filter.admits(name));
        self.shared.snapshot.send_if_modified(|snapshot| {
            let is_unlisted = snapshot.generation == 0;
            if is_unlisted {
                let mut shown = Snapshot::clone(snapshot);
                shown.lists[ListKind::Tools.index()] = Ok(tools);
                *snapshot = Arc::new(shown);
            }
            is_unlisted
        });
    }

    /// Returns the object with the name and version that a legacy server reported.
    pub(crate) fn server_info(&self) -> Option<String> {
        self.shared
            .handshake
            .borrow()
            .as_ref()
            .and_then(|handshake| handshake.server_info())
    }

    /// Returns the newest handshake, if there was one.
    pub(crate) fn handshake(&self) -> Option<Arc<Handshake>> {
        self.shared.handshake.borrow().clone()
    }

    /// Sets the description of the watched files; `None` if no files are watched.
    pub(crate) fn set_watched_files(&self, files: Option<WatchedFiles>) {
        *locked(&self.shared.watched_files) = files;
    }

    /// Sets the observer of the files that the server's processes load.
    pub(crate) fn set_files_observer(&self, observer: Arc<dyn LoadedFilesObserver>) {
        *locked(&self.shared.files_observer) = Some(observer);
    }

    /// Returns true if a process of the server has opened `path` (canonical) for writing. Reads the file system.
    pub(crate) fn has_written(&self, path: &Path) -> bool {
        self.shared.warm.has_written(path)
    }

    /// Returns the description of the watched files; `None` if no files are watched.
    pub(crate) fn watched_files(&self) -> Option<WatchedFiles> {
        locked(&self.shared.watched_files).clone()
    }

    /// Returns the status of the server.
    pub(crate) fn status(&self) -> Status {
        locked(&self.shared.status).clone()
    }

    /// Returns the cost of the standby processes, if there are any.
    pub(crate) fn standby_cost(&self) -> Option<StandbyCost> {
        self.shared.warm.standby_cost()
    }

    /// Introduces a client; the first call starts the server. `hello_number` numbers the introductions, from 1. The
    /// observer, if any, is notified of every change of the lists.
    pub(crate) fn introduce_client(
        &self,
        hello: ClientHello,
        client: Arc<dyn Client>,
        hello_number: u64,
        lists_observer: Option<Arc<dyn ListsObserver>>,
    ) {
        self.command(Command::Introduce {
            hello: Box::new(hello),
            client,
            hello_number,
            lists_observer,
        });
    }

    /// Replaces the identity of the client that was introduced before, without a new handshake.
    pub(crate) fn update_identity(&self, identity: Identity) {
        self.command(Command::UpdateIdentity(Box::new(identity)));
    }

    /// Waits until a generation has answered introduction `hello_number` or a later one, at most for `startup_wait`,
    /// and not while requests are refused. Returns the newest handshake, if any, perhaps of an earlier introduction.
    pub(crate) async fn wait_for_handshake(&self, hello_number: u64) -> Option<Arc<Handshake>> {
        let mut handshake = self.shared.handshake.subscribe();
        let mut status = self.shared.gate.status();
        let is_answered = |handshake: &Option<Arc<Handshake>>| {
            handshake
                .as_ref()
                .is_some_and(|known| known.hello_number >= hello_number)
        };
        let wait = async {
            tokio::select! {
                biased;
                _ = handshake.wait_for(is_answered) => {}
                _ = status.wait_for(|standing| *standing == GateStatus::Refusing) => {}
            }
        };
        let _ = tokio::time::timeout(self.spec().timeouts.startup_wait, wait).await;
        self.shared.handshake.borrow().clone()
    }

    /// Reports a touched watched file; [`Self::unchanged`] or [`Self::changed`] follows, perhaps after [`Self::saved`].
    pub(crate) fn suspect(&self) {
        self.shared.gate.suspect();
        self.command(Command::Suspect);
    }

    /// Makes the gate ask `save_probe` for unreported saves before it lets a request through.
    pub(crate) fn set_save_probe(&self, save_probe: Arc<dyn SaveProbe>) {
        self.shared.gate.set_save_probe(save_probe);
    }

    /// Returns true if the next start is expected to use a standby.
    pub(crate) fn has_standby(&self) -> bool {
        self.shared.warm.is_standby_likely()
    }

    /// Reports changed files; more changes may follow immediately.
    pub(crate) fn saved(&self, paths: Vec<PathBuf>) {
        self.command(Command::Saved(paths));
    }

    /// Reports that the touched files did not change, or did not change again since [`Self::saved`].
    pub(crate) fn unchanged(&self) {
        self.command(Command::Unchanged);
    }

    /// Reports changed files after their save is over; the server is reloaded.
    pub(crate) fn changed(&self, paths: Vec<PathBuf>) {
        self.command(Command::Changed(paths));
    }

    /// Replaces the definition after a change of `files`. Reloads the server if the change affects how it runs.
    pub(crate) fn redefine(&self, spec: Arc<ServerSpec>, files: Vec<PathBuf>) {
        self.shared.redefine(spec.clone());
        self.command(Command::Redefine { spec, files });
    }

    /// Waits until all earlier reports are processed, so that the gate reflects the reloads that they cause.
    pub(crate) async fn wait_processed(&self) {
        let (sender, processed) = oneshot::channel();
        self.command(Command::ConfirmProcessed(sender));
        let _ = processed.await;
    }

    /// Reloads the server although no file changed. Returns `None` if the server is stopped.
    pub(crate) async fn reload(&self) -> Option<ReloadResult> {
        let (sender, outcome) = oneshot::channel();
        self.command(Command::Reload(sender));
        outcome.await.ok()
    }

    /// Stops the server; resolves when all its processes have ended. Calls in flight have `max_wait` to finish; later
    /// calls are refused.
    pub(crate) async fn stop(&self, max_wait: Duration) {
        let (done, stopped) = oneshot::channel();
        self.command(Command::Stop { max_wait, done });
        let _ = stopped.await;
    }
}
