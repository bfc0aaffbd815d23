//! ONE server: its state machine, its generations, the connection to each, the gate before them.
//!
//! [`ServerHandle`] is all that others see: they submit requests to it, read its snapshot and tell
//! it what happened. The supervisor task owns everything behind it. Knows no session; a client is
//! an object that takes answers.

mod advice;
mod body;
mod bytecode;
mod call;
mod candidate;
mod connection;
mod echoes;
mod gate;
mod generation;
mod handshake;
mod installed_copy;
mod link;
mod lists;
mod noting;
mod outputs;
mod pacing;
mod packages;
mod pending;
mod remote;
mod report;
mod state;
mod status;
mod supervisor;
mod tasks;
#[cfg(test)]
mod test_client;
mod trouble;
mod turns;
mod wanting;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::{oneshot, watch};

pub(crate) use call::{Asker, Call, Client};
pub(crate) use connection::{Answer, Connection};
pub(crate) use gate::{Foresight, Gate, Standing};
pub(crate) use handshake::{Handshake, Hello, Wanted};
pub(crate) use lists::Lists;
pub(crate) use noting::Onlooker;
pub(crate) use trouble::explain;

use crate::bridge::Identity;
use crate::config::{Admission, ServerSpec};
use crate::event::{Failure, ToolDiff};
use crate::lock::locked;
use crate::mcp::{List, ListKind};
use crate::warm::{Noted, Prepared, Warm};
pub(crate) use report::Means;
use report::{Report, Supply};
pub(crate) use status::{Status, WatchedFiles};
use supervisor::Supervisor;

/// What a reload led to: the generation, how long its start took and how its tools differ.
pub(crate) type Outcome = Result<(u64, Duration, ToolDiff), Arc<Failure>>;

/// The lists of the last generation that proved itself.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Its number; 0 before the first.
    pub(crate) generation: u64,
    /// In the order of [`ListKind::ALL`].
    pub(crate) lists: Lists,
    /// From its start to the proof.
    pub(crate) took: Duration,
    /// How its tools differ from those before.
    pub(crate) diff: ToolDiff,
    /// When it went live.
    pub(crate) since: Option<Instant>,
}

impl Snapshot {
    /// The list of that kind; nothing if the server gave an error for it.
    pub(crate) fn list(&self, kind: ListKind) -> Option<&List> {
        self.lists[kind.index()].as_ref().ok()
    }

    /// Whether the server has a tool of that name, as far as is known: it may have given no list.
    pub(crate) fn may_have_tool(&self, name: &str) -> bool {
        self.list(ListKind::Tools)
            .is_none_or(|tools| tools.find(name).is_some())
    }

    /// The names of the tools, in the server's order.
    pub(crate) fn tool_names(&self) -> Vec<&str> {
        let tools = self
            .list(ListKind::Tools)
            .into_iter()
            .flat_map(|list| &list.entries);
        tools.map(|entry| entry.name.as_str()).collect()
    }
}

/// What the supervisor and the holders of a handle share.
#[derive(Debug)]
struct Shared {
    gate: Gate,
    snapshot: watch::Sender<Arc<Snapshot>>,
    handshake: watch::Sender<Option<Arc<Handshake>>>,
    wanted: Mutex<Wanted>,
    /// The supervisor was told that it changed, and has not looked yet.
    wanted_told: AtomicBool,
    status: Mutex<Status>,
    /// Nothing while nothing is watched.
    watched_files: Mutex<Option<WatchedFiles>>,
    /// Nothing where no files are watched.
    onlooker: Mutex<Option<Arc<dyn Onlooker>>>,
    /// What the last generation that answered had loaded.
    noted: Mutex<Noted>,
    /// The user was told that a copy of the saved files runs.
    told_of_copy: AtomicBool,
    /// The server did not survive, or did not answer, the question whether it is modern.
    no_probe: AtomicBool,
    /// It did not answer when it was asked for tools that it does not declare.
    asked_in_vain: AtomicBool,
    definition: Mutex<Definition>,
    /// True if `definition` filters tools; every request reads it, without the lock.
    is_filtered: AtomicBool,
    warm: Arc<Warm>,
}

/// How the server is run, and what follows from it.
#[derive(Debug, Clone)]
struct Definition {
    spec: Arc<ServerSpec>,
    /// Which of its tools are offered.
    admission: Arc<Admission>,
}

impl Definition {
    fn new(spec: Arc<ServerSpec>) -> Self {
        let admission = Arc::new(spec.tools.compile());
        Self { spec, admission }
    }
}

