//! Opens the sessions of one run with their shared parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::stand_in::ClientStandIn;
use super::{Delivery, Session};
use crate::event::EventSender;
use crate::fleet::{Fleet, FleetSetup, OpenFleets, ToolCache, WatchSubscriptions};
use crate::meta_tools::OfferedMetaTools;
use crate::recorder::Recorder;
use crate::server::{ProxyResources, StandIn};
use crate::watcher::WatchError;

/// Parts that sessions are opened with. All sessions share the watcher; each has servers of its own.
pub(crate) struct SessionFactory {
    /// Servers to run.
    pub(crate) setup: FleetSetup,
    /// Resources that all servers are run with.
    pub(crate) resources: ProxyResources,
    /// None if no files are watched.
    pub(crate) subscriptions: Option<Arc<WatchSubscriptions>>,
    /// Last-known tools of servers, on disk.
    pub(crate) tool_cache: Option<Arc<ToolCache>>,
    /// Meta-tools that the clients are offered.
    pub(crate) meta_tools: OfferedMetaTools,
    pub(crate) events: EventSender,
    /// `None` if messages are not recorded.
    pub(crate) recorder: Option<Recorder>,
    /// List of the fleets, for the page.
    pub(crate) open_fleets: Option<OpenFleets>,
    /// Stand-in of the clients, on the page.
    pub(crate) stand_in: Option<Arc<StandIn>>,
    /// Number of sessions so far.
    pub(crate) opened: AtomicU64,
}

impl SessionFactory {
    /// Opens a session whose client is reached by `delivery`; if `is_shared`, several clients are. Its servers start
    /// with its first message. Returns an error if the files of the only server cannot be watched.
    pub(crate) async fn open(
        &self,
        delivery: Arc<dyn Delivery>,
        is_shared: bool,
    ) -> Result<Arc<Session>, WatchError> {
        let number = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        let setup = if number > 1 {
            self.setup.for_next_session().await
        } else {
            self.setup.clone()
        };
        let events = self.events.of_session(Some(number));
        let mut resources = self.resources.clone();
        resources.events = events.clone();
        let fleet = Fleet::new(
            setup,
            resources,
            self.subscriptions.clone(),
            self.tool_cache.clone(),
        );
        fleet.begin()?;
        let meta_tools = self.meta_tools.clone();
        let recorder = self.recorder.as_ref().map(|it| it.session(number));
        if let Some(open_fleets) = &self.open_fleets {
            open_fleets.add(number, &fleet);
        }
        let stand_in = self.stand_in.clone();
        let stand_in = stand_in.map(|it| ClientStandIn::new(it, number));
        Ok(Session::new(
            delivery, is_shared, fleet, meta_tools, events, recorder, stand_in,
        ))
    }
}
