//! `subscriptions/listen`: the streams on which a modern client receives change notifications.

use std::collections::BTreeSet;

use super::{RelatedRequest, Session};
use crate::jsonrpc::{Envelope, Members, elements, notification, quoted, unquoted};
use crate::mcp::{ListKind, meta};
use crate::server::ServerHandle;

/// One open listen request.
#[derive(Debug)]
pub(super) struct ListenRequest {
    /// Id that the session uses for it.
    pub(super) key: Box<str>,
    /// The client's raw id, which tags every notification of the stream.
    id: Box<str>,
    kinds: Vec<ListKind>,
    uris: BTreeSet<String>,
}

impl ListenRequest {
    /// Returns true if the client asked for changes of this list.
    pub(super) fn wants_list(&self, kind: ListKind) -> bool {
        self.kinds
            .iter()
            .any(|known| known.notification() == kind.notification())
    }

    /// Returns true if the client asked for updates of this resource.
    pub(super) fn follows(&self, uri: &str) -> bool {
        covers(&self.uris, uri)
    }

    /// Returns the notification `method` with the raw object `params`, tagged for this stream.
    fn tagged(&self, method: &str, params: &str) -> String {
        let mut params = Members::of(params);
        let old = params.get("_meta").unwrap_or("{}").to_owned();
        let mut members = Members::of(&old);
        members.set(meta::SUBSCRIPTION_ID, &*self.id);
        params.set("_meta", members.to_string());
        notification(method, Some(&params.to_string()))
    }
}

/// Id of a listen request, and a line for it.
pub(super) type TaggedLine = (Box<str>, String);

/// Returns the notification `method` with the raw object `params` for each of `listens`.
pub(super) fn tagged<'a>(
    listens: impl Iterator<Item = &'a ListenRequest>,
    method: &str,
    params: &str,
) -> Vec<TaggedLine> {
    listens
        .map(|listen| (listen.key.clone(), listen.tagged(method, params)))
        .collect()
}

