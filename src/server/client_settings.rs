//! Changes of a client's subscriptions and log level, on their way to its servers.

use std::sync::atomic::Ordering;

use super::ServerHandle;
use super::handshake::ClientSettings;
use super::report::Report;
use crate::lock::locked;

impl ServerHandle {
    /// Changes the client's subscriptions or log level, for the running generation and all later ones.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut ClientSettings)) {
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

    /// Like [`Self::change_settings`], for the subscription to one resource; does not copy the other subscriptions.
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
        // One report covers all changes up to the moment at which the supervisor reads it.
        if !self.shared.wanted_told.swap(true, Ordering::Relaxed) {
            let _ = self.reports.send(Report::WantedChanged);
        }
    }
}
