//! Conditions in the schemas inside a tool's definition.

use std::collections::HashSet;

use serde_json::Value;

use super::super::schema::{References, SchemaNode, properties};
use super::definitions::kind;
use super::patterns::{javascript_fault, pattern_fault};
use super::{ParsedTool, Place};

/// Types of JSON Schema.
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];
/// Deepest nesting that Gemini's API is known to accept.
const MAX_DEPTH: usize = 5;

/// Returns a place at each schema for which `condition` returns a keyword (empty for the schema itself) and a text.
fn places<'a>(
    nodes: &[SchemaNode<'a>],
    condition: impl Fn(&SchemaNode<'a>) -> Option<(&'a str, String)>,
) -> Vec<Place> {
    let found = nodes.iter().filter_map(|node| {
        let (keyword, text) = condition(node)?;
        let slash = if keyword.is_empty() { "" } else { "/" };
        Some(Place {
            pointer: format!("{}{slash}{keyword}", node.pointer),
            text,
        })
    });
    found.collect()
}

/// Returns the first of `keywords` that the schema has, as the text of a place.
fn first_of(node: &SchemaNode<'_>, keywords: &[&'static str]) -> Option<(&'static str, String)> {
    let keyword = keywords.iter().find(|it| node.get(it).is_some())?;
    Some((keyword, format!("`{keyword}`")))
}

fn root<'a>(nodes: &[SchemaNode<'a>]) -> Option<&'a Value> {
    nodes.first().map(|node| node.schema)
}

fn dangling(nodes: &[SchemaNode<'_>]) -> Vec<Place> {
    let references = root(nodes).map(References::of);
    places(nodes, |node| {
        let reference = node.get("$ref")?.as_str()?;
        let is_lost = references.as_ref()?.resolve(reference).is_none();
        is_lost.then(|| {
            (
                "$ref",
                format!("`{reference}` leads nowhere in this schema"),
            )
        })
    })
}

pub(super) fn output_reference(tool: &ParsedTool<'_>) -> Vec<Place> {
    dangling(&tool.output)
}

pub(super) fn dangling_reference(tool: &ParsedTool<'_>) -> Vec<Place> {
    dangling(&tool.input)
}

pub(super) fn reference(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| first_of(node, &["$ref", "if"]))
}

/// Finds references to a schema around them.
pub(super) fn recursive_reference(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let reference = node.get("$ref")?.as_str()?;
        let path = node.pointer.strip_prefix("/inputSchema")?;
        let inside = path.strip_prefix(reference.strip_prefix('#')?)?;
        let is_around = inside.is_empty() || inside.starts_with('/');
        is_around.then(|| ("$ref", format!("`{reference}` is a schema around it")))
    })
}

pub(super) fn array_without_items(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let is_bare = node.get("items").is_none() && node.get("prefixItems").is_none();
        (node.has_type("array") && is_bare).then(|| ("", "array without `items`".to_owned()))
    })
}

fn tuple_of_draft_7<'a>(node: &SchemaNode<'a>) -> Option<(&'a str, String)> {
    let items = node.get("items")?;
    let text = || "is an array of schemas, the old form of a tuple".to_owned();
    items.is_array().then(|| ("items", text()))
}

pub(super) fn items_list(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, tuple_of_draft_7)
}

pub(super) fn output_items_list(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.output, tuple_of_draft_7)
}

fn bound_of_draft_4<'a>(node: &SchemaNode<'a>) -> Option<(&'a str, String)> {
    let bounds = ["exclusiveMinimum", "exclusiveMaximum"];
    let is_old = |it: &&str| node.get(it).is_some_and(Value::is_boolean);
    let keyword = bounds.into_iter().find(is_old)?;
    Some((keyword, "is a boolean, as in draft 4".to_owned()))
}

pub(super) fn draft_4_bounds(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, bound_of_draft_4)
}

fn type_fault<'a>(node: &SchemaNode<'a>) -> Option<(&'a str, String)> {
    let is_unknown = |it: &&Value| it.as_str().is_none_or(|it| !TYPES.contains(&it));
    let wrong = match node.get("type")? {
        Value::Array(several) => several.iter().find(is_unknown)?,
        one => Some(one).filter(is_unknown)?,
    };
    Some(("type", format!("{wrong} is no type of JSON Schema")))
}

pub(super) fn unknown_type(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, type_fault)
}

/// Finds keywords whose value has the wrong type. Ignores those with a rule of their own: `type`, a list in `items`,
/// boolean bounds, and `required` and `properties` at the root.
pub(super) fn invalid_keyword(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, keyword_fault)
}

fn keyword_fault<'a>(node: &SchemaNode<'a>) -> Option<(&'a str, String)> {
    let Value::Object(members) = node.schema else {
        return (!node.schema.is_boolean())
            .then(|| ("", format!("is {}, not a schema", kind(node.schema))));
    };
    members.iter().find_map(|(keyword, value)| {
        let expected = misused(keyword, value)?;
        let has_own_rule = node.depth == 0 && ["required", "properties"].contains(&&**keyword);
        let text = || format!("is {}, must be {expected}", kind(value));
        (!has_own_rule).then(|| (&**keyword, text()))
    })
}

/// Finds schemas that no validator can be made of.
pub(super) fn output_invalid(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.output, |node| {
        type_fault(node)
            .filter(|_| node.depth > 0)
            .or_else(|| bound_of_draft_4(node))
            .or_else(|| keyword_fault(node))
    })
}

