//! Keeps the client's subscriptions, and tells the client and the servers about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::route::Request;
use super::subscriptions::{ListenRequest, TaggedLine, untagged};
use super::{RelatedRequest, Session};
use crate::jsonrpc::{Members, RawId, notification, quoted};
use crate::mcp::{Era, tasks};
use crate::server::ServerHandle;

impl Session {
    /// Opens a stream: acknowledges it immediately, answers it only when it ends.
    pub(super) fn listen(&self, request: Request<'_>) {
        let key = request.id;
        let id = request.envelope.id.unwrap_or(key);
        let is_modern = |server: &ServerHandle| {
            let handshake = server.handshake();
            handshake.is_some_and(|it| it.era == Era::Modern)
        };
        let has_extensions = self.fleet.catalog().servers.iter().any(is_modern);
        let (listen, line) = ListenRequest::new(request.line, id, key, has_extensions);
        let _ = self.send(&line, RelatedRequest::Listen(key));
        self.state().subscriptions.open(listen);
        self.send_subscriptions();
    }

    /// Ends the stream with that id; returns false if it does not exist.
    pub(super) fn end_listen(&self, key: RawId<'_>) -> bool {
        let ended = self.state().subscriptions.close(key);
        if ended {
            self.send_subscriptions();
        }
        ended
    }

    /// Answers all listen requests: no more notifications will follow.
    pub(super) fn close_listens(&self) {
        let results = self.state().subscriptions.close_all();
        for (key, result) in results {
            self.answer_result(key.as_raw(), &result);
        }
    }

    /// Notifies the servers which resources the client subscribed to, with `resources/subscribe` or a listen request.
    pub(super) fn send_subscriptions(&self) {
        let ([subscribed, followed], extensions) = {
            let state = self.state();
            (state.subscriptions.uris(), state.subscriptions.extensions())
        };
        let catalog = self.fleet.catalog();
        if catalog.sole().is_some() {
            return self.fleet.change_settings(|_, settings| {
                (settings.subscribed, settings.followed) = (subscribed.clone(), followed.clone());
                settings.extensions.clone_from(&extensions);
            });
        }
        // A resource without an owner may belong to any of them.
        let uris = subscribed.union(&followed);
        let owners: HashMap<&str, _> = uris.map(|uri| (&**uri, catalog.owner(uri))).collect();
        let owner = |uri: &str| owners.get(uri).copied().flatten();
        let owned = |uris: &BTreeSet<String>, server: &ServerHandle, with_unlisted: bool| {
            let fits = |uri: &&String| match owner(uri) {
                Some(owner) => owner.is(server),
                None => with_unlisted,
            };
            uris.iter().filter(fits).cloned().collect::<BTreeSet<_>>()
        };
        let is_unlisted = |uri: &&String| owner(uri).is_none();
        let followed = &followed | &subscribed.iter().filter(is_unlisted).cloned().collect();
        self.fleet.change_settings(|server, settings| {
            settings.subscribed = owned(&subscribed, server, false);
            settings.followed = owned(&followed, server, true);
            settings.extensions = extensions_of(&extensions, &server.spec().name);
        });
    }

    /// Notifies every server of the client's subscriptions to its resources, after the resources were listed again.
    pub(super) fn resend_subscriptions(&self) {
        let has_any = {
            let subscriptions = &self.state().subscriptions;
            subscriptions.uris().iter().any(|uris| !uris.is_empty())
                || !subscriptions.extensions().is_empty()
        };
        if has_any && !self.fleet.is_transparent() {
            self.send_subscriptions();
        }
    }

    /// Reports an updated resource to the client; `params` are the server's.
    pub(super) fn resource_updated(&self, params: &str) {
        let uri = Members::of(params)
            .text("uri")
            .unwrap_or_default()
            .into_owned();
        let method = "notifications/resources/updated";
        let state = self.state();
        let lines = state.subscriptions.resource_updated(method, &uri, params);
        let is_legacy_subscribed =
            state.hello.initialize.is_some() && state.subscriptions.is_subscribed(&uri);
        drop(state);
        if is_legacy_subscribed {
            let line = notification(method, Some(&untagged(params)));
            self.send_notification(line, RelatedRequest::Nothing);
        }
        self.send_tagged(&lines);
    }

    /// Sends each line to its listen request.
    pub(super) fn send_tagged(&self, lines: &[TaggedLine]) {
        for (key, line) in lines {
            let _ = self.send(line, RelatedRequest::Listen(key.as_raw()));
        }
    }

    /// Reports that resources of `server` may have changed: all subscribed ones except those of other servers.
    pub(super) fn resources_updated_of(&self, server: &str) {
        let [subscribed, followed] = self.state().subscriptions.uris();
        let catalog = self.fleet.catalog();
        let concerns = |uri: &&String| {
            let owner = catalog.owner(uri);
            owner.is_none_or(|owner| owner.spec().name == server)
        };
        for uri in subscribed.union(&followed).filter(concerns) {
            self.resource_updated(&format!(r#"{{"uri":{}}}"#, quoted(uri)));
        }
    }
}

/// Returns the members of filters for one of several servers: of the tasks, its own under its own ids.
fn extensions_of(filters: &BTreeMap<String, String>, server: &str) -> BTreeMap<String, String> {
    let own = |(name, value): (&String, &String)| {
        let value = if name == tasks::FILTER {
            tasks::untag_list(value, server)?
        } else {
            value.clone()
        };
        Some((name.clone(), value))
    };
    filters.iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests;
