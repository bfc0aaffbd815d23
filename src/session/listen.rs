//! `subscriptions/listen`: the streams on which a modern client hears what changes.

use std::collections::BTreeSet;

use super::Session;
use crate::jsonrpc::{Members, elements, notification, quoted, unquoted};
use crate::mcp::{ListKind, meta};
use crate::server::ServerHandle;

/// One open listen request.
#[derive(Debug)]
pub(super) struct Listen {
    /// Its raw id, which tags every notification of the stream.
    pub(super) id: Box<str>,
    kinds: Vec<ListKind>,
    uris: BTreeSet<String>,
}

impl Listen {
    /// Whether the client asked to hear of this list.
    pub(super) fn hears(&self, kind: ListKind) -> bool {
        self.kinds
            .iter()
            .any(|known| known.notification() == kind.notification())
    }

    /// Whether the client asked to hear of this resource.
    pub(super) fn follows(&self, uri: &str) -> bool {
        covers(&self.uris, uri)
    }

    /// `method` with the raw object `params`, tagged as belonging to this stream.
    pub(super) fn tagged(&self, method: &str, params: &str) -> String {
        let mut params = Members::of(params);
        let old = params.get("_meta").unwrap_or("{}").to_owned();
        let mut members = Members::of(&old);
        members.set(meta::SUBSCRIPTION_ID, &*self.id);
        params.set("_meta", members.to_string());
        notification(method, Some(&params.to_string()))
    }
}

impl Session {
    /// Opens a stream: acknowledged at once, answered only when it ends.
    pub(super) fn listen(&self, line: &str, id: &str) {
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
        let mut honoured = Members::default();
        for kind in &kinds {
            honoured.set(kind.filter(), "true");
        }
        if let Some(raw) = filter.get("resourceSubscriptions") {
            honoured.set("resourceSubscriptions", raw);
        }
        let listen = Listen {
            id: id.into(),
            kinds,
            uris,
        };
        let method = "notifications/subscriptions/acknowledged";
        self.send(&listen.tagged(method, &format!(r#"{{"notifications":{honoured}}}"#)));
        self.state().listens.push(listen);
        self.want_resources();
    }

    /// Ends the stream of that raw id; false if there is none.
    pub(super) fn end_listen(&self, id: &str) -> bool {
        let ended = {
            let mut state = self.state();
            let before = state.listens.len();
            state.listens.retain(|listen| *listen.id != *id);
            state.listens.len() < before
        };
        if ended {
            self.want_resources();
        }
        ended
    }

    /// Tells the servers which resources the client follows, in either way.
    pub(super) fn want_resources(&self) {
        let (subscribed, followed): (BTreeSet<String>, BTreeSet<String>) = {
            let state = self.state();
            let followed = state.listens.iter().flat_map(|listen| &listen.uris);
            (state.subscribed.clone(), followed.cloned().collect())
        };
        let catalog = self.fleet.catalog();
        if catalog.sole().is_some() {
            return self.fleet.want(|_, wanted| {
                (wanted.subscribed, wanted.followed) = (subscribed.clone(), followed.clone());
            });
        }
        // Of what no server lists, any may know.
        let owned = |uris: &BTreeSet<String>, server: &ServerHandle, or_nobodys: bool| {
            let fits = |uri: &&String| match catalog.resource(uri) {
                Some(owner) => owner.is(server),
                None => or_nobodys,
            };
            uris.iter().filter(fits).cloned().collect::<BTreeSet<_>>()
        };
        let nobodys = |uri: &&String| catalog.resource(uri).is_none();
        let followed = &followed | &subscribed.iter().filter(nobodys).cloned().collect();
        self.fleet.want(|server, wanted| {
            wanted.subscribed = owned(&subscribed, server, false);
            wanted.followed = owned(&followed, server, true);
        });
    }

    /// Lets every server know what of it the client follows, after the resources were listed anew.
    pub(super) fn follow_resources(&self) {
        let follows = {
            let state = self.state();
            !state.subscribed.is_empty() || state.listens.iter().any(|it| !it.uris.is_empty())
        };
        if follows && !self.fleet.is_transparent() {
            self.want_resources();
        }
    }

    /// Tells of a changed resource; `params` is the server's raw object.
    pub(super) fn resource_updated(&self, params: &str) {
        let uri = Members::of(params)
            .text("uri")
            .unwrap_or_default()
            .into_owned();
        let method = "notifications/resources/updated";
        let state = self.state();
        let lines: Vec<String> = state
            .listens
            .iter()
            .filter(|listen| listen.follows(&uri))
            .map(|listen| listen.tagged(method, params))
            .collect();
        let bare = state.hello.initialize.is_some() && covers(&state.subscribed, &uri);
        drop(state);
        if bare {
            self.send_when_initialized(notification(method, Some(&untagged(params))));
        }
        for line in lines {
            self.send(&line);
        }
    }

    /// Tells that the followed resources of `server`, and those that it may have unlisted, may have changed.
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

/// Whether `uri` is one of `followed` or part of one: a server may tell of a part of what was asked for.
fn covers(followed: &BTreeSet<String>, uri: &str) -> bool {
    followed.iter().any(|known| uri.starts_with(known.as_str()))
}

/// `params` without the tag of a stream that its reader does not know.
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
