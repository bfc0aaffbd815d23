//! Opening sessions: what every one of a run is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Delivery, Session};
use crate::event::Events;
use crate::fleet::{Fleet, Known, Plan, Sources};
use crate::meta_tools::Offer;
use crate::server::Means;
use crate::watcher::WatchError;

/// What sessions are opened with. All of them share the watcher, and each has servers of its own.
pub(crate) struct Sessions {
    /// The servers.
    pub(crate) plan: Plan,
    /// What they are run with.
    pub(crate) means: Means,
    /// Nothing where nothing is watched.
    pub(crate) sources: Option<Arc<Sources>>,
    /// Last-known tools of servers, on disk.
    pub(crate) known: Option<Arc<Known>>,
    /// Which meta-tools the clients are offered.
    pub(crate) offer: Offer,
    pub(crate) events: Events,
    /// One was opened before.
    pub(crate) opened: AtomicBool,
}

impl Sessions {
    /// Opens a session whose client is reached by `out`, or several clients if it is `shared`. Its servers
    /// start with its first message. An error means that the only server's files cannot be watched.
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
