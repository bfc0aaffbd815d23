//! Life cycle of one standby: a task starts it after a quiet period, supervises it until it is ready, and hands it over
//! on demand.

use std::future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bootstrap_dir::BootstrapDir;
use super::load_log::REPORT_TIMEOUT;
use super::pool::{StandbyPermit, StandbyPool};
use super::preload_list::PreloadList;
use super::standby::{Standby, StandbyError, StandbyStage};
use super::stderr_buffer::StderrBuffer;
use super::{PRESSED, StandbyCost, WarmReload};
use crate::config::ServerSpec;
use crate::event::Event;
use crate::lock::locked;
use crate::transport::child::Child;

/// Idle time for a generation that has just begun to answer: more saves may follow, and the client requests lists.
pub(super) const QUIET: Duration = Duration::from_millis(250);
/// Time after which output of a process has arrived.
const ECHO: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Request for a standby.
pub(super) struct StandbyRequest {
    pub(super) warm: Arc<WarmReload>,
    pub(super) pool: StandbyPool,
    pub(super) spec: Arc<ServerSpec>,
    /// Folder of the active process; `None` reuses the notes learned last.
    pub(super) folder: Option<Arc<BootstrapDir>>,
    /// Time of the server's last save.
    pub(super) saved: Instant,
    /// Maximum time for which the standby waits for its use; `None` for no limit.
    pub(super) patience: Option<Duration>,
    /// Idle time for the active generation before the standby starts.
    pub(super) pause: Duration,
}

/// Signals between a standby's task and its users.
#[derive(Debug, Clone, Default)]
struct StandbySignals {
    /// Start of the process.
    begun: Arc<OnceLock<Instant>>,
    /// Skips the idle times, and reuses the notes learned last instead of a new report.
    hurry: CancellationToken,
    /// Cost of the waiting standby.
    prepared: Arc<OnceLock<StandbyCost>>,
    /// Cancelled once the standby waits, or will never exist.
    ready: CancellationToken,
    /// Cancelled once the standby is gone or its task has ended.
    over: CancellationToken,
    /// Requests the hand-over.
    taken: CancellationToken,
    end: CancellationToken,
}

/// Handle to a standby. Dropping it ends the standby.
#[derive(Debug)]
pub(super) struct Slot {
    signals: StandbySignals,
    task: Option<JoinHandle<Option<Standby>>>,
}

impl Slot {
    pub(super) fn new(order: StandbyRequest) -> Self {
        let signals = StandbySignals::default();
        let task = tokio::spawn(order.carry_out(signals.clone()));
        Self {
            signals,
            task: Some(task),
        }
    }

    /// Whether the standby is ready, or will never exist.
    pub(super) fn is_ready(&self) -> bool {
        self.signals.ready.is_cancelled()
    }

    /// Whether the standby exists or may still be created.
    pub(super) fn is_alive(&self) -> bool {
        !self.signals.over.is_cancelled()
    }

    /// Returns the cost of the standby, if it waits.
    pub(super) fn prepared(&self) -> Option<StandbyCost> {
        let prepared = self.signals.prepared.get().copied();
        prepared.filter(|_| self.is_alive())
    }

    /// Returns the time since the start of the standby's process; `None` if it is not started yet.
    pub(super) fn age(&self) -> Option<Duration> {
        self.signals.begun.get().map(Instant::elapsed)
    }

    /// Prepares the standby without further idle time.
    pub(super) fn hurry(&self) {
        self.signals.hurry.cancel();
    }

    /// Prepares the standby without further idle time and waits until it is ready or known never to exist. Before the
    /// hand-over, the standby has loaded no code of the user, so it fits a later save as well.
    pub(super) async fn hurry_until_ready(&self) {
        self.hurry();
        self.signals.ready.cancelled().await;
    }

    /// Makes the standby run its command within `limit`; `None` if there is no standby.
    pub(super) async fn hand_over(
        mut self,
        limit: Duration,
    ) -> Option<Result<(Child, StderrBuffer, BootstrapDir), StandbyError>> {
        self.signals.taken.cancel();
        let standby = self.task.take()?.await.ok()??;
        let going = timeout(limit, standby.go()).await;
        // A busy machine may be the cause, so this does not count as a failure.
        Some(going.unwrap_or_else(|_| {
            Err(StandbyError::Differs(
                "the standby did not respond in time".to_owned(),
            ))
        }))
    }

