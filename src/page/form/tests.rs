use super::*;

fn fields(schema: &Value) -> Value {
    ArgumentsForm::of(&schema.to_string()).fields.unwrap()
}

/// Returns the field of the only property, with this schema.
fn field(schema: &Value) -> Value {
    fields(&json!({ "type": "object", "properties": { "a": schema } }))[0].take()
}

#[test]
fn each_schema_has_its_control() {
    for (schema, kind, is_nullable) in [
        (json!({ "type": "string" }), "text", false),
        (json!({ "type": "number" }), "number", false),
        (json!({ "type": ["integer", "null"] }), "integer", true),
        (
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "null" }] }),
            "boolean",
            true,
        ),
        (
            json!({ "allOf": [{ "enum": [1, "a", null] }] }),
            "choice",
            false,
        ),
        (json!({ "const": 1 }), "choice", false),
        (
            json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            "json",
            false,
        ),
        (
            json!({ "type": "array", "items": { "type": "string" } }),
            "list",
            false,
        ),
        (json!({ "type": "array" }), "json", false),
        (json!({ "type": "object" }), "json", false),
        (json!({ "properties": { "b": {} } }), "object", false),
        (json!({ "enum": [] }), "json", false),
        (json!({ "$ref": "#/nowhere" }), "json", false),
        (json!({ "$ref": "#City" }), "json", false),
        (json!({ "$ref": "https://example.com/x" }), "json", false),
        (json!(true), "json", false),
        (json!({ "type": 7 }), "json", false),
    ] {
        let field = field(&schema);
        assert_eq!(field["kind"], kind, "{schema}");
        assert_eq!(field["is_nullable"], is_nullable, "{schema}");
    }
}

#[test]
fn names_defaults_and_references_are_kept() {
    let schema = r##"{"type":"object","required":["z"],"$defs":{"a/b":{"enum":["x",1.0]}},"properties":{
        "z":{"type":"string","description":"first","default":"\u0041"},
        "a":{"anyOf":[{"$ref":"#/$defs/a~1b"},{"type":"null"}],"default":null}}}"##;
    let fields = ArgumentsForm::of(schema).fields.unwrap();
    assert_eq!(
        (&fields[0]["name"], &fields[0]["is_required"]),
        (&json!("z"), &json!(true))
    );
    assert_eq!(
        (&fields[0]["about"], &fields[0]["default"]),
        (&json!("first"), &json!(r#""\u0041""#))
    );
    assert_eq!(
        (&fields[1]["options"], &fields[1]["default"]),
        (&json!(["\"x\"", "1.0"]), &json!("null"))
    );
    assert_eq!(fields[1]["is_nullable"], true);
}

#[test]
fn references_lead_into_lists_and_through_encoded_names() {
    let schema = json!({
        "type": "object",
        "$defs": { "List<City>": { "type": "array", "items": { "type": "string" } } },
        "properties": {
            "a": { "oneOf": [{ "type": "integer" }, { "type": "boolean" }] },
            "b": { "$ref": "#/properties/a/oneOf/1" },
            "c": { "$ref": "#/$defs/List%3CCity%3E" },
            "d": { "$ref": "#/properties/a/oneOf/2" },
        },
    });
    let fields = fields(&schema);
    let kinds = fields
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap());
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["json", "boolean", "list", "json"]
    );
}

#[test]
fn choices_have_the_names_of_their_values() {
    for schema in [
        json!({ "oneOf": [{ "const": "r", "title": "Red" }, { "const": "g", "title": "Green" }] }),
        json!({ "enum": ["r", "g"], "enumNames": ["Red", "Green"] }),
    ] {
        let field = field(&schema);
        assert_eq!(field["options"], json!(["\"r\"", "\"g\""]), "{schema}");
        assert_eq!(field["titles"], json!(["Red", "Green"]), "{schema}");
    }
}

#[test]
fn hostile_schemas_have_an_end() {
    let cycle = json!({ "type": "object", "properties": {
        "a": { "$ref": "#" }, "b": { "type": "array", "items": { "$ref": "#" } }, "c": { "$ref": "#/properties/c" },
    } });
    let form = ArgumentsForm::of(&cycle.to_string());
    assert!(form.fields.unwrap().to_string().len() < 100_000);
    let many: serde_json::Map<_, _> = (0..10_000)
        .map(|it| (format!("p{it}"), json!({ "type": "string" })))
        .collect();
    let form = ArgumentsForm::of(&json!({ "type": "object", "properties": many }).to_string());
    assert_eq!(form.fields.unwrap().as_array().unwrap().len(), MAX_FIELDS);
    assert!(form.note.is_some());
    let deep = format!(
        "{}1{}",
        r#"{"properties":{"a":"#.repeat(3000),
        "}}".repeat(3000)
    );
    assert!(ArgumentsForm::of(&deep).fields.unwrap().to_string().len() < 2000);
    // A pointer as deep as its schema, and many pointers into a long schema.
    let nested = r#"{"a":"#.repeat(49) + r#"{"type":"string"}"# + &"}".repeat(49);
    let pointer = "#".to_owned() + &"/a".repeat(50);
    let schema = format!(r#"{{"properties":{{"x":{{"$ref":"{pointer}"}}}},"a":{nested}}}"#);
    let form = ArgumentsForm::of(&schema).fields.unwrap();
    assert_eq!(form[0]["kind"], "json");
    let many: serde_json::Map<_, _> = (0..50)
        .map(|it| (format!("p{it}"), json!({ "$ref": "#/$defs/a" })))
        .collect();
    let long = json!({
        "$comment": "x".repeat(MAX_SCHEMA * 9 / 10),
        "$defs": { "a": { "type": "string" } },
        "properties": many,
    });
    let form = fields(&long);
    assert_eq!(
        (&form[0]["kind"], &form[49]["kind"]),
        (&json!("text"), &json!("json"))
    );
    for schema in [
        "",
        "[]",
        "true",
        r#"{"type":"array"}"#,
        &" ".repeat(MAX_SCHEMA + 1),
    ] {
        let form = ArgumentsForm::of(schema);
        assert!(form.fields.is_none() && form.note.is_some());
    }
    assert_eq!(fields(&json!({ "type": "object" })), json!([]));
}
