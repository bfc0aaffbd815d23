//! Supervisor of a server: one task that owns its generations and carries out the effects of the state machine.
//!
//! Events arrive as [`Command`]s, [`Report`]s and [`ConnectionNotice`]s; the machine turns them into effects and
//! decides about starts and stops. The supervisor knows neither sessions nor fleets: it serves lists through
//! [`ListsObserver`].

mod building;
mod client;
mod commit;
mod failing;
mod generations;
mod judging;
mod lists;
mod rehearsal;
mod retiring;
mod saving;
mod self_trigger;
mod starting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::call::{Call, ResponseSink};
use super::connection::{Client, ConnectionNotice};
use super::former_tools::FormerTools;
use super::generation::ProvenGeneration;
use super::handshake::ClientHello;
use super::list_backoff::ListBackoff;
use super::lists::ListsObserver;
use super::report::{Command, Report, ServerContext, SupervisorMessage};
use super::self_trigger::SelfTriggerDetector;
use super::state::{Effect, Input, LAST_BACKOFF, StartCause, State, StateMachine};
use super::status::state_in_words;
use super::{ReloadResult, ServerShared};
use crate::config::{RehearsedCall, ServerSpec, StandbyMode};
use crate::event::{Event, Failure};
use crate::jsonrpc::RawId;
use crate::lock::locked;
use crate::mcp::ListKind;
use failing::PackageWatch;
use generations::{ActiveGeneration, Generation};
use judging::ReportedFaults;
use starting::rules;

/// Task that owns a server.
#[derive(Debug)]
pub(crate) struct Supervisor {
    context: ServerContext,
    shared: Arc<ServerShared>,
    machine: StateMachine,
    client: Option<Arc<dyn Client>>,
    lists_observer: Option<Arc<dyn ListsObserver>>,
    hello: ClientHello,
    hello_number: u64,
    /// All generations that have not ended; `machine` decides which of them is active.
    generations: BTreeMap<u64, Generation>,
    /// True if files changed during the build, so that it must run again.
    build_again: bool,
    /// Time at which the last build was asked for.
    build_asked: SystemTime,
    /// Report of a candidate that was started early, held back until the save is over.
    early_report: Option<Report>,
    /// Time after the last touch of a save, if there was one; not later than the time at which a server can have begun
    /// to reload itself because of it.
    touched: Option<Instant>,
    /// Changed files for which a candidate is started once the save is over.
    saved: Vec<PathBuf>,
    /// True if the candidate was started early, before the save was known to be over.
    is_started_early: bool,
    /// Reason why the saved code does not run.
    failure: Option<Arc<Failure>>,
    /// Number of consecutive starts that timed out.
    timed_out_starts: u32,
    /// Files changed since the last generation that proved itself.
    changed_files: BTreeSet<PathBuf>,
    self_triggers: SelfTriggerDetector,
    package_watch: PackageWatch,
    /// Ends the watch for another instance on drop.
    instance_watch: Option<DropGuard>,
    reloads: Vec<oneshot::Sender<ReloadResult>>,
    relisting: HashSet<ListKind>,
    /// Signalled when no list is being read again.
    lists_awaited: Vec<oneshot::Sender<()>>,
    relist_again: HashSet<ListKind>,
    list_backoffs: HashMap<ListKind, ListBackoff>,
    /// Lists that the active generation has reported as changed.
    reported_lists: HashSet<ListKind>,
    /// Tools reported as impossible to offer, with the reason.
    left_out: HashSet<(String, String)>,
    /// Lists reported as incomplete, with the reason.
    cut: HashSet<(ListKind, &'static str)>,
    /// Lists reported as lacking their capability.
    undeclared: HashSet<ListKind>,
    /// True if the user was told that the server needs the legacy era.
    is_era_reported: bool,
    /// Newest generation of which the user was told that a client gives input that it does not know of.
    input_noted: u64,
    /// Newest generation whose client has changed, with the capabilities of clients that it was told at its start.
    told: (u64, String),
    /// Names reported as duplicates in a list.
    duplicates: HashSet<(ListKind, String)>,
    /// Faults of tools for clients, as reported.
    tool_faults: ReportedFaults,
    /// Tools whose arguments changed incompatibly.
    former_tools: FormerTools,
    /// Calls that the client asks to rehearse, the oldest first.
    asked_rehearsals: Vec<RehearsedCall>,
    /// Calls that wait until the tools are read again.
    mismatched: Vec<Call>,
    /// Events of the step in progress, which are sent once the state is set: their readers look at it.
    events: Vec<Event>,
    tasks: TaskTracker,
    /// Time limit for calls in flight on a stop.
    stop_max_wait: Duration,
    /// Signalled when the server has stopped; empty until a stop is requested.
    stopping: Vec<oneshot::Sender<()>>,
}

impl Supervisor {
    /// Creates the supervisor of a server that has not been started.
    pub(crate) fn new(context: ServerContext, shared: Arc<ServerShared>) -> Self {
        let machine = StateMachine::new(rules(&context.spec));
        Self {
            context,
            shared,
            machine,
            client: None,
            lists_observer: None,
            hello: ClientHello::default(),
            hello_number: 0,
            generations: BTreeMap::new(),
            build_again: false,
            build_asked: SystemTime::UNIX_EPOCH,
            early_report: None,
            touched: None,
            saved: Vec::new(),
            is_started_early: false,
            failure: None,
            timed_out_starts: 0,
            changed_files: BTreeSet::new(),
            self_triggers: SelfTriggerDetector::default(),
            package_watch: PackageWatch::default(),
            instance_watch: None,
            reloads: Vec::new(),
            relisting: HashSet::new(),
            lists_awaited: Vec::new(),
            relist_again: HashSet::new(),
            list_backoffs: HashMap::new(),
            reported_lists: HashSet::new(),
            left_out: HashSet::new(),
            cut: HashSet::new(),
            undeclared: HashSet::new(),
            is_era_reported: false,
            input_noted: 0,
            told: (0, String::new()),
            duplicates: HashSet::new(),
            tool_faults: ReportedFaults::default(),
            former_tools: FormerTools::default(),
            asked_rehearsals: Vec::new(),
            mismatched: Vec::new(),
            events: Vec::new(),
            tasks: TaskTracker::new(),
            stop_max_wait: Duration::ZERO,
            stopping: Vec::new(),
        }
    }

