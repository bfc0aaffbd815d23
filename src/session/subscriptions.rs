//! The lists and resources whose changes a client follows: by `subscriptions/listen` in the modern era, by
//! `resources/subscribe` in the legacy one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::jsonrpc::{Members, RawId, RequestId, elements, notification, unquoted};
use crate::mcp::{ListKind, meta};

/// Everything that the client of a session follows.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Resources that a legacy client subscribed to.
    subscribed: BTreeSet<String>,
    /// Open `subscriptions/listen` requests.
    listens: Vec<ListenRequest>,
}

/// One open listen request.
#[derive(Debug)]
pub(super) struct ListenRequest {
    /// Id that the session uses for it.
    key: RequestId,
    /// The client's id, which tags every notification of the stream.
    id: RequestId,
    kinds: Vec<ListKind>,
    uris: BTreeSet<String>,
}

/// Key of a listen request, and a message for it.
pub(super) type TaggedLine = (RequestId, String);

impl Subscriptions {
    /// Records that a legacy client subscribed to a resource, or no longer does.
    pub(super) fn set(&mut self, uri: &str, is_subscribed: bool) {
        if is_subscribed {
            self.subscribed.insert(uri.to_owned());
        } else {
            self.subscribed.remove(uri);
        }
    }

    /// Adds a listen request.
    pub(super) fn open(&mut self, listen: ListenRequest) {
        self.listens.push(listen);
    }

    /// Removes a listen request; returns false if it does not exist.
    pub(super) fn close(&mut self, key: RawId<'_>) -> bool {
        let before = self.listens.len();
        self.listens.retain(|listen| listen.key != key);
        self.listens.len() < before
    }

    /// Removes all listen requests; returns the result of each.
    pub(super) fn close_all(&mut self) -> Vec<TaggedLine> {
        let tag = meta::SUBSCRIPTION_ID;
        let result = |ListenRequest { key, id, .. }| {
            let id = id.as_raw();
            let result = format!(r#"{{"resultType":"complete","_meta":{{"{tag}":{id}}}}}"#);
            (key, result)
        };
        self.listens.drain(..).map(result).collect()
    }

    /// Returns true if a listen request is open.
    pub(super) fn has_listens(&self) -> bool {
        !self.listens.is_empty()
    }

    /// Returns the resources that a legacy client subscribed to, and those of the listen requests.
    pub(super) fn uris(&self) -> [BTreeSet<String>; 2] {
        let followed = self.listens.iter().flat_map(|listen| &listen.uris);
        [self.subscribed.clone(), followed.cloned().collect()]
    }

    /// Returns true if a legacy client subscribed to this resource or to one that it is a part of.
    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        covers(&self.subscribed, uri)
    }

    /// Returns the notification about a changed list for each listen request that asked for it.
    pub(super) fn list_changed(&self, kind: ListKind) -> Vec<TaggedLine> {
        let method = kind.notification();
        let is_same = |known: &ListKind| known.notification() == method;
        self.tagged(method, "{}", |listen| listen.kinds.iter().any(is_same))
    }

    /// Returns the notification `method` about a resource, with `params`, for each listen request that follows the
    /// resource.
    pub(super) fn resource_updated(
        &self,
        method: &str,
        uri: &str,
        params: &str,
    ) -> Vec<TaggedLine> {
        self.tagged(method, params, |listen| covers(&listen.uris, uri))
    }

    /// Returns the notification `method`, with `params`, for each listen request that `wants` it.
    pub(super) fn tagged(
        &self,
        method: &str,
        params: &str,
        wants: impl Fn(&ListenRequest) -> bool,
    ) -> Vec<TaggedLine> {
        let listens = self.listens.iter().filter(|listen| wants(listen));
        let line = |listen: &ListenRequest| (listen.key.clone(), listen.tagged(method, params));
        listens.map(line).collect()
    }
}

impl ListenRequest {
    /// Creates the listen request that the session calls `key` from its line and its id. Returns its
    /// acknowledgement too.
    pub(super) fn new(line: &str, id: RawId<'_>, key: RawId<'_>) -> (Self, String) {
        let message = Members::of(line);
        let params = message.object("params");
        let filter = params.object("notifications");
        let kinds: Vec<_> = [ListKind::Tools, ListKind::Prompts, ListKind::Resources]
            .into_iter()
            .filter(|kind| filter.get(kind.filter()) == Some("true"))
            .collect();
        let mut acknowledged = Members::default();
        for kind in &kinds {
            acknowledged.set(kind.filter(), "true");
        }
        let uris = filter.get("resourceSubscriptions");
        if let Some(raw) = uris {
            acknowledged.set("resourceSubscriptions", raw);
        }
        let uris = uris.and_then(elements).into_iter().flatten();
        let listen = Self {
            key: key.into(),
            id: id.into(),
            kinds,
            uris: uris.filter_map(unquoted).map(Cow::into_owned).collect(),
        };
        let method = "notifications/subscriptions/acknowledged";
        let line = listen.tagged(method, &format!(r#"{{"notifications":{acknowledged}}}"#));
        (listen, line)
    }

    /// Returns the notification `method` with `params`, tagged for this stream.
    fn tagged(&self, method: &str, params: &str) -> String {
        let mut params = Members::of(params);
        let old = params.get("_meta").unwrap_or("{}").to_owned();
        let mut members = Members::of(&old);
        members.set(meta::SUBSCRIPTION_ID, self.id.as_raw().as_str());
        params.set("_meta", members.to_string());
        notification(method, Some(&params.to_string()))
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
