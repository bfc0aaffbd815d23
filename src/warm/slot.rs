//! One standby from the order to its use or its end: a task that starts it once all is quiet, sees to it
//! until it is ready, and hands it over when it is wanted.

use std::future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::learned::Learned;
use super::notes::TELLING;
use super::pool::{Pool, Seat};
use super::room::Folder;
use super::standby::{Stage, Standby, Unfit};
use super::voice::Voice;
use super::{PRESSED, Prepared, Warm};
use crate::config::ServerSpec;
use crate::event::Event;
use crate::lock::locked;
use crate::transport::child::Child;

/// A generation that has just begun to answer is left alone for so long: more saves may follow, and the
/// client asks for lists.
pub(super) const QUIET: Duration = Duration::from_millis(250);
/// What a process has written is read by then.
const ECHO: Duration = Duration::from_millis(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is to be prepared.
pub(super) struct Order {
    pub(super) warm: Arc<Warm>,
    pub(super) pool: Pool,
    pub(super) spec: Arc<ServerSpec>,
    /// Of the process that answers now; without one, what is known from others has to do.
    pub(super) folder: Option<Arc<Folder>>,
    /// When the server was saved last.
    pub(super) saved: Instant,
    /// How long the standby may wait to be used.
    pub(super) patience: Option<Duration>,
    /// How long the generation that answers is left alone first.
    pub(super) pause: Duration,
}

/// How a standby's task and those who want it understand each other.
#[derive(Debug, Clone, Default)]
struct Signals {
    /// When its process was started.
    begun: Arc<OnceLock<Instant>>,
    /// It is wanted as soon as may be.
    hurry: CancellationToken,
    /// It waits at that cost.
    prepared: Arc<OnceLock<Prepared>>,
    /// It waits, or there is none.
    ready: CancellationToken,
    /// There is none any more, or nobody sees to it.
    over: CancellationToken,
    /// It is to be handed over.
    taken: CancellationToken,
    end: CancellationToken,
}

/// The hold on a standby. Dropping it ends the standby.
#[derive(Debug)]
pub(super) struct Slot {
    signals: Signals,
    task: Option<JoinHandle<Option<Standby>>>,
}

impl Slot {
    pub(super) fn new(order: Order) -> Self {
        let signals = Signals::default();
        let task = tokio::spawn(order.carry_out(signals.clone()));
        Self {
            signals,
            task: Some(task),
        }
    }

    /// Whether the standby is ready, or is known not to come.
    pub(super) fn is_ready(&self) -> bool {
        self.signals.ready.is_cancelled()
    }

    /// Whether there is a standby, or may come to be one.
    pub(super) fn is_alive(&self) -> bool {
        !self.signals.over.is_cancelled()
    }

    /// What the standby cost, if it waits.
    pub(super) fn prepared(&self) -> Option<Prepared> {
        let prepared = self.signals.prepared.get().copied();
        prepared.filter(|_| self.is_alive())
    }

    /// How long ago the process of the standby was started; nothing if it was not yet.
    pub(super) fn age(&self) -> Option<Duration> {
        self.signals.begun.get().map(Instant::elapsed)
    }

    /// Has the standby prepared as soon as may be.
    pub(super) fn hurry(&self) {
        self.signals.hurry.cancel();
    }

    /// Waits until the standby is ready, or until it is known that there will be none. Until it is handed
    /// over it has seen nothing of the user's code, and serves a later save as well.
    pub(super) async fn hurries(&self) {
        self.hurry();
        self.signals.ready.cancelled().await;
    }

    /// Has the standby run its command, which it must do within `limit`; nothing if there is none.
    pub(super) async fn hand_over(
        mut self,
        limit: Duration,
    ) -> Option<Result<(Child, Voice, Folder), Unfit>> {
        self.signals.taken.cancel();
        let standby = self.task.take()?.await.ok()??;
        let going = timeout(limit, standby.go()).await;
        // That may be a busy machine's doing.
        Some(going.unwrap_or_else(|_| Err(Unfit::Differs("does not go on in time".to_owned()))))
    }

    /// Ends it; resolves when it is gone.
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

impl Order {
    /// Gives the standby when it is taken; nothing if there is none by then.
    async fn carry_out(mut self, signals: Signals) -> Option<Standby> {
        let _ready = signals.ready.clone().drop_guard();
        let _over = signals.over.clone().drop_guard();
        let begun = self.begin(&signals);
        let (mut standby, _seat) = signals.end.run_until_cancelled(begun).await??;
        // Nobody else sets it.
        let _ = signals.begun.set(Instant::now());
        let kept = tokio::select! {
            () = signals.end.cancelled() => None,
            () = signals.taken.cancelled() => Some(Ok(())),
            kept = self.keep(&mut standby, &signals) => kept,
        };
        match kept {
            Some(Ok(())) => return Some(standby),
            Some(Err(Unfit::Unlike(reason))) => self.fails(&signals, reason),
            Some(Err(Unfit::Outdated | Unfit::Differs(_))) => {}
            None => standby.end().await,
        }
        None
    }

    /// Starts the standby, if there can and may be one.
    async fn begin(&mut self, signals: &Signals) -> Option<(Standby, Seat)> {
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
                self.fails(signals, format!("cannot be prepared: {error}"));
                None
            }
        }
    }

    /// The standby is unfit. As long as there is another one, no start is cold for that.
    fn fails(&self, signals: &Signals, reason: String) {
        if self.warm.was_last(&signals.over) {
            self.warm.failed(&self.spec, reason);
        }
    }

    /// What the process that answers has loaded, if something can be made of it.
    async fn learn(&mut self) -> Option<Learned> {
        let Some(folder) = self.folder.take() else {
            return locked(&self.warm.state).learned.clone();
        };
        if !folder.is_claimed() {
            let reason = "its own process was not found".to_owned();
            self.warm.give_up(&self.spec, reason);
            return None;
        }
        folder.ask();
        let told = async {
            while !folder.is_told() {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(TELLING, told).await.ok()?;
        let cwd = self.spec.cwd.clone();
        let learned = spawn_blocking(move || Learned::new(&folder.log().unwrap_or_default(), &cwd));
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

    /// Sees to a standby until it is no use any more: because it is unfit, or has waited for too long.
    async fn keep(&self, standby: &mut Standby, signals: &Signals) -> Option<Result<(), Unfit>> {
        let begun = Instant::now();
        match timeout(self.spec.timeouts.start, standby.reaches(Stage::Ready)).await {
            Ok(Ok(())) => {}
            Ok(Err(unfit)) => return Some(Err(unfit)),
            Err(_) => return Some(Err(Unfit::Unlike("does not get ready".to_owned()))),
        }
        let prepared = Prepared {
            took: begun.elapsed(),
            memory: standby.memory(),
        };
        // What it wrote is on its way by another pipe.
        signals.hurry.run_until_cancelled(sleep(ECHO)).await;
        if let Err(unfit) = standby.is_silent() {
            return Some(Err(unfit));
        }
        // Nobody else sets it.
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
            // It only waits: anything that it reaches is its end.
            reached = standby.reaches(Stage::Running) => Some(reached),
        }
    }
}
