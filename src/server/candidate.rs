//! Proof of a new generation: start, handshake, repeated settings, lists, rehearsal. The supervisor gets the result.

mod failing;
mod rehearsed_start;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, SHOWN_STDERR};
use super::connection::Client;
use super::generation::{GenerationExit, ProofResults, ProvenGeneration, RunningGeneration};
use super::handshake::{ClientHello, Handshake, Probe, ProofFailure, shake_hands};
use super::http_process::{self, AddressSearch, ProcessDemand};
use super::lists::fetch_lists;
use super::rehearsing::Rehearsal;
use super::replay::replay;
use super::report::{Report, ServerContext};
use super::serving_process::ServingProcess;
use super::start_permits::StartPermit;
use super::{ServerShared, bytecode, loaded_files, process, remote};
use crate::bridge::Identity;
use crate::event::{Event, Failure};
use crate::mcp::{Era, List, ListKind};
use crate::warm::{StandbyUse, StderrBuffer};

/// Time for a rejected candidate to exit on its own.
const GRACE: Duration = Duration::from_millis(500);

/// Maximum time to wait for a response to `server/discover` before a server gets `initialize` as well. Many servers that
/// know the method need seconds to start, and some take the next request as the choice of their era.
const SILENT_PROBE: Duration = Duration::from_secs(10);
/// Divisor of the start timeout for that time, so that a start with both does not time out.
const SILENT_PROBE_DIVISOR: u32 = 3;

/// Divisor of the start timeout for the time limit of each list except the tools: all three leave half of it.
const LIST_TIMEOUT_DIVISOR: u32 = 6;
/// Maximum number of doublings of the start timeout.
const MAX_DOUBLINGS: u32 = 4;