impl Session {
    /// Opens a stream: acknowledges it immediately, answers it only when it ends.
    pub(super) fn listen(&self, line: &str, envelope: &Envelope<'_>, key: &str) {
        let message = Members::of(line);
        let params = message.object("params");
        let filter = params.object("notifications");
        let kinds: Vec<_> = [ListKind::Tools, ListKind::Prompts, ListKind::Resources]
            .into_iter()
            .filter(|kind| filter.get(kind.filter()) == Some("true"))
            .collect();
        let uris: BTreeSet<String> = filter
            .get("resourceSubscriptions")
            .and_then(elements)
            .into_iter()
            .flatten()
            .filter_map(|raw| unquoted(raw).map(std::borrow::Cow::into_owned))
            .collect();
        let mut acknowledged = Members::default();
        for kind in &kinds {
            acknowledged.set(kind.filter(), "true");
        }
        if let Some(raw) = filter.get("resourceSubscriptions") {
            acknowledged.set("resourceSubscriptions", raw);
        }
        let listen = ListenRequest {
            key: key.into(),
            id: envelope.id.unwrap_or(key).into(),
            kinds,
            uris,
        };
        let method = "notifications/subscriptions/acknowledged";
        let line = listen.tagged(method, &format!(r#"{{"notifications":{acknowledged}}}"#));
        let _ = self.delivery.send(&line, RelatedRequest::Listen(key));
        self.state().listens.push(listen);
        self.send_subscriptions();
    }

    /// Ends the stream with that id; returns false if it does not exist.
    pub(super) fn end_listen(&self, key: &str) -> bool {
        let ended = {
            let mut state = self.state();
            let before = state.listens.len();
            state.listens.retain(|listen| *listen.key != *key);
            state.listens.len() < before
        };
        if ended {
            self.send_subscriptions();
        }
        ended
    }

    /// Answers all listen requests: no more notifications will follow.
    pub(super) fn close_listens(&self) {
        let listens = std::mem::take(&mut self.state().listens);
        for listen in listens {
            let (tag, id) = (meta::SUBSCRIPTION_ID, &listen.id);
            let result = format!(r#"{{"resultType":"complete","_meta":{{"{tag}":{id}}}}}"#);
            self.answer_result(&listen.key, &result);
        }
    }

    /// Notifies the servers which resources the client subscribed to, with `resources/subscribe` or a listen request.
    pub(super) fn send_subscriptions(&self) {
        let (subscribed, followed): (BTreeSet<String>, BTreeSet<String>) = {
            let state = self.state();
            let followed = state.listens.iter().flat_map(|listen| &listen.uris);
            (state.subscribed.clone(), followed.cloned().collect())
        };
        let catalog = self.fleet.catalog();
        if catalog.sole().is_some() {
            return self.fleet.change_settings(|_, settings| {
                (settings.subscribed, settings.followed) = (subscribed.clone(), followed.clone());
            });
        }
        // A resource that no server lists may belong to any of them.
        let owned = |uris: &BTreeSet<String>, server: &ServerHandle, with_unlisted: bool| {
            let fits = |uri: &&String| match catalog.resource(uri) {
                Some(owner) => owner.is(server),
                None => with_unlisted,
            };
            uris.iter().filter(fits).cloned().collect::<BTreeSet<_>>()
        };
        let is_unlisted = |uri: &&String| catalog.resource(uri).is_none();
        let followed = &followed | &subscribed.iter().filter(is_unlisted).cloned().collect();
        self.fleet.change_settings(|server, settings| {
            settings.subscribed = owned(&subscribed, server, false);
            settings.followed = owned(&followed, server, true);
        });
    }

    /// Notifies every server of the client's subscriptions to its resources, after the resources were listed again.
    pub(super) fn resend_subscriptions(&self) {
        let follows = {
            let state = self.state();
            !state.subscribed.is_empty() || state.listens.iter().any(|it| !it.uris.is_empty())
        };
        if follows && !self.fleet.is_transparent() {
            self.send_subscriptions();
        }
    }

    /// Reports an updated resource to the client; `params` is the server's raw object.
    pub(super) fn resource_updated(&self, params: &str) {
        let uri = Members::of(params)
            .text("uri")
            .unwrap_or_default()
            .into_owned();
        let method = "notifications/resources/updated";
        let state = self.state();
        let follows = |listen: &&ListenRequest| listen.follows(&uri);
        let lines = tagged(state.listens.iter().filter(follows), method, params);
        let is_legacy_subscribed =
            state.hello.initialize.is_some() && covers(&state.subscribed, &uri);
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
            let _ = self.delivery.send(line, RelatedRequest::Listen(key));
        }
    }

    /// Reports that resources of `server` may have changed: all subscribed ones that it lists or no server lists.
    pub(super) fn resources_updated_of(&self, server: &str) {
        let uris: BTreeSet<String> = {
            let state = self.state();
            state
                .subscribed
                .iter()
                .chain(state.listens.iter().flat_map(|listen| &listen.uris))
                .cloned()
                .collect()
        };
        let catalog = self.fleet.catalog();
        let concerns = |uri: &String| {
            let owner = catalog.resource(uri);
            owner.is_none_or(|owner| owner.spec().name == server)
        };
        for uri in uris.into_iter().filter(concerns) {
            self.resource_updated(&format!(r#"{{"uri":{}}}"#, quoted(&uri)));
        }
    }
}

/// Returns true if `uri` equals one of `followed` or is a part of one: a server may report a part of a resource.
fn covers(followed: &BTreeSet<String>, uri: &str) -> bool {
    let parts = |known: &String| {
        let rest = uri.strip_prefix(known.as_str())?;
        Some(rest.is_empty() || known.ends_with('/') || rest.starts_with(['/', '?', '#']))
    };
    followed.iter().any(|known| parts(known) == Some(true))
}

/// Returns `params` without the subscription tag, which a legacy client does not know.
pub(super) fn untagged(params: &str) -> String {
    let mut members = Members::of(params);
    let Some(old) = members.get("_meta").map(ToOwned::to_owned) else {
        return params.to_owned();
    };
    let mut inner = Members::of(&old);
    if !inner.remove(meta::SUBSCRIPTION_ID) {
        return params.to_owned();
    }
    if inner.is_empty() {
        members.remove("_meta");
    } else {
        members.set("_meta", inner.to_string());
    }
    members.to_string()
}

#[cfg(test)]
mod tests;
