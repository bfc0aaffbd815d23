//! Messages that the proxy answers itself.

use serde_json::Value;

use super::*;
use crate::jsonrpc::elements;

/// Returns the id of the response as written, and its error code; 0 for a result.
fn outcome(line: &str) -> (String, i64) {
    let id = Members::of(line).get("id").unwrap().to_owned();
    let value = Members::of(line).get("error").map(|error| {
        let error: Value = serde_json::from_str(error).unwrap();
        assert!(!error["message"].as_str().unwrap().is_empty(), "{line}");
        error["code"].as_i64().unwrap()
    });
    (id, value.unwrap_or_default())
}

#[tokio::test]
async fn a_client_with_batches_gets_the_responses_as_one_array() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.receive(r#"{"id":0,"method":"initialize","params":{"protocolVersion":"2025-03-26"}}"#);
    stage.receive(r#"{"method":"notifications/initialized"}"#);
    stage.heard();
    stage.receive(r#"[{"id":1,"method":"ping"},5,{"id":"b","method":"ping"},{"id":3,"result":1}]"#);
    let heard = stage.heard();
    let [(about, array)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(about, "nothing");
    let responses = elements(array).unwrap();
    let outcomes: Vec<_> = responses.iter().map(|line| outcome(line)).collect();
    let expected = [("null", -32600), ("1", 0), ("\"b\"", 0)];
    assert_eq!(outcomes, expected.map(|(id, code)| (id.to_owned(), code)));
    stage.receive(r#"[{"id":1,"result":1}]"#);
    assert!(stage.heard().is_empty());
    stage.receive("[]");
    assert_eq!(outcome(&stage.lines()[0]), ("null".to_owned(), -32600));
}

#[tokio::test]
async fn messages_are_answered_before_any_introduction() {
    for (line, expected) in [
        (r#"{"id":1,"method":"ping"}"#, &[("1", 0)][..]),
        (r#"{"method":"ping","id":"\ud83d"}"#, &[(r#""\ud83d""#, 0)]),
        (r#"{"id":1e400,"method":"ping"}"#, &[("1e400", 0)]),
        (r#"{"id":null,"method":"ping"}"#, &[("null", 0)]),
        (r#"{"id":1,"method":"tools/list"}"#, &[("1", -32600)]),
        (r#"{"id":1,"method":"tools/call"}"#, &[("1", -32600)]),
        (r#"{"id":1,"method":"vendor/x"}"#, &[("1", -32600)]),
        (
            r#"{"id":1,"method":"subscriptions/listen"}"#,
            &[("1", -32600)],
        ),
        (r#"{"id":1,"method":"server/discover"}"#, &[("1", -32602)]),
        (
            r#"{"id":1,"method":"ping","params":{"_meta":{MODERN}}}"#,
            &[("1", -32601)],
        ),
        (
            r#"{"id":1,"method":"initialize","params":{"_meta":{MODERN}}}"#,
            &[("1", -32601)],
        ),
        (r#"{"id":7}"#, &[("7", -32600)]),
        ("{}", &[("null", -32600)]),
        ("", &[("null", -32700)]),
        ("hello", &[("null", -32700)]),
        (r#"{"id":7,"method":"ping""#, &[("null", -32700)]),
        // Batches.
        ("[]", &[("null", -32600)]),
        (r#"[{"id":1,"method":"ping"}"#, &[("null", -32600)]),
        (
            r#"[{"id":1,"method":"ping"},5,{"id":"b","method":"ping"}]"#,
            &[("1", 0), ("null", -32600), (r#""b""#, 0)],
        ),
        // Responses to nothing, and notifications, have no response.
        (r#"{"id":1,"result":{}}"#, &[]),
        (r#"{"id":"1","error":{}}"#, &[]),
        (r#"{"result":{}}"#, &[]),
        (
            r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#,
            &[],
        ),
        (r#"{"method":"notifications/cancelled"}"#, &[]),
    ] {
        let stage = Stage::new(&["a", "b"], false, Set::Dev);
        stage.receive(&line.replace("MODERN", MODERN));
        let heard: Vec<_> = stage.lines().iter().map(|line| outcome(line)).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, code)| ((*id).to_owned(), *code))
            .collect();
        assert_eq!(heard, expected, "{line}");
    }
}

#[tokio::test]
async fn an_unknown_revision_is_answered_with_the_known_one() {
    for version in [
        r#""2027-01-01""#,
        r#""2025-11-25""#,
        "5",
        "null",
        r#""\ud83d""#,
    ] {
        let stage = Stage::new(&["a"], true, Set::Dev);
        let key = crate::mcp::meta::PROTOCOL_VERSION;
        stage.receive(&format!(
            r#"{{"id":1,"method":"tools/list","params":{{"_meta":{{"{key}":{version}}}}}}}"#
        ));
        let lines = stage.lines();
        let answer: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(answer["error"]["code"], -32022, "{version}");
        assert_eq!(answer["error"]["data"]["supported"][0], "2026-07-28");
        assert!(
            answer["error"]["data"]["requested"].is_string(),
            "{version}"
        );
        assert_eq!(stage.session.state().hello_number, 0, "{version}");
    }
}

#[tokio::test]
async fn the_end_of_a_message_that_was_too_long_tells_who_waits() {
    for (head, tail, expected) in [
        (r#"{"id":7,"method":"x","params":{"a":"#, "1}}", "7"),
        (
            r#"{"method":"x","params":{"a":"#,
            r#"1},"id":"b"}"#,
            r#""b""#,
        ),
        (r#"{"method":"x","params":{"a":"#, "1}}", "null"),
    ] {
        let stage = Stage::new(&["a"], true, Set::Dev);
        let (head, tail) = (head.as_bytes(), tail.as_bytes());
        stage.session.receive_too_long(head, tail, 5);
        let heard: Vec<_> = stage.lines().iter().map(|line| outcome(line)).collect();
        assert_eq!(heard, [(expected.to_owned(), -32600)]);
    }
    // A response that is too long answers nothing to the client.
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage
        .session
        .receive_too_long(br#"{"id":7,"result":""#, b"x", 5);
    assert!(stage.lines().is_empty());
}

#[tokio::test]
async fn a_modern_request_is_an_introduction() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let line = |info: &str| {
        format!(
            r#"{{"id":1,"method":"tools/list","params":{{"_meta":{{{MODERN},"io.modelcontextprotocol/clientInfo":{info}}}}}}}"#
        )
    };
    stage.receive(&line(r#"{"name":"c"}"#));
    let identity = || stage.session.state().hello.identity.clone();
    assert_eq!(identity().client_info.as_deref(), Some(r#"{"name":"c"}"#));
    assert_eq!(stage.session.state().hello_number, 1);
    // A changed description needs no new introduction.
    stage.receive(&line(r#"{"name":"d"}"#));
    assert_eq!(identity().client_info.as_deref(), Some(r#"{"name":"d"}"#));
    assert_eq!(stage.session.state().hello_number, 1);
}

#[tokio::test]
async fn a_changed_initialize_is_another_introduction() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    for (params, epoch) in [
        (r#"{"capabilities":{}}"#, 1),
        (r#"{"capabilities":{}}"#, 1),
        (r#"{"capabilities":{"roots":{}}}"#, 2),
    ] {
        stage.receive(&format!(
            r#"{{"id":1,"method":"initialize","params":{params}}}"#
        ));
        assert_eq!(stage.session.state().hello_number, epoch, "{params}");
        let held =
            (stage.session.state().early_messages).hold("x".to_owned(), RelatedRequest::Nothing);
        assert_eq!(held, Ok(()), "{params}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn notifications_go_to_every_server_except_those_about_one_request() {
    for (line, goes) in [
        (
            r#"{"method":"notifications/roots/list_changed","x":1E5}"#,
            true,
        ),
        (r#"{"method":"vendor/x","params":[-0]}"#, true),
        (r#"{"method":"notifications/initialized"}"#, false),
        (
            r#"{"method":"notifications/cancelled","params":{"requestId":5}}"#,
            false,
        ),
        (
            r#"{"method":"notifications/progress","params":{"progressToken":5}}"#,
            false,
        ),
    ] {
        let stage = Stage::new(&["a", "b"], false, Set::Dev);
        stage.receive(line);
        for server in ["a", "b"] {
            let sent = stage.sent_to(server);
            let expected: &[&str] = if goes { &[line] } else { &[] };
            assert_eq!(sent, expected, "{server}: {line}");
        }
        assert!(stage.lines().is_empty(), "{line}");
    }
}

#[tokio::test]
async fn a_panic_answers_its_request_once_and_no_other() {
    let stage = Stage::new(&[], false, Set::Dev);
    stage
        .session
        .run("7".into(), async { panic!("a panic of the test") });
    let answering = stage.session.clone();
    stage.session.run("8".into(), async move {
        answering.answer_result("8".into(), "{}");
    });
    stage.session.wait_until_idle().await;
    let mut outcomes: Vec<_> = stage.lines().iter().map(|line| outcome(line)).collect();
    outcomes.sort();
    assert_eq!(outcomes, [("7".to_owned(), -32603), ("8".to_owned(), 0)]);
    assert!(stage.session.state().running_calls.is_empty());
}

#[test]
fn the_capabilities_of_a_shared_session_are_bounded() {
    let mut all = "{}".to_owned();
    for number in 0..100 {
        let value = "x".repeat(100);
        let one = format!(r#"{{"extensions":{{"vendor/{number}":{{"a":"{value}"}}}}}}"#);
        all = joined_capabilities(&all, &one);
    }
    assert!((MAX_JOINED / 2..=MAX_JOINED).contains(&all.len()));
    // Input that clients can give is added all the same.
    let all = joined_capabilities(&all, r#"{"roots":{}}"#);
    assert!(all.ends_with(r#","roots":{}}"#), "{all}");
}
