//! Validates values against JSON Schemas, and names the member that does not fit.
//!
//! Knows the keywords that tools use. The verdict on any other constraint is *unknown*, never a guess.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Map, Value};

use super::constraints::{Patterns, alternatives, equal, in_bound, is_of_type, length, names};
use super::schema::{References, has_reference, is_annotation};

/// Maximum nesting of schemas that are followed, including references.
const MAX_DEPTH: usize = 64;
/// Maximum number of schemas that are evaluated for a value: references in circles double with each level.
const MAX_STEPS: usize = 50_000;
/// Keywords that constrain values and that the validator does not know.
const UNKNOWN: [&str; 11] = [
    "$dynamicRef",
    "$recursiveRef",
    "additionalItems",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Position of an evaluation between its limits.
#[derive(Debug, Clone, Copy)]
struct Progress<'a> {
    depth: usize,
    /// Number of schemas evaluated so far.
    steps: &'a Cell<usize>,
}

impl Progress<'_> {
    fn deeper(self) -> Self {
        Self {
            depth: self.depth + 1,
            ..self
        }
    }

    /// Counts a schema; returns true if it is beyond the limits.
    fn is_at_limit(self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.depth > MAX_DEPTH || self.steps.get() > MAX_STEPS
    }
}

/// Result of a validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Validity {
    Fits,
    /// The value does not fit, for this reason: a sentence that begins with the member.
    Misfit(String),
    Unknown,
}

/// Schema with the document that its references point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'a> {
    pub(super) references: &'a References<'a>,
    pub(super) node: &'a Value,
    patterns: &'a Patterns,
}

impl<'a> Schema<'a> {
    /// Creates the schema of a whole document; `patterns` keeps the patterns in it.
    pub(super) fn new(references: &'a References<'a>, patterns: &'a Patterns) -> Self {
        let node = references.root;
        Self {
            references,
            node,
            patterns,
        }
    }

    /// Returns another schema of the same document.
    pub(super) fn at(self, node: &'a Value) -> Self {
        Self { node, ..self }
    }

    /// Returns the schema behind references; `None` if there is none, or if there are constraints beside a reference.
    pub(super) fn resolved(self) -> Option<Self> {
        let mut schema = self;
        for _ in 0..MAX_DEPTH {
            let Some(reference) = schema.node.get("$ref") else {
                return Some(schema);
            };
            let mut members = schema.node.as_object()?.keys();
            if !members.all(|it| it == "$ref" || is_annotation(it)) {
                return None;
            }
            schema = schema.at(self.references.resolve(reference.as_str()?)?);
        }
        None
    }

    /// Returns true if both schemas are known to accept the same; `same_roots` is true if their documents are equal.
    pub(super) fn is_same(self, other: Self, same_roots: bool) -> bool {
        self.node == other.node && (same_roots || !has_reference(self.node))
    }

    /// Validates a value.
    pub(super) fn verdict(self, value: &Value) -> Validity {
        let steps = &Cell::new(0);
        self.validate(value, &Path::Root, Progress { depth: 0, steps })
    }

    fn validate(self, value: &Value, path: &Path<'_>, progress: Progress<'_>) -> Validity {
        let members = match self.node {
            Value::Bool(true) => return Validity::Fits,
            Value::Bool(false) => return Validity::Misfit(format!("{path} is not allowed")),
            Value::Object(members) => members,
            _ => return Validity::Unknown,
        };
        if progress.is_at_limit() {
            return Validity::Unknown;
        }
        let mut verdict = Validity::Fits;
        for (keyword, expected) in members {
            let one = match keyword.as_str() {
                "$ref" => match expected.as_str().and_then(|it| self.references.resolve(it)) {
                    Some(target) => self.at(target).validate(value, path, progress.deeper()),
                    None => Validity::Unknown,
                },
                "allOf" | "anyOf" | "oneOf" | "not" => {
                    self.combined(keyword, expected, value, path, progress)
                }
                known => of_type(known, expected, value, path, self.patterns)
                    .or_else(|| self.inside(known, members, value, path, progress))
                    .unwrap_or(Validity::Fits),
            };
            match one {
                Validity::Fits => {}
                Validity::Unknown => verdict = Validity::Unknown,
                misfit @ Validity::Misfit(_) => return misfit,
            }
        }
        verdict
    }

