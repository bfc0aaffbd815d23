//! Classes of changes between two lists of a server.
//!
//! A change of arguments breaks callers if and only if some arguments that fit the former schema do not fit the new
//! one. Such arguments prove that a change is *breaking*, and the structure of both schemas may prove that it is
//! *harmless*; without either proof, the change is worth a look. Undeclared arguments are no part of a contract. For
//! results it is the other way round: the former schema has to accept each new result.

mod remarks;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::constraints::Patterns;
use super::coverage::covers;
use super::sampler::samples;
use super::schema::{References, ignores_constraints, opened, plain, properties};
use super::validator::{Schema, Validity};
use crate::mcp::{Entry, List, ListKind};
use remarks::differences;

/// Maximum number of reasons for which one schema breaks callers.
const MAX_REASONS: usize = 5;

/// Effect of a change on callers, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing that was valid is invalid now.
    Harmless,
    /// The behaviour may have changed, or the effect is unknown.
    Look,
    /// Something that was valid is invalid now.
    Breaking,
}

impl Class {
    /// Returns the name for people and for JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Harmless => "harmless",
            Self::Look => "look",
            Self::Breaking => "breaking",
        }
    }
}

/// Change of one entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// List with the entry.
    pub(crate) kind: ListKind,
    /// Name, URI or URI template of the entry.
    pub(crate) name: String,
    pub(crate) class: Class,
    /// Change, as a sentence about a part of the entry, or as a sentence fragment about the entry.
    pub(crate) text: String,
}

/// Returns the changes from the list `old` to `new`, the gravest first.
pub(crate) fn changes(kind: ListKind, old: &List, new: &List) -> Vec<Change> {
    let (before, after) = (old.by_name(), new.by_name());
    let mut changes = Vec::new();
    for entry in old.all() {
        let found: Vec<(Class, String)> = match after.get(&*entry.name) {
            Some(after) if after.raw == entry.raw => continue,
            Some(after) => changed(kind, &entry.raw, &after.raw),
            None => vec![gone(kind, entry, new, &before)],
        };
        changes.extend(found.into_iter().map(|(class, text)| Change {
            kind,
            name: entry.name.clone(),
            class,
            text,
        }));
    }
    let added = new.all().filter(|it| !before.contains_key(&*it.name));
    changes.extend(added.map(|entry| Change {
        kind,
        name: entry.name.clone(),
        class: Class::Harmless,
        text: "is new".to_owned(),
    }));
    changes.sort_by_key(|it| std::cmp::Reverse(it.class));
    changes
}

/// Returns the reason why `arguments`, which fit the former definition of a tool, do not fit the new one, as a sentence
/// about an argument. Returns `None` if they fit both, or did not fit before.
pub(crate) fn outdated(old: &str, new: &str, arguments: &str) -> Option<String> {
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    let [old, new] = [parsed(old)?, parsed(new)?].map(|tool| tool.get("inputSchema").cloned());
    let (old, new, arguments) = (old?, new?, parsed(arguments)?);
    let patterns = Patterns::default();
    let [before, after] = [&old, &new].map(|it| {
        let references = References::of(it);
        Schema::new(&references, &patterns).verdict(&arguments)
    });
    match (before, after) {
        (Validity::Fits, Validity::Misfit(reason)) => Some(reason),
        _ => None,
    }
}

fn gone(
    kind: ListKind,
    entry: &Entry,
    new: &List,
    before: &HashMap<&str, &Entry>,
) -> (Class, String) {
    // Resources are data, which come and go.
    if kind == ListKind::Resources {
        return (Class::Look, "is gone".to_owned());
    }
    let arguments = |entry: &Entry| {
        let definition = serde_json::from_str::<Value>(&entry.raw).ok()?;
        let arguments = ["inputSchema", "arguments"]
            .iter()
            .find_map(|it| definition.get(it));
        arguments.map(plain)
    };
    let former = arguments(entry).filter(|it| properties(it).is_some_and(|it| !it.is_empty()));
    let is_same = |new: &&Entry| {
        !before.contains_key(&*new.name) && former.is_some() && arguments(new) == former
    };
    let text = match new.all().find(is_same) {
        Some(renamed) => format!("is gone; `{}` has the same arguments", renamed.name),
        None => "is gone".to_owned(),
    };
    (Class::Breaking, text)
}

