//! Walks over JSON Schemas.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Keywords whose value is a schema.
const SCHEMA: [&str; 11] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is an object of schemas.
const SCHEMA_MAP: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords whose value is an array of schemas.
const SCHEMA_LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];

/// Keywords that constrain no value.
const ANNOTATIONS: [&str; 21] = [
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "else",
    "example",
    "examples",
    "format",
    "nullable",
    "readOnly",
    "then",
    "title",
    "writeOnly",
];

/// Returns true if `keyword` constrains no value by itself.
pub(super) fn is_annotation(keyword: &str) -> bool {
    keyword.starts_with("x-") || ANNOTATIONS.contains(&keyword)
}

/// Dialects in which a reference replaces the whole schema around it.
const REPLACING_DIALECTS: [&str; 4] = ["draft-03", "draft-04", "draft-06", "draft-07"];

/// Returns true if the dialect of a document ignores constraints in it, since they stand beside a reference. Some
/// validators apply them nevertheless.
pub(super) fn ignores_constraints(root: &Value) -> bool {
    let dialect = root.get("$schema").and_then(Value::as_str);
    let replaces = dialect.is_some_and(|it| REPLACING_DIALECTS.iter().any(|old| it.contains(old)));
    let is_constrained = |node: &SchemaNode<'_>| {
        let members = node.schema.as_object().filter(|it| it.contains_key("$ref"));
        members.is_some_and(|it| it.keys().any(|it| it != "$ref" && !is_annotation(it)))
    };
    replaces && nodes(root, "").iter().any(is_constrained)
}

/// Returns true if a schema contains a reference, which leads to equal schemas only in equal documents.
pub(super) fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.contains_key("$ref") || members.values().any(has_reference)
        }
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}

/// Integers that every JSON parser reads exactly are not above this one (RFC 8259, section 6).
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Returns true if a keyword limits integers to those that every JSON parser reads exactly, or to more. Libraries write
/// such bounds for any integer.
fn is_bound_of_integers(schema: &Map<String, Value>, keyword: &str, value: &Value) -> bool {
    let is_bound = |it: f64| match keyword {
        "minimum" => it <= -MAX_SAFE_INTEGER,
        "maximum" => it >= MAX_SAFE_INTEGER,
        _ => false,
    };
    schema.get("type") == Some(&Value::from("integer")) && value.as_f64().is_some_and(is_bound)
}

/// Returns a schema without its annotations and without bounds that limit integers to exact ones. References still lead
/// to the same places.
pub(super) fn plain(schema: &Value) -> Value {
    const TARGETS: [&str; 6] = ["$anchor", "$defs", "$id", "definitions", "else", "then"];
    let Value::Object(members) = schema else {
        return schema.clone();
    };
    let kept = members.iter().filter(|(keyword, value)| {
        let is_target = TARGETS.contains(&&***keyword);
        let is_kept = is_target || !is_annotation(keyword);
        is_kept && !is_bound_of_integers(members, keyword, value)
    });
    let plain_map = |map: &Map<String, Value>| {
        let members = map
            .iter()
            .map(|(name, schema)| (name.clone(), plain(schema)));
        Value::Object(members.collect())
    };
    let plain_members = kept.map(|(keyword, value)| {
        let value = match value {
            Value::Object(map) if SCHEMA_MAP.contains(&&**keyword) => plain_map(map),
            Value::Object(_) if keyword == "items" || SCHEMA.contains(&&**keyword) => plain(value),
            Value::Array(list) if keyword == "items" || SCHEMA_LIST.contains(&&**keyword) => {
                list.iter().map(plain).collect()
            }
            other => other.clone(),
        };
        (keyword.clone(), value)
    });
    Value::Object(plain_members.collect())
}

