//! Part of one server in a catalog: its entries under the names that clients see. A part is created once for each
//! snapshot, so that a catalog of many servers costs little when one of them changes.

use std::sync::Arc;

use super::names::public_name;
use crate::jsonrpc::{Members, OwnedJson, quoted};
use crate::mcp::{Entry, ListKind, Template};
use crate::server::Snapshot;

/// One server's part of a catalog; never changed.
#[derive(Debug)]
pub(super) struct CatalogPart {
    /// Snapshot that the part was created from, with the prefix and the limit below.
    snapshot: Arc<Snapshot>,
    prefix: String,
    max_name: usize,
    /// Items by [`ListKind::index`].
    lists: [Vec<CatalogItem>; 4],
}

/// One entry of a part.
#[derive(Debug)]
pub(super) struct CatalogItem {
    /// Name or URI that clients use.
    pub(super) name: Arc<str>,
    /// The entry under that name.
    pub(super) entry: Arc<Entry>,
    /// The server's own name for it; None if clients use the same name.
    pub(super) rename: Option<OwnedJson>,
    /// Parsed template, for a resource template.
    pub(super) template: Option<Arc<Template>>,
}

impl CatalogPart {
    /// Creates the part of a server with this prefix. A name has at most `max_name` characters.
    pub(super) fn new(snapshot: Arc<Snapshot>, prefix: &str, max_name: usize) -> Self {
        let lists = ListKind::ALL.map(|kind| {
            let list = snapshot.list(kind).into_iter();
            let entries = list.flat_map(|list| &list.entries);
            let items = entries.map(|entry| CatalogItem::new(kind, entry, prefix, max_name));
            items.collect()
        });
        Self {
            snapshot,
            prefix: prefix.to_owned(),
            max_name,
            lists,
        }
    }

    /// Returns true if [`Self::new`] would create the same part from these.
    pub(super) fn is_of(&self, snapshot: &Arc<Snapshot>, prefix: &str, max_name: usize) -> bool {
        Arc::ptr_eq(&self.snapshot, snapshot) && self.prefix == prefix && self.max_name == max_name
    }

    pub(super) fn items(&self, kind: ListKind) -> &[CatalogItem] {
        &self.lists[kind.index()]
    }
}

impl CatalogItem {
    fn new(kind: ListKind, entry: &Entry, prefix: &str, max_name: usize) -> Self {
        let own = &entry.name;
        let name = match kind {
            ListKind::Tools | ListKind::Prompts => public_name(prefix, own, max_name),
            // URIs are never rewritten.
            ListKind::Resources | ListKind::Templates => own.clone(),
        };
        let is_renamed = name != *own;
        let raw = if is_renamed {
            let mut members = Members::of(&entry.raw);
            members.set("name", quoted(&name));
            members.to_string()
        } else {
            entry.raw.clone()
        };
        Self {
            name: name.as_str().into(),
            rename: is_renamed.then(|| OwnedJson::of_text(own)),
            template: (kind == ListKind::Templates).then(|| Arc::new(Template::new(own))),
            entry: Arc::new(Entry { name, raw }),
        }
    }
}
