//! Opens the sessions of one run with their shared parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Delivery, Session};
use crate::event::Events;
use crate::fleet::{Fleet, Known, Plan, Sources};
use crate::meta_tools::Offer;
use crate::server::Means;
use crate::watcher::WatchError;

/// Parts that sessions are opened with. All sessions share the watcher; each has servers of its own.
pub(crate) struct Sessions {
    /// Servers to run.
    pub(crate) plan: Plan,
    /// Means that all servers are run with.
    pub(crate) means: Means,
    /// None if no files are watched.
    pub(crate) sources: Option<Arc<Sources>>,
    /// Last-known tools of servers, on disk.
    pub(crate) known: Option<Arc<Known>>,
    /// Meta-tools that the clients are offered.
    pub(crate) offer: Offer,
    pub(crate) events: Events,
    /// True if a session was opened before.
    pub(crate) opened: AtomicBool,
}

impl Sessions {
    /// Opens a session whose client is reached by `out`; if `shared`, several clients are. Its servers start with its
    /// first message. Returns an error if the files of the only server cannot be watched.
    pub(crate) fn open(
        &self,
        out: Arc<dyn Delivery>,
        shared: bool,
    ) -> Result<Arc<Session>, WatchError> {
        let plan = if self.opened.swap(true, Ordering::Relaxed) {
            self.plan.again()
        } else {
            self.plan.clone()
        };
        let fleet = Fleet::new(
            plan,
            self.means.clone(),
            self.sources.clone(),
            self.known.clone(),
        );
        fleet.begin()?;
        let (offer, events) = (self.offer.clone(), self.events.clone());
        Ok(Session::new(out, shared, fleet, offer, events))
    }
}