    /// Runs until a stop is requested and all tasks have ended.
    pub(crate) async fn run(
        mut self,
        mut messages: UnboundedReceiver<SupervisorMessage>,
        mut notices: UnboundedReceiver<ConnectionNotice>,
    ) {
        loop {
            let due = match self.machine.state() {
                State::Restarting { at } => Some(at),
                State::Broken { retry_at } => retry_at,
                _ => None,
            };
            tokio::select! {
                Some(message) = messages.recv() => {
                    // The server sent them before the message, which may depend on them.
                    while let Ok(notice) = notices.try_recv() {
                        self.on_notice(&notice);
                    }
                    self.on_message(message).await;
                }
                Some(notice) = notices.recv() => self.on_notice(&notice),
                () = self.shared.gate.expire() => {}
                () = sleep_until(due) => self.step(Input::Due),
                () = self.tasks.wait(), if !self.stopping.is_empty() => break,
            }
        }
        while let Ok(message) = messages.try_recv() {
            self.on_message(message).await;
        }
        for done in self.stopping {
            let _ = done.send(());
        }
    }

    async fn on_message(&mut self, message: SupervisorMessage) {
        match message {
            SupervisorMessage::Command(command) => self.on_command(command).await,
            SupervisorMessage::Report(report) => self.on_report(report),
        }
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Introduce {
                hello,
                client,
                hello_number,
                lists_observer,
            } => {
                self.lists_observer = lists_observer;
                self.on_hello(*hello, client, hello_number);
            }
            Command::UpdateIdentity(identity) => self.on_identity(*identity),
            Command::Suspect => {
                self.shared.warm.touched();
                self.touched = Some(Instant::now());
                self.note_touch();
                self.step(Input::Suspect);
                self.shared.gate.suspect_processed();
            }
            Command::Saved(paths) => self.on_saved(paths),
            Command::Unchanged if self.saved.is_empty() => {
                self.is_started_early = false;
                self.step(Input::Unchanged);
            }
            Command::Unchanged => self.on_changed(Vec::new()).await,
            Command::Changed(paths) => self.on_changed(paths).await,
            Command::Redefine { spec, files } => self.on_redefined(spec, files),
            Command::ConfirmProcessed(sender) => drop(sender.send(())),
            Command::AwaitLists(sender) => self.on_lists_awaited(sender),
            Command::ListDraining(sender) => drop(sender.send(self.draining().cloned().collect())),
            Command::Reload(outcome) if self.machine.state() == State::Stopped => drop(outcome),
            Command::Reload(outcome) => {
                self.reloads.push(outcome);
                self.step(Input::Reload);
            }
            Command::Rehearse { call, wanted } => self.on_rehearse(call, wanted),
            Command::RetryForCall => self.step(Input::Called),
            Command::ApplySettings => {
                self.shared
                    .settings_reported
                    .store(false, Ordering::Relaxed);
                self.on_settings_changed(false);
            }
            Command::Cancel { sink, id, params } => self.on_cancel(&sink, id.as_raw(), &params),
            Command::Stop { max_wait, done } => {
                self.stop_max_wait = max_wait;
                if self.stopping.is_empty() {
                    self.step(Input::Stop);
                    self.tasks.close();
                } else {
                    self.stop_all();
                }
                self.stopping.push(done);
            }
        }
    }

