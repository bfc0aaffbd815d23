//! Proves that a schema accepts every value of another one.

use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::constraints::{compare, names};
use super::schema::{has_reference, is_annotation};
use super::validator::{Schema, Validity};

/// Maximum nesting of a proof.
const MAX_DEPTH: usize = 32;
/// Types of JSON Schema; an integer is a number as well.
const TYPES: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];
/// Keywords with schemas that concern the same value.
const APPLICATORS: [&str; 6] = [
    "allOf",
    "anyOf",
    "dependentSchemas",
    "else",
    "oneOf",
    "then",
];
/// Maximum number of pairs of schemas in a proof.
const MAX_STEPS: usize = 50_000;

/// Returns true if every value that `old` accepts is proven to be accepted by `new`. Members that `old` does not
/// declare are no part of its contract, unless it is an object without any declared members.
pub(super) fn covers(new: Schema<'_>, old: Schema<'_>) -> bool {
    let proof = CoverageProof {
        new,
        old,
        same_roots: new.references.root == old.references.root,
        steps: &Cell::new(0),
    };
    proof.holds(new.node, old.node, 0)
}

/// Schemas of a proof, with the documents that their references point into.
#[derive(Clone, Copy)]
struct CoverageProof<'a> {
    new: Schema<'a>,
    old: Schema<'a>,
    /// True if both documents are equal.
    same_roots: bool,
    /// Number of pairs compared so far.
    steps: &'a Cell<usize>,
}

