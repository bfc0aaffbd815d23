//! Life cycle of one standby: a task starts it after a quiet period, supervises it until it is ready, and hands it over
//! on demand.

use std::future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bootstrap_dir::BootstrapDir;
use super::pool::{StandbyPermit, StandbyPool};
use super::preload_list::PreloadList;
use super::standby::{ResumedStandby, Standby, StandbyError, StandbyStage};
use super::{SECOND_STANDBY_TIME, StandbyCost, WarmReload};
use crate::config::ServerSpec;
use crate::event::Event;
use crate::lock::locked;
use crate::transport::process_port::ProcessPort;

/// Time after which output of a process has arrived.
const OUTPUT_DELAY: Duration = Duration::from_millis(20);

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
    pub(super) max_wait: Option<Duration>,
    /// Idle time for the active generation before the standby starts.
    pub(super) quiet_time: Duration,
}

/// Signals between a standby's task and its users.
#[derive(Debug, Clone, Default)]
struct StandbySignals {
    /// Start of the process.
    started: Arc<OnceLock<Instant>>,
    /// Skips the idle times, and reuses the notes learned last instead of a new report.
    immediate: CancellationToken,
    /// Cost of the waiting standby.
    cost: Arc<OnceLock<StandbyCost>>,
    /// Cancelled once the standby waits, or will never exist.
    ready: CancellationToken,
    /// Cancelled once the standby is gone or its task has ended.
    ended: CancellationToken,
    /// Requests the hand-over.
    hand_over: CancellationToken,
    stop: CancellationToken,
}

/// Handle to a standby. Dropping it ends the standby.
#[derive(Debug)]
pub(super) struct Slot {
    signals: StandbySignals,
    task: Option<JoinHandle<Option<Standby>>>,
}

impl Slot {
    pub(super) fn new(request: StandbyRequest) -> Self {
        let signals = StandbySignals::default();
        let task = tokio::spawn(request.run(signals.clone()));
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
        !self.signals.ended.is_cancelled()
    }

    /// Returns the cost of the standby, if it waits.
    pub(super) fn cost(&self) -> Option<StandbyCost> {
        let cost = self.signals.cost.get().copied();
        cost.filter(|_| self.is_alive())
    }

    /// Returns the time since the start of the standby's process; `None` if it is not started yet.
    pub(super) fn age(&self) -> Option<Duration> {
        self.signals.started.get().map(Instant::elapsed)
    }

    /// Prepares the standby without further idle time.
    pub(super) fn skip_quiet_time(&self) {
        self.signals.immediate.cancel();
    }

    /// Prepares the standby without further idle time and waits until it is ready or known never to exist. Before the
    /// hand-over, the standby has loaded no code of the user, so it fits a later save as well.
    pub(super) async fn wait_until_ready(&self) {
        self.skip_quiet_time();
        self.signals.ready.cancelled().await;
    }

    /// Makes the standby run its command within `limit`; `None` if there is no standby.
    pub(super) async fn hand_over(
        mut self,
        limit: Duration,
    ) -> Option<Result<ResumedStandby, StandbyError>> {
        self.signals.hand_over.cancel();
        let standby = self.task.take()?.await.ok()??;
        let resumed = timeout(limit, standby.resume()).await;
        // A busy machine may be the cause, so this does not count as a failure.
        Some(resumed.unwrap_or_else(|_| {
            Err(StandbyError::Differs(
                "the standby did not respond in time".to_owned(),
            ))
        }))
    }

    /// Ends the standby; resolves once its process is gone.
    pub(super) async fn end(mut self) {
        self.signals.stop.cancel();
        if let Some(task) = self.task.take()
            && let Ok(Some(standby)) = task.await
        {
            standby.end().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.signals.stop.cancel();
    }
}

impl StandbyRequest {
    /// Runs until the standby is taken, and returns it; `None` if there is none by then.
    async fn run(mut self, signals: StandbySignals) -> Option<Standby> {
        let _ready = signals.ready.clone().drop_guard();
        let _over = signals.ended.clone().drop_guard();
        let starting = self.start_standby(&signals);
        let (mut standby, _permit) = signals.stop.run_until_cancelled(starting).await??;
        // This task is the only writer.
        let _ = signals.started.set(Instant::now());
        let outcome = tokio::select! {
            () = signals.stop.cancelled() => None,
            () = signals.hand_over.cancelled() => Some(Ok(())),
            outcome = self.supervise(&mut standby, &signals) => outcome,
        };
        match outcome {
            Some(Ok(())) => return Some(standby),
            Some(Err(StandbyError::Unfit(reason))) => self.report_unfit(&signals, reason),
            Some(Err(StandbyError::Outdated | StandbyError::Differs(_))) => {}
            None => standby.end().await,
        }
        None
    }