fn changed(kind: ListKind, old: &str, new: &str) -> Vec<(Class, String)> {
    let parsed = |text| serde_json::from_str::<Value>(text).ok();
    let (Some(old), Some(new)) = (parsed(old), parsed(new)) else {
        return vec![(Class::Look, "changed, but cannot be compared".to_owned())];
    };
    let mut found = match kind {
        ListKind::Tools => [
            input_changes(&old["inputSchema"], &new["inputSchema"]),
            output_changes(old.get("outputSchema"), new.get("outputSchema")),
            hint_changes(&old["annotations"], &new["annotations"]),
        ]
        .concat(),
        ListKind::Prompts => prompt_changes(&old["arguments"], &new["arguments"]),
        ListKind::Resources | ListKind::Templates => {
            let is_other = old.get("mimeType") != new.get("mimeType");
            let look = is_other.then(|| (Class::Look, "`mimeType` changed".to_owned()));
            look.into_iter().collect()
        }
    };
    let compared = [
        "inputSchema",
        "outputSchema",
        "annotations",
        "arguments",
        "mimeType",
    ];
    let empty = Map::new();
    let [old, new] = [&old, &new].map(|it| it.as_object().unwrap_or(&empty));
    let is_other = |name: &&String| old.get(*name) != new.get(*name);
    let added = new.keys().filter(|name| !old.contains_key(*name));
    let others = old.keys().chain(added).filter(is_other);
    for name in others.filter(|it| !compared.contains(&&***it)) {
        found.push((Class::Harmless, format!("`{name}` changed")));
    }
    found
}

fn input_changes(old: &Value, new: &Value) -> Vec<(Class, String)> {
    if old == new {
        return Vec::new();
    }
    let mut found: Vec<_> = match acceptance(&arguments(old), &arguments(new)) {
        Acceptance::Proven if reads_alike(old, new) => Vec::new(),
        Acceptance::Proven | Acceptance::Unknown => {
            vec![(Class::Look, "former arguments may no longer fit".to_owned())]
        }
        Acceptance::Refuted(reasons) => reasons
            .into_iter()
            .map(|it| (Class::Breaking, it))
            .collect(),
    };
    found.extend(looks(old, new));
    if found.is_empty() {
        found.push((Class::Harmless, "accepts all former arguments".to_owned()));
    }
    found
}

/// Returns true if the dialects of both schemas read the constraints in them alike.
fn reads_alike(old: &Value, new: &Value) -> bool {
    ignores_constraints(old) == ignores_constraints(new)
}

/// Returns the schema of a tool's arguments without annotations. A tool that declares none takes none.
fn arguments(schema: &Value) -> Value {
    let mut arguments = plain(schema);
    if let Value::Object(members) = &mut arguments
        && ["properties", "$ref", "allOf", "anyOf", "oneOf"]
            .iter()
            .all(|it| !members.contains_key(*it))
    {
        members.insert("properties".to_owned(), json!({}));
    }
    arguments
}

fn output_changes(old: Option<&Value>, new: Option<&Value>) -> Vec<(Class, String)> {
    match (old, new) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![(Class::Harmless, "results have a schema now".to_owned())],
        (Some(_), None) => vec![(Class::Look, "results have no schema any more".to_owned())],
        (Some(old), Some(new)) if old == new => Vec::new(),
        (Some(old), Some(new)) => {
            let mut found = looks(old, new);
            // An added member harms no reader.
            match acceptance(&plain(new), &opened(&plain(old))) {
                Acceptance::Proven if reads_alike(old, new) => {}
                Acceptance::Proven | Acceptance::Unknown => {
                    found.push((Class::Look, "may not fit the former schema".to_owned()));
                }
                Acceptance::Refuted(reasons) => {
                    let breaking = |it| {
                        (
                            Class::Breaking,
                            format!("may break the former schema, in which {it}"),
                        )
                    };
                    found.extend(reasons.into_iter().map(breaking));
                }
            }
            if found.is_empty() {
                found.push((Class::Harmless, "fit the former schema".to_owned()));
            }
            let of_results = |(class, text)| (class, format!("results: {text}"));
            found.into_iter().map(of_results).collect()
        }
    }
}

