//! Values to choose from in a form, and their names.

use std::borrow::Cow;

use super::{MAX_ABOUT, MAX_VALUE};
use crate::jsonrpc::{Members, elements, unquoted};
use crate::output::clean;

/// Maximum number of values to choose from.
const MAX_OPTIONS: usize = 500;

/// Returns the raw values to choose from; `None` if there are too many.
pub(super) fn options(schema: &Members<'_>) -> Option<Vec<String>> {
    let values = match (schema.get("enum"), schema.get("const")) {
        (Some(values), _) => elements(values)?,
        (None, Some(value)) => vec![value],
        (None, None) => constants(schema).unwrap_or_else(|| vec!["null"]),
    };
    let is_short = values.len() <= MAX_OPTIONS && values.iter().all(|it| it.len() <= MAX_VALUE);
    is_short.then(|| values.into_iter().map(str::to_owned).collect())
}

/// Returns the raw values of alternatives that are constants, as in `"oneOf": [{"const": 1, "title": "one"}]`.
pub(super) fn constants<'a>(schema: &'a Members<'_>) -> Option<Vec<&'a str>> {
    let all = schema.get("oneOf").or_else(|| schema.get("anyOf"));
    let all = all.and_then(elements)?;
    let all: Vec<_> = all.into_iter().map(constant).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

fn constant(schema: &str) -> Option<&str> {
    Members::of(schema).original("const")
}

/// Returns the names of the values to choose from, as people read them; empty if there are none.
pub(super) fn titles(schema: &Members<'_>) -> Vec<String> {
    let shown = |title: Cow<'_, str>| {
        let cut: String = title.chars().take(MAX_ABOUT).collect();
        clean(&cut).into_owned()
    };
    if let Some(names) = schema.get("enumNames").and_then(elements) {
        let name = |it: &str| unquoted(it).map(shown).unwrap_or_default();
        return names.into_iter().map(name).collect();
    }
    let all = schema.get("oneOf").or_else(|| schema.get("anyOf"));
    let all = all.and_then(elements).unwrap_or_default();
    let title = |it: &str| Members::of(it).text("title").map(shown).unwrap_or_default();
    all.into_iter().map(title).collect()
}
