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

/// Returns the line that notifies a server of changed roots.
fn notice() -> &'static str {
    r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#
}

#[tokio::test(start_paused = true)]
async fn a_server_that_responds_to_nothing_without_roots_gets_them_later() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    let number = member(&stage.sent_to("a"), "id");
    let response = format!(r#"{{"id":{number},"result":{{}}}}"#);
    connection.receive(&response, None).unwrap();
    stage.heard();
    let list = connection.send_own("tools/list", None, tokio::sync::oneshot::channel().0);
    stage.sent_to("a");
    connection.receive(&ask("7"), None).unwrap();
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    assert!(stage.sent_to("a").is_empty());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("notified of changed roots"), "{error}");
    let response = format!(r#"{{"id":{},"result":{{}}}}"#, list.unwrap());
    connection.receive(&response, None).unwrap();

    stage.receive(&call("1", ""));
    let (_, state) = asked(&stage.lines());
    stage.receive(&call("2", &again(&state, r#"{"1":{"roots":[]}}"#)));
    assert_eq!(stage.sent_to("a"), [notice()]);
    connection.receive(&ask("8"), None).unwrap();
    assert_eq!(
        stage.sent_to("a"),
        [r#"{"jsonrpc":"2.0","id":8,"result":{"roots":[]}}"#]
    );
    tokio::time::sleep(READING).await;
    assert_eq!(stage.sent_to("a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_nothing_keeps_its_request_open() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    connection.go_live();
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("7"), None).unwrap();
    let response = format!(r#"{{"id":{number},"result":{{}}}}"#);
    connection.receive(&response, None).unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(stage.sent_to("a").is_empty());
    stage.session.end_parked_calls();
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("has disconnected"), "{error}");
    connection.receive(&ask("8"), None).unwrap();
    assert!(member(&stage.sent_to("a"), "error").contains("has disconnected"));
    // No task is left.
    stage.session.tasks.close();
    stage.session.tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_live_server_that_stalls_later_gets_an_error() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    connection.go_live();
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("7"), None).unwrap();
    let response = format!(r#"{{"id":{number},"result":{{}}}}"#);
    connection.receive(&response, None).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(stage.sent_to("a").is_empty());
    let list = connection.send_own("tools/list", None, tokio::sync::oneshot::channel().0);
    assert!(list.is_ok());
    stage.sent_to("a");
    tokio::time::sleep(Duration::from_secs(7)).await;
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("notified of changed roots"), "{error}");
}

/// The client has changed its roots, and cannot tell by itself.
#[tokio::test(start_paused = true)]
async fn a_later_generation_gets_the_present_roots() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let first = stage.connect("a");
    stage.receive(&request("0", "vendor/x", "c", r#""a":1"#));
    stage.sent_to("a");
    first.receive(&ask("1"), None).unwrap();
    let give = |id: u8, roots: &str| {
        stage.receive(&call(&id.to_string(), ""));
        let (_, state) = asked(&stage.lines());
        let responses = format!(r#"{{"1":{{"roots":[{roots}]}}}}"#);
        stage.receive(&call(&(id + 1).to_string(), &again(&state, &responses)));
    };
    let answer = |id: u8, roots: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[{roots}]}}}}"#)
    };
    give(1, "1");
    assert_eq!(stage.sent_to("a"), [answer(1, "1")]);
    tokio::time::sleep(READING).await;
    stage.sent_to("a");
    first.close();

    let second = stage.connect("a");
    second.receive(&ask("2"), None).unwrap();
    assert_eq!(stage.sent_to("a"), [answer(2, "1")]);
    give(3, "2");
    assert_eq!(stage.sent_to("a"), [notice()]);
    second.receive(&ask("3"), None).unwrap();
    assert_eq!(stage.sent_to("a"), [answer(3, "2")]);
    tokio::time::sleep(READING).await;
    // The client is asked once a generation.
    stage.sent_to("a");
    stage.receive(&call("5", ""));
    assert_eq!(stage.sent_to("a").len(), 1);
    // It gives others during the call.
    second.receive(&ask("4"), None).unwrap();
    collected().await;
    let (keys, state) = asked(&stage.lines());
    let responses = format!(r#"{{"{}":{{"roots":[3]}}}}"#, keys[0]);
    stage.receive(&call("6", &again(&state, &responses)));
    assert_eq!(stage.sent_to("a"), [answer(4, "3"), notice().to_owned()]);
    // The call could end before the client responds.
    second.receive(&ask("40"), None).unwrap();
    assert_eq!(stage.sent_to("a"), [answer(40, "3")]);
    second.close();

    let third = stage.connect("a");
    third.receive(&ask("5"), None).unwrap();
    assert_eq!(stage.sent_to("a"), [answer(5, "3")]);
    // The same roots are no change.
    give(7, "3");
    assert!(stage.sent_to("a").is_empty());
    tokio::time::sleep(READING).await;
    let number = member(&stage.sent_to("a"), "id");
    let response = format!(r#"{{"id":{number},"result":{{}}}}"#);
    third.receive(&response, None).unwrap();
    stage.lines();
    let changed = format!(
        r#"{{"method":"notifications/roots/list_changed","params":{{"_meta":{{{MODERN}}}}}}}"#
    );
    stage.receive(&changed);
    stage.sent_to("a");
    third.receive(&ask("6"), None).unwrap();
    assert!(stage.sent_to("a").is_empty());
    give(9, "4");
    assert_eq!(stage.sent_to("a"), [answer(6, "4")]);
}
