//! The fleets of all open sessions, for a reader that belongs to none.

use std::sync::{Arc, Mutex, Weak};

use super::{Fleet, FleetInner};
use crate::lock::locked;

/// Fleet with the number of its session.
type NumberedFleet = (u64, Weak<FleetInner>);

/// List of the fleets that have not been stopped. Keeps none of them alive. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct OpenFleets(Arc<Mutex<Vec<NumberedFleet>>>);

impl OpenFleets {
    /// Adds the fleet of the session with this number.
    pub(crate) fn add(&self, session: u64, fleet: &Fleet) {
        let mut fleets = locked(&self.0);
        fleets.retain(|(_, fleet)| fleet.strong_count() > 0);
        fleets.push((session, Arc::downgrade(&fleet.0)));
    }

    /// Returns the fleets with the numbers of their sessions.
    pub(crate) fn all(&self) -> Vec<(u64, Fleet)> {
        let fleets = locked(&self.0);
        let known = fleets.iter();
        let known = known.filter_map(|(session, fleet)| Some((*session, Fleet(fleet.upgrade()?))));
        known
            .filter(|(_, fleet)| !fleet.0.stopped.is_cancelled())
            .collect()
    }
}

impl std::fmt::Debug for OpenFleets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenFleets")
            .field(&locked(&self.0).len())
            .finish()
    }
}