impl Shared {
    fn new(spec: &Arc<ServerSpec>, means: &Means) -> Self {
        let (events, reaper) = (means.events.clone(), means.reaper.clone());
        let lists = ListKind::ALL.map(|_| Ok(List::default()));
        let nothing = Snapshot {
            generation: 0,
            lists,
            took: Duration::ZERO,
            diff: ToolDiff::default(),
            since: None,
        };
        Self {
            gate: Gate::new(spec.name.clone(), spec.timeouts.hold),
            snapshot: watch::Sender::new(Arc::new(nothing)),
            handshake: watch::Sender::new(None),
            wanted: Mutex::default(),
            wanted_told: AtomicBool::new(false),
            status: Mutex::new(Status {
                state: "not started",
                ..Status::default()
            }),
            watched_files: Mutex::default(),
            onlooker: Mutex::default(),
            noted: Mutex::default(),
            told_of_copy: AtomicBool::new(false),
            no_probe: AtomicBool::new(false),
            asked_in_vain: AtomicBool::new(false),
            is_filtered: AtomicBool::new(spec.tools.leaves_out()),
            definition: Mutex::new(Definition::new(spec.clone())),
            warm: Arc::new(Warm::new(means.warm.clone(), events, reaper)),
        }
    }

    fn wanted(&self) -> Wanted {
        locked(&self.wanted).clone()
    }

    fn spec(&self) -> Arc<ServerSpec> {
        locked(&self.definition).spec.clone()
    }

    fn admission(&self) -> Arc<Admission> {
        locked(&self.definition).admission.clone()
    }

    fn redefine(&self, spec: Arc<ServerSpec>) {
        self.gate.set_patience(spec.timeouts.hold);
        let is_filtered = spec.tools.leaves_out();
        self.is_filtered.store(is_filtered, Ordering::Relaxed);
        *locked(&self.definition) = Definition::new(spec);
    }

    fn onlooker(&self) -> Option<Arc<dyn Onlooker>> {
        locked(&self.onlooker).clone()
    }

    fn describe(&self, change: impl FnOnce(&mut Status)) {
        change(&mut locked(&self.status));
    }
}

/// A server, for everybody else. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServerHandle {
    shared: Arc<Shared>,
    reports: UnboundedSender<Report>,
}

impl ServerHandle {
    /// Sets up a server and its supervisor; it is started by the first [`Self::hello`].
    pub(crate) fn new(spec: Arc<ServerSpec>, means: Means) -> Self {
        let shared = Arc::new(Shared::new(&spec, &means));
        let (reports, heard) = mpsc::unbounded_channel();
        let (notices, hearsay) = mpsc::unbounded_channel();
        let supply = Supply {
            spec,
            means,
            reports: reports.clone(),
            notices,
        };
        tokio::spawn(Supervisor::new(supply, shared.clone()).run(heard, hearsay));
        Self { shared, reports }
    }

    /// Its newest definition.
    pub(crate) fn spec(&self) -> Arc<ServerSpec> {
        self.shared.spec()
    }

    /// Whether both mean the same server.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// The way for requests.
    pub(crate) fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Whether a client may call its tool `name`.
    pub(crate) fn admits(&self, name: &str) -> bool {
        locked(&self.shared.definition).admission.admits(name)
    }

    /// Whether its configuration leaves tools out.
    pub(crate) fn is_filtered(&self) -> bool {
        self.shared.is_filtered.load(Ordering::Relaxed)
    }

