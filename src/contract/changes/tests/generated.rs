//! Random schemas and random changes of them. The crate `jsonschema` is the oracle.

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::super::constraints::Patterns;
use super::super::super::coverage::covers;
use super::super::super::sampler::samples;
use super::super::super::schema::{References, nodes};
use super::super::super::validator::{Schema, Validity};
use super::super::{Class, arguments, reasons};
use super::gravest;

fn oracle(schema: &Value) -> Validator {
    jsonschema::draft202012::new(schema).unwrap()
}

/// Returns a random schema of an argument.
fn argument() -> impl Strategy<Value = Value> {
    let limit = 0_u32..4;
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "type": ["string", "null"] })),
        Just(json!({ "const": "x" })),
        Just(json!({ "type": "string", "pattern": "^[a-z]*$" })),
        proptest::sample::subsequence(vec!["x", "y", "1"], 1..=3)
            .prop_map(|it| json!({ "enum": it })),
        (limit.clone(), limit.clone()).prop_map(
            |(least, more)| json!({ "type": "string", "minLength": least, "maxLength": least + more })
        ),
        (limit.clone(), limit.clone()).prop_map(
            |(least, more)| json!({ "type": "integer", "minimum": least, "maximum": least + more })
        ),
        limit
            .clone()
            .prop_map(|it| json!({ "type": "number", "exclusiveMinimum": it })),
        (1_u32..4).prop_map(|it| json!({ "type": "integer", "multipleOf": it })),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            object(inner.clone()),
            (inner.clone(), limit.clone()).prop_map(
                |(items, most)| json!({ "type": "array", "items": items, "maxItems": most })
            ),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "anyOf": [a, b] })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "oneOf": [a, b] })),
        ]
    })
}

/// Returns a random schema of an object whose members have schemas of `inner`.
fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let members = proptest::collection::vec((inner, any::<bool>()), 0..4);
    (members, 0..3_u8).prop_map(|(members, others)| {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, (schema, is_required)) in ["a", "b", "c", "d"].into_iter().zip(members) {
            properties.insert(name.to_owned(), schema);
            if is_required {
                required.push(name);
            }
        }
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required });
        match others {
            0 => schema["additionalProperties"] = json!(false),
            1 => schema["additionalProperties"] = json!({ "type": "string" }),
            _ => {}
        }
        schema
    })
}

/// Returns a random schema of arguments, and the same after up to two changes.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), 0..16_u8), 0..3);
    (object(argument()), changes).prop_map(|(old, changes)| {
        let mut new = old.clone();
        for (place, change) in changes {
            let pointers: Vec<String> = nodes(&new, "").into_iter().map(|it| it.pointer).collect();
            if let Some(node) = new.pointer_mut(&pointers[place.index(pointers.len())]) {
                alter(node, change);
            }
        }
        (old, new)
    })
}