impl CoverageProof<'_> {
    fn holds(self, new: &Value, old: &Value, depth: usize) -> bool {
        if accepts_all(new) || *old == false {
            return true;
        }
        self.steps.set(self.steps.get() + 1);
        if depth > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return false;
        }
        if self.new.at(new).is_same(self.old.at(old), self.same_roots) {
            return true;
        }
        let (Some(new), Some(old)) = (self.new.at(new).resolved(), self.old.at(old).resolved())
        else {
            return false;
        };
        if let Some(values) = finite(old.node) {
            let pairs = values.len() * finite(new.node).map_or(1, |it| it.len());
            self.steps.set(self.steps.get() + pairs / 16);
            if self.steps.get() > MAX_STEPS {
                return false;
            }
            return values.iter().all(|value| match old.verdict(value) {
                Validity::Fits => new.verdict(value) == Validity::Fits,
                Validity::Misfit(_) => true,
                Validity::Unknown => false,
            });
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = branches(old.node, keyword) {
                return branches
                    .iter()
                    .all(|old| self.holds(new.node, old, depth + 1));
            }
        }
        if let Some([only]) = branches(old.node, "allOf").as_deref() {
            return self.holds(new.node, only, depth + 1);
        }
        if let Some(Value::Array(types)) = old.node.get("type")
            && types.len() > 1
        {
            return types.iter().all(|one| {
                let mut old = old.node.clone();
                old["type"] = one.clone();
                self.holds(new.node, &old, depth + 1)
            });
        }
        let (Some(new), Some(old)) = (new.node.as_object(), old.node.as_object()) else {
            return accepts_all(new.node) || *old.node == false;
        };
        new.iter()
            .all(|(keyword, constraint)| self.implied(keyword, constraint, new, old, depth + 1))
    }

    /// Returns true if each value that fits `old` fits the constraint `keyword` of `new`.
    fn implied(
        self,
        keyword: &str,
        constraint: &Value,
        new: &Map<String, Value>,
        old: &Map<String, Value>,
        depth: usize,
    ) -> bool {
        if is_annotation(keyword) {
            return true;
        }
        let types = types(old);
        let concerns = concerned(keyword);
        if concerns.is_some_and(|it| !types.contains(&it)) {
            return true;
        }
        let same = || old.get(keyword) == Some(constraint) && !has_reference(constraint);
        match keyword {
            "type" => {
                let allowed = names(constraint).unwrap_or_default();
                let is_whole = old
                    .get("type")
                    .and_then(names)
                    .is_some_and(|it| !it.contains(&"number"));
                let fits = |it: &&str| {
                    allowed.contains(it)
                        || *it == "number" && is_whole && allowed.contains(&"integer")
                };
                types.iter().all(fits)
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                if constraint.is_number() {
                    bounds_implied(keyword, new, old)
                } else {
                    same()
                }
            }
            "minLength" | "minItems" | "minProperties" => {
                let [new, old] = [Some(constraint), old.get(keyword)].map(count);
                new.is_some_and(|new| new == 0 || old.is_some_and(|old| old >= new))
            }
            "maxLength" | "maxItems" | "maxProperties" => {
                let [new, old] = [Some(constraint), old.get(keyword)].map(count);
                new.is_some_and(|new| old.is_some_and(|old| old <= new))
            }
            "uniqueItems" => *constraint == false || same(),
            "required" => {
                let [new, old] = [Some(constraint), old.get(keyword)].map(|it| it.and_then(names));
                let old = old.unwrap_or_default();
                new.is_some_and(|new| new.iter().all(|name| old.contains(name)))
            }
            // Both keywords are judged together.
            "additionalProperties" if new.contains_key("properties") => true,
            "properties" | "additionalProperties" => self.members_implied(new, old, depth),
            "items" => {
                let tuples_agree = new.get("prefixItems") == old.get("prefixItems");
                let item = old.get("items").unwrap_or(&Value::Bool(true));
                let is_empty = count(old.get("maxItems")) == Some(0);
                is_empty
                    || !constraint.is_array() && tuples_agree && self.holds(constraint, item, depth)
            }
            "anyOf" | "allOf" => constraint.as_array().is_some_and(|constraints| {
                let old = Value::Object(old.clone());
                let holds = |new| self.holds(new, &old, depth);
                if keyword == "anyOf" {
                    constraints.iter().any(holds)
                } else {
                    constraints.iter().all(holds)
                }
            }),
            "oneOf" => self.exactly_one(constraint, old, depth),
            "if" | "unevaluatedItems" | "unevaluatedProperties" => false,
            _ => same(),
        }
    }

    /// Returns true if each declared member of `old` fits its schema in `new`.
    fn members_implied(
        self,
        new: &Map<String, Value>,
        old: &Map<String, Value>,
        depth: usize,
    ) -> bool {
        if new.contains_key("patternProperties") || old.contains_key("patternProperties") {
            return false;
        }
        let empty = Map::new();
        let [declared, former] = [new, old].map(|it| {
            it.get("properties")
                .and_then(Value::as_object)
                .unwrap_or(&empty)
        });
        let anything = Value::Bool(true);
        let others = new.get("additionalProperties").unwrap_or(&anything);
        let fit = |(name, old): (&String, &Value)| {
            self.holds(declared.get(name).unwrap_or(others), old, depth)
        };
        let required = old.get("required").and_then(names).unwrap_or_default();
        let mut bare = required.iter().filter(|name| !former.contains_key(**name));
        let bare_fit =
            bare.all(|name| self.holds(declared.get(*name).unwrap_or(others), &anything, depth));
        if !bare_fit || !former.iter().all(fit) {
            return false;
        }
        // Other parts of the schema may declare further members.
        let is_partial = APPLICATORS.iter().any(|it| old.contains_key(*it));
        let undeclared = match undeclared(old) {
            Some(undeclared) => undeclared,
            None if is_partial => &anything,
            None => return true,
        };
        let mut added = declared
            .iter()
            .filter(|(name, _)| !former.contains_key(*name));
        added.all(|(_, new)| self.holds(new, undeclared, depth))
            && self.holds(others, undeclared, depth)
    }

    /// Returns true if one alternative accepts all of `old`, and the others have different types.
    fn exactly_one(self, alternatives: &Value, old: &Map<String, Value>, depth: usize) -> bool {
        let Some(alternatives) = alternatives.as_array() else {
            return false;
        };
        let old_value = Value::Object(old.clone());
        let accepts = |new: &&Value| self.holds(new, &old_value, depth);
        let Some(accepting) = alternatives.iter().position(|it| accepts(&it)) else {
            return false;
        };
        let old_types = types(old);
        let is_apart = |new: &Value| {
            let new = self.new.at(new).resolved();
            let types = new.and_then(|it| Some(types(it.node.as_object()?)));
            types.is_some_and(|it| it.iter().all(|name| !old_types.contains(name)))
        };
        let mut others = alternatives
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != accepting);
        others.all(|(_, new)| is_apart(new))
    }
}

