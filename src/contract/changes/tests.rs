//! Classes of single changes, and properties of random ones with a foreign validator as the oracle.

mod generated;

use serde_json::{Value, json};

use super::Class::{Breaking, Harmless, Look};
use super::*;

fn list(kind: ListKind, entries: &[Value]) -> List {
    let mut list = List::default();
    let page = json!({ kind.member(): entries }).to_string();
    list.add_page(kind, &page).unwrap();
    list
}

/// Returns the gravest change between two tools of one name, as class and text.
fn gravest(old: &Value, new: &Value) -> Option<(Class, String)> {
    let [old, new] = [old, new].map(|it| list(ListKind::Tools, std::slice::from_ref(it)));
    let first = changes(ListKind::Tools, &old, &new).into_iter().next();
    first.map(|it| (it.class, it.text))
}

fn changes_of(old: &List, new: &List) -> Vec<(Class, String)> {
    let found = changes(ListKind::Tools, old, new).into_iter();
    found.map(|it| (it.class, it.text)).collect()
}

fn with_input(schema: &str) -> Value {
    json!({ "name": "t", "inputSchema": serde_json::from_str::<Value>(schema).unwrap() })
}

fn with_output(schema: &str) -> Value {
    json!({ "name": "t", "inputSchema": {}, "outputSchema": serde_json::from_str::<Value>(schema).unwrap() })
}

/// Wraps the schema of one property.
fn property(schema: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"a":{schema}}}}}"#)
}

const HARMLESS: &str = "accepts all former arguments";

