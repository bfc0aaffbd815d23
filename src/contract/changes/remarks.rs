//! Differences between two schemas that leave the accepted values as they are but may change the meaning: defaults,
//! formats, and members that are described.
//!
//! Both schemas are searched as a whole, and their remarks are compared by the place in the value that they concern.
//! So the form of a schema does not matter: a definition may be moved, and an alternative wrapped.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::super::coverage::undeclared;
use super::super::schema::References;

/// Keywords that constrain no value but tell its meaning.
const KEYWORDS: [&str; 5] = [
    "contentEncoding",
    "contentMediaType",
    "default",
    "format",
    "nullable",
];
/// Maximum nesting of schemas that are followed, including references.
const MAX_DEPTH: usize = 64;
/// Maximum number of schemas that are searched, with a definition counted at each place.
const MAX_STEPS: usize = 20_000;

/// Returns the differences of `new` from `old`, each as a sentence fragment.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let [old, new] = [old, new].map(RemarkSearch::of);
    let mut found = Vec::new();
    let mut skipped = HashSet::new();
    let places: BTreeSet<&String> = old.places.keys().chain(new.places.keys()).collect();
    let none = Remarks::default();
    for place in places {
        if enclosing(place).any(|it| skipped.contains(it)) {
            continue;
        }
        let [before, after] = [&old, &new].map(|it| it.places.get(place).unwrap_or(&none));
        found.extend(before.differences(after, place));
        for name in before.members.symmetric_difference(&after.members) {
            skipped.insert(member(place, name));
        }
    }
    if !(old.is_whole && new.is_whole) {
        found.push("parts of the schema are nested too deeply to be compared".to_owned());
    }
    found
}

/// Returns the place itself and the places around it.
fn enclosing(place: &str) -> impl Iterator<Item = &str> {
    let around = place.match_indices(['.', '[']).map(|(at, _)| &place[..at]);
    around.chain([place])
}

fn member(place: &str, name: &str) -> String {
    let dot = if place.is_empty() { "" } else { "." };
    format!("{place}{dot}{name}")
}

/// Treatment of members that a schema does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Undeclared {
    /// The schema accepts some.
    Accepted,
    /// The schema declares members and accepts any others.
    AcceptedBeside,
    Rejected,
}

/// Remarks on the values at one place.
#[derive(Debug, Default)]
struct Remarks<'a> {
    /// Keywords with their values.
    annotations: BTreeMap<&'static str, BTreeSet<String>>,
    /// Declared members.
    members: BTreeSet<&'a str>,
    /// Ways in which the schemas of objects treat undeclared members.
    undeclared: BTreeSet<Undeclared>,
    /// True if a schema is one around it.
    is_recursive: bool,
}

impl<'a> Remarks<'a> {
    fn add(&mut self, schema: &'a Map<String, Value>) {
        for keyword in KEYWORDS {
            if let Some(value) = schema.get(keyword) {
                let values = self.annotations.entry(keyword).or_default();
                values.insert(value.to_string());
            }
        }
        let declared = schema.get("properties").and_then(Value::as_object);
        let names = declared.into_iter().flat_map(Map::keys);
        self.members.extend(names.map(String::as_str));
        let rejects_others = schema.get("additionalProperties") == Some(&json!(false));
        let is_of_object = declared.is_some() || schema.get("type") == Some(&json!("object"));
        if rejects_others {
            self.undeclared.insert(Undeclared::Rejected);
        } else if is_of_object {
            self.undeclared.insert(Undeclared::Accepted);
            if declared.is_some() && undeclared(schema).is_none() {
                self.undeclared.insert(Undeclared::AcceptedBeside);
            }
        }
    }