/// Returns a schema that accepts undeclared members everywhere.
pub(super) fn opened(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let is_closing = |(keyword, value): &(&String, &Value)| {
                *keyword == "additionalProperties" && **value == false
            };
            let kept = members.iter().filter(|it| !is_closing(it));
            let opened = kept.map(|(keyword, value)| (keyword.clone(), opened(value)));
            Value::Object(opened.collect())
        }
        Value::Array(items) => items.iter().map(opened).collect(),
        other => other.clone(),
    }
}

/// Schema inside a tool's definition.
#[derive(Debug, Clone)]
pub(super) struct SchemaNode<'a> {
    /// JSON pointer from the definition.
    pub(super) pointer: String,
    /// Number of schemas around it.
    pub(super) depth: usize,
    /// The schema.
    pub(super) schema: &'a Value,
}

impl<'a> SchemaNode<'a> {
    /// Returns the value of a keyword; `None` in a boolean schema.
    pub(super) fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.schema.get(keyword)
    }

    /// Returns true if the keyword `type` contains `name`, alone or in a list.
    pub(super) fn has_type(&self, name: &str) -> bool {
        match self.get("type") {
            Some(Value::String(only)) => only == name,
            Some(Value::Array(several)) => several.iter().any(|it| it == name),
            _ => false,
        }
    }
}

/// Returns `root` and all schemas in it, outer ones first; `pointer` is that of `root`.
pub(super) fn nodes<'a>(root: &'a Value, pointer: &str) -> Vec<SchemaNode<'a>> {
    let mut found = vec![SchemaNode {
        pointer: pointer.to_owned(),
        depth: 0,
        schema: root,
    }];
    let mut at = 0;
    while at < found.len() {
        let node = found[at].clone();
        if let Value::Object(members) = node.schema {
            for (keyword, value) in members {
                children(&node, keyword, value, &mut found);
            }
        }
        at += 1;
    }
    found
}

/// Adds the schemas in the value of one keyword.
fn children<'a>(
    node: &SchemaNode<'a>,
    keyword: &str,
    value: &'a Value,
    found: &mut Vec<SchemaNode<'a>>,
) {
    let mut add = |schema: &'a Value, step: &str| {
        found.push(SchemaNode {
            pointer: format!("{}/{step}", node.pointer),
            depth: node.depth + 1,
            schema,
        });
    };
    match value {
        Value::Object(_) | Value::Bool(_) if keyword == "items" || SCHEMA.contains(&keyword) => {
            add(value, keyword);
        }
        Value::Object(map) if SCHEMA_MAP.contains(&keyword) => {
            for (name, schema) in map {
                add(schema, &format!("{keyword}/{}", escaped(name)));
            }
        }
        Value::Array(list) if keyword == "items" || SCHEMA_LIST.contains(&keyword) => {
            for (index, schema) in list.iter().enumerate() {
                add(schema, &format!("{keyword}/{index}"));
            }
        }
        _ => {}
    }
}

/// Returns `name` as a step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Maximum number of values that are searched for identifiers.
const MAX_SEARCHED: usize = 10_000;
/// Keywords whose values are data.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords that name the schema that has them.
const IDENTIFIERS: [&str; 2] = ["$id", "$anchor"];

/// Document with the schemas that references in it can lead to.
#[derive(Debug)]
pub(super) struct References<'a> {
    pub(super) root: &'a Value,
    /// Schemas by a keyword and its value; `None` if several have that. Empty if there is too much to search.
    identified: HashMap<(&'static str, &'a str), Option<&'a Value>>,
}

impl<'a> References<'a> {
    /// Searches the document `root`.
    pub(super) fn of(root: &'a Value) -> Self {
        let identified = identified(root).unwrap_or_default();
        Self { root, identified }
    }

