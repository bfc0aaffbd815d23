//! Start with a rehearsal: the generation answers calls after its lists.

use tokio_util::sync::CancellationToken;

use super::super::generation::ProvenGeneration;
use super::{Candidate, stop};
use crate::config::OnRegression;
use crate::event::Failure;
use crate::mcp::ListKind;

/// Advice for code that was held back.
const HELD_ADVICE: &str =
    "fix the code and save it; with `on_regression = \"report\"`, it goes live nevertheless";

impl Candidate {
    /// Starts the generation, and lets it answer the rehearsed calls. Returns `None` after a cancellation.
    pub(super) async fn start_rehearsed(
        &self,
        cancelled: &CancellationToken,
    ) -> Option<Result<ProvenGeneration, Failure>> {
        let (proof, rehearsal) = match (self.start(cancelled).await?, &self.rehearsal) {
            (Ok(proof), Some(rehearsal)) => (proof, rehearsal),
            (started, _) => return Some(started),
        };
        let tools = proof.results.lists[ListKind::Tools.index()].as_ref().ok();
        let run = rehearsal.run(&proof.running.connection, tools, &self.shared);
        let Some(result) = cancelled.run_until_cancelled(run).await else {
            stop(proof.running).await;
            return None;
        };
        let holds = self.context.spec.on_regression == OnRegression::Hold;
        if let (true, Some(regression)) = (holds, &result.regression) {
            let exit = stop(proof.running).await;
            return Some(Err(Failure {
                advice: Some(HELD_ADVICE.to_owned()),
                stderr: exit.stderr,
                held: true,
                ..Failure::new(self.number, regression.reason(&exit.how))
            }));
        }
        // A process that ended during a call is only reported: another one goes live without the calls.
        let proof = if proof.running.connection.is_closed() {
            stop(proof.running).await;
            match self.start(cancelled).await? {
                Ok(proof) => proof,
                Err(failure) => return Some(Err(failure)),
            }
        } else {
            proof
        };
        Some(Ok(ProvenGeneration {
            took: proof.running.since.elapsed(),
            rehearsal: Some(result),
            ..proof
        }))
    }
}
