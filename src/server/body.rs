//! What a generation consists of outside the proxy: a process, or a link to a remote server.

use std::time::Duration;

use crate::transport::child::Child;
use crate::transport::http::HttpLink;
use crate::transport::lines::Tail;

/// Lines of stderr that are shown with a failure.
pub(super) const SHOWN_STDERR: usize = 20;

/// A process or a link. Dropping it ends it.
#[derive(Debug)]
pub(crate) enum Body {
    Process(Child),
    Remote(Remote),
}

/// A link that is cut when it is dropped.
#[derive(Debug)]
pub(crate) struct Remote(pub(super) HttpLink);

impl Drop for Remote {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl Body {
    /// Waits until it has ended by itself, or has shown that it is of no use; a sentence fragment says how.
    pub(crate) async fn ended(&self) -> String {
        match self {
            Self::Process(child) => format!("exited with {}", child.exited().wait().await),
            Self::Remote(Remote(link)) => match link.trouble() {
                Some(trouble) => trouble,
                None => link.lost().await,
            },
        }
    }

    /// What it writes for people, complete once it has ended.
    pub(crate) fn stderr(&self) -> Option<Tail> {
        match self {
            Self::Process(child) => Some(child.stderr()),
            Self::Remote(_) => None,
        }
    }

    /// The processor time that all of it has taken, where that is known.
    pub(crate) fn processor_time(&self) -> Option<Duration> {
        match self {
            Self::Process(child) => child.processor_time(),
            Self::Remote(_) => None,
        }
    }

    /// Ends it; a process has `grace` to do so by itself.
    pub(crate) async fn stop(self, grace: Duration) {
        match self {
            Self::Process(child) => child.stop(grace).await,
            Self::Remote(remote) => remote.0.stop().await,
        }
    }
}