/// Returns true if a schema accepts every value.
fn accepts_all(schema: &Value) -> bool {
    match schema {
        Value::Bool(accepts) => *accepts,
        Value::Object(members) => members.keys().all(|it| is_annotation(it)),
        _ => false,
    }
}

/// Returns the only values that a schema may accept, if it lists them.
pub(super) fn finite(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// Returns the schemas of a combinator, each with the constraints beside it; `None` if there is no such combinator, or
/// if a constraint occurs in both places.
pub(super) fn branches(schema: &Value, keyword: &str) -> Option<Vec<Value>> {
    let members = schema.as_object()?;
    let branches = members.get(keyword)?;
    let mut beside = members.clone();
    beside.shift_remove(keyword);
    let merged = branches.as_array()?.iter().map(|branch| {
        let Value::Object(branch) = branch else {
            return Some(branch.clone()).filter(|_| beside.keys().all(|it| is_annotation(it)));
        };
        let mut merged = beside.clone();
        for (name, value) in branch {
            let is_annotation = is_annotation(name);
            match merged.get(name) {
                Some(other) if !is_annotation && other != value => return None,
                Some(_) if is_annotation => {}
                _ => {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
        let is_split = ["properties", "additionalProperties"];
        let [here, there] =
            [&beside, branch].map(|it| is_split.iter().any(|name| it.contains_key(*name)));
        // `additionalProperties` concerns the properties beside it only.
        (!(here && there)).then_some(Value::Object(merged))
    });
    merged.collect()
}

/// Returns the types that a schema may accept, without `integer`.
fn types(schema: &Map<String, Value>) -> Vec<&str> {
    let Some(named) = schema.get("type").and_then(names) else {
        return TYPES.to_vec();
    };
    let plain = |name| if name == "integer" { "number" } else { name };
    named.into_iter().map(plain).collect()
}

/// Returns the type of the values that a keyword constrains; `None` if it constrains all.
fn concerned(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => "number",
        "minLength" | "maxLength" | "pattern" => "string",
        "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems" | "contains"
        | "additionalItems" | "unevaluatedItems" | "minContains" | "maxContains" => "array",
        "properties"
        | "required"
        | "additionalProperties"
        | "patternProperties"
        | "propertyNames"
        | "minProperties"
        | "maxProperties"
        | "dependentRequired"
        | "dependentSchemas"
        | "dependencies"
        | "unevaluatedProperties" => "object",
        _ => return None,
    })
}

/// Returns the tighter of two bounds, and whether it excludes itself. `tighter` is the order of a tighter bound and a
/// wider one.
fn bound<'s>(
    schema: &'s Map<String, Value>,
    with: &str,
    without: &str,
    tighter: Ordering,
) -> Option<(&'s Number, bool)> {
    let [with, without] = [with, without].map(|it| schema.get(it).and_then(Value::as_number));
    match (with, without) {
        (Some(with), Some(without)) if compare(with, without) == Some(tighter) => {
            Some((with, false))
        }
        (_, Some(without)) => Some((without, true)),
        (Some(with), None) => Some((with, false)),
        (None, None) => None,
    }
}

/// Returns true if the bounds of `old` on the side that `keyword` limits are at least as tight as those of `new`.
fn bounds_implied(keyword: &str, new: &Map<String, Value>, old: &Map<String, Value>) -> bool {
    let (with, without, tighter) = match keyword {
        "minimum" | "exclusiveMinimum" => ("minimum", "exclusiveMinimum", Ordering::Greater),
        _ => ("maximum", "exclusiveMaximum", Ordering::Less),
    };
    let bounds = [new, old].map(|it| bound(it, with, without, tighter));
    let [Some((new, new_excludes)), Some((old, old_excludes))] = bounds else {
        return false;
    };
    match compare(old, new) {
        Some(Ordering::Equal) => old_excludes || !new_excludes,
        order => order == Some(tighter),
    }
}

fn count(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_u64)
}

/// Returns the schema of the members that an object does not declare; `None` if they are no part of the contract.
pub(super) fn undeclared(schema: &Map<String, Value>) -> Option<&Value> {
    const ANYTHING: &Value = &Value::Bool(true);
    let others = schema.get("additionalProperties").unwrap_or(ANYTHING);
    let has_declared = schema.contains_key("properties");
    let is_free = accepts_all(others);
    (*others != false && !(has_declared && is_free)).then_some(others)
}