    fn combined(
        self,
        keyword: &str,
        branches: &'a Value,
        value: &Value,
        path: &Path<'_>,
        progress: Progress<'_>,
    ) -> Validity {
        let one = std::slice::from_ref(branches);
        let branches = branches.as_array().map_or(one, |it| &it[..]);
        let verdicts = branches.iter();
        let verdicts = verdicts.map(|it| self.at(it).validate(value, path, progress.deeper()));
        let mut verdicts: Vec<Validity> = verdicts.collect();
        let is_misfit = |it: &Validity| matches!(it, Validity::Misfit(_));
        let fitting = verdicts.iter().filter(|it| **it == Validity::Fits).count();
        let misfits = verdicts.iter().filter(|it| is_misfit(it)).count();
        let count = verdicts.len();
        let unknown = count - fitting - misfits;
        let wrong = |text: &str| Validity::Misfit(format!("{path} {text}"));
        match keyword {
            "allOf" if misfits > 0 => {
                verdicts.swap_remove(verdicts.iter().position(is_misfit).unwrap_or(0))
            }
            "anyOf" if fitting > 0 => Validity::Fits,
            "anyOf" | "oneOf" if misfits == count && count == 1 => verdicts.swap_remove(0),
            "anyOf" | "oneOf" if misfits == count => wrong("fits none of the alternatives"),
            "oneOf" if fitting > 1 => wrong("fits several alternatives"),
            "oneOf" if fitting == 1 && unknown == 0 => Validity::Fits,
            "not" if fitting > 0 => wrong("is excluded"),
            "allOf" | "not" if unknown == 0 => Validity::Fits,
            _ => Validity::Unknown,
        }
    }

    /// Validates the members or items of a value; returns `None` for a keyword that does not concern them.
    fn inside(
        self,
        keyword: &str,
        schema: &'a Map<String, Value>,
        value: &Value,
        path: &Path<'_>,
        progress: Progress<'_>,
    ) -> Option<Validity> {
        let expected = &schema[keyword];
        let inner = |node: &'a Value, value: &Value, path: Path<'_>| {
            self.at(node).validate(value, &path, progress.deeper())
        };
        match (keyword, value) {
            ("required", Value::Object(members)) => Some(match names(expected) {
                Some(names) => match names.iter().find(|it| !members.contains_key(**it)) {
                    Some(missing) => {
                        Validity::Misfit(format!("{} is required", path.member(missing)))
                    }
                    None => Validity::Fits,
                },
                None => Validity::Unknown,
            }),
            ("properties", Value::Object(members)) => {
                let declared = expected.as_object()?;
                let present = declared
                    .iter()
                    .filter_map(|(name, node)| Some((name, node, members.get(name)?)));
                Some(worst(present.map(|(name, node, value)| {
                    inner(node, value, path.member(name))
                })))
            }
            ("additionalProperties", Value::Object(members)) => {
                let declared = schema.get("properties").and_then(Value::as_object);
                let by_pattern = schema.get("patternProperties").and_then(Value::as_object);
                let is_declared =
                    |name: &&String| declared.is_some_and(|it| it.contains_key(*name));
                let is_matched = |name: &&String| {
                    by_pattern.map_or(Some(false), |it| self.patterns.any_matches(it, name))
                };
                let others = members.iter().filter(|(name, _)| !is_declared(name));
                Some(worst(others.map(|(name, value)| match is_matched(&name) {
                    Some(true) => Validity::Fits,
                    Some(false) => inner(expected, value, path.member(name)),
                    None => Validity::Unknown,
                })))
            }
            ("patternProperties", Value::Object(members)) => {
                let by_pattern = expected.as_object()?;
                let pairs = by_pattern
                    .iter()
                    .flat_map(|it| members.iter().map(move |member| (it, member)));
                Some(worst(pairs.map(|((pattern, node), (name, value))| {
                    match self.patterns.matches(pattern, name) {
                        Some(true) => inner(node, value, path.member(name)),
                        Some(false) => Validity::Fits,
                        None => Validity::Unknown,
                    }
                })))
            }
            // A list of schemas is the old form of a tuple.
            ("items", Value::Array(_)) if expected.is_array() => Some(Validity::Unknown),
            ("items", Value::Array(items)) => {
                let tuple = schema.get("prefixItems").and_then(Value::as_array);
                let rest = items.iter().enumerate().skip(tuple.map_or(0, Vec::len));
                Some(worst(
                    rest.map(|(at, item)| inner(expected, item, path.item(at))),
                ))
            }
            ("prefixItems", Value::Array(items)) => {
                let tuple = expected.as_array()?.iter().zip(items).enumerate();
                Some(worst(
                    tuple.map(|(at, (node, item))| inner(node, item, path.item(at))),
                ))
            }
            _ => None,
        }
    }
}

