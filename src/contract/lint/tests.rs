//! Rules on definitions like those of the public reports.

use serde_json::{Value, json};

use super::*;
use crate::mcp::ListKind;

fn list(tools: &[Value]) -> List {
    let mut list = List::default();
    let page = json!({ "tools": tools }).to_string();
    list.add_page(ListKind::Tools, &page).unwrap();
    list
}

/// Returns the findings about one tool for one client, as rule and pointer.
fn found(client: &str, tool: &Value) -> Vec<(&'static str, String)> {
    let client: ClientVersion = client.parse().unwrap();
    let findings = lint("srv", &list(std::slice::from_ref(tool)), &[client]);
    let found = findings.into_iter();
    found.map(|it| (it.rule.id, it.pointer)).collect()
}

/// Returns a tool with these arguments.
fn with(properties: &Value) -> Value {
    tool(&json!({ "type": "object", "properties": properties }))
}

fn tool(input: &Value) -> Value {
    json!({ "name": "t", "description": "Does it.", "inputSchema": input })
}

/// Returns a sound tool with another value of `member`.
fn member(member: &str, value: &Value) -> Value {
    let mut tool = with(&json!({}));
    tool[member] = value.clone();
    tool
}

#[track_caller]
fn assert_found(client: &str, rule: &'static str, tool: &Value, pointer: &str) {
    let found = found(client, tool);
    let expected = (rule, pointer.to_owned());
    let message = || format!("{client}: no {rule} at {pointer} in {tool}: {found:?}");
    assert!(found.contains(&expected), "{}", message());
}

