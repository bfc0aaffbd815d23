//! Changes of a client's subscriptions and log level, on their way to its servers.

use std::sync::atomic::Ordering;

use super::ServerHandle;
use super::handshake::ClientSettings;
use super::report::Command;
use crate::lock::locked;

impl ServerHandle {
    /// Changes the client's subscriptions or log level, for the running generation and all later ones.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut ClientSettings)) {
        let changed = {
            let mut settings = locked(&self.shared.client_settings);
            let before = settings.clone();
            change(&mut settings);
            *settings != before
        };
        if changed {
            self.report_settings();
        }
    }

    /// Like [`Self::change_settings`], for the subscription to one resource; does not copy the other subscriptions.
    pub(crate) fn follow(&self, uri: &str, follows: bool) {
        let changed = {
            let mut settings = locked(&self.shared.client_settings);
            if follows {
                settings.subscribed.insert(uri.to_owned())
            } else {
                settings.subscribed.remove(uri)
            }
        };
        if changed {
            self.report_settings();
        }
    }

    fn report_settings(&self) {
        // One report covers all changes up to the moment at which the supervisor reads it.
        if !self.shared.settings_reported.swap(true, Ordering::Relaxed) {
            self.command(Command::ApplySettings);
        }
    }
}
