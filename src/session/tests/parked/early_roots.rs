//! Legacy servers that request the roots before any call of a modern client.

use super::*;

/// Time for a server to read its roots.
const READING: Duration = Duration::from_millis(51);

#[tokio::test(start_paused = true)]
async fn a_client_gives_its_roots_before_its_first_call() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    stage.sent_to("a");
    for id in ["7", "8", "9"] {
        connection.receive(&ask(id), None).unwrap();
    }
    let withdrawn = r#"{"method":"notifications/cancelled","params":{"requestId":8}}"#;
    connection.receive(withdrawn, None).unwrap();
    stage.receive(&call("1", ""));
    assert!(stage.sent_to("a").is_empty());
    let (keys, state) = asked(&stage.lines());
    assert_eq!(keys, ["1"]);
    stage.receive(&call("2", &again(&state, r#"{"1":{"roots":[1E5]}}"#)));
    let answer = |id: u8| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[1E5]}}}}"#);
    assert_eq!(stage.sent_to("a"), [answer(7), answer(9)]);
    tokio::time::sleep(READING).await;
    let sent = stage.sent_to("a");
    assert!(!sent[0].contains("requestState"), "{}", sent[0]);
    let line = format!(r#"{{"id":{},"result":{{}}}}"#, member(&sent, "id"));
    connection.receive(&line, None).unwrap();
    assert_eq!(member(&stage.lines(), "id"), "2");

    // The next generation gets them at once.
    let next = stage.connect("a");
    next.receive(&ask("3"), None).unwrap();
    assert_eq!(stage.sent_to("a"), [answer(3)]);
    assert!(stage.session.state().early_roots.is_empty());
    stage.receive(&call("3", &again(&state, r#"{"1":{"roots":[]}}"#)));
    is_invalid_state(&stage.lines());
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_client_has_no_roots_gets_an_error() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    let without = |line: String| line.replace(r#""roots":{},"#, "");
    stage.receive(&without(request("0", "vendor/x", "c", r#""a":1"#)));
    stage.sent_to("a");
    connection.receive(&ask("7"), None).unwrap();
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("-32021"), "{error}");

    // A client that does not send them is not asked again.
    stage.receive(&request("1", "vendor/x", "c", r#""a":1"#));
    stage.sent_to("a");
    connection.receive(&ask("8"), None).unwrap();
    stage.receive(&without(call("2", "")));
    assert_eq!(stage.sent_to("a").len(), 1);
    stage.receive(&call("3", ""));
    let (_, state) = asked(&stage.lines());
    stage.receive(&call("4", &again(&state, "{}")));
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("did not respond"), "{error}");
    tokio::time::sleep(READING).await;
    assert_eq!(stage.sent_to("a").len(), 1);
    assert!(stage.session.state().early_roots.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_for_the_roots_ends_with_its_server() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    for id in 0..70 {
        connection.receive(&ask(&id.to_string()), None).unwrap();
    }
    let sent = stage.sent_to("a");
    assert_eq!(sent.len(), 1 + 6, "{sent:?}");
    assert!(sent[1].contains("too many requests wait"), "{}", sent[1]);
    connection.close();
    assert!(stage.session.state().early_roots.is_empty());
    connection.receive(&ask("99"), None).unwrap();
    assert!(stage.session.state().early_roots.is_empty());
    let next = stage.connect("a");
    stage.receive(&call("1", ""));
    assert_eq!((stage.sent_to("a").len(), next.in_flight()), (1, 1));
}