#[test]
fn a_finding_says_whether_it_costs_other_tools() {
    let tuple = parsed(r#"{"a":{"type":"array","items":[{}]}}"#);
    let nameless = json!({ "name": "t", "description": "Does it." });
    let many = vec![with(&json!({})); 129];
    let first = |client: &str, tools: &[Value]| {
        let findings = lint("srv", &list(tools), &[client.parse().unwrap()]);
        let first = findings.into_iter().next().unwrap();
        (first.place(), first.effect_on_other_tools().is_some())
    };
    let place =
        "at /inputSchema/properties/a/items: is an array of schemas, the old form of a tuple";
    for (client, tools, expected) in [
        ("codex", &[with(&tuple)][..], (place, false)),
        ("anthropic-api", &[with(&tuple)][..], (place, true)),
        ("codex", &[nameless][..], ("`inputSchema` is missing", true)),
        // No single tool is at fault.
        ("vscode", &many[..], ("the server has 129 tools", false)),
    ] {
        let (place, costs) = first(client, tools);
        assert_eq!((&*place, costs), expected, "{client}");
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
#[rustfmt::skip] // A table.
fn members_that_cost_a_server_all_its_tools_are_found() {
    let nameless = json!({ "name": "t", "description": "Does it." });
    for client in ["claude-code", "gemini-cli", "typescript-sdk@1.32"] {
        assert_found(client, "input-missing", &nameless, "");
        for (rule, input, pointer) in [
            ("input-missing", "null", ""),
            ("input-root-type", r#"{"properties":{}}"#, ""),
            ("input-root-type", r#"{"anyOf":[{"type":"object"}]}"#, ""),
            ("input-root-type", "{}", ""),
            ("input-root-type", r#"{"type":"array"}"#, ""),
            ("input-root-type", r#"{"type":["object","null"]}"#, ""),
            ("required-not-array", r#"{"type":"object","required":null}"#, "/required"),
            ("properties-not-object", r#"{"type":"object","properties":null}"#, "/properties"),
            ("required-not-names", r#"{"type":"object","required":["a",1]}"#, "/required"),
        ] {
            assert_found(client, rule, &tool(&parsed(input)), &format!("/inputSchema{pointer}"));
        }
        for (rule, name, value, pointer) in [
            ("text-not-string", "description", r#"["a"]"#, "/description"),
            ("null-member", "title", "null", "/title"),
            ("null-member", "annotations", r#"{"title":null}"#, "/annotations/title"),
            ("null-member", "execution", "null", "/execution"),
            ("null-member", "icons", "null", "/icons"),
            ("null-member", "outputSchema", "null", "/outputSchema"),
            ("null-member", "_meta", "null", "/_meta"),
            ("text-not-string", "annotations", r#"{"title":7}"#, "/annotations/title"),
            ("name-not-string", "name", "7", "/name"),
            ("icons-invalid", "icons", r#"{"src":"x"}"#, "/icons"),
            ("icons-invalid", "icons", r#"[{"src":"x"},{"mimeType":"image/png"}]"#, "/icons/1/src"),
            ("icons-invalid", "icons", r#"[{"src":"x","sizes":"48x48"}]"#, "/icons/0/sizes"),
            ("execution-invalid", "execution", r#"{"taskSupport":true}"#, "/execution/taskSupport"),
            ("output-root-member", "outputSchema", r#"{"type":"object","required":null}"#, "/outputSchema/required"),
            ("output-root-member", "outputSchema", r#"{"type":"object","required":[1]}"#, "/outputSchema/required"),
            ("output-root-member", "outputSchema", r#"{"type":"object","properties":null}"#, "/outputSchema/properties"),
            ("output-property", "outputSchema", r#"{"type":"object","properties":{"a":true}}"#, "/outputSchema/properties/a"),
            ("annotation-not-boolean", "annotations", r#"{"readOnlyHint":"true"}"#, "/annotations/readOnlyHint"),
            ("meta-not-object", "_meta", "[]", "/_meta"),
        ] {
            assert_found(client, rule, &member(name, &parsed(value)), pointer);
        }
    }
    let list_of = member("outputSchema", &json!({ "type": "array", "items": {} }));
    let lost = member("outputSchema", &parsed(r##"{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}}}"##));
    for client in ["gemini-cli", "typescript-sdk", "python-sdk"] {
        assert_found(client, "output-root-type", &list_of, "/outputSchema");
        assert_found(client, "output-reference", &lost, "/outputSchema/properties/x/$ref");
    }
    for client in ["gemini-cli", "typescript-sdk@1.32"] {
        assert_found(client, "property-not-schema", &with(&json!({ "a": null })), "/inputSchema/properties/a");
        assert_found(client, "boolean-property", &with(&json!({ "a": true })), "/inputSchema/properties/a");
    }
}

#[test]
#[rustfmt::skip] // A table.
fn output_schemas_that_a_validator_refuses_are_found_at_every_depth() {
    for (client, rule, schema, pointer) in [
        ("typescript-sdk", "output-invalid", r#"{"type":"integr"}"#, "/type"),
        ("typescript-sdk@1.32", "output-invalid", r#"{"items":{"minimum":0,"exclusiveMinimum":true}}"#, "/items/exclusiveMinimum"),
        ("python-sdk", "output-invalid", r#"{"enum":"x"}"#, "/enum"),
        ("gemini-cli", "output-invalid", r#"{"required":null}"#, "/required"),
        ("typescript-sdk", "output-refused", r#"{"enum":[]}"#, "/enum"),
        ("typescript-sdk", "output-refused", r#"{"nullable":true}"#, "/nullable"),
        ("typescript-sdk@1.32", "output-refused", r#"{"pattern":"(?P<id>[a-z]+)"}"#, "/pattern"),
        ("python-sdk", "output-items-list", r#"{"items":[{"type":"string"}]}"#, "/items"),
    ] {
        let schema = json!({ "type": "object", "properties": { "a": parsed(schema) } });
        let pointer = format!("/outputSchema/properties/a{pointer}");
        assert_found(client, rule, &member("outputSchema", &schema), &pointer);
    }
    let dialect = r#"{"type":"object","$schema":"http://json-schema.org/draft-04/schema#"}"#;
    assert_found("typescript-sdk", "output-dialect-unknown", &member("outputSchema", &parsed(dialect)), "/outputSchema/$schema");
}

#[test]
#[rustfmt::skip] // A table.
fn definitions_that_a_client_accepts_are_no_errors() {
    let tree = r#"{"$id":"T0","type":"object","properties":{"nodes":{"type":"array","items":{"$ref":"T0"}}}}"#;
    for (client, name, value) in [
        ("python-sdk", "title", "null"),
        ("python-sdk", "description", "null"),
        ("python-sdk", "annotations", r#"{"title":null,"readOnlyHint":null}"#),
        ("python-sdk", "icons", "null"),
        ("python-sdk", "_meta", "null"),
        ("python-sdk", "outputSchema", "null"),
        ("typescript-sdk", "outputSchema", tree),
        ("typescript-sdk", "outputSchema", r#"{"type":"object","properties":{"a":true}}"#),
        ("claude-code", "outputSchema", r#"{"type":"object","properties":{"a":{"type":"integr"}}}"#),
        ("typescript-sdk", "annotations", r#"{"note":null}"#),
    ] {
        let found = found(client, &member(name, &parsed(value)));
        assert_eq!(found, [], "{client}: {name} {value}");
    }
}

#[test]
fn a_result_of_the_list_is_judged_too() {
    let found = |client: &str, members: &str| {
        let mut list = List::default();
        let page = format!(r#"{{"tools":[]{members}}}"#);
        list.add_page(ListKind::Tools, &page).unwrap();
        let findings = lint("srv", &list, &[client.parse().unwrap()]).into_iter();
        let found = findings.map(|it| (it.rule.id, it.pointer, it.text));
        found.collect::<Vec<_>>()
    };
    let cursor = |text: &str| {
        (
            "cursor-not-string",
            "/nextCursor".to_owned(),
            text.to_owned(),
        )
    };
    let null = cursor("is null, not a string");
    assert_eq!(found("claude-code", r#","nextCursor":null"#), [null]);
    assert_eq!(
        found("typescript-sdk", r#","nextCursor":5"#),
        [cursor("is 5, not a string")]
    );
    assert_eq!(found("python-sdk", r#","nextCursor":null"#), []);
    assert_eq!(found("claude-code", r#","nextCursor":"a""#), []);
    let meta = (
        "list-meta-not-object",
        "/_meta".to_owned(),
        "is null, not an object".to_owned(),
    );
    assert_eq!(found("typescript-sdk", r#","_meta":null"#), [meta]);
    assert_eq!(found("typescript-sdk", r#","_meta":{}"#), []);
}

#[test]
fn a_definition_that_cannot_be_parsed_is_said_not_to_be_judged() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in ["1e400", &deep] {
        let mut list = List::default();
        let page = format!(r#"{{"tools":[{{"name":"t","_meta":{{"a":{value}}}}}]}}"#);
        list.add_page(ListKind::Tools, &page).unwrap();
        let findings = lint("srv", &list, &ClientVersion::defaults());
        let [only] = &findings[..] else {
            panic!("{findings:?}")
        };
        assert_eq!(
            (only.rule.id, only.level),
            ("not-judged", LintLevel::Warning)
        );
        assert!(
            only.tool == "t" && only.text.starts_with("is not judged: "),
            "{only:?}"
        );
    }
}

#[test]
#[rustfmt::skip] // A table.
fn arguments_that_a_client_or_an_api_rejects_are_found() {
    for (client, rule, properties, pointer) in [
        ("claude-code", "property-key", r#"{"a b":{}}"#, "/a b"),
        ("claude-code", "items-list", r#"{"a":{"type":"array","items":[{}]}}"#, "/a/items"),
        ("codex", "items-list", r#"{"a":{"type":"array","items":[{}]}}"#, "/a/items"),
        ("claude-code", "draft-4-bounds", r#"{"a":{"minimum":0,"exclusiveMinimum":true}}"#, "/a/exclusiveMinimum"),
        ("claude-code", "unknown-type", r#"{"a":{"type":"int"}}"#, "/a/type"),
        ("anthropic-api", "unknown-type", r#"{"a":{"type":["string","none"]}}"#, "/a/type"),
        ("anthropic-api", "invalid-keyword", r#"{"a":{"enum":"x"}}"#, "/a/enum"),
        ("windsurf", "invalid-keyword", r#"{"a":{"type":"object","required":null}}"#, "/a/required"),
        ("mistral-api", "invalid-keyword", r#"{"a":{"anyOf":[]}}"#, "/a/anyOf"),
        ("claude-code", "invalid-keyword", r#"{"a":"string"}"#, "/a"),
        ("vscode", "array-without-items", r#"{"a":{"type":["array","null"]}}"#, "/a"),
        ("openai-api", "array-without-items", r#"{"a":{"type":"array"}}"#, "/a"),
        ("vscode", "invalid-pattern", r#"{"a":{"pattern":"("}}"#, "/a/pattern"),
        ("gemini-cli", "dangling-reference", r##"{"a":{"$ref":"#/$defs/T"}}"##, "/a/$ref"),
        ("zed", "reference", r##"{"a":{"$ref":"#"}}"##, "/a/$ref"),
        ("gemini-api", "recursive-reference", r##"{"a":{"$ref":"#"}}"##, "/a/$ref"),
        ("gemini-api", "string-format", r#"{"a":{"type":"string","format":"uri"}}"#, "/a/format"),
        ("gemini-api", "enum-value", r#"{"a":{"enum":[1,2]}}"#, "/a/enum"),
        ("gemini-api", "enum-value", r#"{"a":{"enum":["x",""]}}"#, "/a/enum"),
        ("gemini-api", "subset-keyword", r#"{"a":{"const":1}}"#, "/a/const"),
        ("gemini-api", "type-list", r#"{"a":{"type":["string","null"]}}"#, "/a/type"),
        ("gemini-api", "foreign-keyword", r#"{"a":{"type":"string","required":[]}}"#, "/a/required"),
    ] {
        let pointer = format!("/inputSchema/properties{pointer}");
        assert_found(client, rule, &with(&parsed(properties)), &pointer);
    }
}

#[test]
#[rustfmt::skip] // A table.
fn roots_of_schemas_that_a_client_or_an_api_rejects_are_found() {
    const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
    let dynamic = format!(r#"{{"type":"object","$schema":"{DIALECT}","unevaluatedProperties":false}}"#);
    for (client, rule, input, pointer) in [
        ("openai-api", "root-combinator", r#"{"type":"object","properties":{},"oneOf":[{}]}"#, "/oneOf"),
        ("claude-code@2.1.100", "root-combinator", r#"{"type":"object","properties":{},"allOf":[{}]}"#, "/allOf"),
        ("copilot-cli", "object-without-properties", r#"{"type":"object"}"#, ""),
        ("vscode", "dynamic-keyword", &dynamic, "/unevaluatedProperties"),
        ("gemini-api", "undefined-required", r#"{"type":"object","required":["x"]}"#, "/required"),
    ] {
        assert_found(client, rule, &tool(&parsed(input)), &format!("/inputSchema{pointer}"));
    }
    let mut deep = json!({ "type": "string" });
    for _ in 0..6 {
        deep = json!({ "type": "array", "items": deep });
    }
    let pointer = format!("/inputSchema/properties/a{}", "/items".repeat(6));
    assert_found("gemini-api", "nesting", &with(&json!({ "a": deep })), &pointer);
}

#[test]
#[rustfmt::skip] // A table.
fn names_and_descriptions_that_a_client_rejects_are_found() {
    let long = "x".repeat(65);
    let text = "é".repeat(2049);
    let twice = text.repeat(2);
    for (client, rule, name, value) in [
        ("claude-code", "name-missing", "name", ""),
        ("claude-code", "name-characters", "name", "a.b"),
        ("anthropic-api", "name-characters", "name", "größe"),
        ("claude-code@2.1.100", "name-length", "name", &*long),
        ("bedrock-api", "name-length", "name", &long),
        ("cursor", "prefixed-name-length", "name", &long[..58]),
        ("gemini-api", "name-start", "name", "21st"),
        ("claude-code@2.1.200", "description-length-2048", "description", &text),
        ("claude-code", "description-length", "description", &twice),
        ("bedrock-api", "description-missing", "description", ""),
    ] {
        assert_found(client, rule, &member(name, &json!(value)), &format!("/{name}"));
    }
    let nameless = json!({ "description": "x", "inputSchema": { "type": "object" } });
    assert_found("gemini-cli", "name-missing", &nameless, "/name");
    assert_eq!(found("claude-code", &member("description", &json!(text))), []);
    assert_eq!(found("cursor", &member("name", &json!(long[..57]))), []);
}

#[test]
fn a_sound_tool_has_no_finding() {
    let sound = json!({
        "name": "forecast", "title": "Forecast", "description": "Tells the weather.",
        "inputSchema": { "type": "object", "required": ["city"], "properties": {
            "city": { "type": "string", "minLength": 1, "pattern": "^[A-Z]" },
            "days": { "type": "integer", "minimum": 1, "maximum": 14, "default": 3 },
            "units": { "enum": ["metric", "imperial"], "type": "string" },
            "tags": { "type": "array", "items": { "type": "string" }, "uniqueItems": true } } },
        "outputSchema": { "type": "object", "properties": { "days": { "$ref": "#/$defs/Days" } },
            "$defs": { "Days": { "type": "array", "items": {} } } },
        "annotations": { "readOnlyHint": true, "title": "Forecast" },
    });
    for (client, name) in crate::contract::client::KnownClient::ALL {
        let findings = found(name, &sound);
        assert_eq!(findings, [], "{client:?}");
    }
}

#[test]
fn the_number_of_tools_and_a_name_listed_twice_concern_the_server() {
    let many: Vec<Value> = (0..129)
        .map(|at| member("name", &json!(format!("t{at}"))))
        .collect();
    let findings = |client: &str, tools: &List| {
        let client: ClientVersion = client.parse().unwrap();
        let findings = lint("srv", tools, &[client]).into_iter();
        findings
            .map(|it| (it.rule.id, it.tool, it.text))
            .collect::<Vec<_>>()
    };
    let text = || "the server has 129 tools".to_owned();
    for (client, rule) in [
        ("cursor", "more-than-80-tools"),
        ("windsurf", "more-than-100-tools"),
        ("vscode", "more-than-128-tools"),
    ] {
        assert_eq!(
            findings(client, &list(&many)),
            [(rule, String::new(), text())]
        );
        assert_eq!(findings(client, &list(&many[..80])), []);
    }
    let mut twice = list(&[with(&json!({})), with(&json!({}))]);
    twice.leave_out_twins();
    let expected = ("twin-name", "t".to_owned(), "is listed twice".to_owned());
    assert_eq!(findings("codex", &twice), [expected]);
}

#[test]
fn a_newer_version_is_judged_by_its_own_effect() {
    let tool = tool(&json!({ "type": "object", "properties": {}, "anyOf": [{}] }));
    let level = |client: &str| {
        let findings = lint(
            "srv",
            &list(std::slice::from_ref(&tool)),
            &[client.parse().unwrap()],
        );
        findings.first().map(|it| it.level)
    };
    assert_eq!(level("claude-code@2.1.100"), Some(LintLevel::Error));
    assert_eq!(level("claude-code@2.1.330"), Some(LintLevel::Warning));
    assert_eq!(level("claude-code"), Some(LintLevel::Warning));
    assert_eq!(level("python-sdk"), None);
}

#[test]
fn the_gravest_findings_come_first_and_name_all_harmed_clients() {
    let tools = [
        member("name", &json!("a.b")),
        with(&json!({ "a": { "type": "array", "items": [{}] } })),
    ];
    let findings = lint("srv", &list(&tools), &ClientVersion::defaults());
    let levels: Vec<_> = findings.iter().map(|it| it.level).collect();
    assert_eq!(levels, [LintLevel::Error, LintLevel::Warning]);
    let harmed = findings[0]
        .clients
        .iter()
        .map(|(client, ..)| client.to_string());
    assert_eq!(harmed.collect::<Vec<_>>(), ["claude-code", "codex"]);
}

#[test]
fn rules_have_names_of_their_own_and_say_what_to_do() {
    let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RULES.len());
    for rule in RULES {
        assert!(rule.advice.ends_with(|it| ".}".contains(it)), "{}", rule.id);
        assert!(
            !rule.source.is_empty() && !rule.effects.is_empty(),
            "{}",
            rule.id
        );
    }
}

#[test]
fn hostile_definitions_are_judged_in_time() {
    let many: serde_json::Map<String, Value> = (0..20_000)
        .map(|at| (format!("p{at}"), json!({ "$ref": "#/$defs/T" })))
        .collect();
    let names: Vec<String> = (0..10_000).map(|at| at.to_string()).collect();
    let wide = tool(
        &json!({ "type": "object", "properties": many, "required": names,
        "$defs": { "T": { "enum": names } } }),
    );
    let begun = std::time::Instant::now();
    let clients: Vec<ClientVersion> = crate::contract::client::KnownClient::ALL
        .iter()
        .map(|(_, name)| name.parse().unwrap())
        .collect();
    assert!(!lint("srv", &list(&[wide]), &clients).is_empty());
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn a_result_is_judged_by_the_definition_of_its_tool() {
    let tools = list(&[member("outputSchema", &json!({ "type": "object" }))]);
    let found = |client: &str, result: &str| {
        let clients = [client.parse().unwrap()];
        let findings = lint_result(&tools.entries[0], result, &clients).into_iter();
        let found = findings.map(|it| (it.rule.id, it.level, it.text));
        found.collect::<Vec<_>>()
    };
    let missing = "a result has no `structuredContent`, which the `outputSchema` requires";
    let mismatch = ("output-mismatch", LintLevel::Error, missing.to_owned());
    assert_eq!(found("python-sdk", "{}"), [mismatch]);
    assert_eq!(found("python-sdk", r#"{"structuredContent":{}}"#), []);
    assert_eq!(found("claude-code", "{}"), []);
    let long = format!(r#"{{"content":[{{"text":"{}"}}]}}"#, "x".repeat(100_001));
    let length = "a result has about 25001 tokens, more than 25000";
    let length = ("result-length", LintLevel::Warning, length.to_owned());
    assert_eq!(found("claude-code", &long), [length]);
}
