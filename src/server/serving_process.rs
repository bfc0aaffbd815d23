//! Process that serves HTTP. Generations share it: when the link to a process that runs on is lost, the next generation is
//! another link to it. One that reloads itself is kept at a save as well, until it has replaced the instance of the
//! server within.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::backend::SHOWN_STDERR;
use super::handshake::ProofFailure;
use crate::command_line::CommandLine;
use crate::command_line::inner_watcher::{self, InnerWatcher, ReportSigns};
use crate::config::ServerSpec;
use crate::lock::locked;
use crate::package_scripts;
use crate::transport::child::Child;
use crate::transport::listening_ports::{TreeProcesses, tree_processes};

/// Time for a process to replace its instance after a save or a loss.
pub(super) const REACTION: Duration = Duration::from_secs(3);
/// Like [`REACTION`], for a development server, which may replace its code without an end of a process.
const REACTION_IN_PLACE: Duration = Duration::from_secs(1);
/// Time after a save for a development server to report on it. A save of a file that it does not use gets no report.
const REPORT_TIME: Duration = Duration::from_secs(4);
/// Time after the first proof in which the watcher of a process may not have begun: `uvicorn --reload` begins it a quarter
/// of a second after the server, and never learns of a save before that.
const WATCHER_START: Duration = Duration::from_secs(2);
/// Time between the end of an instance and the beginning of the next, at most, in looks at the processes: a machine that
/// stands still gives them no time.
const GAP: u32 = 20;
/// Number of looks at the processes, at least, before a time of reaction is over, for the same reason.
const MIN_LOOKS: u32 = 5;
/// Interval at which the processes are read: that costs processor time.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Like [`LOOK_INTERVAL`], for a wait that may last for hours.
const LONG_LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Time without output or much work after which an instance that has reported an error counts as failed.
const QUIET: Duration = Duration::from_secs(1);
/// Processor time within [`QUIET`] that is not much: watchers look for changes again and again.
const QUIET_WORK: Duration = Duration::from_millis(250);
/// Parts of lines in which a server or its framework reports an error.
const ERROR_SIGNS: &[&str] = &["error", "exception", "traceback"];

/// Process that serves HTTP.
#[derive(Debug)]
pub(crate) struct ServingProcess {
    pub(super) child: Child,
    pub(super) spec: Arc<ServerSpec>,
    /// Host and port that it was given.
    pub(super) host: String,
    pub(super) port: u16,
    /// Time within which it reacts to a save; `None` if it does not reload itself.
    reaction: Option<Duration>,
    /// Signs of its reports on a save, if it makes such.
    report: Option<ReportSigns>,
    /// Time from which on its own watcher is known to watch: it does once it waits for a save or has replaced an
    /// instance. `None` before the first proof or failure.
    watches_since: Mutex<Option<Instant>>,
    /// Processes that listened when a generation last proved itself.
    proven: Mutex<BTreeSet<u32>>,
    /// Processes that listened when a generation last proved itself or failed.
    known: Mutex<BTreeSet<u32>>,
}

/// Returns the watcher by which the command of a server over HTTP reloads itself. Reads the file system.
pub(super) fn own_watcher(spec: &ServerSpec) -> Option<InnerWatcher> {
    spec.listens.as_ref()?;
    let command = CommandLine::new(&spec.cwd, &spec.program, &spec.args);
    inner_watcher::within(command, package_scripts::find)
}