    /// Ends the standby; resolves once its process is gone.
    pub(super) async fn end(mut self) {
        self.signals.end.cancel();
        if let Some(task) = self.task.take()
            && let Ok(Some(standby)) = task.await
        {
            standby.end().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.signals.end.cancel();
    }
}

impl StandbyRequest {
    /// Runs until the standby is taken, and returns it; `None` if there is none by then.
    async fn carry_out(mut self, signals: StandbySignals) -> Option<Standby> {
        let _ready = signals.ready.clone().drop_guard();
        let _over = signals.over.clone().drop_guard();
        let begun = self.begin(&signals);
        let (mut standby, _seat) = signals.end.run_until_cancelled(begun).await??;
        // This task is the only writer.
        let _ = signals.begun.set(Instant::now());
        let kept = tokio::select! {
            () = signals.end.cancelled() => None,
            () = signals.taken.cancelled() => Some(Ok(())),
            kept = self.keep(&mut standby, &signals) => kept,
        };
        match kept {
            Some(Ok(())) => return Some(standby),
            Some(Err(StandbyError::Unlike(reason))) => self.fails(&signals, reason),
            Some(Err(StandbyError::Outdated | StandbyError::Differs(_))) => {}
            None => standby.end().await,
        }
        None
    }

    /// Starts the standby, if possible and permitted.
    async fn begin(&mut self, signals: &StandbySignals) -> Option<(Standby, StandbyPermit)> {
        let quietly = async {
            sleep(self.pause).await;
            self.learn().await
        };
        let learned = match signals.hurry.run_until_cancelled(quietly).await {
            Some(learned) => learned?,
            None => locked(&self.warm.state).learned.clone()?,
        };
        self.folder = None;
        let stamping = learned.clone();
        let stamp = spawn_blocking(move || stamping.stamp()).await.ok()?;
        let owner = Arc::as_ptr(&self.warm).addr();
        let seat = self.pool.seat(owner, self.saved, &signals.end)?;
        let (warm, spec) = (&self.warm, &self.spec);
        let folder = warm.folder(spec)?;
        match Standby::start(spec, folder, learned, stamp, &warm.events, &warm.reaper) {
            Ok(standby) => Some((standby, seat)),
            Err(error) => {
                self.fails(signals, format!("the standby cannot start: {error}"));
                None
            }
        }
    }

    /// Reports the standby as unfit, unless another one is left for the next start.
    fn fails(&self, signals: &StandbySignals, reason: String) {
        if self.warm.was_last(&signals.over) {
            self.warm.failed(&self.spec, reason);
        }
    }

    /// Returns the packages to load ahead, from the notes of the active process; `None` if they do not allow any.
    async fn learn(&mut self) -> Option<PreloadList> {
        let Some(folder) = self.folder.take() else {
            return locked(&self.warm.state).learned.clone();
        };
        if !folder.is_claimed() {
            let reason = "the server's own process was not found".to_owned();
            self.warm.give_up(&self.spec, reason);
            return None;
        }
        folder.ask();
        let told = async {
            while !folder.has_report() {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(REPORT_TIMEOUT, told).await.ok()?;
        let cwd = self.spec.cwd.clone();
        let learned =
            spawn_blocking(move || PreloadList::new(&folder.log().unwrap_or_default(), &cwd));
        match learned.await.ok()? {
            Ok(learned) => {
                locked(&self.warm.state).learned = Some(learned.clone());
                Some(learned)
            }
            Err(reason) => {
                self.warm.give_up(&self.spec, reason);
                None
            }
        }
    }

    /// Supervises a standby until it is unusable: unfit, or waiting for too long (`None`).
    async fn keep(
        &self,
        standby: &mut Standby,
        signals: &StandbySignals,
    ) -> Option<Result<(), StandbyError>> {
        let begun = Instant::now();
        match timeout(
            self.spec.timeouts.start,
            standby.reaches(StandbyStage::Ready),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(unfit)) => return Some(Err(unfit)),
            Err(_) => {
                return Some(Err(StandbyError::Unlike(
                    "the standby did not get ready in time".to_owned(),
                )));
            }
        }
        let prepared = StandbyCost {
            took: begun.elapsed(),
            memory: standby.memory(),
        };
        // Output of the process arrives through another pipe.
        signals.hurry.run_until_cancelled(sleep(ECHO)).await;
        if let Err(unfit) = standby.is_silent() {
            return Some(Err(unfit));
        }
        // This task is the only writer.
        let _ = signals.prepared.set(prepared);
        signals.ready.cancel();
        locked(&self.warm.state).took = Some(prepared.took);
        self.warm.events.send(Event::Standby {
            server: self.spec.name.clone(),
            took: prepared.took,
            memory: prepared.memory,
        });
        let waited_long = async {
            sleep(PRESSED).await;
            self.warm.end_second();
            match self.patience {
                Some(patience) => sleep(patience.saturating_sub(PRESSED)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = waited_long => None,
            // A waiting standby sends nothing, so any message or exit ends it.
            reached = standby.reaches(StandbyStage::Running) => Some(reached),
        }
    }
}
