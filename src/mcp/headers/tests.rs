use proptest::prelude::*;

use super::*;

const TOOL: &str = r#"{"name":"t","inputSchema":{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "size":{"type":"integer","x-mcp-header":"Size"},
    "deep":{"type":"object","properties":{"on":{"type":"boolean","x-mcp-header":"Deep-On"}}},
    "free":{"type":"string","default":{"x-mcp-header":"data"}},
    "x-mcp-header":{"type":"string"}}}}"#;

fn sent(arguments: &str) -> Vec<(String, Option<String>)> {
    let mirrors = mirrors(TOOL).unwrap();
    mirrors
        .iter()
        .map(|it| (it.header.clone(), it.render(arguments)))
        .collect()
}

#[test]
fn arguments_become_headers() {
    let with = |value: &str| Some(value.to_owned());
    let names = ["mcp-param-region", "mcp-param-size", "mcp-param-deep-on"];
    for (arguments, values) in [
        (
            r#"{"region":"eu","size":3,"deep":{"on":true}}"#,
            [with("eu"), with("3"), with("true")],
        ),
        (r#"{"region":null,"deep":{}}"#, [None, None, None]),
        (
            r#"{"region":"Zürich","size":[1]}"#,
            [with("=?base64?WsO8cmljaA==?="), None, None],
        ),
        (r#"{"region":" a"}"#, [with("=?base64?IGE=?="), None, None]),
        (r#"{"region":""}"#, [with(""), None, None]),
        // A value that a strict parser would reject must not affect other values.
        (
            r#"{"other":"\ud83d","n":1e400,"region":"eu","size":12345678901234567890}"#,
            [with("eu"), with("12345678901234567890"), None],
        ),
        (r#"{"region":"\ud83d"}"#, [None, None, None]),
    ] {
        let expected: Vec<_> = names.map(str::to_owned).into_iter().zip(values).collect();
        assert_eq!(sent(arguments), expected, "{arguments}");
    }
}

#[test]
fn annotations_that_no_client_can_follow_are_refused() {
    for (schema, why) in [
        (
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
            "neither a string",
        ),
        (
            r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#,
            "neither a string",
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}"#,
            "no name of a header",
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            "no name of a header",
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":1}}}"#,
            "no name of a header",
        ),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            "two of its arguments",
        ),
        (
            r#"{"type":"string","x-mcp-header":"A"}"#,
            "no argument's own",
        ),
        (
            r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
            "no argument's own",
        ),
        (
            r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
            "no argument's own",
        ),
        (
            r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#,
            "no argument's own",
        ),
    ] {
        let tool = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
        let error = mirrors(&tool).unwrap_err().to_string();
        assert!(error.contains(why), "{schema}: {error}");
    }
}

/// Returns the error for a call of the tool with these headers, if there is one.
fn fault(arguments: &str, headers: &[(&str, &str)]) -> Option<ErrorObject> {
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments},
        "_meta":{{"{}":"2026-07-28","{}":{{}}}}}}}}"#,
        meta::PROTOCOL_VERSION,
        meta::CLIENT_CAPABILITIES
    );
    let envelope = Envelope::parse(&line).unwrap();
    let params = Members::of(&line).original("params").unwrap();
    let standing = [
        (REVISION, "2026-07-28"),
        (METHOD, "tools/call"),
        (NAME, "t"),
    ];
    let given = |name: &str| headers.iter().any(|(it, _)| *it == name);
    let all: Vec<_> = standing
        .into_iter()
        .filter(|(name, _)| !given(name))
        .chain(headers.iter().copied())
        .filter(|(_, value)| *value != "-")
        .collect();
    let get = |name: &str| {
        let named = all.iter().filter(|(it, _)| *it == name);
        named.map(|(_, value)| value.as_bytes()).collect()
    };
    check(&envelope, params, Some(TOOL), get).err()
}

#[test]
fn headers_must_say_what_the_body_says() {
    for (arguments, headers) in [
        ("{}", vec![]),
        ("{}", vec![(NAME, " t ")]),
        ("{}", vec![(NAME, "=?base64?dA==?=")]),
        (r#"{"region":"eu"}"#, vec![("mcp-param-region", "eu")]),
        (
            r#"{"region":"eu"}"#,
            vec![("mcp-param-region", "=?base64?ZXU=?=")],
        ),
        (r#"{"size":42}"#, vec![("mcp-param-size", "42.0")]),
        (r#"{"size":42.0}"#, vec![("mcp-param-size", "42")]),
        (
            r#"{"size":9007199254740993}"#,
            vec![("mcp-param-size", "9007199254740993")],
        ),
        (
            r#"{"deep":{"on":false}}"#,
            vec![("mcp-param-deep-on", "false")],
        ),
        (r#"{"region":null}"#, vec![]),
    ] {
        assert_eq!(fault(arguments, &headers), None, "{arguments} {headers:?}");
    }
    for (arguments, headers, why) in [
        ("{}", vec![(REVISION, "-")], "is missing"),
        (
            "{}",
            vec![(REVISION, "2025-11-25")],
            "not what the body says",
        ),
        ("{}", vec![(METHOD, "Tools/Call")], "not what the body says"),
        ("{}", vec![(METHOD, "-")], "is missing"),
        ("{}", vec![(NAME, "T")], "not what the body says"),
        ("{}", vec![(NAME, "-")], "is missing"),
        ("{}", vec![(NAME, "t"), (NAME, "t")], "more than once"),
        ("{}", vec![(NAME, "=?base64?dA=?=")], "encoded wrongly"),
        ("{}", vec![(NAME, "=?base64?d!==?=")], "encoded wrongly"),
        (r#"{"region":"eu"}"#, vec![], "is missing"),
        (
            r#"{"region":"eu"}"#,
            vec![("mcp-param-region", "us")],
            "not what the body says",
        ),
        (
            "{}",
            vec![("mcp-param-region", "eu")],
            "not what the body says",
        ),
        (
            r#"{"size":42}"#,
            vec![("mcp-param-size", "4.2e1")],
            "not what the body says",
        ),
        (
            r#"{"size":9007199254740993}"#,
            vec![("mcp-param-size", "9007199254740992")],
            "not what",
        ),
    ] {
        let error = fault(arguments, &headers).unwrap_or_else(|| panic!("{arguments} {headers:?}"));
        assert_eq!(error.code, HEADER_MISMATCH);
        assert!(
            error.message.contains(why),
            "{arguments} {headers:?}: {error}"
        );
    }
}

#[test]
fn a_request_says_what_its_client_can_do() {
    for capabilities in ["", r#","io.modelcontextprotocol/clientCapabilities":1"#] {
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"{capabilities}}}}}}}"#
        );
        let envelope = Envelope::parse(&line).unwrap();
        let error = check(&envelope, "{}", None, |_| Vec::new()).unwrap_err();
        assert_eq!(error.code, INVALID_PARAMS);
    }
}

proptest! {
    #[test]
    fn decoding_reverses_encoding(value in ".*") {
        let encoded = encode(&value);
        prop_assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        prop_assert_eq!(encoded.trim(), &*encoded);
        prop_assert_eq!(&*decode(&encoded).unwrap(), &*value);
    }
}
