//! Lists of tools, prompts, resources and templates: raw entries with the names that route to them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use crate::event::ToolDiff;
use crate::jsonrpc::{Members, elements, unquoted};

/// The four lists of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ListKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

impl ListKind {
    /// All four.
    pub(crate) const ALL: [Self; 4] =
        [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// Returns the index in [`Self::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Returns the list that `method` requests.
    pub(crate) fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// Returns the list that the notification `method` reports as changed. Templates belong to the resources.
    pub(crate) fn of_notification(method: &str) -> Option<Self> {
        [Self::Tools, Self::Prompts, Self::Resources]
            .into_iter()
            .find(|kind| kind.notification() == method)
    }

    /// Returns the method that requests the list.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// Returns the notification that reports a change of the list.
    pub(crate) fn notification(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources | Self::Templates => "notifications/resources/list_changed",
        }
    }

    /// Returns the member of a listen filter that requests [`Self::notification`].
    pub(crate) fn filter(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources | Self::Templates => "resourcesListChanged",
        }
    }

    /// Returns the capability under which a server offers the list.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// Returns the member of the result that holds the entries.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// Returns the name of one entry for people.
    pub(crate) fn entry_name(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::Resources => "resource",
            Self::Templates => "resource template",
        }
    }

    /// Returns the member of an entry that names it.
    fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, URI or URI template.
    pub(crate) name: String,
    /// The entry as the server wrote it.
    pub(crate) raw: String,
}

impl Entry {
    /// Returns the URI of the resource that a tool names as its view (MCP Apps).
    pub(crate) fn view(&self) -> Option<Cow<'_, str>> {
        if !self.raw.contains("resourceUri") {
            return None;
        }
        let meta = Members::of(Members::of(&self.raw).original("_meta")?);
        let nested = || Members::of(meta.original("ui")?).original("resourceUri");
        // Before it was nested, the member had a name of its own.
        let uri = nested().or_else(|| meta.original("ui/resourceUri"));
        uri.and_then(unquoted)
    }

    /// Returns true if the tool is meant for views only (MCP Apps), not for models.
    pub(crate) fn is_hidden_from_models(&self) -> bool {
        if !self.raw.contains("visibility") {
            return false;
        }
        let tool = Members::of(&self.raw);
        let meta = tool.object("_meta");
        let ui = meta.object("ui");
        let visibility = ui.get("visibility").and_then(elements);
        let is_model = |raw: &&str| unquoted(raw).is_some_and(|it| it == "model");
        visibility.is_some_and(|it| !it.is_empty() && !it.iter().any(is_model))
    }
}

/// Entry that the client is not offered, because its definition would cost the client other entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WithheldEntry {
    pub(crate) entry: Entry,
    /// Reason, as a sentence without its period.
    pub(crate) reason: String,
}

/// Error for a result that is not a list of this kind, as a sentence fragment about the server.
#[derive(Debug, thiserror::Error)]
#[error("answered `{}` with a result without the array `{}`", .0.method(), .0.member())]
pub(crate) struct NoList(ListKind);

/// Complete list, with all pages merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Result of the first page as the server wrote it; its other members are kept.
    first: String,
    /// All entries.
    pub(crate) entries: Vec<Entry>,
    pages: usize,
    /// Cursor that is no string.
    odd_cursor: Option<String>,
    /// True if entries were left out, so that the first page is not the whole list.
    filtered: bool,
    /// Names of entries that [`Self::retain`] removed.
    left_out: Vec<String>,
    /// Names of entries that [`Self::leave_out_twins`] removed.
    twins: Vec<String>,
    /// Entries that [`Self::withhold`] removed.
    withheld: Vec<WithheldEntry>,
}

impl List {
    /// Adds a page, the result of a request. Returns the cursor of the next page.
    pub(crate) fn add_page(
        &mut self,
        kind: ListKind,
        result: &str,
    ) -> Result<Option<String>, NoList> {
        let page = Members::of(result);
        let entries = page.get(kind.member()).and_then(elements);
        let entries = entries.ok_or(NoList(kind))?;
        for raw in entries {
            let name = Members::of(raw)
                .text(kind.key())
                .map(Cow::into_owned)
                .unwrap_or_default();
            self.entries.push(Entry {
                name,
                raw: raw.to_owned(),
            });
        }
        let cursor = page.get("nextCursor").map(ToOwned::to_owned);
        if let Some(odd) = cursor.as_deref().filter(|it| !it.starts_with('"')) {
            self.odd_cursor = Some(odd.to_owned());
        }
        let cursor = cursor.filter(|cursor| cursor != "null");
        if self.pages == 0 {
            result.clone_into(&mut self.first);
        }
        self.pages += 1;
        Ok(cursor)
    }

    /// Returns the cursor of a page that is no string.
    pub(crate) fn odd_cursor(&self) -> Option<&str> {
        self.odd_cursor.as_deref()
    }