/// Relation between the values that a sender may send and those that a receiver accepts.
enum Acceptance {
    /// The receiver accepts all of them.
    Proven,
    /// The receiver rejects some, for these reasons.
    Refuted(Vec<String>),
    Unknown,
}

fn acceptance(sent: &Value, accepted: &Value) -> Acceptance {
    let patterns = Patterns::default();
    let references = [sent, accepted].map(References::of);
    let schemas = references.each_ref();
    let [sent, accepted] = schemas.map(|it| Schema::new(it, &patterns));
    if covers(accepted, sent) {
        return Acceptance::Proven;
    }
    let reasons = reasons(sent, accepted)
        .into_iter()
        .map(|(_, reason)| reason);
    match reasons.collect::<Vec<_>>() {
        none if none.is_empty() => Acceptance::Unknown,
        some => Acceptance::Refuted(some),
    }
}

/// Returns values that fit `sent` and not `accepted`, each for another reason.
pub(super) fn reasons(sent: Schema<'_>, accepted: Schema<'_>) -> Vec<(Value, String)> {
    let mut found: Vec<(Value, String)> = Vec::new();
    for value in samples(sent, accepted) {
        if let Validity::Misfit(reason) = accepted.verdict(&value)
            && found.iter().all(|(_, known)| *known != reason)
        {
            found.push((value, reason));
        }
        if found.len() == MAX_REASONS {
            break;
        }
    }
    found
}

/// Returns changes that leave the accepted values as they are but may change the meaning.
fn looks(old: &Value, new: &Value) -> Vec<(Class, String)> {
    let found = differences(old, new).into_iter();
    found.map(|text| (Class::Look, text)).collect()
}

/// Compares annotations after filling in their defaults.
fn hint_changes(old: &Value, new: &Value) -> Vec<(Class, String)> {
    let hint = |annotations: &Value, name: &str, default: bool| {
        annotations
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    };
    let mut found = Vec::new();
    // The defaults are those of the specification.
    for (name, default, is_grave) in [
        ("readOnlyHint", false, false),
        ("destructiveHint", true, true),
        ("idempotentHint", false, false),
        ("openWorldHint", true, true),
    ] {
        let [before, after] = [old, new].map(|it| hint(it, name, default));
        if before != after {
            let class = if after == is_grave {
                Class::Look
            } else {
                Class::Harmless
            };
            found.push((class, format!("`{name}` changed to {after}")));
        }
    }
    if found.is_empty() && old != new {
        found.push((Class::Harmless, "`annotations` changed".to_owned()));
    }
    found
}

fn prompt_changes(old: &Value, new: &Value) -> Vec<(Class, String)> {
    let arguments = |list: &Value| -> Vec<(String, bool)> {
        let list = list.as_array().map_or(&[][..], Vec::as_slice).iter();
        let argument = |it: &Value| {
            let is_required = it.get("required").and_then(Value::as_bool).unwrap_or(false);
            Some((it.get("name")?.as_str()?.to_owned(), is_required))
        };
        list.filter_map(argument).collect()
    };
    let [before, after] = [old, new].map(arguments);
    let mut found = Vec::new();
    for (name, is_required) in &after {
        let was_required = before
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, required)| *required);
        match (was_required, is_required) {
            (None | Some(false), true) => {
                found.push((Class::Breaking, format!("`{name}` is required")));
            }
            (None, false) => found.push((Class::Harmless, format!("`{name}` is new"))),
            _ => {}
        }
    }
    for (name, _) in before
        .iter()
        .filter(|(name, _)| after.iter().all(|(it, _)| it != name))
    {
        found.push((Class::Look, format!("`{name}` is no longer described")));
    }
    if found.is_empty() && old != new {
        found.push((Class::Harmless, "`arguments` changed".to_owned()));
    }
    found
}

#[cfg(test)]
mod tests;
