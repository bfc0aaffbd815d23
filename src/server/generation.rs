//! One start of a server, at its stages, and the failures that end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::advice::{self, Holder};
use super::backend::Backend;
use super::call::Call;
use super::client_settings::ClientSettings;
use super::connection::Connection;
use super::handshake::{Handshake, ProofFailure};
use super::lists::Lists;
use super::rehearsing::RehearsalResult;
use super::replay::ListenStream;
use crate::config::ServerSpec;
use crate::event::{Failure, NextTry};
use crate::transport::http::LinkError;

/// Generation whose process runs, or that is linked to its remote server.
#[derive(Debug)]
pub(crate) struct RunningGeneration {
    pub(crate) connection: Arc<Connection>,
    pub(crate) backend: Backend,
    pub(crate) since: Instant,
}

/// Generation that may go live.
#[derive(Debug)]
pub(crate) struct ProvenGeneration {
    pub(crate) running: RunningGeneration,
    pub(crate) results: ProofResults,
    /// Time from the start to the proof.
    pub(crate) took: Duration,
    /// Result of the rehearsal, if there was one.
    pub(crate) rehearsal: Option<RehearsalResult>,
}

/// Results of the proof of a generation.
#[derive(Debug)]
pub(crate) struct ProofResults {
    pub(crate) handshake: Arc<Handshake>,
    pub(crate) lists: Lists,
    /// Listen stream of a modern server.
    pub(crate) stream: Option<ListenStream>,
    /// Client's settings that the generation was given.
    pub(crate) sent_settings: ClientSettings,
}

/// End of a generation.
#[derive(Debug)]
pub(crate) struct GenerationExit {
    /// Reason as a sentence fragment: `exited with status 1`.
    pub(crate) how: String,
    /// HTTP status with which a remote server refused.
    pub(crate) status: Option<StatusCode>,
    /// True if only the link to a process was lost, or its session: the process runs on.
    pub(crate) runs_on: bool,
    pub(crate) stderr: Vec<String>,
    /// Calls that the generation did not answer.
    pub(crate) calls: Vec<Call>,
}

/// Returns the failure of a generation of `spec` that was refused or has ended; `predecessor` is true if an old process
/// was running.
pub(crate) fn failure(
    number: u64,
    proof_failure: &ProofFailure,
    exit: Option<&GenerationExit>,
    predecessor: bool,
    spec: &ServerSpec,
) -> Failure {
    let how = exit.map_or("ended", |exit| exit.how.as_str());
    let reason = match proof_failure {
        // The end of a remote link already has a complete reason.
        ProofFailure::Lost(_) if spec.remote.is_some() => how.to_owned(),
        proof_failure => proof_failure.reason(how),
    };
    if spec.remote.is_some() {
        let status = exit.and_then(|exit| exit.status);
        let error = LinkError {
            status,
            ..LinkError::from(reason)
        };
        return remote_failure(number, error);
    }
    let stderr = exit.map(|ending| ending.stderr.clone()).unwrap_or_default();
    let holder = advice::holder(&stderr, predecessor, spec);
    let (advice, may_pass) = match proof_failure {
        ProofFailure::Refused(_, advice)
        | ProofFailure::Late {
            advice: Some(advice),
            ..
        } => (Some(advice.clone()), false),
        _ => match holder {
            Some(holder) => (Some(holder.advice().to_owned()), holder == Holder::Other),
            None => advice::of_exit(&stderr, proof_failure, spec),
        },
    };
    let next_try = match proof_failure {
        ProofFailure::Late { .. } => NextTry::LongerCall,
        _ if may_pass => NextTry::Call,
        _ => NextTry::Save,
    };
    Failure {
        advice,
        stderr,
        next_try,
        ..Failure::new(number, reason)
    }
}

/// Returns the failure to reach a remote server, with advice that depends on the HTTP status.
pub(super) fn remote_failure(generation: u64, error: LinkError) -> Failure {
    let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    let advice = if error.status.is_some_and(|it| denied.contains(&it)) {
        "check the server's `headers` in the configuration, such as Authorization"
    } else {
        "the proxy retries the connection; the session stays open"
    };
    Failure {
        advice: Some(advice.to_owned()),
        remote: true,
        ..Failure::new(generation, error.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_says_that_the_headers_are_wrong() {
        for (reason, status, is_denied) in [
            ("answered", Some(StatusCode::UNAUTHORIZED), true),
            ("answered", Some(StatusCode::FORBIDDEN), true),
            (
                "answered: upstream said HTTP 401",
                Some(StatusCode::BAD_GATEWAY),
                false,
            ),
            (
                "cannot be reached at http://localhost/HTTP 401",
                None,
                false,
            ),
        ] {
            let reason = reason.to_owned();
            let error = LinkError {
                status,
                ..LinkError::from(reason)
            };
            let failure = remote_failure(1, error);
            let advice = failure.advice.unwrap();
            assert_eq!(
                advice.contains("`headers`"),
                is_denied,
                "{}",
                failure.reason
            );
        }
    }
}
