//! What a client wants to hear of, on its way to its servers.

use std::sync::atomic::Ordering;

use super::ServerHandle;
use super::handshake::Wanted;
use super::report::Report;
use crate::lock::locked;

impl ServerHandle {
    /// Changes what the client wants to hear of; every later generation is told.
    pub(crate) fn want(&self, change: impl FnOnce(&mut Wanted)) {
        let changed = {
            let mut wanted = locked(&self.shared.wanted);
            let before = wanted.clone();
            change(&mut wanted);
            *wanted != before
        };
        if changed {
            self.tell_wanted();
        }
    }

    /// As [`Self::want`], for one resource that the client subscribes to, or no longer does; costs nothing for the
    /// others that it follows.
    pub(crate) fn follow(&self, uri: &str, follows: bool) {
        let changed = {
            let mut wanted = locked(&self.shared.wanted);
            if follows {
                wanted.subscribed.insert(uri.to_owned())
            } else {
                wanted.subscribed.remove(uri)
            }
        };
        if changed {
            self.tell_wanted();
        }
    }

    fn tell_wanted(&self) {
        // One report tells of all changes up to the moment at which it is read.
        if !self.shared.wanted_told.swap(true, Ordering::Relaxed) {
            let _ = self.reports.send(Report::WantedChanged);
        }
    }
}
