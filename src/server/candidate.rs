//! Proof of a new generation: start, handshake, repeated settings, lists. The supervisor gets the result.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::advice;
use super::backend::SHOWN_STDERR;
use super::call::Client;
use super::generation::{self, GenerationExit, ProofResults, ProvenGeneration, RunningGeneration};
use super::handshake::{ClientHello, ProofFailure, replay, shake_hands};
use super::lists::fetch_lists;
use super::report::{Report, ServerContext};
use super::start_permits::StartPermit;
use super::{ServerShared, bytecode, loaded_files, remote};
use crate::bridge::Identity;
use crate::event::Failure;
use crate::mcp::{List, ListKind};
use crate::warm::{StartedProcess, StderrBuffer};

/// Time for a rejected candidate to exit on its own.
const GRACE: Duration = Duration::from_millis(500);

/// Divisor of the start timeout for the time limit of each list except the tools: all three leave half of it.
const SHARE_OF_LIST: u32 = 6;
/// Maximum number of doublings of the start timeout.
const MOST_DOUBLINGS: u32 = 4;

/// Everything needed to start a generation.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) context: ServerContext,
    pub(crate) shared: Arc<ServerShared>,
    pub(crate) number: u64,
    pub(crate) hello: ClientHello,
    pub(crate) epoch: u64,
    pub(crate) client: Arc<dyn Client>,
    /// Files changed since the last generation that proved itself.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Number of consecutive starts before this one that timed out.
    pub(crate) late: u32,
    /// True if the handshake is published before the lists are read.
    pub(crate) announce: bool,
}

/// Reason why a standby did not prove itself, as a sentence fragment.
enum StandbyMismatch {
    /// The saved code sets the process up differently from the code before.
    Differs(String),
    /// The code does not run in a standby.
    Fails(String),
}

impl Candidate {
    /// Starts the generation and reports [`Report::Proved`] or [`Report::Failed`]; after a cancellation, reports
    /// [`Report::Gone`] once the process has ended.
    pub(crate) async fn run(self, cancelled: CancellationToken) {
        let reports = self.context.reports.clone();
        let number = self.number;
        let report = match self.start(&cancelled).await {
            None => Report::Gone(number),
            Some(Ok(proof)) => Report::Proved(number, Box::new(proof)),
            Some(Err(failure)) => Report::Failed(number, Box::new(failure)),
        };
        // The supervisor retires a generation whose proof arrives after the cancellation.
        let _ = reports.send(report);
    }

    async fn start(
        self,
        cancelled: &CancellationToken,
    ) -> Option<Result<ProvenGeneration, Failure>> {
        // The time limit starts after the wait for the permit.
        let mut permit = self.permit(cancelled).await?;
        self.remove_bytecode(cancelled).await?;
        let mut probe = !self.shared.no_probe.load(Ordering::Relaxed);
        // Reason why the standby did not prove itself. If the saved code is broken, a cold start fails as well, and its
        // failure is reported instead.
        let mut unlike = None;
        loop {
            let mut identity = self.hello.identity.clone();
            identity.log_level = self.shared.wanted().level;
            let begin = self.begin(identity, unlike.is_some());
            let (running, mut voice) = match cancelled.run_until_cancelled(begin).await? {
                (Ok(running), voice) => (running, voice),
                (Err(failure), _) => return Some(Err(failure)),
            };
            let limit = self.limit();
            let prove = timeout(limit, self.prove(&running, probe));
            let proved = cancelled
                .run_until_cancelled(permit.during(&running.child, prove))
                .await;
            let refusal = match proved {
                None => {
                    stop(running).await;
                    return None;
                }
                Some(Ok(Ok(_))) if voice.is_some() && !self.shared.warm.keeps() => {
                    stop(running).await;
                    let reason = "the standby exited".to_owned();
                    let reason = self.shared.warm.difference().unwrap_or(reason);
                    unlike = Some(StandbyMismatch::Differs(reason));
                    continue;
                }
                Some(Ok(Ok(shown))) => {
                    // Stored only now: a process that ended on the probe may have been broken for another reason.
                    self.shared.no_probe.store(!probe, Ordering::Relaxed);
                    self.finish_standby(voice, unlike);
                    let took = running.since.elapsed();
                    return Some(Ok(ProvenGeneration {
                        running,
                        shown,
                        took,
                    }));
                }
                Some(Ok(Err(refusal))) => refusal,
                Some(Err(_)) => self.late(&running, limit, &mut voice),
            };
            let ending = stop(running).await;
            probe &= refusal != ProofFailure::ProbeUnanswered;
            // Neither the probe nor the undeclared list is requested a second time.
            if let ProofFailure::ProbeUnanswered | ProofFailure::ListUnanswered(_) = refusal {
                continue;
            }
            let mut failure =
                generation::failure(self.number, &refusal, Some(&ending), &self.context.spec);
            if failure.late && failure.advice.is_none() {
                failure.advice = Some(advice::more_time(!self.announce, &self.context.spec));
            }
            if voice.is_some() {
                let difference = self.shared.warm.difference();
                unlike = Some(difference.map_or(
                    StandbyMismatch::Fails(failure.reason),
                    StandbyMismatch::Differs,
                ));
                continue;
            }
            let notes = self.shared.warm.started(&self.context.spec, false);
            loaded_files::add_failed(notes, &self.shared).await;
            return Some(Err(failure));
        }
    }