/// Everything needed to start a generation.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) context: ServerContext,
    pub(crate) shared: Arc<ServerShared>,
    pub(crate) number: u64,
    pub(crate) hello: ClientHello,
    pub(crate) hello_number: u64,
    pub(crate) client: Arc<dyn Client>,
    /// Files changed since the last generation that proved itself.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Number of consecutive starts before this one that timed out.
    pub(crate) timed_out_starts: u32,
    /// True if the handshake is published before the lists are read.
    pub(crate) announce: bool,
    /// Process that is needed, for a server over HTTP.
    pub(crate) demand: ProcessDemand,
    /// Process over HTTP to which the active generation has lost its link, and which it keeps, for another link.
    pub(crate) lasting: Weak<ServingProcess>,
    /// Calls to answer before it goes live.
    pub(crate) rehearsal: Option<Rehearsal>,
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
        let report = match self.start_rehearsed(&cancelled).await {
            None => Report::Gone { number },
            Some(Ok(proof)) => Report::Proved(Box::new(proof)),
            Some(Err(failure)) => Report::Failed(Box::new(failure)),
        };
        // The supervisor retires a generation whose proof arrives after the cancellation.
        reports.send(report);
    }

    async fn start(
        &self,
        cancelled: &CancellationToken,
    ) -> Option<Result<ProvenGeneration, Failure>> {
        // The time limit starts after the wait for the permit.
        let mut permit = self.permit(cancelled).await?;
        self.remove_bytecode(cancelled).await?;
        let mut probe = !self.shared.no_probe.load(Ordering::Relaxed);
        // Reason why the standby did not prove itself. If the saved code is broken, a cold start fails as well, and its
        // failure is reported instead.
        let mut mismatch = None;
        loop {
            let mut identity = self.hello.identity.clone();
            identity.log_level = self.shared.client_settings().level;
            let begin = self.begin(identity, mismatch.is_some());
            let (running, mut stderr) = match cancelled.run_until_cancelled(begin).await? {
                Ok((running, standby)) => {
                    mismatch = standby.unusable.map(StandbyMismatch::Fails).or(mismatch);
                    (running, standby.stderr)
                }
                Err(failure) => return Some(Err(failure)),
            };
            let limit = self.limit();
            let prove = timeout(limit, self.prove(&running, probe));
            let proved = cancelled
                .run_until_cancelled(permit.during(&running.backend, prove))
                .await;
            let proof_failure = match proved {
                None => {
                    stop(running).await;
                    return None;
                }
                Some(Ok(Ok(_))) if stderr.is_some() && !self.shared.warm.commit_standby() => {
                    stop(running).await;
                    let reason = "the standby exited".to_owned();
                    let reason = self.shared.warm.difference().unwrap_or(reason);
                    mismatch = Some(StandbyMismatch::Differs(reason));
                    continue;
                }
                Some(Ok(Ok(results))) => {
                    // Stored only now: a process that ended on the probe may have been broken for another reason.
                    self.shared.no_probe.fetch_or(!probe, Ordering::Relaxed);
                    self.finish_standby(stderr, mismatch);
                    let took = running.since.elapsed();
                    return Some(Ok(ProvenGeneration {
                        running,
                        results,
                        took,
                        rehearsal: None,
                    }));
                }
                Some(Ok(Err(proof_failure))) => proof_failure,
                Some(Err(_)) => self.timed_out(&running, limit, &mut stderr).await,
            };
            let has_era = running.connection.has_era();
            let exit = stop(running).await;
            probe &= proof_failure != ProofFailure::ProbeUnanswered;
            // Neither the probe nor the undeclared list is requested a second time.
            if let ProofFailure::ProbeUnanswered | ProofFailure::ListUnanswered(_) = proof_failure {
                continue;
            }
            let failure = self.failure(&proof_failure, &exit, has_era);
            if stderr.is_some() {
                let difference = self.shared.warm.difference();
                mismatch = Some(difference.map_or(
                    StandbyMismatch::Fails(failure.reason),
                    StandbyMismatch::Differs,
                ));
                continue;
            }
            let load_log = self.shared.warm.started(&self.context.spec, false);
            loaded_files::add_failed(load_log, &self.shared).await;
            return Some(Err(failure));
        }
    }

    /// Waits until the machine may start one more process; None if cancelled.
    async fn permit(&self, cancelled: &CancellationToken) -> Option<StartPermit> {
        if self.context.spec.remote.is_some() {
            return Some(StartPermit::unneeded());
        }
        let permit = self.context.resources.start_permits.take(self.number == 1);
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
    async fn timed_out(
        &self,
        running: &RunningGeneration,
        limit: Duration,
        stderr: &mut Option<StderrBuffer>,
    ) -> ProofFailure {
        let method = running.connection.newest_own_method().unwrap_or_default();
        let missing = format!("no response to `{method}`");
        let was_live = self.shared.snapshot.borrow().generation > 0;
        let (missing, advice) = match &running.backend {
            Backend::HttpProcess(process) => process.missed(missing).await,
            Backend::Process(child) if !was_live => process::missed(child, missing).await,
            Backend::Process(_) | Backend::Remote(_) => (missing, None),
        };
        let proof_failure = ProofFailure::Late {
            missing,
            limit,
            advice,
        };
        let fails = |stderr| (stderr, StandbyMismatch::Fails(proof_failure.reason("")));
        let (stderr, mismatch) = stderr.take().map(fails).unzip();
        self.finish_standby(stderr, mismatch);
        proof_failure
    }

    /// Returns the time limit for the proof. The limit grows after each timeout, so that long work at the start, such
    /// as compiling or installing, is not restarted forever.
    fn limit(&self) -> Duration {
        self.context.spec.timeouts.start * 2u32.pow(self.timed_out_starts.min(MAX_DOUBLINGS))
    }

    /// Opens the link, or starts the process: a standby if there is one and `cold` is false.
    async fn begin(
        &self,
        identity: Identity,
        cold: bool,
    ) -> Result<(RunningGeneration, StandbyUse), Failure> {
        let (context, number, client) = (&self.context, self.number, self.client.clone());
        if let Some(address) = &context.spec.remote {
            let running = remote::start(context, address, number, client, identity)?;
            return Ok((running, StandbyUse::default()));
        }
        if let Some(address) = &context.spec.listens {
            return http_process::start(self, address, identity, cold).await;
        }
        let warm = &self.shared.warm;
        let started = warm.start(&context.spec, None, number, cold).await;
        let running = process::start(context, number, started.child, client, identity)?;
        Ok((running, started.standby))
    }

    /// Releases the stderr output of a standby, and reports why a standby was unusable.
    fn finish_standby(&self, stderr: Option<StderrBuffer>, mismatch: Option<StandbyMismatch>) {
        if let Some(stderr) = stderr {
            stderr.assign_to(self.number);
        }
        let (warm, spec) = (&self.shared.warm, &self.context.spec);
        match mismatch {
            None => {}
            Some(StandbyMismatch::Differs(reason)) => warm.differs(spec, reason),
            Some(StandbyMismatch::Fails(reason)) => warm.failed(spec, reason),
        }
    }

    /// Returns the era that the user set for the server.
    fn forced_era(&self) -> Option<Era> {
        let chosen = self.context.resources.era;
        Era::forced_by(chosen.unwrap_or(self.context.spec.era))
    }

    /// Shakes hands with the generation; with a process that serves HTTP at the first address that answers.
    async fn introduce(
        &self,
        running: &RunningGeneration,
        probe: bool,
    ) -> Result<Handshake, ProofFailure> {
        let max_wait = SILENT_PROBE.min(self.limit() / SILENT_PROBE_DIVISOR);
        let shake = || {
            let probe = Probe {
                is_allowed: probe,
                max_wait,
                is_ignored: &self.shared.no_probe,
            };
            let (connection, era) = (&running.connection, self.forced_era());
            shake_hands(connection, &self.hello, self.hello_number, probe, era)
        };
        let Some(process) = running.backend.http_process() else {
            let handshake = shake().await?;
            if probe && self.shared.no_probe.load(Ordering::Relaxed) {
                self.note(ignored_probe(max_wait));
            }
            return Ok(handshake);
        };
        // On the heap, because a start must not grow the futures around it.
        let introduction = Box::pin(async {
            let known_path = &self.shared.known_path;
            let mut search = AddressSearch::new(process, self.limit(), known_path);
            loop {
                search.next().await?;
                match search.attempt(shake()).await {
                    Ok(handshake) => {
                        if let Some(socket) = search.confirm().await? {
                            self.tell_exposure(socket);
                        }
                        return Ok(handshake);
                    }
                    Err(failure) => search.refused(failure)?,
                }
                if let Some(note) = search.note() {
                    self.note(note);
                }
            }
        });
        process.await_instance(introduction).await
    }

    /// Notes, once, that other machines reach the server.
    fn tell_exposure(&self, socket: SocketAddr) {
        if self.shared.is_exposure_told.swap(true, Ordering::Relaxed) {
            return;
        }
        self.note(format!(
            "the server listens on all networks ({socket}): other machines can call its tools without the proxy; let \
             it listen on 127.0.0.1"
        ));
    }

    fn note(&self, message: String) {
        self.context.resources.events.send(Event::WatchNote {
            server: self.context.spec.name.clone(),
            message,
        });
    }

    async fn prove(
        &self,
        running: &RunningGeneration,
        probe: bool,
    ) -> Result<ProofResults, ProofFailure> {
        let connection = &running.connection;
        let handshake = Arc::new(self.introduce(running, probe).await?);
        if self.announce {
            self.shared.handshake.send_replace(Some(handshake.clone()));
        }
        let settings = self.shared.client_settings();
        let stream = replay(connection, &handshake, &settings).await?;
        let before = self.shared.snapshot.borrow().clone();
        let max_wait = self.context.spec.timeouts.start / LIST_TIMEOUT_DIVISOR;
        let tool_filter = self.shared.tool_filter();
        let lists = fetch_lists(
            connection,
            &handshake,
            &tool_filter,
            &before.lists,
            max_wait,
            &self.shared.tools_unanswered,
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
        if let Some(process) = running.backend.http_process() {
            process.record_proof().await;
        }
        Ok(ProofResults {
            handshake,
            lists,
            stream,
            sent_settings: settings,
        })
    }
}

/// Returns the note about a server that ignored `server/discover` for the time `waited`.
fn ignored_probe(waited: Duration) -> String {
    format!(
        "the server ignored `server/discover` for {:.1} s; its later starts omit that request. To omit it at the first \
         start as well, set `era = \"legacy\"`",
        waited.as_secs_f64()
    )
}

/// Stops a rejected candidate, and returns how it ended.
pub(crate) async fn stop(running: RunningGeneration) -> GenerationExit {
    let stderr = running.backend.stderr();
    let is_deaf = running.connection.is_closed();
    // A process that exits on its own is described by its own status, not by the proxy's signals.
    let (how, status) = timeout(Duration::from_millis(50), running.backend.ended())
        .await
        .unwrap_or_else(|_| {
            let how = if is_deaf {
                "closed its stdin or stdout"
            } else {
                "was stopped"
            };
            (how.to_owned(), None)
        });
    if let Some(stderr) = stderr
        .as_ref()
        .filter(|_| status.is_some_and(|it| it.is_server_error()))
    {
        stderr.settle().await;
    }
    let calls = running.connection.close();
    if let Some(process) = running.backend.http_process() {
        process.process.record_failure().await;
    }
    running.backend.stop(GRACE).await;
    GenerationExit {
        how,
        status,
        runs_on: false,
        stderr: stderr
            .map(|it| it.excerpt(SHOWN_STDERR))
            .unwrap_or_default(),
        calls,
    }
}
