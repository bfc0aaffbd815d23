use std::cell::RefCell;

use super::*;

/// Returns the recording of one session with these messages of the client (`>`) and to it (`<`).
fn recording(messages: &[&str]) -> String {
    let lines = messages.iter().map(|message| {
        let (way, message) = message.split_at(1);
        let (from, to) = if way == ">" {
            ("client", "proxy")
        } else {
            ("proxy", "client")
        };
        format!(
            r#"{{"time_us":0,"from":"{from}","to":"{to}","session":"7-1","bytes":1,"message":{message}}}"#
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the messages of the server for those of a client, and its reports.
fn served(recorded: &[&str], client: &[&str]) -> (Vec<String>, Vec<String>) {
    let reports = RefCell::new(Vec::new());
    let mut output = Vec::new();
    let client = client.join("\n");
    let mut server = MockServer {
        exchanges: Exchanges::read(&recording(recorded)),
        file: "a.ndjson".to_owned(),
        client: client.as_bytes(),
        output: &mut output,
        waiting: VecDeque::new(),
        asked: 0,
        report: &|text: &str| reports.borrow_mut().push(text.to_owned()),
    };
    server.serve().unwrap();
    let output = String::from_utf8(output).unwrap();
    let lines = output.lines().map(ToOwned::to_owned).collect();
    (lines, reports.into_inner())
}

#[test]
fn equal_requests_get_their_responses_in_order() {
    let recorded = [
        r#">{"id":0,"method":"initialize","params":{"clientInfo":{"name":"a"}}}"#,
        r#"<{"id":0,"result":{"protocolVersion":"2025-11-25"}}"#,
        r#">{"id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":1,"b":2}}}"#,
        r#"<{"id":1,"result":"first"}"#,
        r#">{"id":2,"method":"tools/call","params":{"name":"t","arguments":{"a":1,"b":2}}}"#,
        r#"<{"id":2,"error":{"code":1}}"#,
        r#">{"id":3,"method":"tools/list"}"#,
        r#"<{"id":3,"result":"list"}"#,
    ];
    let call = |id: &str, arguments: &str| {
        let meta = r#""_meta":{"x":1}"#;
        format!(
            r#"{{"id":{id},"method":"tools/call","params":{{{meta},"arguments":{arguments},"name":"t"}}}}"#
        )
    };
    let client = [
        r#"{"id":"i","method":"initialize","params":{"clientInfo":{"name":"b"}}}"#.to_owned(),
        r#"{"method":"notifications/initialized"}"#.to_owned(),
        call("1", r#"{"b":2,"a":1}"#),
        call("2", r#"{"a":1,"b":2}"#),
        call("3", r#"{"a":1,"b":2}"#),
        r#"[{"id":4,"method":"tools/list","params":{}},{"id":5,"method":"ping"}]"#.to_owned(),
    ];
    let client: Vec<&str> = client.iter().map(String::as_str).collect();
    let (lines, reports) = served(&recorded, &client);
    let expected = [
        r#"{"id":"i","result":{"protocolVersion":"2025-11-25"}}"#,
        r#"{"id":1,"result":"first"}"#,
        r#"{"id":2,"error":{"code":1}}"#,
        r#"{"id":3,"error":{"code":1}}"#,
        r#"{"id":4,"result":"list"}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
    ];
    assert_eq!(lines, expected);
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn unknown_requests_get_an_error_that_names_the_known_ones() {
    let recorded = [
        r#">{"id":1,"method":"tools/call","params":{"name":"t"}}"#,
        r#"<{"id":1,"result":1}"#,
        r#">{"id":2,"method":"prompts/list"}"#,
    ];
    let client = [
        r#"{"id":1,"method":"tools/call","params":{"name":"u"}}"#,
        r#"{"id":2,"method":"resources/list"}"#,
        r#"{"id":3,"method":"prompts/list"}"#,
        "oops",
    ];
    let (lines, reports) = served(&recorded, &client);
    let expected = [
        (
            -32602,
            r#"the recording a.ndjson has `tools/call` only with the params {"name":"t"}"#,
        ),
        (
            -32601,
            "the recording a.ndjson has no request `resources/list`",
        ),
        (
            -32603,
            "the recording a.ndjson has no response to this `prompts/list`",
        ),
    ];
    assert_eq!(lines.len(), 4);
    for (at, (code, message)) in expected.into_iter().enumerate() {
        let value: serde_json::Value = serde_json::from_str(&lines[at]).unwrap();
        assert_eq!(value["id"], at + 1);
        assert_eq!(value["error"]["code"], code);
        assert_eq!(value["error"]["message"], message);
        assert_eq!(reports[at], message);
    }
    assert!(lines[3].contains("-32700"), "{}", lines[3]);
}

#[test]
fn messages_before_a_response_are_sent_under_the_ids_of_the_client() {
    let recorded = [
        r#">{"id":1,"method":"subscriptions/listen","params":{"_meta":{"x":1}}}"#,
        r#"<{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#,
        r#">{"id":2,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"a"}}}"#,
        r#"<{"method":"notifications/progress","params":{"progressToken":"a","progress":1}}"#,
        r#"<{"method":"notifications/message","params":{"data":1}}"#,
        r#"<{"id":9,"method":"roots/list"}"#,
        r#">{"id":9,"result":{"roots":[]}}"#,
        r#"<{"id":2,"result":1}"#,
        r#">{"id":3,"method":"tools/list"}"#,
        r#"<{"id":3,"result":2}"#,
    ];
    let client = [
        r#"{"id":"s","method":"subscriptions/listen"}"#,
        r#"{"id":"c","method":"tools/call","params":{"name":"t","_meta":{"progressToken":7}}}"#,
        // It is answered after the call.
        r#"{"id":"l","method":"tools/list"}"#,
        r#"{"id":1,"result":{"roots":[]}}"#,
    ];
    let (lines, reports) = served(&recorded, &client);
    let expected = [
        r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}"#,
        r#"{"method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#,
        r#"{"method":"notifications/message","params":{"data":1}}"#,
        r#"{"id":1,"method":"roots/list"}"#,
        r#"{"id":"c","result":1}"#,
        r#"{"id":"l","result":2}"#,
    ];
    assert_eq!(lines, expected);
    assert!(reports.is_empty(), "{reports:?}");
}

#[test]
fn a_cancelled_request_waits_no_longer_for_the_client() {
    let asking = |id: u32| {
        [
            format!(r#">{{"id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#),
            format!(r#"<{{"id":9{id},"method":"roots/list"}}"#),
            format!(r#">{{"id":9{id},"result":{{"roots":[]}}}}"#),
            format!(r#"<{{"id":{id},"result":{id}}}"#),
        ]
    };
    let list = [
        r#">{"id":3,"method":"tools/list"}"#.to_owned(),
        r#"<{"id":3,"result":3}"#.to_owned(),
    ];
    let recorded = [&asking(1)[..], &asking(2)[..], &list[..]].concat();
    let recorded: Vec<&str> = recorded.iter().map(String::as_str).collect();
    let client = [
        r#"{"id":"a","method":"tools/call","params":{"name":"t"}}"#,
        r#"{"id":"b","method":"tools/call","params":{"name":"t"}}"#,
        // The second call is cancelled before it begins.
        r#"{"method":"notifications/cancelled","params":{"requestId":"b"}}"#,
        r#"{"method":"notifications/cancelled","params":{"requestId":"a"}}"#,
        r#"{"id":"l","method":"tools/list"}"#,
    ];
    let (lines, _) = served(&recorded, &client);
    let expected = [
        r#"{"id":1,"method":"roots/list"}"#,
        r#"{"id":"l","result":3}"#,
    ];
    assert_eq!(lines, expected);
}
