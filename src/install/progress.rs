//! What an installation is at, told as it happens to whoever wants to show it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One thing that is worth showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A repository is asked what it has.
    Connecting(String),
    /// The commit that will be installed.
    Resolved {
        commit: String,
        reference: Option<String>,
    },
    /// Objects of the repository; `objects` of `total` are here and take `bytes`.
    Receiving {
        objects: u64,
        total: u64,
        bytes: u64,
    },
    /// Files of the repository are written.
    CheckingOut { files: u64, total: u64 },
    /// A command that fetches or builds what the server needs.
    Running(String),
    /// A line that such a command wrote.
    Output(String),
    /// What one should know, though nothing has failed.
    Note(String),
}

impl Step {
    /// What libgit2 counts.
    pub(super) fn receiving(stats: &git2::Progress<'_>) -> Self {
        Self::Receiving {
            objects: stats.indexed_objects() as u64,
            total: stats.total_objects() as u64,
            bytes: stats.received_bytes() as u64,
        }
    }
}

/// Who is told; called from several threads, and expected to be quick.
#[derive(Clone)]
pub(crate) struct Listener(Arc<dyn Fn(Step) + Send + Sync>);

impl Listener {
    pub(crate) fn new(tell: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Nobody.
    pub(crate) fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(super) fn tell(&self, step: Step) {
        (self.0)(step);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
