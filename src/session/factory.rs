//! Opens the sessions of one run with their shared parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Delivery, Session};
use crate::event::EventSender;
use crate::fleet::{Fleet, FleetSetup, ToolCache, WatchSubscriptions};
use crate::meta_tools::OfferedMetaTools;
use crate::server::ProxyResources;
use crate::watcher::WatchError;

/// Parts that sessions are opened with. All sessions share the watcher; each has servers of its own.
pub(crate) struct SessionFactory {
    /// Servers to run.
    pub(crate) plan: FleetSetup,
    /// Resources that all servers are run with.
    pub(crate) means: ProxyResources,
    /// None if no files are watched.
    pub(crate) sources: Option<Arc<WatchSubscriptions>>,
    /// Last-known tools of servers, on disk.
    pub(crate) known: Option<Arc<ToolCache>>,
    /// Meta-tools that the clients are offered.
    pub(crate) offer: OfferedMetaTools,
    pub(crate) events: EventSender,
    /// True if a session was opened before.
    pub(crate) opened: AtomicBool,
}

impl SessionFactory {
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
