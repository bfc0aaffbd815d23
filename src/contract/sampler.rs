//! Values that a schema accepts, chosen at the limits of it and of another schema.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::constraints::names;
use super::coverage::{branches, finite, undeclared};
use super::schema::{nodes, properties};
use super::validator::{Schema, Validity};

/// Maximum number of values of one schema, unless it lists its values.
const MAX_VALUES: usize = 64;
/// Maximum number of values that are tried of those that a schema lists.
const MAX_LISTED: usize = 500;
/// Maximum number of items or characters.
const MAX_LENGTH: usize = 2000;
/// Maximum nesting; a reference counts as [`REFERENCE_DEPTH`], since it may be recursive.
const MAX_DEPTH: usize = 12;
const REFERENCE_DEPTH: usize = 3;
/// Maximum number of members and items in all values together.
const MAX_SIZE: usize = 200_000;
/// Texts of common formats.
const TEXTS: [&str; 10] = [
    "a",
    "",
    "0",
    "A",
    "a b",
    "2026-01-31",
    "2026-01-31T12:00:00Z",
    "a@b.co",
    "https://example.com/",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
];

/// Returns values that fit `old`, so varied that some do not fit `new` if it accepts less.
pub(super) fn samples(old: Schema<'_>, new: Schema<'_>) -> Vec<Value> {
    let mut sampler = Sampler {
        texts: TEXTS.iter().map(|it| (*it).to_owned()).collect(),
        numbers: vec![json!(1), json!(0), json!(-1), json!(1.5), json!(1_000_000)],
        lengths: BTreeSet::from([0, 1, 2]),
        names: vec!["extra".to_owned()],
        same_roots: old.references.root == new.references.root,
        size: Cell::new(0),
    };
    sampler.add_limits(old.references.root);
    sampler.add_limits(new.references.root);
    sampler.values(old, Some(new), 0)
}

/// Declared member of an object.
struct DeclaredMember<'a> {
    name: &'a str,
    values: Vec<Value>,
    is_required: bool,
    /// True if its schema differs from the new one.
    is_changed: bool,
}

/// Limits that occur in the two schemas, and the size of the values so far.
struct Sampler {
    texts: Vec<String>,
    numbers: Vec<Value>,
    lengths: BTreeSet<usize>,
    names: Vec<String>,
    /// True if the documents of both schemas are equal.
    same_roots: bool,
    size: Cell<usize>,
}

impl Sampler {
    /// Adds the limits in a schema, and the values beside them.
    fn add_limits(&mut self, root: &Value) {
        for node in nodes(root, "") {
            let Value::Object(members) = node.schema else {
                continue;
            };
            for (keyword, value) in members {
                self.add_limit(keyword, value);
            }
        }
        self.texts.truncate(MAX_VALUES);
        self.numbers.truncate(MAX_VALUES);
        self.names.truncate(MAX_VALUES);
    }

