//! Failure of a candidate, with advice.

use reqwest::StatusCode;

use super::super::advice;
use super::super::generation::{self, GenerationExit};
use super::super::handshake::ProofFailure;
use super::Candidate;
use crate::event::Failure;

impl Candidate {
    /// Returns the failure of the generation, which ended with `exit`; `has_era` is true if it completed its handshake.
    pub(super) fn failure(
        &self,
        proof_failure: &ProofFailure,
        exit: &GenerationExit,
        has_era: bool,
    ) -> Failure {
        let (spec, predecessor) = (&self.context.spec, !self.announce);
        let mut failure =
            generation::failure(self.number, proof_failure, Some(exit), predecessor, spec);
        if failure.may_pass() && failure.advice.is_none() {
            failure.advice = Some(advice::timeout_advice(predecessor, spec));
        }
        if let Some(era) = self.forced_era().filter(|_| !has_era)
            && self.may_lack_era(proof_failure, exit)
        {
            let known = failure.advice.map(|known| known + "; ");
            failure.advice = Some(known.unwrap_or_default() + &advice::forced_era(era));
        }
        failure
    }

    /// Returns true if the generation may have failed because it does not speak the era that the user set.
    fn may_lack_era(&self, proof_failure: &ProofFailure, exit: &GenerationExit) -> bool {
        match (proof_failure, exit.status) {
            (ProofFailure::Lost(_), Some(status)) => matches!(
                status,
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
            ),
            // Some servers of the legacy era exit at this request. A later exit is more likely that of broken code.
            (ProofFailure::Lost(method), None) => {
                *method == "server/discover" && self.shared.snapshot.borrow().generation == 0
            }
            (ProofFailure::Wrong(_) | ProofFailure::Refused(..) | ProofFailure::Late { .. }, _) => {
                true
            }
            _ => false,
        }
    }
}
