//! External part of a generation: a process, a process with a link to its port, or a link to a remote server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::watch;

use super::http_process::ProcessDemand;
use super::serving_process::ServingProcess;
use crate::config::ProcessAddress;
use crate::transport::child::Child;
use crate::transport::http::{HttpLink, LinkError};
use crate::transport::lines::OutputTail;

/// Number of stderr lines that are shown with a failure.
pub(super) const SHOWN_STDERR: usize = 20;

/// Process or link. Dropping it ends it.
#[derive(Debug)]
pub(crate) enum Backend {
    Process(Child),
    HttpProcess(HttpProcess),
    Remote(LinkGuard),
}

/// Link to a process that serves HTTP.
#[derive(Debug)]
pub(crate) struct HttpProcess {
    /// Generations that follow a lost link, or a reload of its own, share it. The last one that is linked to it ends it.
    pub(super) process: Arc<ServingProcess>,
    pub(super) link: LinkGuard,
    /// Address as configured.
    pub(super) address: ProcessAddress,
    /// Demand that the process meets; `New` if it was started for this generation.
    pub(super) demand: ProcessDemand,
    /// Processes that listened on the port when the generation proved itself, if the process reloads itself.
    pub(super) instance: watch::Sender<BTreeSet<u32>>,
}

/// Link that is cut on drop.
#[derive(Debug)]
pub(crate) struct LinkGuard(pub(super) HttpLink);

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LinkGuard {
    /// Waits until the link is lost or failing; returns the reason and the HTTP status.
    async fn failed(&self) -> (String, Option<StatusCode>) {
        let LinkError { reason, status, .. } = match self.0.last_error() {
            Some(error) => error,
            None => self.0.lost().await,
        };
        (reason, status)
    }
}

impl Backend {
    /// Waits until the process has exited or the link is lost or failing; returns the reason as a sentence fragment,
    /// and the HTTP status of the link.
    pub(crate) async fn ended(&self) -> (String, Option<StatusCode>) {
        match self {
            Self::Process(child) => (format!("exited with {}", child.exited().wait().await), None),
            Self::HttpProcess(process) => {
                let mut exited = process.process.child.exited();
                tokio::select! {
                    biased;
                    status = exited.wait() => (format!("exited with {status}"), None),
                    end = process.link.failed() => end,
                }
            }
            Self::Remote(link) => link.failed().await,
        }
    }

    /// Returns the process, if it serves HTTP.
    pub(crate) fn http_process(&self) -> Option<&HttpProcess> {
        match self {
            Self::HttpProcess(process) => Some(process),
            Self::Process(_) | Self::Remote(_) => None,
        }
    }

    /// Returns the last stderr lines of a process, complete after its exit.
    pub(crate) fn stderr(&self) -> Option<OutputTail> {
        match self {
            Self::Process(child) => Some(child.stderr()),
            Self::HttpProcess(HttpProcess { process, .. }) => Some(process.child.stderr()),
            Self::Remote(_) => None,
        }
    }

    /// Returns the processor time used by the whole process group, where the system reports it.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        match self {
            Self::Process(child) => child.processor_time(),
            Self::HttpProcess(HttpProcess { process, .. }) => process.child.processor_time(),
            Self::Remote(_) => None,
        }
    }

    /// Stops the process or the link; a process has `grace` to exit on its own.
    pub(crate) async fn stop(self, grace: Duration) {
        match self {
            Self::Process(child) => child.stop(grace).await,
            // An open stream keeps most servers from exiting, and none exits because its stdin was closed.
            Self::HttpProcess(HttpProcess { process, link, .. }) => {
                drop(link);
                if let Some(process) = Arc::into_inner(process) {
                    process.child.stop(Duration::ZERO).await;
                }
            }
            Self::Remote(remote) => remote.0.stop().await,
        }
    }
}