#[test]
#[rustfmt::skip] // A table.
fn changes_of_one_argument_have_their_class() {
    for (old, new, class, text) in [
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, Harmless, HARMLESS),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, Breaking, "`a` must be of type integer"),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, Harmless, HARMLESS),
        (r#"{"type":"string"}"#, r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#, Harmless, HARMLESS),
        (r#"{"type":["string","null"]}"#, r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#, Harmless, HARMLESS),
        (r#"{"anyOf":[{"type":"null"},{"type":"string"}]}"#, r#"{"type":"string"}"#, Breaking, "`a` must be of type string"),
        (r#"{"enum":["x","y"]}"#, r#"{"enum":["y","x","z"]}"#, Harmless, HARMLESS),
        (r#"{"enum":["x","y"]}"#, r#"{"enum":["x"]}"#, Breaking, r#"`a` must be "x""#),
        (r#"{"enum":["x","y"]}"#, r#"{"oneOf":[{"const":"x"},{"const":"y"}]}"#, Harmless, HARMLESS),
        (r#"{"oneOf":[{"const":"x"},{"const":"y"}]}"#, r#"{"enum":["x","y"]}"#, Harmless, HARMLESS),
        (r#"{"type":"integer","minimum":1}"#, r#"{"type":"integer","minimum":2}"#, Breaking, "`a` violates minimum 2"),
        (r#"{"type":"integer","minimum":2}"#, r#"{"type":"integer","exclusiveMinimum":1.5}"#, Harmless, HARMLESS),
        (r#"{"type":"string"}"#, r#"{"type":"string","maxLength":9}"#, Breaking, "`a` violates maxLength 9"),
        (r#"{"type":"string","maxLength":9}"#, r#"{"type":"string"}"#, Harmless, HARMLESS),
        (r#"{"type":"string"}"#, r#"{"type":"string","pattern":"^[a-z]+$"}"#, Breaking, r#"`a` violates pattern "^[a-z]+$""#),
        (r#"{"type":"string","pattern":"^a+$"}"#, r#"{"type":"string","pattern":"^(?=a)a*$"}"#, Look, "former arguments may no longer fit"),
        (r#"{"type":"array","items":{"type":"string"}}"#, r#"{"type":"array","items":{"type":"string"},"uniqueItems":true}"#,
            Breaking, "`a` must not repeat an item"),
        (r#"{"type":"array","items":{"type":"string"}}"#, r#"{"type":"array","items":{"type":"number"}}"#, Breaking, "`a[0]` must be of type number"),
        (r#"{"type":"string","default":"x"}"#, r#"{"type":"string","default":"y"}"#, Look, r#"default of `a` changed from "x" to "y""#),
        (r#"{"type":"string"}"#, r#"{"type":"string","format":"uri"}"#, Look, r#"format of `a` changed from none to "uri""#),
        (r#"{"type":"string"}"#, r#"{"type":"string","description":"A."}"#, Harmless, HARMLESS),
        ("{}", r#"{"type":"string"}"#, Breaking, "`a` must be of type string"),
        (r#"{"type":"string"}"#, "true", Harmless, HARMLESS),
        (r#"{"type":"string"}"#, "false", Breaking, "`a` is not allowed"),
    ] {
        let found = gravest(&with_input(&property(old)), &with_input(&property(new)));
        assert_eq!(found, Some((class, text.to_owned())), "{old} -> {new}");
    }
}

#[test]
#[rustfmt::skip] // A table.
fn bounds_are_compared_exactly_and_those_of_all_exact_integers_do_not_count() {
    let integers = r#"{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}"#;
    for (old, new, class, text) in [
        (r#"{"type":"integer"}"#, integers, Harmless, HARMLESS),
        (integers, r#"{"type":"integer"}"#, Harmless, HARMLESS),
        (integers, r#"{"type":"integer","maximum":9007199254740990}"#, Breaking, "`a` violates maximum 9007199254740990"),
        (r#"{"type":"number"}"#, r#"{"type":"number","maximum":9007199254740991}"#, Breaking, "`a` violates maximum 9007199254740991"),
        (r#"{"type":"number","maximum":9007199254740993}"#, r#"{"type":"number","maximum":9007199254740992}"#,
            Breaking, "`a` violates maximum 9007199254740992"),
        (r#"{"type":"number","minimum":-9007199254740993}"#, r#"{"type":"number","exclusiveMinimum":-9007199254740993}"#,
            Breaking, "`a` violates exclusiveMinimum -9007199254740993"),
        (r#"{"type":"number","maximum":18446744073709551614}"#, r#"{"type":"number","maximum":18446744073709551615}"#, Harmless, HARMLESS),
        (r#"{"type":"number","minimum":1}"#, r#"{"type":"number","minimum":1,"exclusiveMinimum":true}"#, Look, "former arguments may no longer fit"),
    ] {
        let found = gravest(&with_input(&property(old)), &with_input(&property(new)));
        assert_eq!(found, Some((class, text.to_owned())), "{old} -> {new}");
    }
}

#[test]
#[rustfmt::skip] // A table.
fn a_changed_meaning_is_found_in_every_part_of_a_schema() {
    let defined = |at: &str, definition: &str| {
        format!(r#"{{"type":"object","properties":{{"a":{at}}},"$defs":{{"D":{definition}}}}}"#)
    };
    let optional = |format: &str| property(&format!(r#"{{"anyOf":[{{"type":"string","format":"{format}"}},{{"type":"null"}}]}}"#));
    let deep = |default: u8| {
        let members = format!(r#"{{"type":"object","properties":{{"deep":{{"type":"integer","default":{default}}}}}}}"#);
        defined(r##"{"anyOf":[{"$ref":"#/$defs/D"},{"type":"null"}]}"##, &members)
    };
    let one_of = |name: &str| property(&format!(r#"{{"oneOf":[{{"type":"object","properties":{{"{name}":{{"type":"string"}}}}}}]}}"#));
    let tree = |default: u8| {
        let members = format!(r##"{{"type":"object","properties":{{"next":{{"$ref":"#/$defs/D"}},"k":{{"default":{default}}}}}}}"##);
        defined(r##"{"$ref":"#/$defs/D"}"##, &members)
    };
    let all_of = |default: u8| format!(r#"{{"allOf":[{{"properties":{{"a":{{"default":{default}}}}}}}]}}"#);
    let inside = |place: &str, format: &str| property(&place.replace('S', &format!(r#"{{"type":"string","format":"{format}"}}"#)));
    let [map, tuple, items] = [r#"{"type":"object","additionalProperties":S}"#, r#"{"type":"array","prefixItems":[S]}"#,
        r#"{"type":"array","items":{"anyOf":[S]}}"#];
    let color = r#"{"enum":["x","y"]}"#;
    for (old, new, text) in [
        (defined(r##"{"$ref":"#/$defs/D","default":"x"}"##, color), defined(r##"{"$ref":"#/$defs/D","default":"y"}"##, color),
            r#"default of `a` changed from "x" to "y""#),
        (optional("date-time"), optional("date"), r#"format of `a` changed from "date-time" to "date""#),
        (deep(1), deep(99), "default of `a.deep` changed from 1 to 99"),
        (one_of("x"), one_of("y"), "`a.x` is no longer described"),
        (tree(1), tree(2), "default of `a.k` changed from 1 to 2"),
        (all_of(1), all_of(2), "default of `a` changed from 1 to 2"),
        (inside(map, "uri"), inside(map, "email"), r#"format of `a.*` changed from "uri" to "email""#),
        (inside(tuple, "uri"), inside(tuple, "email"), r#"format of `a[0]` changed from "uri" to "email""#),
        (inside(items, "uri"), inside(items, "email"), r#"format of `a[]` changed from "uri" to "email""#),
        (property(r#"{"type":"string"}"#), property(r#"{"type":"string","nullable":true}"#), "nullable of `a` changed from none to true"),
    ] {
        let changes = [with_input(&old), with_input(&new)].map(|it| list(ListKind::Tools, &[it]));
        let changes = changes_of(&changes[0], &changes[1]);
        assert!(changes.contains(&(Look, text.to_owned())), "{old} -> {new}: {changes:?}");
        let results = gravest(&with_output(&old), &with_output(&new));
        assert!(results.is_some_and(|(class, _)| class >= Look), "{old} -> {new}");
    }
    let inlined = property(r#"{"enum":["x","y"],"default":"x"}"#);
    let swapped = property(r#"{"anyOf":[{"type":"null"},{"type":"string","format":"date"}]}"#);
    for (old, new) in [
        (defined(r##"{"$ref":"#/$defs/D","default":"x"}"##, color), inlined),
        (optional("date"), swapped),
    ] {
        let found = gravest(&with_input(&old), &with_input(&new));
        assert_eq!(found, Some((Harmless, HARMLESS.to_owned())), "{old} -> {new}");
    }
}

#[test]
fn constraints_beside_a_reference_count_by_the_dialect() {
    let of = |dialect: &str, beside: &str| {
        let text = r##"{"$schema":"DIALECT","type":"object","properties":{"a":{"$ref":"#/definitions/T"BESIDE}},
            "definitions":{"T":{}}}"##;
        text.replace("DIALECT", dialect).replace("BESIDE", beside)
    };
    let [old, new] = [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
    ];
    let look = Some((Look, "former arguments may no longer fit".to_owned()));
    let harmless = Some((Harmless, HARMLESS.to_owned()));
    for (beside, expected) in [
        (r#","type":"string""#, look),
        (r#","description":"A city""#, harmless.clone()),
        ("", harmless),
    ] {
        let [old, new] = [old, new].map(|dialect| with_input(&of(dialect, beside)));
        assert_eq!(gravest(&old, &new), expected, "{beside}");
    }
}

#[test]
#[rustfmt::skip] // A table.
fn changes_of_the_set_of_arguments_have_their_class() {
    let a = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let closed = r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    let required = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let a_and_b = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}}}"#;
    let a_and_required_b = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"default":1}},"required":["b"]}"#;
    let closed_both = r#"{"type":"object","properties":{"a":{"type":"string"},"b":{}},"additionalProperties":false}"#;
    let referred = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"string"}}}"##;
    let renamed = r##"{"type":"object","properties":{"a":{"$ref":"#/definitions/B"}},"definitions":{"B":{"type":"string"}}}"##;
    let dialect = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"string"}}}"#;
    let map = r#"{"type":"object","properties":{"a":{"type":"object"}}}"#;
    let map_of_texts = r#"{"type":"object","properties":{"a":{"type":"object","additionalProperties":{"type":"string"}}}}"#;
    for (old, new, class, text) in [
        (a, a_and_b, Harmless, HARMLESS),
        (closed, closed_both, Harmless, HARMLESS),
        (r#"{"type":"object"}"#, a, Harmless, HARMLESS),
        (a, a_and_required_b, Breaking, "`b` is required"),
        (a, required, Breaking, "`a` is required"),
        (required, a, Harmless, HARMLESS),
        (a_and_b, closed, Breaking, "`b` is not allowed"),
        (a_and_b, a, Look, "`b` is no longer described"),
        (a, closed, Look, "undeclared members are no longer accepted"),
        (closed, a, Harmless, HARMLESS),
        (a, referred, Harmless, HARMLESS),
        (referred, renamed, Harmless, HARMLESS),
        (a, dialect, Harmless, HARMLESS),
        (map, map_of_texts, Breaking, "`a.extra` must be of type string"),
        (map_of_texts, map, Harmless, HARMLESS),
        (r#"{"properties":{"a":{}},"anyOf":[{"properties":{"b":{"type":"string"}}}]}"#,
            r#"{"properties":{"a":{},"b":{"type":"integer"}}}"#, Look, "former arguments may no longer fit"),
        (r#"{"allOf":[{"properties":{"a":{}}},{"properties":{"b":{"type":"string"}}}]}"#,
            r#"{"properties":{"a":{},"b":{"type":"integer"}}}"#, Look, "former arguments may no longer fit"),
    ] {
        let found = gravest(&with_input(old), &with_input(new));
        assert_eq!(found, Some((class, text.to_owned())), "{old} -> {new}");
    }
}

#[test]
#[rustfmt::skip] // A table.
fn changes_of_results_are_classed_the_other_way_round() {
    let a = r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#;
    let optional = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let wide = r#"{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]}"#;
    let more = r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{}},"required":["a","b"],"additionalProperties":false}"#;
    let closed = r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#;
    let none = r#"{"type":"object","properties":{}}"#;
    for (old, new, class, text) in [
        (a, optional, Breaking, "results: may break the former schema, in which `a` is required"),
        (optional, a, Harmless, "results: fit the former schema"),
        (a, wide, Breaking, "results: may break the former schema, in which `a` must be of type integer"),
        (wide, a, Harmless, "results: fit the former schema"),
        (closed, more, Harmless, "results: fit the former schema"),
        (optional, none, Look, "results: `a` is no longer described"),
        (a, none, Breaking, "results: may break the former schema, in which `a` is required"),
    ] {
        let found = gravest(&with_output(old), &with_output(new));
        assert_eq!(found, Some((class, text.to_owned())), "{old} -> {new}");
    }
}

#[test]
fn entries_that_come_and_go_have_their_class() {
    let tool = |name: &str| json!({ "name": name, "inputSchema": { "type": "object", "properties": { "q": {} } } });
    let texts = |kind, old: &[Value], new: &[Value]| {
        let changes = changes(kind, &list(kind, old), &list(kind, new)).into_iter();
        changes
            .map(|it| (it.class, format!("{} {}", it.name, it.text)))
            .collect::<Vec<_>>()
    };
    let found = texts(
        ListKind::Tools,
        &[tool("find"), json!({ "name": "x" })],
        &[tool("search")],
    );
    let expected = [
        (
            Breaking,
            "find is gone; `search` has the same arguments".to_owned(),
        ),
        (Breaking, "x is gone".to_owned()),
        (Harmless, "search is new".to_owned()),
    ];
    assert_eq!(found, expected);
    let resource = |uri: &str| json!({ "uri": uri, "name": uri });
    let found = texts(ListKind::Resources, &[resource("mem://a")], &[]);
    assert_eq!(found, [(Look, "mem://a is gone".to_owned())]);
    let template = json!({ "uriTemplate": "mem://{x}", "name": "x" });
    let found = texts(ListKind::Templates, &[template], &[]);
    assert_eq!(found, [(Breaking, "mem://{x} is gone".to_owned())]);
}

#[test]
fn hints_and_prompts_have_their_class() {
    let hints = |hints: Value| json!({ "name": "t", "inputSchema": {}, "annotations": hints });
    let found = gravest(&hints(json!({ "readOnlyHint": true })), &hints(json!({})));
    assert_eq!(
        found,
        Some((Look, "`readOnlyHint` changed to false".to_owned()))
    );
    // The default of `destructiveHint` is true.
    let found = gravest(
        &hints(json!({})),
        &hints(json!({ "destructiveHint": true })),
    );
    assert_eq!(found, Some((Harmless, "`annotations` changed".to_owned())));
    let prompt = |arguments: Value| {
        list(
            ListKind::Prompts,
            &[json!({ "name": "p", "arguments": arguments })],
        )
    };
    let a = || json!([{ "name": "a" }]);
    for (old, new, class, text) in [
        (
            a(),
            json!([{ "name": "a", "required": true }]),
            Breaking,
            "`a` is required",
        ),
        (
            json!([]),
            json!([{ "name": "b", "required": true }]),
            Breaking,
            "`b` is required",
        ),
        (json!([]), a(), Harmless, "`a` is new"),
        (a(), json!([]), Look, "`a` is no longer described"),
    ] {
        let found = changes(ListKind::Prompts, &prompt(old), &prompt(new));
        assert_eq!((found[0].class, &*found[0].text), (class, text));
    }
}

#[test]
fn arguments_that_fit_only_the_former_schema_are_told() {
    let old =
        with_input(r#"{"type":"object","properties":{"city":{"type":"string"}}}"#).to_string();
    let new = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["days"]}"#;
    let new = with_input(new).to_string();
    for (arguments, reason) in [
        (r#"{"city":"Oslo"}"#, Some("`days` is required")),
        (r#"{"city":"Oslo","days":1}"#, None),
        (r#"{"city":1}"#, None),
        ("{", None),
    ] {
        assert_eq!(
            outdated(&old, &new, arguments).as_deref(),
            reason,
            "{arguments}"
        );
    }
}

#[test]
fn hostile_schemas_are_classed_in_time() {
    let deep = |inner: &str| {
        let (open, close) = (r#"{"items":"#.repeat(60), "}".repeat(60));
        property(&format!("{open}{inner}{close}"))
    };
    let tree = |kind: &str| {
        format!(
            r##"{{"type":"object","properties":{{"l":{{"$ref":"#"}},"r":{{"$ref":"#"}},"k":{{"type":"{kind}"}}}},"required":["k"]}}"##
        )
    };
    let many = |last: &str| {
        let names: Vec<String> = (0..3000)
            .map(|at| format!(r#""p{at}":{{"type":"string"}}"#))
            .collect();
        format!(
            r#"{{"type":"object","properties":{{{},"z":{last}}}}}"#,
            names.join(",")
        )
    };
    let values = |count: usize| {
        let values: Vec<String> = (0..count).map(|at| at.to_string()).collect();
        property(&format!(r#"{{"enum":[{}]}}"#, values.join(",")))
    };
    let branches = |kind: &str| {
        let one = format!(r#"{{"anyOf":[{{"type":"{kind}"}},{{"items":"#);
        property(&format!("{}{{}}{}", one.repeat(16), "}]}".repeat(16)))
    };
    let loops = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"$ref":"#/$defs/A"}}}"##;
    let begun = std::time::Instant::now();
    for (old, new) in [
        (deep("{}"), deep(r#"{"type":"null"}"#)),
        (tree("string"), tree("number")),
        (many("{}"), many(r#"{"type":"null"}"#)),
        (values(10_000), values(9_999)),
        (branches("string"), branches("number")),
        (loops.to_owned(), tree("string")),
        (
            property(r#"{"pattern":"(a{1,999}){1,999}"}"#),
            property(r#"{"pattern":"(a+)+$"}"#),
        ),
    ] {
        assert!(
            gravest(&with_input(&old), &with_input(&new)).is_some(),
            "{old}"
        );
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