    /// The newest lists.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.borrow().clone()
    }

    /// Shows `tools` until it has listed for the first time: some clients list only once.
    pub(crate) fn show_meanwhile(&self, mut tools: List) {
        let admission = self.shared.admission();
        tools.retain(|name| admission.admits(name));
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

    /// The raw name and version that a legacy server gave of itself.
    pub(crate) fn server_info(&self) -> Option<String> {
        self.shared
            .handshake
            .borrow()
            .as_ref()
            .and_then(|handshake| handshake.server_info())
    }

    /// What it answered to its introduction, if it has.
    pub(crate) fn handshake(&self) -> Option<Arc<Handshake>> {
        self.shared.handshake.borrow().clone()
    }

    /// Takes what of its files is watched from now on.
    pub(crate) fn watches(&self, files: Option<WatchedFiles>) {
        *locked(&self.shared.watched_files) = files;
    }

    /// Lets `onlooker` know from now on what its processes load.
    pub(crate) fn shows(&self, onlooker: Arc<dyn Onlooker>) {
        *locked(&self.shared.onlooker) = Some(onlooker);
    }

    /// Whether a process of its own has opened this file for writing. Reads the file system; `path` is canonical.
    pub(crate) fn has_written(&self, path: &Path) -> bool {
        self.shared.warm.has_written(path)
    }

    /// Returns what of its files is watched; nothing while nothing is.
    pub(crate) fn watched_files(&self) -> Option<WatchedFiles> {
        locked(&self.shared.watched_files).clone()
    }

    /// How it is.
    pub(crate) fn status(&self) -> Status {
        locked(&self.shared.status).clone()
    }

    /// The process that waits for the next save, if there is one.
    pub(crate) fn prepared(&self) -> Option<Prepared> {
        self.shared.warm.prepared()
    }

    /// Introduces a client; starts the server if it is the first. `epoch` numbers the introductions, from 1.
    pub(crate) fn hello(&self, hello: Hello, client: Arc<dyn Client>, epoch: u64) {
        let _ = self
            .reports
            .send(Report::Hello(Box::new(hello), client, epoch));
    }

    /// Learns that the client it knows describes itself otherwise than before.
    pub(crate) fn know(&self, identity: Identity) {
        let _ = self.reports.send(Report::Identity(Box::new(identity)));
    }

    /// Waits until a generation has answered the introduction `epoch` or a later one, for as long as
    /// a client's first request may wait. Nothing if the server does not run, or is not there in time.
    pub(crate) async fn introduced(&self, epoch: u64) -> Option<Arc<Handshake>> {
        let mut handshake = self.shared.handshake.subscribe();
        let mut standing = self.shared.gate.standing();
        let there = |handshake: &Option<Arc<Handshake>>| {
            handshake.as_ref().is_some_and(|known| known.epoch >= epoch)
        };
        let wait = async {
            tokio::select! {
                biased;
                _ = handshake.wait_for(there) => {}
                _ = standing.wait_for(|standing| *standing == Standing::Refusing) => {}
            }
        };
        let _ = tokio::time::timeout(self.spec().timeouts.startup_wait, wait).await;
        self.shared.handshake.borrow().clone()
    }

    /// Waits until it answers, or is known not to.
    pub(crate) async fn answers(&self) -> Result<(), Arc<Failure>> {
        let mut standing = self.gate().standing();
        let _ = standing
            .wait_for(|standing| *standing != Standing::Held)
            .await;
        self.gate().refusal().map_or(Ok(()), Err)
    }

    /// Waits until requests no longer wait, for as long as a list may wait for a reload: not each list anew.
    pub(crate) async fn settled(&self) {
        let mut standing = self.shared.gate.standing();
        let settled = standing.wait_for(|standing| *standing != Standing::Held);
        let timeouts = self.spec().timeouts;
        let wait = if self.snapshot().generation == 0 {
            timeouts.first_list()
        } else {
            timeouts.list_hold
        };
        let until = self.shared.gate.held_since() + wait;
        let _ = tokio::time::timeout_at(until.into(), settled).await;
    }

    /// The client no longer wants the answer to its request `id` (raw); `params` are those of its notification.
    pub(crate) fn cancel(&self, asker: Arc<dyn Asker>, id: &str, params: &str) {
        if !self.shared.gate.cancel(&asker, id) {
            let _ = self
                .reports
                .send(Report::Cancel(asker, id.into(), params.into()));
        }
    }

    /// A watched file was touched; [`Self::unchanged`] or [`Self::changed`] follows, perhaps after [`Self::saved`].
    pub(crate) fn suspect(&self) {
        self.shared.gate.suspect();
        let _ = self.reports.send(Report::Suspect);
    }

    /// Lets nothing through from now on for which `foresight` knows of a save.
    pub(crate) fn ask(&self, foresight: Arc<dyn Foresight>) {
        self.shared.gate.ask(foresight);
    }

    /// Whether the next start is to be that of a prepared process.
    pub(crate) fn is_prepared(&self) -> bool {
        self.shared.warm.is_likely()
    }

    /// Files changed, and more may at once.
    pub(crate) fn saved(&self, paths: Vec<PathBuf>) {
        let _ = self.reports.send(Report::Saved(paths));
    }

    /// It was touched only, or nothing has changed since it was saved.
    pub(crate) fn unchanged(&self) {
        let _ = self.reports.send(Report::Unchanged);
    }

    /// Files changed, and nothing more happens to them: reload.
    pub(crate) fn changed(&self, paths: Vec<PathBuf>) {
        let _ = self.reports.send(Report::Changed(paths));
    }

    /// Learns that its definition changed, in `files`. What is run differently is reloaded.
    pub(crate) fn redefine(&self, spec: Arc<ServerSpec>, files: Vec<PathBuf>) {
        self.shared.redefine(spec.clone());
        let _ = self.reports.send(Report::Redefined(spec, files));
    }

    /// Waits until all that it was told is taken in: from then on its gate says whether it reloads for it.
    pub(crate) async fn hears(&self) {
        let (sender, heard) = oneshot::channel();
        let _ = self.reports.send(Report::Heard(sender));
        let _ = heard.await;
    }

    /// Waits until the generations that drain have answered everything.
    pub(crate) async fn drained(&self) {
        let (sender, draining) = oneshot::channel();
        let _ = self.reports.send(Report::Draining(sender));
        for connection in draining.await.unwrap_or_default() {
            connection.idle().await;
        }
    }

    /// Reloads although no file changed.
    pub(crate) async fn reload(&self) -> Option<Outcome> {
        let (sender, outcome) = oneshot::channel();
        let _ = self.reports.send(Report::Reload(sender));
        outcome.await.ok()
    }

    /// Stops everything of this server; resolves when it is gone. Calls in flight may take as long
    /// as `patience` to finish; those that come later are refused.
    pub(crate) async fn stop(&self, patience: Duration) {
        let (done, stopped) = oneshot::channel();
        let _ = self.reports.send(Report::Stop(patience, done));
        let _ = stopped.await;
    }
}