/// Changes one schema.
fn alter(node: &mut Value, change: u8) {
    let wrapped = node.clone();
    let Value::Object(schema) = node else { return };
    let (keyword, value) = match change {
        0 => ("minLength", json!(2)),
        1 => ("maxLength", json!(2)),
        2 => ("minimum", json!(1)),
        3 => ("exclusiveMaximum", json!(2.5)),
        4 => ("type", json!("string")),
        5 => ("type", json!(["object", "integer", "null"])),
        6 => ("required", json!(["a"])),
        7 => ("additionalProperties", json!(false)),
        8 => ("title", json!("Title")),
        9 => ("enum", json!(["x", 1])),
        10 => ("maxItems", json!(1)),
        11 => return *node = json!({ "anyOf": [wrapped] }),
        12 => return *node = json!({ "oneOf": [wrapped, { "type": "null" }] }),
        13 => {
            if let Some(first) = schema.keys().next().cloned() {
                schema.shift_remove(&first);
            }
            return;
        }
        _ => {
            let Some(Value::Object(properties)) = schema.get_mut("properties") else {
                return;
            };
            match properties.keys().next().cloned().filter(|_| change == 14) {
                Some(first) => properties.shift_remove(&first),
                None => properties.insert("e".to_owned(), json!({ "type": "integer" })),
            };
            return;
        }
    };
    schema.insert(keyword.to_owned(), value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_breaking_change_rejects_arguments_that_were_valid((old, new) in pair()) {
        let (old, new, patterns) = (arguments(&old), arguments(&new), Patterns::default());
        let (before, after) = (oracle(&old), oracle(&new));
        let references = [&old, &new].map(References::of);
        let schemas = references.each_ref();
        let [former, newer] = schemas.map(|it| Schema::new(it, &patterns));
        for (value, reason) in reasons(former, newer) {
            prop_assert!(before.is_valid(&value), "{value} does not fit {old}");
            prop_assert!(!after.is_valid(&value), "{value} fits {new}, but {reason}");
        }
    }

    #[test]
    fn a_change_that_is_proven_harmless_rejects_nothing((old, new) in pair()) {
        let (old, new, patterns) = (arguments(&old), arguments(&new), Patterns::default());
        let references = [&old, &new].map(References::of);
        let schemas = references.each_ref();
        let [former, newer] = schemas.map(|it| Schema::new(it, &patterns));
        if covers(newer, former) {
            let after = oracle(&new);
            for value in samples(former, newer) {
                prop_assert!(after.is_valid(&value), "{value} fits {old}, not {new}");
            }
        }
    }

    #[test]
    fn a_changed_default_is_worth_a_look_wherever_it_is(
        (old, place) in (object(argument()), any::<prop::sample::Index>())
    ) {
        let pointers = nodes(&old, "").into_iter().filter(|it| it.schema.is_object());
        let pointers: Vec<String> = pointers.map(|it| it.pointer).collect();
        let mut new = old.clone();
        if let Some(node) = new.pointer_mut(&pointers[place.index(pointers.len())]) {
            node["default"] = json!("changed");
        }
        let [old, new] = [old, new].map(|it| json!({ "name": "t", "inputSchema": it }));
        let found = gravest(&old, &new);
        prop_assert!(found.as_ref().is_some_and(|(class, _)| *class > Class::Harmless), "{new}: {found:?}");
    }

    #[test]
    fn no_change_is_both_breaking_and_harmless((old, new) in pair()) {
        let (old, new, patterns) = (arguments(&old), arguments(&new), Patterns::default());
        let references = [&old, &new].map(References::of);
        let schemas = references.each_ref();
        let [former, newer] = schemas.map(|it| Schema::new(it, &patterns));
        let is_refuted = !reasons(former, newer).is_empty();
        prop_assert!(!(is_refuted && covers(newer, former)), "{old} and {new}");
    }

    #[test]
    fn a_schema_covers_itself_in_every_form(schema in object(argument())) {
        let (schema, patterns) = (arguments(&schema), Patterns::default());
        let wrapped = json!({ "anyOf": [schema] });
        let defined = json!({ "$ref": "#/$defs/T", "$defs": { "T": schema } });
        for other in [&schema, &wrapped, &defined] {
            let references = [other, &schema].map(References::of);
            let schemas = references.each_ref();
            let [other_schema, same] = schemas.map(|it| Schema::new(it, &patterns));
            prop_assert!(covers(other_schema, same), "{other}");
        }
    }

    #[test]
    fn verdicts_are_those_of_the_oracle((schema, other) in pair()) {
        let patterns = Patterns::default();
        let oracle = oracle(&schema);
        let references = [&schema, &other].map(References::of);
        let schemas = references.each_ref();
        let [own, foreign] = schemas.map(|it| Schema::new(it, &patterns));
        for value in samples(foreign, own) {
            match own.verdict(&value) {
                Validity::Fits => prop_assert!(oracle.is_valid(&value), "{value} in {schema}"),
                Validity::Misfit(reason) => {
                    prop_assert!(!oracle.is_valid(&value), "{reason}: {value} in {schema}");
                }
                Validity::Unknown => {}
            }
        }
    }
}
