use super::*;
use crate::jsonrpc::is_error_object;

/// Returns `text` with the reserved keys of `_meta` written out: `@x` is `io.modelcontextprotocol/x`.
fn long(text: &str) -> String {
    text.replace('@', "io.modelcontextprotocol/")
}

fn identity() -> Identity {
    Identity {
        protocol_version: OwnedJson::of_text(MODERN),
        client_info: Some(r#"{"name":"c","version":"1"}"#.to_owned()),
        capabilities: r#"{"x":1E5}"#.to_owned(),
        log_level: None,
    }
}

/// Identity of [`identity`] as members of `_meta`.
const WHO: &str = r#""@protocolVersion":"2026-07-28","@clientInfo":{"name":"c","version":"1"},"@clientCapabilities":{"x":1E5}"#;

#[test]
fn a_request_for_a_modern_server_tells_who_sends_it() {
    for (line, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","_meta":{WHO}}}"#,
        ),
        // Members of `_meta` stay, in front.
        (
            r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":1.0,"own/k":[ ]},"a":1}}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{"progressToken":1.0,"own/k":[ ],WHO},"a":1}}"#,
        ),
        (
            r#"{"id":1,"method":"x"}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{WHO}}}"#,
        ),
        (
            r#"{"id":1,"method":"x","params":null}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{WHO}}}"#,
        ),
        // A client cannot speak for another one.
        (
            r#"{"id":1,"method":"x","params":{"_meta":{"@clientCapabilities":{"sampling":{}}}}}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{"@clientCapabilities":{"x":1E5},"@protocolVersion":"2026-07-28","@clientInfo":{"name":"c","version":"1"}}}}"#,
        ),
        // An array has no `_meta`.
        (
            r#"{"id":1,"method":"x","params":[1, 2]}"#,
            r#"{"id":7,"method":"x","params":[1, 2]}"#,
        ),
    ] {
        let sent = request(&long(line), "7".into(), Era::Modern, &identity());
        assert_eq!(sent, long(&expected.replace("WHO", WHO)), "{line}");
    }
}

#[test]
fn a_request_for_a_legacy_server_has_nothing_of_the_modern_era() {
    for (line, expected) in [
        (
            r#"{"id":"a","method":"x","params":{"name":"t","_meta":{"@protocolVersion":"2026-07-28","@clientInfo":{},"@clientCapabilities":{},"@logLevel":"info"}}}"#,
            r#"{"id":7,"method":"x","params":{"name":"t"}}"#,
        ),
        (
            r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":"p","@protocolVersion":"2026-07-28","traceparent":"00-1"}}}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{"progressToken":"p","traceparent":"00-1"}}}"#,
        ),
        // A key counts however it is escaped, and however often it stands there.
        (
            r#"{"id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol\/logLevel":"info","@logLevel":"error","k":1}}}"#,
            r#"{"id":7,"method":"x","params":{"_meta":{"k":1}}}"#,
        ),
        // Input of the client, which no request of the server has asked for.
        (
            r#"{"id":1,"method":"tools/call","params":{"name":"t","inputResponses":{"k":{}},"requestState":null}}"#,
            r#"{"id":7,"method":"tools/call","params":{"name":"t"}}"#,
        ),
        (
            r#"{"id":1,"method":"vendor/x","params":{"inputResponses":{"k":{}},"requestState":"s"}}"#,
            r#"{"id":7,"method":"vendor/x","params":{"inputResponses":{"k":{}},"requestState":"s"}}"#,
        ),
        (
            r#"{"id":1,"method":"x","params":{"a":1,"requestState":"s"}}"#,
            r#"{"id":7,"method":"x","params":{"a":1,"requestState":"s"}}"#,
        ),
        // A legacy server may take these for arguments.
        (
            r#"{"id":1,"method":"prompts/get","params":{"inputResponses":{},"name":"p","request\u0053tate":"s"}}"#,
            r#"{"id":7,"method":"prompts/get","params":{"name":"p"}}"#,
        ),
    ] {
        let sent = request(&long(line), "7".into(), Era::Legacy, &identity());
        assert_eq!(sent, long(expected), "{line}");
    }
}