    /// Returns the result of the first page as the server wrote it.
    pub(crate) fn first_page(&self) -> &str {
        &self.first
    }

    /// Removes the entries whose names `admits` rejects.
    pub(crate) fn retain(&mut self, admits: impl Fn(&str) -> bool) {
        let rejected = |entry: &mut Entry| !admits(&entry.name);
        let removed = self.entries.extract_if(.., rejected);
        self.left_out.extend(removed.map(|entry| entry.name));
        self.filtered |= !self.left_out.is_empty();
    }

    /// Returns the names of the entries that were rejected.
    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Removes entries that have the same name as an earlier one.
    pub(crate) fn leave_out_twins(&mut self) {
        let mut known = HashSet::new();
        let is_twin = |entry: &mut Entry| !known.insert(entry.name.clone());
        let twins = self.entries.extract_if(.., is_twin);
        self.twins.extend(twins.map(|entry| entry.name));
        self.filtered |= !self.twins.is_empty();
    }

    /// Returns the names of the entries that were removed as twins.
    pub(crate) fn twins(&self) -> &[String] {
        &self.twins
    }

    /// Removes the entry with that name, for `reason`. Callers still find it. Returns false if there is none.
    pub(crate) fn withhold(&mut self, name: &str, reason: &str) -> bool {
        let Some(at) = self.entries.iter().position(|it| it.name == name) else {
            return false;
        };
        self.withheld.push(WithheldEntry {
            entry: self.entries.remove(at),
            reason: reason.to_owned(),
        });
        self.filtered = true;
        true
    }

    /// Returns the entries that were withheld.
    pub(crate) fn withheld(&self) -> &[WithheldEntry] {
        &self.withheld
    }

    /// Returns the reason for which the entry with that name was withheld.
    pub(crate) fn reason_withheld(&self, name: &str) -> Option<&str> {
        let withheld = self.withheld.iter().find(|it| it.entry.name == name)?;
        Some(&withheld.reason)
    }

    /// Returns all entries that can be called, offered or withheld.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let withheld = self.withheld.iter().map(|it| &it.entry);
        self.entries.iter().chain(withheld)
    }

    /// Returns all entries by name; of equal names the first, as [`Self::find`] does.
    pub(crate) fn by_name(&self) -> HashMap<&str, &Entry> {
        // The last collected entry of a name wins, so the reverse order keeps the first.
        let entries = self.all().rev();
        entries.map(|entry| (&*entry.name, entry)).collect()
    }

    /// Returns the entry with that name, offered or withheld.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.all().find(|entry| entry.name == name)
    }

    /// Returns the result to answer with: all entries and `extra` on one page, and the other members of the server's
    /// first page. An entry with the same name as an extra one is left out.
    pub(crate) fn result(&self, kind: ListKind, extra: &[Entry]) -> String {
        let whole = self.pages == 1 && !self.filtered && !self.first.contains("nextCursor");
        if whole && extra.is_empty() {
            return self.first.clone();
        }
        let mut array = String::from("[");
        let own: HashSet<&str> = extra.iter().map(|own| &*own.name).collect();
        let shadowed = |entry: &&Entry| own.contains(&*entry.name);
        for entry in self
            .entries
            .iter()
            .filter(|entry| !shadowed(entry))
            .chain(extra)
        {
            let comma = if array.len() > 1 { "," } else { "" };
            let _ = write!(array, "{comma}{}", entry.raw);
        }
        array.push(']');
        let mut result = Members::of(&self.first);
        result.set(kind.member(), array);
        result.remove("nextCursor");
        result.to_string()
    }
}

/// Returns the differences of the tools `new` from `old`, whether they are offered or withheld.
pub(crate) fn diff(old: &List, new: &List) -> ToolDiff {
    let (before, after) = (old.by_name(), new.by_name());
    let withheld = new.withheld.iter().map(|it| it.entry.name.clone());
    let mut diff = ToolDiff {
        left_out: withheld.collect(),
        ..ToolDiff::default()
    };
    for entry in new.all() {
        match before.get(&*entry.name) {
            None => diff.added.push(entry.name.clone()),
            Some(before) if before.raw != entry.raw => {
                let members = differing(&before.raw, &entry.raw);
                if !members.is_empty() {
                    diff.changed.push((entry.name.clone(), members));
                }
            }
            Some(_) => {}
        }
    }
    diff.removed = old
        .all()
        .filter(|entry| !after.contains_key(&*entry.name))
        .map(|entry| entry.name.clone())
        .collect();
    diff
}

/// Returns the names of the members in which two objects differ.
fn differing(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (Members::of(old), Members::of(new));
    let mut names: Vec<String> = Vec::new();
    for (name, _) in new.iter().chain(old.iter()) {
        if old.get(&name) != new.get(&name) && !names.iter().any(|known| *known == *name) {
            names.push(name.into_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests;