    /// Returns the schema that a reference leads to, by JSON pointer, `$anchor` or `$id`; `None` if it leads nowhere or
    /// out of the document.
    pub(super) fn resolve(&self, reference: &str) -> Option<&'a Value> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return self.named("$id", reference.trim_end_matches('#'));
        };
        let decoded = percent_encoding::percent_decode_str(fragment)
            .decode_utf8()
            .ok()?;
        let by_pointer = self.root.pointer(&decoded);
        by_pointer.or_else(|| self.named("$anchor", fragment))
    }

    fn named(&self, keyword: &'static str, name: &str) -> Option<&'a Value> {
        *self.identified.get(&(keyword, name))?
    }
}

/// Returns the schemas in a document by their identifiers; `None` if there is too much to search.
fn identified(root: &Value) -> Option<HashMap<(&'static str, &str), Option<&Value>>> {
    let mut found = HashMap::new();
    let mut next = vec![root];
    for _ in 0..MAX_SEARCHED {
        let Some(searched) = next.pop() else {
            return Some(found);
        };
        match searched {
            Value::Object(members) => {
                for keyword in IDENTIFIERS {
                    if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                        let key = (keyword, name.trim_end_matches('#'));
                        let named = found.entry(key).or_insert(Some(searched));
                        *named = named.filter(|it| std::ptr::eq(*it, searched));
                    }
                }
                let schemas = members
                    .iter()
                    .filter(|(it, _)| !DATA.contains(&it.as_str()));
                next.extend(schemas.map(|(_, value)| value));
            }
            Value::Array(items) => next.extend(items),
            _ => {}
        }
    }
    None
}

/// Returns the members of a schema's `properties`; none if it has no such object.
pub(super) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_inside_is_found_with_its_pointer() {
        let schema = json!({
            "properties": { "a/b": { "items": [{ "type": "string" }, true] }, "type": { "enum": ["properties"] } },
            "anyOf": [{ "not": {} }],
            "additionalProperties": false,
            "default": { "properties": { "x": {} } },
        });
        let found = nodes(&schema, "/inputSchema");
        let pointers: Vec<_> = found.iter().map(|node| &node.pointer[12..]).collect();
        let expected = [
            "",
            "/properties/a~1b",
            "/properties/type",
            "/anyOf/0",
            "/additionalProperties",
            "/properties/a~1b/items/0",
            "/properties/a~1b/items/1",
            "/anyOf/0/not",
        ];
        assert_eq!(pointers, expected);
        let deepest = found.iter().map(|node| node.depth).max();
        assert_eq!(deepest, Some(2));
    }

    #[test]
    fn references_are_followed_inside_the_schema() {
        let schema = json!({ "$defs": { "a b": { "type": "null" } } });
        let target = schema.pointer("/$defs/a b");
        for reference in ["#/$defs/a%20b", "#/$defs/a b"] {
            assert_eq!(
                References::of(&schema).resolve(reference),
                target,
                "{reference}"
            );
        }
        assert_eq!(References::of(&schema).resolve("#"), Some(&schema));
        for lost in ["#/$defs/c", "other.json", "#there", ""] {
            assert_eq!(References::of(&schema).resolve(lost), None, "{lost}");
        }
        let node = json!({ "$id": "https://example.com/node#", "$anchor": "there" });
        let schema = json!({ "$id": "T0", "items": [{ "properties": { "a": node } }] });
        for reference in [
            "https://example.com/node",
            "https://example.com/node#",
            "#there",
        ] {
            assert_eq!(
                References::of(&schema).resolve(reference),
                Some(&node),
                "{reference}"
            );
        }
        assert_eq!(References::of(&schema).resolve("T0"), Some(&schema));
    }

    #[test]
    fn an_identifier_that_two_schemas_have_leads_nowhere() {
        let two = json!({ "a": { "$anchor": "x" }, "b": { "$anchor": "x" } });
        assert_eq!(References::of(&two).resolve("#x"), None);
        let in_data = json!({ "a": { "$anchor": "x" }, "default": { "$anchor": "x" } });
        assert_eq!(
            References::of(&in_data).resolve("#x"),
            in_data.pointer("/a")
        );
    }
}