/// Values that a parser would change.
const FRAGILE: [&str; 8] = [
    "123456789012345678901234567890",
    "-0",
    "1.10E+400",
    r#""\ud83d\/\u0041""#,
    r#"{"a":1,"a":2,"\u0061":3}"#,
    "[ 1 , {\"b\" : null} ]",
    "\"é\u{2028}\u{7f}\"",
    "{\"unknown\":\t{}}",
];

#[test]
fn members_that_are_not_translated_pass_byte_for_byte() {
    for raw in FRAGILE {
        let line = format!(
            r#"{{"id":1,"x":{raw},"method":"m","params":{{"arguments":{raw},"_meta":{{"own":{raw}}},"a":1,"a":{raw}}}}}"#
        );
        let legacy = request(&line, "1".into(), Era::Legacy, &identity());
        assert_eq!(legacy, line, "{raw}");
        let modern = request(&line, "1".into(), Era::Modern, &identity());
        let added = long(&format!(r#""own":{raw},{WHO}}}"#));
        let expected = line.replacen(&format!(r#""own":{raw}}}"#), &added, 1);
        assert_eq!(modern, expected, "{raw}");

        let result = format!(r#"{{"content":{raw},"x":{raw},"x":{raw},"_meta":{{"k":{raw}}}}}"#);
        assert_eq!(legacy_result(&result).as_ref(), Ok(&result), "{raw}");
        let rest = result.strip_suffix('}').unwrap();
        assert_eq!(
            modern_result(&result, false, None),
            format!(r#"{rest},"resultType":"complete"}}"#),
            "{raw}"
        );
    }
}

#[test]
fn a_translated_request_can_be_translated_back() {
    for raw in FRAGILE {
        let line = format!(r#"{{"id":1,"method":"m","params":{{"a":{raw},"b":[]}}}}"#);
        let there = request(&line, "2".into(), Era::Modern, &identity());
        assert_ne!(there, line);
        assert_eq!(request(&there, "1".into(), Era::Legacy, &identity()), line);
    }
}

#[test]
fn the_log_level_accompanies_only_the_requests_of_a_client() {
    let identity = Identity {
        log_level: Some(r#""warning""#.into()),
        ..identity()
    };
    let level = |params: &str| {
        let params = Members::of(params);
        let meta = params.object("_meta");
        meta.get(meta::LOG_LEVEL).map(ToOwned::to_owned)
    };
    let sent = request(
        r#"{"id":1,"method":"x"}"#,
        "1".into(),
        Era::Modern,
        &identity,
    );
    let params = Members::of(&sent).get("params").unwrap().to_owned();
    assert_eq!(level(&params).as_deref(), Some(r#""warning""#));
    assert_eq!(level(&identity.identify("{}", None)), None);
}

#[test]
fn responses_become_those_of_the_other_era() {
    let info = Some(r#"{"name":"s","version":"2"}"#);
    for (method, response, to, expected) in [
        (
            Method::CallTool,
            r#""result":{"content":[]}"#,
            Era::Modern,
            Ok(
                r#"{"content":[],"_meta":{"@serverInfo":{"name":"s","version":"2"}},"resultType":"complete"}"#,
            ),
        ),
        // A result that may be cached declares its lifetime.
        (
            Method::ReadResource,
            r#""result":{"contents":[],"_meta":{"k":-0}}"#,
            Era::Modern,
            Ok(
                r#"{"contents":[],"_meta":{"k":-0,"@serverInfo":{"name":"s","version":"2"}},"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#,
            ),
        ),
        (
            Method::CallTool,
            r#""result":{"resultType":"complete","content":[],"structuredContent":{"a":1E5},"isError":false,"ttlMs":5,"cacheScope":"public"}"#,
            Era::Legacy,
            Ok(r#"{"content":[],"structuredContent":{"a":1E5},"isError":false}"#),
        ),
        // The legacy era allows only objects there.
        (
            Method::CallTool,
            r#""result":{"content":[],"structuredContent":[1],"resultType":"complete"}"#,
            Era::Legacy,
            Ok(r#"{"content":[]}"#),
        ),
        (
            Method::Other,
            r#""result":[1, 2]"#,
            Era::Modern,
            Ok("[1, 2]"),
        ),
        (Method::Other, r#""result":null"#, Era::Legacy, Ok("null")),
        (
            Method::ReadResource,
            r#""error":{"code":-32002,"message":"gone","data":{"uri":1E5}}"#,
            Era::Modern,
            Err(r#"{"code":-32602,"message":"gone","data":{"uri":1E5}}"#),
        ),
        (
            Method::CallTool,
            r#""error":{"message":"log in","code":-32042,"data":[]}"#,
            Era::Modern,
            Err(r#"{"message":"log in","code":-32600,"data":[]}"#),
        ),
        (
            Method::CallTool,
            r#""error":{"code":-32042, "message":"log in"}"#,
            Era::Legacy,
            Err(r#"{"code":-32042, "message":"log in"}"#),
        ),
        (
            Method::Other,
            r#""error":{"code":-32601, "code":-32601.0}"#,
            Era::Modern,
            Err(r#"{"code":-32601, "code":-32601.0}"#),
        ),
    ] {
        let line = format!(r#"{{"id":1,{response}}}"#);
        let envelope = Envelope::parse(&line).unwrap();
        let translated = super::response(method, &envelope, to, info);
        let expected = match expected {
            Ok(raw) => TranslatedResponse::Result(long(raw)),
            Err(raw) => TranslatedResponse::Error(raw.to_owned()),
        };
        assert_eq!(translated, expected, "{line}");
    }
}

#[test]
fn a_modern_result_keeps_its_own_declarations() {
    let result = r#"{"resultType":"input_required","_meta":{"@serverInfo":{"name":"own"}},"a":1}"#;
    let info = Some(r#"{"name":"s"}"#);
    assert_eq!(modern_result(&long(result), false, info), long(result));
}

#[test]
fn a_result_that_asks_a_legacy_client_becomes_an_error_it_understands() {
    for (kind, word) in [
        ("input_required", "input"),
        ("task", "`task`"),
        ("vendor/x", "`vendor/x`"),
    ] {
        let line = format!(r#"{{"id":1,"result":{{"resultType":"{kind}"}}}}"#);
        let envelope = Envelope::parse(&line).unwrap();
        // A model reads only results.
        let TranslatedResponse::Result(raw) =
            response(Method::CallTool, &envelope, Era::Legacy, None)
        else {
            panic!("{kind}");
        };
        let result: serde_json::Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(result["isError"], true, "{raw}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(word), "{text}");
        let TranslatedResponse::Error(raw) =
            response(Method::GetPrompt, &envelope, Era::Legacy, None)
        else {
            panic!("{kind}");
        };
        assert!(is_error_object(&raw), "{raw}");
        assert!(raw.contains(word), "{raw}");
    }
}

#[test]
fn a_response_with_neither_result_nor_error_is_an_error() {
    let translated = response(Method::Other, &Envelope::default(), Era::Modern, None);
    assert!(matches!(translated, TranslatedResponse::Error(_)));
}

#[test]
fn the_lifetime_of_a_result_is_given_if_it_is_more_than_none() {
    for (result, expected) in [
        (r#"{"ttlMs":60000}"#, Some("60000")),
        (r#"{"ttlMs":1E5}"#, Some("1E5")),
        (r#"{"ttlMs":0}"#, None),
        (r#"{"contents":[{"ttlMs":5}]}"#, None),
        ("[]", None),
    ] {
        assert_eq!(cache_lifetime(result), expected, "{result}");
    }
}

#[test]
fn a_tool_keeps_an_output_schema_only_if_a_legacy_client_takes_it() {
    for (entry, expected) in [
        (r#"{"name":"a","x":1E5 }"#, None),
        (r#"{"name":"a","outputSchema":{"type":"object"} }"#, None),
        (
            r#"{"name":"a","outputSchema":{"type":"array"},"x":1E5}"#,
            Some(r#"{"name":"a","x":1E5}"#),
        ),
        (
            r#"{"outputSchema":{"type":["object","null"]},"name":"a"}"#,
            Some(r#"{"name":"a"}"#),
        ),
        (
            r#"{"name":"a","outputSchema":true}"#,
            Some(r#"{"name":"a"}"#),
        ),
    ] {
        assert_eq!(legacy_entry(entry), expected.unwrap_or(entry), "{entry}");
    }
}

#[test]
fn a_legacy_client_is_known_by_its_introduction() {
    let mut identity = Identity::default();
    identity.copy_initialize(
        &long(
            r#"{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{},"tasks":{},"extensions":{"@ui":{"x":-0},"@tasks":{}},"experimental":{"a":1E5}},"clientInfo":{"name":"c", "version":"1"}}"#,
        ),
    );
    assert_eq!(
        identity,
        Identity {
            client_info: Some(r#"{"name":"c", "version":"1"}"#.to_owned()),
            capabilities: long(
                r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{},"extensions":{"@ui":{"x":-0}},"experimental":{"a":1E5}}"#,
            ),
            ..Identity::default()
        }
    );
    let mut unnamed = identity;
    unnamed.copy_initialize("{}");
    assert_eq!(unnamed, Identity::default());
}

#[test]
fn a_modern_client_is_introduced_to_a_legacy_server() {
    let own = own_info();
    for (info, capabilities, expected) in [
        (
            Some(r#"{"name":"c"}"#),
            r#"{"sampling":{ },"elicitation":{"url":{}},"roots":{"listChanged":true,"y":1},"x":-0,"extensions":{"@tasks":{},"@ui":{"a": 1E5}}}"#,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"sampling":{ },"elicitation":{"url":{}},"roots":{"y":1},"x":-0,"extensions":{"@ui":{"a": 1E5}}},"clientInfo":{"name":"c"}}"#,
        ),
        (
            None,
            "{}",
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":OWN}"#,
        ),
    ] {
        let identity = Identity {
            client_info: info.map(ToOwned::to_owned),
            capabilities: long(capabilities),
            ..Identity::default()
        };
        let expected = long(expected).replace("OWN", &own);
        assert_eq!(identity.initialize_params(), expected);
    }
}

/// Capabilities that a server without any is given.
const GENEROUS: &str = r#""tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{},"completions":{}"#;

#[test]
fn a_discover_result_becomes_an_initialize_result() {
    for (discovered, requested, expected) in [
        (
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"extensions":{"a":{"b":-0},"@tasks":{}},"x":1E5},"instructions":"\ud83d","_meta":{"@serverInfo":{"name":"s"}},"ttlMs":5,"resultType":"complete"}"#,
            "2025-06-18",
            r#"{"protocolVersion":"2025-06-18","capabilities":{"extensions":{"a":{"b":-0}},"x":1E5,GENEROUS},"serverInfo":{"name":"s"},"instructions":"\ud83d"}"#,
        ),
        (
            "{}",
            "1999-01-01",
            r#"{"protocolVersion":"2025-11-25","capabilities":{GENEROUS},"serverInfo":OWN}"#,
        ),
    ] {
        let expected = expected.replace("GENEROUS", GENEROUS);
        let expected = expected.replace("OWN", &own_info());
        let result = initialize_result(&long(discovered), requested);
        assert_eq!(result, expected, "{discovered}");
    }
}

#[test]
fn an_initialize_result_becomes_a_discover_result() {
    for (initialized, expected) in [
        (
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tasks":{"list":{}},"x":1E5,"extensions":{"a":{"b":-0}}},"serverInfo":{"name":"s"},"instructions":"i"}"#,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"x":1E5,"extensions":{"a":{"b":-0}},GENEROUS},"instructions":"i","_meta":{"@serverInfo":{"name":"s"}},REST}"#,
        ),
        (
            "{}",
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{GENEROUS},"_meta":{"@serverInfo":OWN},REST}"#,
        ),
    ] {
        let rest = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;
        let expected = long(expected).replace("GENEROUS", GENEROUS);
        let expected = expected.replace("OWN", &own_info()).replace("REST", rest);
        assert_eq!(discover_result(initialized), expected, "{initialized}");
    }
}

#[test]
fn a_failed_call_is_told_to_the_model_in_either_era() {
    let legacy = tool_error("a \"b\"\n", Era::Legacy);
    assert_eq!(
        legacy,
        r#"{"content":[{"type":"text","text":"a \"b\"\n"}],"isError":true}"#
    );
    let modern = tool_error("a \"b\"\n", Era::Modern);
    let rest = legacy.strip_suffix('}').unwrap();
    assert_eq!(modern, format!(r#"{rest},"resultType":"complete"}}"#));
}