    fn add_limit(&mut self, keyword: &str, value: &Value) {
        match (keyword, value) {
            ("minLength" | "maxLength" | "minItems" | "maxItems", _) => {
                let limit = value.as_u64().and_then(|it| usize::try_from(it).ok());
                let around = limit
                    .into_iter()
                    .flat_map(|it| [it.saturating_sub(1), it, it + 1]);
                if self.lengths.len() < MAX_VALUES {
                    self.lengths.extend(around.filter(|it| *it <= MAX_LENGTH));
                }
            }
            ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf", _) => {
                let Some(limit) = value.as_f64() else { return };
                let around = match value.as_i64() {
                    Some(it) => [it.saturating_sub(1), it, it.saturating_add(1)].map(Value::from),
                    None => [limit.floor(), limit, limit.ceil()].map(Value::from),
                };
                self.numbers.extend(around);
                self.numbers.push(Value::from(limit + 0.5));
                self.numbers.push(Value::from(limit - 0.5));
            }
            ("enum", Value::Array(values)) => {
                let texts = values.iter().filter_map(Value::as_str).take(MAX_VALUES / 4);
                self.texts.extend(texts.map(str::to_owned));
            }
            ("const", Value::String(text)) => self.texts.push(text.clone()),
            ("properties", Value::Object(declared)) => {
                self.names
                    .extend(declared.keys().take(MAX_VALUES / 4).cloned());
            }
            _ => {}
        }
    }

    /// Returns values of `old`; only one if `new` is the same schema.
    fn values(&self, old: Schema<'_>, new: Option<Schema<'_>>, depth: usize) -> Vec<Value> {
        let is_reference = old.node.get("$ref").is_some();
        let depth = depth + if is_reference { REFERENCE_DEPTH } else { 0 };
        self.size.set(self.size.get() + 1);
        let is_within = depth <= MAX_DEPTH && self.size.get() < MAX_SIZE;
        let (Some(old), true) = (old.resolved(), is_within) else {
            return Vec::new();
        };
        let new = new.and_then(Schema::resolved);
        let most = match finite(old.node) {
            _ if new.is_some_and(|new| old.is_same(new, self.same_roots)) => 1,
            Some(_) => MAX_LISTED,
            None => MAX_VALUES * 8,
        };
        let candidates = self.candidates(old, new, depth).into_iter();
        let values = candidates.filter(|it| old.verdict(it) == Validity::Fits);
        let values: Vec<Value> = values.take(most).collect();
        let sizes = values.iter().map(size);
        self.size.set(self.size.get().saturating_add(sizes.sum()));
        values
    }

    /// Returns values that may fit `old`.
    fn candidates(&self, old: Schema<'_>, new: Option<Schema<'_>>, depth: usize) -> Vec<Value> {
        if let Some(values) = finite(old.node) {
            // Values that the new schema does not list come first.
            let listed = new.and_then(|it| finite(it.node)).unwrap_or_default();
            let listed: HashSet<String> = listed.into_iter().map(Value::to_string).collect();
            let (kept, lost) = values
                .into_iter()
                .partition::<Vec<_>, _>(|it| listed.contains(&it.to_string()));
            return lost.into_iter().chain(kept).cloned().collect();
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = branches(old.node, keyword) {
                let values = branches
                    .iter()
                    .map(|it| self.values(old.at(it), new, depth + 1));
                return values.flatten().collect();
            }
        }
        let types = old.node.get("type").and_then(names);
        let types = types.unwrap_or_else(|| implied_types(old.node));
        let values = types.iter().map(|name| match *name {
            "null" => vec![Value::Null],
            "boolean" => vec![Value::Bool(true), Value::Bool(false)],
            "integer" | "number" => self.numbers.clone(),
            "string" => self.strings(),
            "array" => self.arrays(old, new, depth),
            "object" => self.objects(old, new, depth),
            _ => vec![json!([]), json!({})],
        });
        values.flatten().collect()
    }

    fn strings(&self) -> Vec<Value> {
        let long = self.lengths.iter().map(|length| "a".repeat(*length));
        let texts = self.texts.iter().cloned().chain(long);
        texts.map(Value::String).collect()
    }

    fn arrays(&self, old: Schema<'_>, new: Option<Schema<'_>>, depth: usize) -> Vec<Value> {
        let anything = Value::Bool(true);
        let item = old.at(old.node.get("items").unwrap_or(&anything));
        let new_item = new.and_then(|new| Some(new.at(new.node.get("items")?)));
        let tuple = old.node.get("prefixItems").and_then(Value::as_array);
        let mut first = Vec::new();
        for node in tuple.into_iter().flatten() {
            first.extend(
                self.values(old.at(node), None, depth + 1)
                    .into_iter()
                    .take(1),
            );
        }
        let items = self.values(item, new_item, depth + 1);
        let mut arrays = vec![Value::Array(first.clone())];
        let with = |items: &[Value]| Value::Array([&first[..], items].concat());
        arrays.extend(items.chunks(1).map(with));
        for length in self.lengths.iter().filter(|_| !items.is_empty()) {
            let cycle: Vec<Value> = items.iter().cycle().take(*length).cloned().collect();
            arrays.push(with(&cycle));
        }
        arrays
    }

    fn objects(&self, old: Schema<'_>, new: Option<Schema<'_>>, depth: usize) -> Vec<Value> {
        let anything = Value::Bool(true);
        let required = old.node.get("required").and_then(names).unwrap_or_default();
        let declared = properties(old.node);
        let mut members: Vec<DeclaredMember<'_>> = Vec::new();
        let described = declared.into_iter().flat_map(Map::keys).map(String::as_str);
        let bare = required
            .iter()
            .copied()
            .filter(|name| declared.is_none_or(|it| !it.contains_key(*name)));
        for name in described.chain(bare) {
            let schema = old.at(declared.and_then(|it| it.get(name)).unwrap_or(&anything));
            let new_schema = member_of(new, name);
            let values = self.values(schema, new_schema, depth + 1);
            let is_required = required.contains(&name);
            if values.is_empty() && is_required {
                return Vec::new();
            }
            let is_changed = new_schema.is_none_or(|new| !schema.is_same(new, self.same_roots));
            members.push(DeclaredMember {
                name,
                values,
                is_required,
                is_changed,
            });
        }
        let first = |required_only: bool| {
            let chosen = members.iter().filter(|it| it.is_required || !required_only);
            let pairs =
                chosen.filter_map(|it| Some((it.name.to_owned(), it.values.first()?.clone())));
            pairs.collect::<Map<String, Value>>()
        };
        let (least, most) = (first(true), first(false));
        let mut objects = vec![least.clone(), most.clone()];
        let mut size = self.size.get() + least.len() + most.len();
        let mut add = |from: &Map<String, Value>, name: &str, value: Option<&Value>| {
            size += from.len() + 1;
            if size < MAX_SIZE {
                let mut object = from.clone();
                match value {
                    Some(value) => object.insert(name.to_owned(), value.clone()),
                    None => object.shift_remove(name),
                };
                objects.push(object);
            }
        };
        for member in members.iter().filter(|it| it.is_changed) {
            if !member.is_required {
                add(&most, member.name, None);
            }
            for value in &member.values {
                add(&least, member.name, Some(value));
            }
        }
        if let Some(others) = old.node.as_object().and_then(undeclared) {
            for name in self.names.iter().filter(|name| !most.contains_key(*name)) {
                for value in self.values(old.at(others), member_of(new, name), depth + 1) {
                    add(&least, name, Some(&value));
                }
            }
        }
        objects.into_iter().map(Value::Object).collect()
    }
}

/// Returns the types to try for a schema that names none: arrays and objects without members unless it describes some,
/// since any value could be in them.
fn implied_types(schema: &Value) -> Vec<&'static str> {
    let has = |keywords: &[&str]| keywords.iter().any(|it| schema.get(it).is_some());
    let mut types = vec!["string", "integer", "boolean", "null", "any"];
    if has(&["items", "prefixItems", "minItems"]) {
        types.push("array");
    }
    if has(&["properties", "required", "additionalProperties"]) {
        types.push("object");
    }
    types
}

/// Returns the schema of a declared member.
fn member_of<'a>(schema: Option<Schema<'a>>, name: &str) -> Option<Schema<'a>> {
    let schema = schema?;
    Some(schema.at(properties(schema.node)?.get(name)?))
}

/// Returns the number of members and items in a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}
