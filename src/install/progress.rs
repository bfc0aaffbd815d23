//! Progress of an installation, reported as it happens.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One reportable step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InstallStep {
    /// Lists the refs of a repository.
    Connecting(String),
    /// The commit that will be installed.
    Resolved {
        commit: String,
        reference: Option<String>,
    },
    /// Receives objects of the repository; `objects` of `total` have arrived, `bytes` in size.
    Receiving {
        objects: u64,
        total: u64,
        bytes: u64,
    },
    /// Writes files of the repository.
    CheckingOut { files: u64, total: u64 },
    /// Runs a command that fetches or builds dependencies.
    Running(String),
    /// Line of output of such a command.
    Output(String),
    /// Note that is not a failure.
    Note(String),
}

impl InstallStep {
    /// Converts the counters of libgit2.
    pub(super) fn receiving(stats: &git2::Progress<'_>) -> Self {
        Self::Receiving {
            objects: stats.indexed_objects() as u64,
            total: stats.total_objects() as u64,
            bytes: stats.received_bytes() as u64,
        }
    }
}

/// Receiver of the steps; called from several threads, and must return quickly.
#[derive(Clone)]
pub(crate) struct StepListener(Arc<dyn Fn(InstallStep) + Send + Sync>);

impl StepListener {
    pub(crate) fn new(tell: impl Fn(InstallStep) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Returns a listener that ignores all steps.
    pub(crate) fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(super) fn report(&self, step: InstallStep) {
        (self.0)(step);
    }
}

impl fmt::Debug for StepListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepListener").finish_non_exhaustive()
    }
}
