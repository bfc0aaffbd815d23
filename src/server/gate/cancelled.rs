//! Requests that their clients have cancelled while they were on their way back from a generation to the gate.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::super::call::{Call, ResponseSink};
use super::Gate;
use crate::jsonrpc::{RawId, RequestId};

/// Maximum number of remembered requests.
const MAX: usize = 64;
/// Maximum size in bytes of the id of a remembered request.
const MAX_ID_BYTES: usize = 1024;

/// Cancelled requests, most of which were answered before and never return; the oldest first.
#[derive(Debug, Default)]
pub(super) struct CancelledRequests(VecDeque<(Weak<dyn ResponseSink>, RequestId)>);

impl CancelledRequests {
    /// Adds the request `id` of `sink`, unless its id is very long; forgets the oldest one if there are too many.
    pub(super) fn add(&mut self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>) {
        if id.as_str().len() > MAX_ID_BYTES {
            return;
        }
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back((Arc::downgrade(sink), id.into()));
    }

    /// Forgets the request of `call`; returns false if it is not among them.
    pub(super) fn take(&mut self, call: &Call) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let (sink, before) = (Arc::downgrade(&call.sink), self.0.len());
        self.0
            .retain(|(of, id)| *id != call.id || !Weak::ptr_eq(of, &sink));
        self.0.len() < before
    }
}

impl Gate {
    /// Remembers that the client has cancelled a request that is neither here nor at a generation: it may be on its way.
    pub(crate) fn cancel_returning(&self, sink: &Arc<dyn ResponseSink>, id: RawId<'_>) {
        self.lock().cancelled.add(sink, id);
    }

    /// Returns true if the client has cancelled `call` on its way from a generation to here.
    pub(crate) fn is_cancelled(&self, call: &Call) -> bool {
        self.lock().cancelled.take(call)
    }
}