    /// Waits until the machine may start one more process; None if cancelled.
    async fn permit(&self, cancelled: &CancellationToken) -> Option<StartPermit> {
        if self.context.spec.remote.is_some() {
            return Some(StartPermit::unneeded());
        }
        let permit = self.context.resources.turns.take(self.number == 1);
        cancelled.run_until_cancelled(permit).await
    }

    /// Removes bytecode that Python would run instead of the changed files; None if cancelled.
    async fn remove_bytecode(&self, cancelled: &CancellationToken) -> Option<()> {
        if bytecode::concerns(&self.files) {
            let (spec, files) = (self.context.spec.clone(), self.files.clone());
            // Not on the thread that serves clients: a checkout may have changed thousands of files.
            let removed = spawn_blocking(move || bytecode::remove(&spec, &files));
            let _ = cancelled.run_until_cancelled(removed).await?;
        }
        Some(())
    }

    /// Returns the refusal of a start that timed out. A standby is not followed by a cold start here, because the
    /// client must not wait twice as long.
    fn late(
        &self,
        running: &RunningGeneration,
        limit: Duration,
        voice: &mut Option<StderrBuffer>,
    ) -> ProofFailure {
        let method = running.connection.asked().unwrap_or_default();
        let refusal = ProofFailure::Late(method, limit);
        let fails = |voice| (voice, StandbyMismatch::Fails(refusal.reason("")));
        let (voice, unlike) = voice.take().map(fails).unzip();
        self.finish_standby(voice, unlike);
        refusal
    }

    /// Returns the time limit for the proof. The limit grows after each timeout, so that long work at the start, such
    /// as compiling or installing, is not restarted forever.
    fn limit(&self) -> Duration {
        self.context.spec.timeouts.start * 2u32.pow(self.late.min(MOST_DOUBLINGS))
    }

    /// Opens the link, or starts the process: a standby if there is one and `cold` is false.
    async fn begin(
        &self,
        identity: Identity,
        cold: bool,
    ) -> (Result<RunningGeneration, Failure>, Option<StderrBuffer>) {
        let (supply, number, client) = (&self.context, self.number, self.client.clone());
        if let Some(address) = &supply.spec.remote {
            return (
                remote::start(supply, address, number, client, identity),
                None,
            );
        }
        let StartedProcess { child, voice } =
            self.shared.warm.start(&supply.spec, number, cold).await;
        (
            generation::start(supply, number, child, client, identity),
            voice,
        )
    }

    /// Releases the stderr output of a standby, and reports why a standby was unusable.
    fn finish_standby(&self, voice: Option<StderrBuffer>, unlike: Option<StandbyMismatch>) {
        if let Some(voice) = voice {
            voice.belongs_to(self.number);
        }
        let (warm, spec) = (&self.shared.warm, &self.context.spec);
        match unlike {
            None => {}
            Some(StandbyMismatch::Differs(reason)) => warm.differs(spec, reason),
            Some(StandbyMismatch::Fails(reason)) => warm.failed(spec, reason),
        }
    }

    async fn prove(
        &self,
        running: &RunningGeneration,
        probe: bool,
    ) -> Result<ProofResults, ProofFailure> {
        let connection = &running.connection;
        let handshake = shake_hands(
            connection,
            &self.hello,
            self.epoch,
            probe,
            self.context.resources.era,
        )
        .await?;
        let handshake = Arc::new(handshake);
        if self.announce {
            self.shared.handshake.send_replace(Some(handshake.clone()));
        }
        let told = self.shared.wanted();
        let stream = replay(connection, &handshake, &told)
            .await
            .map_err(|_| ProofFailure::Lost("logging/setLevel"))?;
        let before = self.shared.snapshot.borrow().clone();
        let patience = self.context.spec.timeouts.start / SHARE_OF_LIST;
        let admission = self.shared.admission();
        let lists = fetch_lists(
            connection,
            &handshake,
            &admission,
            &before.lists,
            patience,
            &self.shared.asked_in_vain,
        )
        .await?;
        let was_live = before.generation > 0;
        for ((before, list), kind) in before.lists.iter().zip(&lists).zip(ListKind::ALL) {
            // A list that never worked is passed on as its error.
            let worked = was_live && before.as_ref().is_ok_and(|list| *list != List::default());
            if let (true, Err(error)) = (worked, list) {
                let method = kind.method();
                return Err(ProofFailure::Wrong(format!(
                    "answered `{method}` with the error {error}"
                )));
            }
        }
        Ok(ProofResults {
            handshake,
            lists,
            stream,
            told,
        })
    }
}

/// Stops a rejected candidate, and returns how it ended.
pub(crate) async fn stop(running: RunningGeneration) -> GenerationExit {
    let stderr = running.child.stderr();
    // A process that exits on its own is described by its own status, not by the proxy's signals.
    let own = timeout(Duration::from_millis(50), running.child.ended())
        .await
        .ok();
    let calls = running.connection.close();
    running.child.stop(GRACE).await;
    GenerationExit {
        how: own.unwrap_or_else(|| "was stopped".to_owned()),
        stderr: stderr.map(|it| it.last(SHOWN_STDERR)).unwrap_or_default(),
        calls,
    }
}
