//! Opens the sessions of one run with their shared parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Delivery, Session};
use crate::event::EventSender;
use crate::fleet::{Fleet, FleetSetup, OpenFleets, ToolCache, WatchSubscriptions};
use crate::meta_tools::OfferedMetaTools;
use crate::recorder::Recorder;
use crate::server::ProxyResources;
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
    /// List of the fleets, for the page; needs the recorder, which numbers sessions.
    pub(crate) open_fleets: Option<OpenFleets>,
    /// True if a session was opened before.
    pub(crate) has_opened: AtomicBool,
}

impl SessionFactory {
    /// Opens a session whose client is reached by `delivery`; if `is_shared`, several clients are. Its servers start
    /// with its first message. Returns an error if the files of the only server cannot be watched.
    pub(crate) async fn open(
        &self,
        delivery: Arc<dyn Delivery>,
        is_shared: bool,
    ) -> Result<Arc<Session>, WatchError> {
        let setup = if self.has_opened.swap(true, Ordering::Relaxed) {
            self.setup.for_next_session().await
        } else {
            self.setup.clone()
        };
        let fleet = Fleet::new(
            setup,
            self.resources.clone(),
            self.subscriptions.clone(),
            self.tool_cache.clone(),
        );
        fleet.begin()?;
        let (meta_tools, events) = (self.meta_tools.clone(), self.events.clone());
        let recorder = self.recorder.as_ref().map(Recorder::session);
        if let (Some(open_fleets), Some(recorder)) = (&self.open_fleets, &recorder) {
            open_fleets.add(recorder.number(), &fleet);
        }
        Ok(Session::new(
            delivery, is_shared, fleet, meta_tools, events, recorder,
        ))
    }
}
