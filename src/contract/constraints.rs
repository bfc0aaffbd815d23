//! Single constraints of JSON Schema on values.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

/// Maximum memory for a pattern in bytes; a larger pattern is unknown.
const MAX_PATTERN: usize = 1 << 17;

/// Returns the strings of an array, or the one string.
pub(super) fn names(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Returns the values as `"a", "b" or "c"`, at most five of them.
pub(super) fn alternatives(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().take(5).map(Value::to_string).collect();
    match (&shown[..], values.len()) {
        ([.., _], count) if count > shown.len() => {
            format!("{} or another of {count} values", shown.join(", "))
        }
        ([first @ .., last], _) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => shown.concat(),
    }
}

/// Returns true if the value has the JSON Schema type `name`; a number without a fraction is an integer.
pub(super) fn is_of_type(value: &Value, name: &str) -> bool {
    match (name, value) {
        ("array", Value::Array(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null)
        | ("number", Value::Number(_))
        | ("object", Value::Object(_))
        | ("string", Value::String(_)) => true,
        ("integer", Value::Number(number)) => {
            !number.is_f64() || number.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        _ => false,
    }
}

/// Compares as JSON Schema does: numbers by value.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || compare(x, y) == Some(Ordering::Equal),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            let same = |(name, x): (&String, &Value)| y.get(name).is_some_and(|y| equal(x, y));
            x.len() == y.len() && x.iter().all(same)
        }
        _ => a == b,
    }
}

/// Compares two numbers by value; returns `None` if rounding could decide. Integers of 64 bits are compared exactly.
pub(super) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    /// Below this number, each integer is exact as a fraction.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let integer = |it: &Number| {
        let signed = it.as_i64().map(i128::from);
        signed.or_else(|| it.as_u64().map(i128::from))
    };
    let rounded = a.as_f64()?;
    let order = rounded.partial_cmp(&b.as_f64()?)?;
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        (None, None) => Some(order),
        _ => (order.is_ne() || rounded.abs() < EXACT).then_some(order),
    }
}

/// Returns whether a number keeps a bound; `None` if rounding could decide.
pub(super) fn in_bound(keyword: &str, number: &Number, bound: &Number) -> Option<bool> {
    Some(match keyword {
        "minimum" => compare(number, bound)?.is_ge(),
        "maximum" => compare(number, bound)?.is_le(),
        "exclusiveMinimum" => compare(number, bound)?.is_gt(),
        "exclusiveMaximum" => compare(number, bound)?.is_lt(),
        _ => {
            let (number, bound) = (number.as_f64()?, bound.as_f64()?);
            let is_whole = |it: f64| it.fract() == 0.0 && it.abs() < 1e15;
            if !is_whole(bound) || number.abs() >= 1e15 {
                return None;
            }
            bound != 0.0 && number % bound == 0.0
        }
    })
}

/// Returns the length that a keyword of bounds concerns; `None` if it does not concern this type of value.
pub(super) fn length(keyword: &str, value: &Value) -> Option<u64> {
    let length = match value {
        Value::String(text) if keyword.ends_with("Length") => text.chars().count(),
        Value::Array(items) if keyword.ends_with("Items") => items.len(),
        Value::Object(members) if keyword.ends_with("Properties") => members.len(),
        _ => return None,
    };
    u64::try_from(length).ok()
}

/// Syntax that ECMAScript and the crate `regex` read differently.
const DIALECTS: [&str; 11] = [
    "[[", "[]", "[^]", "&&", "--", "~~", "\\A", "\\z", "\\<", "\\>", "\\b{",
];

/// Compiled patterns. A pattern is compiled once, since it is compared with many values.
#[derive(Debug, Default)]
pub(super) struct Patterns(RefCell<HashMap<String, Option<Regex>>>);

impl Patterns {
    /// Returns whether a text matches a pattern; `None` if ECMAScript and this program may differ on it.
    pub(super) fn matches(&self, pattern: &str, text: &str) -> Option<bool> {
        if !text.is_ascii() || text.contains('\n') {
            return None;
        }
        let mut known = self.0.borrow_mut();
        if !known.contains_key(pattern) {
            known.insert(pattern.to_owned(), compiled(pattern));
        }
        let regex = known.get(pattern)?.as_ref()?;
        Some(regex.is_match(text))
    }

    /// Returns whether a text matches any of the patterns that are the names of `schemas`.
    pub(super) fn any_matches(&self, schemas: &Map<String, Value>, text: &str) -> Option<bool> {
        let mut known = Some(false);
        for pattern in schemas.keys() {
            match self.matches(pattern, text) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => known = None,
            }
        }
        known
    }
}

/// Compiles a pattern; returns `None` if the dialects differ on it, or if it is invalid or too large.
fn compiled(pattern: &str) -> Option<Regex> {
    let is_common = pattern.is_ascii()
        && !DIALECTS.iter().any(|it| pattern.contains(it))
        && pattern.matches("(?").count() == pattern.matches("(?:").count();
    let regex = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
    regex.ok().filter(|_| is_common)
}
