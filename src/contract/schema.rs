//! Walks over JSON Schemas.

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

/// Returns the schema that a reference by JSON pointer leads to; `None` if it leads nowhere or out of `root`.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    let decoded = percent_encoding::percent_decode_str(fragment)
        .decode_utf8()
        .ok()?;
    root.pointer(&decoded)
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
            assert_eq!(resolve(&schema, reference), target, "{reference}");
        }
        assert_eq!(resolve(&schema, "#"), Some(&schema));
        for lost in ["#/$defs/c", "other.json", "#there"] {
            assert_eq!(resolve(&schema, lost), None, "{lost}");
        }
    }
}
