//! Subscriptions and log level of a client, and their changes on the way to its servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::ServerHandle;
use super::report::Command;
use crate::jsonrpc::OwnedJson;
use crate::lock::locked;

/// Subscriptions and log level of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    /// Log level that the client set.
    pub(crate) level: Option<OwnedJson>,
    /// True if the proxy must send a changed level to a running server; false if the client's own request does.
    pub(crate) send_level: bool,
    /// URIs of the resources that the client subscribed to with requests of the legacy era.
    pub(crate) subscribed: BTreeSet<String>,
    /// URIs of the resources named in `subscriptions/listen`.
    pub(crate) followed: BTreeSet<String>,
    /// Other members of the filters in `subscriptions/listen`, such as those of extensions: names and raw values.
    pub(crate) extensions: BTreeMap<String, String>,
}

impl ClientSettings {
    /// Returns the URIs of all these resources.
    pub(crate) fn uris(&self) -> BTreeSet<&str> {
        let all = self.subscribed.union(&self.followed);
        all.map(String::as_str).collect()
    }

    /// Returns true if both ask for the same with a listen stream.
    pub(crate) fn listens_like(&self, other: &Self) -> bool {
        self.uris() == other.uris() && self.extensions == other.extensions
    }

    /// Returns the URIs that only the proxy can subscribe to at a legacy server.
    pub(crate) fn proxy_only_uris(&self) -> BTreeSet<&str> {
        let followed = self.followed.difference(&self.subscribed);
        followed.map(String::as_str).collect()
    }
}

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