    fn differences(&self, after: &Self, place: &str) -> Vec<String> {
        let mut found = Vec::new();
        let text = |values: Option<&BTreeSet<String>>| {
            let values = values.map(|it| it.iter().map(String::as_str).collect::<Vec<_>>());
            values.map_or_else(|| "none".to_owned(), |it| it.join(" or "))
        };
        for keyword in KEYWORDS {
            let [former, new] = [self, after].map(|it| it.annotations.get(keyword));
            if former != new {
                let (former, new) = (text(former), text(new));
                found.push(format!(
                    "{keyword} of `{place}` changed from {former} to {new}"
                ));
            }
        }
        if self.is_recursive != after.is_recursive {
            found.push(format!("`{place}` is recursive in one of the schemas only"));
        }
        let [rejected, accepted] = [Undeclared::Rejected, Undeclared::Accepted];
        let is_closed = after.undeclared.contains(&rejected);
        let is_open = after.undeclared.contains(&accepted);
        let was_free = self.undeclared.contains(&Undeclared::AcceptedBeside);
        if was_free && is_closed && !(self.undeclared.contains(&rejected) && is_open) {
            let inside = if place.is_empty() {
                String::new()
            } else {
                format!(" in `{place}`")
            };
            found.push(format!("undeclared members{inside} are no longer accepted"));
        }
        // A closed schema does not accept the member, which the comparison of the accepted values tells.
        let is_ignored = is_open || !is_closed;
        for name in self
            .members
            .difference(&after.members)
            .filter(|_| is_ignored)
        {
            let path = member(place, name);
            found.push(format!("`{path}` is no longer described"));
        }
        found
    }
}

/// Search for the remarks in one document.
struct RemarkSearch<'a> {
    references: References<'a>,
    places: BTreeMap<String, Remarks<'a>>,
    /// The root, and the targets of the references that lead to the present schema.
    followed: Vec<&'a Value>,
    steps: usize,
    /// False if a limit ended the search of a part.
    is_whole: bool,
}

impl<'a> RemarkSearch<'a> {
    fn of(root: &'a Value) -> Self {
        let mut search = Self {
            references: References::of(root),
            places: BTreeMap::new(),
            followed: vec![root],
            steps: 0,
            is_whole: true,
        };
        search.visit(root, "", 0);
        search
    }

    fn visit(&mut self, schema: &'a Value, place: &str, depth: usize) {
        self.steps += 1;
        if depth > MAX_DEPTH || self.steps > MAX_STEPS {
            self.is_whole = false;
            return;
        }
        let Value::Object(members) = schema else {
            return;
        };
        self.places
            .entry(place.to_owned())
            .or_default()
            .add(members);
        for (keyword, value) in members {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(reference)) => self.follow(reference, place, depth),
                ("properties", Value::Object(declared)) => {
                    for (name, schema) in declared {
                        self.visit(schema, &member(place, name), depth + 1);
                    }
                }
                ("patternProperties", Value::Object(patterns)) => {
                    for (pattern, schema) in patterns {
                        self.visit(schema, &member(place, &format!("/{pattern}/")), depth + 1);
                    }
                }
                ("dependentSchemas", Value::Object(schemas)) => {
                    for schema in schemas.values() {
                        self.visit(schema, place, depth + 1);
                    }
                }
                ("additionalProperties" | "unevaluatedProperties", _) => {
                    self.visit(value, &member(place, "*"), depth + 1);
                }
                ("propertyNames", _) => {
                    self.visit(value, &member(place, "(names)"), depth + 1);
                }
                ("items" | "prefixItems", Value::Array(tuple)) => {
                    for (at, schema) in tuple.iter().enumerate() {
                        self.visit(schema, &format!("{place}[{at}]"), depth + 1);
                    }
                }
                ("items" | "contains" | "additionalItems" | "unevaluatedItems", _) => {
                    self.visit(value, &format!("{place}[]"), depth + 1);
                }
                ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                    for schema in schemas {
                        self.visit(schema, place, depth + 1);
                    }
                }
                ("not" | "if" | "then" | "else" | "contentSchema", _) => {
                    self.visit(value, place, depth + 1);
                }
                _ => {}
            }
        }
    }

    /// Visits the target of a reference, unless the reference leads back to a schema around it.
    fn follow(&mut self, reference: &str, place: &str, depth: usize) {
        let Some(target) = self.references.resolve(reference) else {
            return;
        };
        if self.followed.iter().any(|it| std::ptr::eq(*it, target)) {
            self.places
                .entry(place.to_owned())
                .or_default()
                .is_recursive = true;
            return;
        }
        self.followed.push(target);
        self.visit(target, place, depth + 1);
        self.followed.pop();
    }
}