/// Finds schemas that only the validator of the SDK for TypeScript refuses.
pub(super) fn output_refused(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.output, |node| {
        let pattern = || javascript_fault(node.get("pattern")?.as_str()?);
        let is_empty = |it: &Value| it.as_array().is_some_and(Vec::is_empty);
        let is_bare = node.get("nullable").is_some() && node.get("type").is_none();
        if node.get("enum").is_some_and(is_empty) {
            return Some(("enum", "is empty".to_owned()));
        }
        if is_bare {
            return Some(("nullable", "`nullable` without `type`".to_owned()));
        }
        pattern().map(|fault| ("pattern", fault))
    })
}

/// Returns the expected kind of value if `value` is of another kind.
fn misused(keyword: &str, value: &Value) -> Option<&'static str> {
    let is_schema = |value: &Value| value.is_object() || value.is_boolean();
    let is_schemas = |list: &Vec<Value>| !list.is_empty() && list.iter().all(is_schema);
    let is_whole = |number: f64| number >= 0.0 && number.fract() == 0.0;
    let is_names = |list: &Vec<Value>| {
        let names: HashSet<&str> = list.iter().filter_map(Value::as_str).collect();
        names.len() == list.len()
    };
    let (is_right, expected) = match keyword {
        "items" => (is_schema(value) || value.is_array(), "a schema"),
        "additionalProperties" | "propertyNames" | "contains" | "not" => {
            (is_schema(value), "a schema")
        }
        "anyOf" | "oneOf" | "allOf" | "prefixItems" => (
            value.as_array().is_some_and(is_schemas),
            "an array of schemas, not empty",
        ),
        "properties" | "patternProperties" | "$defs" => (
            value
                .as_object()
                .is_some_and(|it| it.values().all(is_schema)),
            "an object of schemas",
        ),
        "required" => (
            value.as_array().is_some_and(is_names),
            "an array of different strings",
        ),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
            (
                value.as_f64().is_some_and(is_whole),
                "a whole number from 0",
            )
        }
        "minimum" | "maximum" => (value.is_number(), "a number"),
        "exclusiveMinimum" | "exclusiveMaximum" => {
            (value.is_number() || value.is_boolean(), "a number")
        }
        "multipleOf" => (
            value.as_f64().is_some_and(|it| it > 0.0),
            "a number above 0",
        ),
        "enum" => (value.is_array(), "an array"),
        "uniqueItems" => (value.is_boolean(), "a boolean"),
        "pattern" | "format" | "title" | "description" | "$ref" => (value.is_string(), "a string"),
        _ => return None,
    };
    (!is_right).then_some(expected)
}

pub(super) fn invalid_pattern(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let fault = pattern_fault(node.get("pattern")?.as_str()?)?;
        Some(("pattern", fault.to_owned()))
    })
}

pub(super) fn dynamic_keyword(tool: &ParsedTool<'_>) -> Vec<Place> {
    const KEYWORDS: [&str; 2] = ["$dynamicRef", "unevaluatedProperties"];
    let dialect = root(&tool.input).and_then(|it| it.get("$schema")?.as_str());
    if !dialect.is_some_and(|it| it.contains("2020-12")) {
        return Vec::new();
    }
    places(&tool.input, |node| first_of(node, &KEYWORDS))
}

pub(super) fn undefined_required(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let required = node.get("required")?.as_array()?;
        let known = properties(node.schema);
        let is_lost = |name: &&str| known.is_none_or(|known| !known.contains_key(*name));
        let lost = required.iter().filter_map(Value::as_str).find(is_lost)?;
        Some(("required", format!("`{lost}` is not in `properties`")))
    })
}

pub(super) fn string_format(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let format = node.get("format")?.as_str()?;
        let is_known = ["enum", "date-time"].contains(&format);
        (node.has_type("string") && !is_known).then(|| ("format", format!("`{format}`")))
    })
}

pub(super) fn enum_value(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let is_odd = |it: &&Value| it.as_str().is_none_or(str::is_empty);
        let odd = node.get("enum")?.as_array()?.iter().find(is_odd)?;
        Some(("enum", format!("contains {odd}")))
    })
}

pub(super) fn subset_keyword(tool: &ParsedTool<'_>) -> Vec<Place> {
    const KEYWORDS: [&str; 5] = [
        "const",
        "additionalProperties",
        "$schema",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ];
    places(&tool.input, |node| first_of(node, &KEYWORDS))
}

pub(super) fn type_list(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let types = node.get("type").filter(|it| it.is_array())?;
        Some(("type", format!("is the list {types}")))
    })
}

pub(super) fn foreign_keyword(tool: &ParsedTool<'_>) -> Vec<Place> {
    places(&tool.input, |node| {
        let has_type = node.get("type").is_some();
        let owners = [
            ("properties", "object"),
            ("required", "object"),
            ("items", "array"),
        ];
        let is_foreign = |(keyword, owner): &(&str, &str)| {
            has_type && node.get(keyword).is_some() && !node.has_type(owner)
        };
        let (keyword, owner) = owners.into_iter().find(is_foreign)?;
        Some((keyword, format!("belongs to the type \"{owner}\"")))
    })
}

pub(super) fn nesting(tool: &ParsedTool<'_>) -> Vec<Place> {
    let deepest = tool.input.iter().max_by_key(|node| node.depth);
    let deep = deepest.filter(|node| node.depth > MAX_DEPTH);
    let place = deep.map(|node| Place {
        pointer: node.pointer.clone(),
        text: format!("is nested in {} schemas", node.depth),
    });
    place.into_iter().collect()
}