    fn on_report(&mut self, report: Report) {
        if self.is_early(&report) {
            self.early_report = Some(report);
            return;
        }
        match report {
            Report::Installed(installed) => self.on_installed(installed),
            Report::Renewed => self.on_renewed(),
            Report::Built { number, result } => self.on_built(number, result),
            Report::Proved(proof) => self.on_proved(proof),
            Report::Failed(failure) => {
                let number = failure.generation;
                if self.machine.is_starting(number) {
                    self.generations.remove(&number);
                    self.fail(*failure);
                    self.step(Input::Failed);
                } else {
                    self.step(Input::Gone(number));
                }
            }
            Report::Ended { number, exit } => self.on_ended(number, exit),
            Report::Gone { number } => {
                self.generations.remove(&number);
                self.step(Input::Gone(number));
                if self.machine.state() == State::Stopped {
                    // A cancelled candidate may have started it after the stop.
                    *locked(&self.shared.kept_process) = None;
                }
            }
            Report::Unanswered {
                call,
                fate,
                how,
                stderr,
            } => self.on_unanswered(*call, fate, &how, &stderr),
            Report::Mismatched { number, call } => self.on_mismatched(number, *call),
            Report::Resumed { number } => self.on_resumed(number),
            Report::Relisted { number, kind, read } => self.on_relisted(number, kind, read),
            Report::StreamEnded { number, stream } => self.on_stream_ended(number, stream),
        }
    }

    fn on_proved(&mut self, proof: Box<ProvenGeneration>) {
        let number = proof.running.connection.generation;
        if !self.machine.is_starting(number) {
            // The candidate was cancelled at the moment of its success.
            self.retire(proof.running, Duration::ZERO);
        } else if proof.running.connection.is_closed() {
            self.report_early_exit(proof.running);
        } else {
            self.generations.insert(number, Generation::Proven(proof));
            self.step(Input::Proved);
        }
    }

    /// Passes an input to the machine and carries out the effects.
    fn step(&mut self, input: Input) {
        let mut committed = None;
        for effect in self.machine.on_event(input, Instant::now()) {
            committed = self.carry_out(effect).or(committed);
        }
        if let Some((changed, cause)) = committed {
            self.notify_client(&changed, Some(cause));
        }
        self.await_packages();
        self.await_other_instance();
        let gate_status = *self.shared.gate.status().borrow();
        self.shared
            .describe(|status| status.state = state_in_words(self.machine.state(), gate_status));
        let events = std::mem::take(&mut self.events);
        self.send_events(events);
        if let Some(report) = self.early_report.take() {
            self.on_report(report);
        }
    }

    /// Carries out an effect. A commit returns the lists to announce once the gate is open.
    fn carry_out(&mut self, effect: Effect) -> Option<(Vec<ListKind>, StartCause)> {
        match effect {
            Effect::Hold => self.shared.gate.hold(self.hold_reason()),
            Effect::Open(number) => {
                if let Some(Generation::Active(active)) = self.generations.get(&number) {
                    self.shared.gate.open(active.running.connection.clone());
                }
            }
            Effect::Refuse => self.refuse(),
            Effect::Build(number) => self.start_build(number),
            Effect::Spawn(number) => self.start_candidate(number),
            Effect::Cancel(number) => {
                if let Some(Generation::Starting(token)) = self.generations.remove(&number) {
                    token.cancel();
                }
            }
            Effect::Commit(number, cause) => return self.commit(number, cause),
            Effect::Drain(number) => self.drain(number),
            Effect::Backoff(delay) if delay < LAST_BACKOFF => {
                let server = self.name();
                self.events.push(Event::Restarting { server, delay });
            }
            // A delay of maximum length is not reported again.
            Effect::Backoff(_) => {}
            Effect::Flapping => self.give_up(),
            Effect::StopAll => self.stop_all(),
        }
        None
    }

    fn on_cancel(&mut self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>, params: &str) {
        // The call may have returned to the gate from a generation that crashed.
        let is_found = self.shared.gate.cancel(sink, id)
            || self.connections().any(|it| it.cancel(sink, id, params));
        if is_found {
            return;
        }
        let is_other = |call: &Call| call.id != id || !Arc::ptr_eq(&call.sink, sink);
        self.mismatched.retain(is_other);
        self.shared.gate.cancel_returning(sink, id);
    }

    /// Replaces the definition. Reloads the server if the change affects how it runs.
    fn on_redefined(&mut self, spec: Arc<ServerSpec>, files: Vec<PathBuf>) {
        let same = self.context.spec.runs_like(&spec);
        let effects = self.machine.set_rules(rules(&spec));
        if !same || spec.warm == StandbyMode::Off {
            self.shared.warm.forget();
        }
        self.context.resources.events.hide(&spec.hidden_values());
        if spec.listens.is_none() {
            // The last generation that is linked to it ends it.
            *locked(&self.shared.kept_process) = None;
        }
        self.context.spec = spec;
        if let Some(active) = self.active() {
            let lists = &self.shared.snapshot.borrow().lists;
            self.record_calls(lists, &active.running.connection);
        }
        for effect in effects {
            self.carry_out(effect);
        }
        if !same {
            self.reload(files, Input::Changed);
        }
    }

    fn name(&self) -> String {
        self.context.spec.name.clone()
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
