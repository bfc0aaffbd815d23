//! The lists and resources whose changes a client follows: by `subscriptions/listen` in the modern era, by
//! `resources/subscribe` in the legacy one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::jsonrpc::{Members, RawId, RequestId, elements, notification, unquoted};
use crate::mcp::{ListKind, meta, tasks};

/// Member of a filter that names resources.
const RESOURCES: &str = "resourceSubscriptions";

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
    /// Other members of its filter, such as those of extensions: decoded names and raw values.
    extensions: Vec<(String, String)>,
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

    /// Returns the other members of the filters of all listen requests; arrays with the elements of all.
    pub(super) fn extensions(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in self.listens.iter().flat_map(|listen| &listen.extensions) {
            all.entry(name.clone())
                .and_modify(|known| *known = joined(known, value))
                .or_insert_with(|| value.clone());
        }
        all
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

    /// Returns the notification `method` of an extension, with `params`, for each listen request: one about a task only
    /// for those that follow the task.
    pub(super) fn of_extension(&self, method: &str, params: &str) -> Vec<TaggedLine> {
        if method != tasks::CHANGED {
            return self.tagged(method, params, |_| true);
        }
        let members = Members::of(params);
        let task = members.text("taskId").unwrap_or_default();
        self.tagged(method, params, |listen| listen.follows_task(&task))
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
    /// Creates the listen request that the session calls `key` from its line and its id. Returns its acknowledgement
    /// too; `has_extensions` is true if a server gets the members of its filter that the proxy does not know.
    pub(super) fn new(
        line: &str,
        id: RawId<'_>,
        key: RawId<'_>,
        has_extensions: bool,
    ) -> (Self, String) {
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
        let uris = filter.get(RESOURCES);
        if let Some(raw) = uris {
            acknowledged.set(RESOURCES, raw);
        }
        let extensions: Vec<_> = filter
            .iter()
            .filter(|(name, value)| !is_known(name) && !matches!(*value, "false" | "null"))
            .map(|(name, value)| (name.into_owned(), value.to_owned()))
            .collect();
        for (name, value) in extensions.iter().filter(|_| has_extensions) {
            acknowledged.set(name, value.as_str());
        }
        let uris = uris.and_then(elements).into_iter().flatten();
        let listen = Self {
            key: key.into(),
            id: id.into(),
            kinds,
            uris: uris.filter_map(unquoted).map(Cow::into_owned).collect(),
            extensions: extensions.clone(),
        };
        let method = "notifications/subscriptions/acknowledged";
        let line = listen.tagged(method, &format!(r#"{{"notifications":{acknowledged}}}"#));
        (listen, line)
    }

    /// Returns true if it asked for changes of this task.
    fn follows_task(&self, task: &str) -> bool {
        let filters = self.extensions.iter();
        let mut ids = filters
            .filter(|(name, _)| name == tasks::FILTER)
            .filter_map(|(_, ids)| elements(ids))
            .flatten();
        ids.any(|id| unquoted(id).is_some_and(|id| id == task))
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

/// Returns true for a member of a filter that the core of the protocol defines.
fn is_known(member: &str) -> bool {
    member == RESOURCES || ListKind::ALL.iter().any(|kind| kind.filter() == member)
}

/// Returns an array with the elements of both arrays, or `new` if they are not arrays.
fn joined(known: &str, new: &str) -> String {
    let (Some(mut all), Some(added)) = (elements(known), elements(new)) else {
        return new.to_owned();
    };
    for element in added {
        if !all.contains(&element) {
            all.push(element);
        }
    }
    format!("[{}]", all.join(","))
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
