//! External part of a generation: a process, or a link to a remote server.

use std::time::Duration;

use reqwest::StatusCode;

use crate::transport::child::Child;
use crate::transport::http::{HttpLink, LinkError};
use crate::transport::lines::OutputTail;

/// Number of stderr lines that are shown with a failure.
pub(super) const SHOWN_STDERR: usize = 20;

/// Process or link. Dropping it ends it.
#[derive(Debug)]
pub(crate) enum Backend {
    Process(Child),
    Remote(LinkGuard),
}

/// Link that is cut on drop.
#[derive(Debug)]
pub(crate) struct LinkGuard(pub(super) HttpLink);

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Backend {
    /// Waits until the process has exited or the link is lost or failing; returns the reason as a sentence fragment,
    /// and the HTTP status of the link.
    pub(crate) async fn ended(&self) -> (String, Option<StatusCode>) {
        match self {
            Self::Process(child) => (format!("exited with {}", child.exited().wait().await), None),
            Self::Remote(LinkGuard(link)) => {
                let LinkError { reason, status } = match link.last_error() {
                    Some(error) => error,
                    None => link.lost().await,
                };
                (reason, status)
            }
        }
    }

    /// Returns the last stderr lines of a process, complete after its exit.
    pub(crate) fn stderr(&self) -> Option<OutputTail> {
        match self {
            Self::Process(child) => Some(child.stderr()),
            Self::Remote(_) => None,
        }
    }

    /// Returns the processor time used by the whole process group, where the system reports it.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        match self {
            Self::Process(child) => child.processor_time(),
            Self::Remote(_) => None,
        }
    }

    /// Stops the process or the link; a process has `grace` to exit on its own.
    pub(crate) async fn stop(self, grace: Duration) {
        match self {
            Self::Process(child) => child.stop(grace).await,
            Self::Remote(remote) => remote.0.stop().await,
        }
    }
}