impl ServingProcess {
    pub(super) fn new(
        child: Child,
        spec: Arc<ServerSpec>,
        host: String,
        port: u16,
        watcher: Option<&InnerWatcher>,
    ) -> Self {
        let reaction = watcher.map(|watcher| {
            if watcher.is_alone() {
                REACTION_IN_PLACE
            } else {
                REACTION
            }
        });
        Self {
            child,
            spec,
            host,
            port,
            reaction,
            report: watcher.and_then(InnerWatcher::report),
            watches_since: Mutex::default(),
            proven: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Returns true if the process reloads itself.
    pub(super) fn reloads_itself(&self) -> bool {
        self.reaction.is_some()
    }

    /// Returns true if the process can serve a further generation with these settings.
    pub(super) fn may_serve(&self, spec: &ServerSpec) -> bool {
        !self.child.has_exited() && self.spec.runs_like(spec)
    }

    /// Records the processes that listen, after a generation has proved itself; returns those that listen on `port`.
    pub(super) async fn record_proof(&self, port: u16) -> BTreeSet<u32> {
        if !self.reloads_itself() {
            return BTreeSet::new();
        }
        let processes = self.processes().await.unwrap_or_default();
        let listeners = processes.listeners();
        let before = std::mem::replace(&mut *locked(&self.proven), listeners.clone());
        let has_replaced = !before.is_empty() && listeners != before;
        let pause = if has_replaced {
            Duration::ZERO
        } else {
            WATCHER_START
        };
        self.note_watcher(Instant::now() + pause);
        *locked(&self.known) = listeners;
        processes.listeners_on(port)
    }

    /// Records that its own watcher watches from `time` on, or from an earlier time that is recorded.
    fn note_watcher(&self, time: Instant) {
        let mut watches_since = locked(&self.watches_since);
        let earliest = watches_since.map_or(time, |since| since.min(time));
        *watches_since = Some(earliest);
    }

    /// Records the processes that listen, after a generation has failed.
    pub(super) async fn record_failure(&self) {
        if self.reloads_itself()
            && let Some(processes) = self.processes().await
        {
            *locked(&self.known) = processes.listeners();
        }
    }

    /// Waits until a process listens that did not at the last proof or failure.
    pub(super) fn other_instance(&self) -> impl Future<Output = ()> + Send + use<> {
        // Does not share the process, which ends with its last owner.
        let (pid, known) = (self.child.pid(), locked(&self.known).clone());
        async move {
            while !has_other_listener(pid, &known).await {
                sleep(LONG_LOOK_INTERVAL).await;
            }
        }
    }

    /// Waits until the process reacts to a save that it may have missed, because its own watcher may not have begun;
    /// returns false if it does not react. Returns true at once for other saves.
    pub(super) async fn reacts(&self, save: Instant) -> bool {
        let watched = locked(&self.watches_since).is_some_and(|since| since <= save);
        if watched || self.reaction != Some(REACTION) {
            return true;
        }
        let mut reaction = ReactionTime::new(REACTION);
        loop {
            let since = save.elapsed();
            let Some(processes) = self.processes().await else {
                return true;
            };
            if processes.has_younger(since) || self.ending(&processes).is_some() {
                return true;
            }
            if reaction.is_over_at(since) || self.child.has_exited() {
                return false;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until a process that began after `save` listens, or until the process seems to need no other instance for
    /// this save, or replaces its code in place.
    pub(super) async fn renewed(&self, save: Instant) -> Result<(), ProofFailure> {
        let mut reaction = ReactionTime::new(self.reaction.unwrap_or_default());
        let mut exited = self.child.exited();
        let mut ended = EndedInstance::default();
        loop {
            let since = save.elapsed();
            // Some systems do not report the processes.
            let processes = self.processes().await;
            let processes = processes.as_ref();
            let has_reacted = reaction.is_over_at(since);
            if processes.is_some_and(|it| it.has_younger_listener(since)) {
                return Ok(());
            }
            let is_complete = processes.is_none_or(|it| self.is_complete(it));
            if has_reacted
                && is_complete
                && let Some(result) = self.reported(save)
            {
                return result;
            }
            ended.note(has_reacted && processes.is_some_and(|it| self.has_ended(it, since)))?;
            tokio::select! {
                _ = exited.wait() => return Err(ProofFailure::NotListening(None)),
                () = sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Returns the result of the save by the newest report of the process since then, if it makes reports; `None` if the
    /// report is still to come.
    fn reported(&self, save: Instant) -> Option<Result<(), ProofFailure>> {
        let Some(ReportSigns { failure, success }) = self.report else {
            return Some(Ok(()));
        };
        let log = self.child.stderr();
        match log.newest_sign(save, &[failure, success]) {
            Some(sign) if sign == failure => {
                let reason = "reports an error, and goes on with the code before the save";
                Some(Err(ProofFailure::Wrong(reason.to_owned())))
            }
            None if save.elapsed() < REPORT_TIME => None,
            _ => Some(Ok(())),
        }
    }

    /// Waits until the process has reported since `save` that it keeps the former code; returns the failure.
    pub(super) async fn kept_code(&self, save: Instant) -> ProofFailure {
        loop {
            if let Some(Err(failure)) = self.reported(save) {
                return failure;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the instance that began after `time` has ended, and no other follows; returns the failure of the saved
    /// code.
    pub(super) async fn ended_again(&self, time: Instant) -> ProofFailure {
        let mut ended = EndedInstance::default();
        loop {
            sleep(LOOK_INTERVAL).await;
            let since = time.elapsed();
            let processes = self.processes().await;
            let has_ended = processes.is_some_and(|it| self.has_ended(&it, since));
            if let Err(failure) = ended.note(has_ended) {
                return failure;
            }
        }
    }

    /// Waits until the first instance has reported an error, and the process is then idle: its watcher waits for a save.
    /// Returns the failure. Never resolves on systems that do not report the processes.
    pub(super) async fn stalled(&self) -> ProofFailure {
        let log = self.child.stderr();
        let mut before = (Vec::new(), None);
        loop {
            let now = (log.last(SHOWN_STDERR), self.child.processor_time());
            let spent = now.1.zip(before.1);
            let is_idle = spent.is_some_and(|(now, before): (Duration, Duration)| {
                now.saturating_sub(before) <= QUIET_WORK
            });
            let is_error = |line: &String| {
                let line = line.to_lowercase();
                ERROR_SIGNS.iter().any(|sign| line.contains(sign))
            };
            let is_quiet = is_idle && now.0 == before.0 && now.0.iter().any(is_error);
            let processes = if is_quiet {
                self.processes().await
            } else {
                None
            };
            if processes.is_some_and(|it| !self.has_instance(&it)) {
                self.note_watcher(Instant::now());
                let reason = "reports an error, and its own reload waits for a save";
                return ProofFailure::Wrong(reason.to_owned());
            }
            before = now;
            sleep(QUIET).await;
        }
    }

    /// Waits until the instance to which the link was lost at `time` is replaced; returns false if that does not happen. A
    /// process that does not reload itself has only one, and needs no other.
    pub(super) async fn recovers(&self, time: Instant) -> bool {
        if !self.reloads_itself() {
            return true;
        }
        let mut reaction = ReactionTime::new(REACTION);
        loop {
            let since = time.elapsed();
            let Some(processes) = self.processes().await else {
                return true;
            };
            let is_replaced = self.is_complete(&processes)
                || !processes.listeners().is_subset(&locked(&self.proven));
            let is_starting = processes.has_younger(time.elapsed() + REACTION);
            if is_replaced || is_starting || self.ending(&processes).is_some() {
                return true;
            }
            if reaction.is_over_at(since) || self.child.has_exited() {
                return false;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Returns a process that ends for the next instance, which waits for that end.
    pub(super) async fn awaited_end(&self) -> Option<u32> {
        self.ending(&self.processes().await?)
    }

    /// Returns true if as many processes listen as at the last proof, or without any proof if there is an instance.
    fn is_complete(&self, processes: &TreeProcesses) -> bool {
        let proven = locked(&self.proven).len();
        if proven > 0 {
            return processes.listeners.len() >= proven;
        }
        self.has_instance(processes) || !processes.listeners().is_subset(&locked(&self.known))
    }

    /// Returns true if the youngest process listens, as an instance does to which a watcher gives its open port.
    fn has_instance(&self, processes: &TreeProcesses) -> bool {
        let TreeProcesses { ages, listeners } = processes;
        let youngest = ages.values().min();
        let is_instance = |pid: &u32| *pid != self.child.pid() && ages.get(pid) == youngest;
        listeners.keys().any(is_instance)
    }

    /// Returns true if no process is younger than `since`, none listens in place of one that has ended, and none is
    /// ending.
    fn has_ended(&self, processes: &TreeProcesses, since: Duration) -> bool {
        !processes.has_younger(since)
            && !self.is_complete(processes)
            && self.ending(processes).is_none()
    }

    /// Returns a process that lives but no longer listens.
    fn ending(&self, processes: &TreeProcesses) -> Option<u32> {
        let mut before = locked(&self.known).clone();
        before.extend(locked(&self.proven).iter());
        let is_ending =
            |pid: &u32| processes.ages.contains_key(pid) && !processes.listeners.contains_key(pid);
        before.into_iter().find(is_ending)
    }

    async fn processes(&self) -> Option<TreeProcesses> {
        processes(self.child.pid()).await
    }
}

async fn processes(pid: u32) -> Option<TreeProcesses> {
    spawn_blocking(move || tree_processes(pid)).await.ok()?
}

/// Returns true if a process of the tree `pid` listens that is not `known`.
async fn has_other_listener(pid: u32, known: &BTreeSet<u32>) -> bool {
    let processes = processes(pid).await;
    processes.is_some_and(|it| !it.listeners().is_subset(known))
}

/// Time that a process has for its reaction to a save or a loss.
#[derive(Debug)]
struct ReactionTime {
    limit: Duration,
    /// Number of looks so far.
    looks: u32,
}

impl ReactionTime {
    fn new(limit: Duration) -> Self {
        Self { limit, looks: 0 }
    }

    /// Records a look `since` the save or the loss; returns true once the time is over.
    fn is_over_at(&mut self, since: Duration) -> bool {
        self.looks += 1;
        since >= self.limit && self.looks >= MIN_LOOKS
    }
}

/// Number of looks in a row that have seen no instance.
#[derive(Debug, Default)]
struct EndedInstance(u32);

impl EndedInstance {
    /// Records a look; returns the failure of the saved code once the instance has been missing for [`GAP`].
    fn note(&mut self, has_ended: bool) -> Result<(), ProofFailure> {
        self.0 = if has_ended { self.0 + 1 } else { 0 };
        if self.0 > GAP {
            let reason = "ended at the save, and its own reload started nothing that stays";
            return Err(ProofFailure::Wrong(reason.to_owned()));
        }
        Ok(())
    }
}