    /// Starts the standby, if possible and permitted.
    async fn start_standby(
        &mut self,
        signals: &StandbySignals,
    ) -> Option<(Standby, StandbyPermit)> {
        let after_quiet_time = async {
            sleep(self.quiet_time).await;
            self.read_preload_list().await
        };
        let preload_list = match signals
            .immediate
            .run_until_cancelled(after_quiet_time)
            .await
        {
            Some(preload_list) => preload_list?,
            None => locked(&self.warm.state).preload_list.clone()?,
        };
        self.folder = None;
        let stamping = preload_list.clone();
        let stamp = spawn_blocking(move || stamping.stamp()).await.ok()?;
        let owner = Arc::as_ptr(&self.warm).addr();
        let permit = self.pool.reserve(owner, self.saved, &signals.stop)?;
        let warm = &self.warm;
        let port = self.spec.listens.as_ref().map(ProcessPort::of);
        let port = port.transpose().ok()?;
        let number = port.as_ref().map(ProcessPort::number);
        let spec = self.spec.of_start(number);
        let folder = warm.folder(&spec, number)?;
        match Standby::start(
            &spec,
            port,
            folder,
            preload_list,
            stamp,
            &warm.events,
            &warm.reaper,
        ) {
            Ok(standby) => Some((standby, permit)),
            Err(error) => {
                self.report_unfit(signals, format!("the standby cannot start: {error}"));
                None
            }
        }
    }

    /// Reports the standby as unfit, unless another one is left for the next start or the server's code does not start.
    fn report_unfit(&self, signals: &StandbySignals, reason: String) {
        if self.warm.counts_failure(&signals.ended) {
            self.warm.failed(&self.spec, reason);
        }
    }

    /// Returns the packages to load ahead, from the notes of the active process; `None` if they do not allow any.
    async fn read_preload_list(&mut self) -> Option<PreloadList> {
        let Some(folder) = self.folder.take() else {
            return locked(&self.warm.state).preload_list.clone();
        };
        if !folder.is_claimed() {
            let reason = "the server's own process was not found".to_owned();
            self.warm.give_up(&self.spec, reason);
            return None;
        }
        folder.request_report();
        folder.wait_for_report().await;
        let cwd = self.spec.cwd.clone();
        let preload_list =
            spawn_blocking(move || PreloadList::new(&folder.log().unwrap_or_default(), &cwd));
        match preload_list.await.ok()? {
            Ok(preload_list) => {
                locked(&self.warm.state).preload_list = Some(preload_list.clone());
                Some(preload_list)
            }
            Err(error) => {
                self.warm.give_up(&self.spec, error.to_string());
                None
            }
        }
    }

    /// Supervises a standby until it is unusable: unfit, or waiting for too long (`None`).
    async fn supervise(
        &self,
        standby: &mut Standby,
        signals: &StandbySignals,
    ) -> Option<Result<(), StandbyError>> {
        let started = Instant::now();
        match timeout(
            self.spec.timeouts.start,
            standby.wait_for_stage(StandbyStage::Ready),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(unfit)) => return Some(Err(unfit)),
            Err(_) => {
                return Some(Err(StandbyError::Unfit(
                    "the standby did not get ready in time".to_owned(),
                )));
            }
        }
        let cost = StandbyCost {
            took: started.elapsed(),
            memory: standby.memory(),
        };
        // Output of the process arrives through another pipe.
        signals
            .immediate
            .run_until_cancelled(sleep(OUTPUT_DELAY))
            .await;
        if let Err(unfit) = standby.check_silent() {
            return Some(Err(unfit));
        }
        // This task is the only writer.
        let _ = signals.cost.set(cost);
        signals.ready.cancel();
        locked(&self.warm.state).preparation_time = Some(cost.took);
        self.warm.events.send(Event::Standby {
            server: self.spec.name.clone(),
            took: cost.took,
            memory: cost.memory,
        });
        let waited_long = async {
            sleep(SECOND_STANDBY_TIME).await;
            self.warm.end_second();
            match self.max_wait {
                Some(max_wait) => sleep(max_wait.saturating_sub(SECOND_STANDBY_TIME)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = waited_long => None,
            // A waiting standby sends nothing, so any message or exit ends it.
            reached = standby.wait_for_stage(StandbyStage::Running) => Some(reached),
        }
    }
}