/// Validates a value without those inside; returns `None` for a keyword of another kind.
fn of_type(
    keyword: &str,
    expected: &Value,
    value: &Value,
    path: &Path<'_>,
    patterns: &Patterns,
) -> Option<Validity> {
    let check = |fits: bool, text: &dyn Fn() -> String| {
        if fits {
            Validity::Fits
        } else {
            Validity::Misfit(format!("{path} {}", text()))
        }
    };
    let limit = || format!("violates {keyword} {expected}");
    let known = |fits: Option<bool>| match fits {
        Some(fits) => check(fits, &limit),
        None => Validity::Unknown,
    };
    Some(match keyword {
        "type" => match names(expected) {
            Some(types) => check(types.iter().any(|it| is_of_type(value, it)), &|| {
                format!("must be of type {}", types.join(" or "))
            }),
            None => Validity::Unknown,
        },
        "const" => check(equal(value, expected), &|| format!("must be {expected}")),
        "enum" => match expected.as_array() {
            Some(values) => check(values.iter().any(|it| equal(value, it)), &|| {
                format!("must be {}", alternatives(values))
            }),
            None => Validity::Unknown,
        },
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            known(match (value, expected) {
                (Value::Number(number), Value::Number(bound)) => in_bound(keyword, number, bound),
                (Value::Number(_), _) => None,
                _ => Some(true),
            })
        }
        "minLength" | "minItems" | "minProperties" => known(match length(keyword, value) {
            None => Some(true),
            Some(length) => expected.as_u64().map(|it| length >= it),
        }),
        "maxLength" | "maxItems" | "maxProperties" => known(match length(keyword, value) {
            None => Some(true),
            Some(length) => expected.as_u64().map(|it| length <= it),
        }),
        "pattern" => known(match value {
            Value::String(text) => expected.as_str().and_then(|it| patterns.matches(it, text)),
            _ => Some(true),
        }),
        "uniqueItems" => match (value, expected) {
            (Value::Array(items), Value::Bool(true)) => {
                let repeated = |at: usize| items[..at].iter().any(|it| equal(it, &items[at]));
                let is_unique = !(0..items.len()).any(repeated);
                check(is_unique, &|| "must not repeat an item".to_owned())
            }
            _ => Validity::Fits,
        },
        unknown if UNKNOWN.contains(&unknown) => Validity::Unknown,
        _ => return None,
    })
}

/// Returns the first misfit; otherwise unknown if any verdict is.
fn worst(verdicts: impl Iterator<Item = Validity>) -> Validity {
    let mut worst = Validity::Fits;
    for verdict in verdicts {
        match verdict {
            Validity::Fits => {}
            Validity::Unknown => worst = Validity::Unknown,
            misfit @ Validity::Misfit(_) => return misfit,
        }
    }
    worst
}

/// Place in a value.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    fn item(&'a self, at: usize) -> Self {
        Self::Item(self, at)
    }

    /// Returns the place as `a.b[0]`; empty at the root.
    fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Root => Cow::Borrowed(""),
            Self::Member(Self::Root, name) => Cow::Borrowed(name),
            Self::Member(outer, name) => format!("{}.{name}", outer.text()).into(),
            Self::Item(outer, at) => format!("{}[{at}]", outer.text()).into(),
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the value"),
            place => write!(f, "`{}`", place.text()),
        }
    }
}
