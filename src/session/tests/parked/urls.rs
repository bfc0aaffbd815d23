//! Legacy servers whose errors require that the user of a modern client opens URLs.

use super::*;

/// Answers the newest call of the client by the error that requires the URL with this id; returns the state with which
/// the client may repeat it.
fn required(stage: &Stage, connection: &Arc<Connection>, id: &str) -> String {
    let number = member(&stage.sent_to("a"), "id");
    required_by(stage, connection, &number, id)
}

/// The same for the call with this number.
fn required_by(stage: &Stage, connection: &Arc<Connection>, number: &str, id: &str) -> String {
    let url = format!(r#"{{"mode":"url","message":"é\ud83d","url":"u","elicitationId":"{id}"}}"#);
    let data = format!(r#"{{"elicitations":[{url}]}}"#);
    let error = format!(r#"{{"code":-32042,"message":"log in","data":{data}}}"#);
    let line = format!(r#"{{"id":{number},"error":{error}}}"#);
    connection.receive(&line, None).unwrap();
    let lines = stage.lines();
    let request = r#"{"1":{"method":"elicitation/create","params":{"mode":"url","message":"é\ud83d","url":"u"}}}"#;
    assert!(lines[0].contains(request), "{}", lines[0]);
    let (keys, state) = asked(&lines);
    assert_eq!((keys, connection.in_flight()), (vec!["1".into()], 0));
    state
}

/// The server reports that the user is done with this URL.
fn complete(connection: &Arc<Connection>, id: &str) {
    let line = format!(
        r#"{{"method":"notifications/elicitation/complete","params":{{"elicitationId":"{id}"}}}}"#
    );
    connection.receive(&line, None).unwrap();
}

const ACCEPTED: &str = r#"{"1":{"action":"accept"}}"#;

async fn wait(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_sent_again_once_the_user_has_opened_its_urls() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    let state = required(&stage, &connection, "e1");
    stage.receive(&call("2", &again(&state, ACCEPTED)));
    wait(9_000).await;
    assert!(stage.sent_to("a").is_empty());
    complete(&connection, "other");
    wait(1).await;
    assert!(stage.sent_to("a").is_empty());
    complete(&connection, "e1");
    wait(1).await;
    let state = {
        let sent = stage.sent_to("a");
        assert!(!sent[0].contains("inputResponses"), "{}", sent[0]);
        let number = member(&sent, "id");
        let line = format!(r#"{{"id":{number},"result":{{"content":[]}}}}"#);
        connection.receive(&line, None).unwrap();
        assert_eq!(member(&stage.lines(), "id"), "2");
        // Completed before the client returns.
        stage.receive(&call("3", ""));
        required(&stage, &connection, "e2")
    };
    complete(&connection, "e2");
    stage.receive(&call("4", &again(&state, ACCEPTED)));
    wait(1).await;
    // The server may require the same again.
    let state = required(&stage, &connection, "e2");
    // Not every server reports that the user is done.
    stage.receive(&call("5", &again(&state, ACCEPTED)));
    wait(9_000).await;
    assert!(stage.sent_to("a").is_empty());
    wait(1_001).await;
    assert_eq!(stage.sent_to("a").len(), 1);
    stage.receive(&call("6", &again(&state, ACCEPTED)));
    is_invalid_state(&stage.lines());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_repeated_with_input_may_require_urls() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    stage.receive(&call("2", &again(&state, r#"{"1":{"roots":[]}}"#)));
    assert_eq!(stage.sent_to("a").len(), 1);
    let state = required_by(&stage, &connection, &number, "e");
    complete(&connection, "e");
    stage.receive(&call("3", &again(&state, ACCEPTED)));
    wait(1).await;
    // The state of the first repetition is used up.
    let sent = stage.sent_to("a");
    assert!(
        sent.len() == 1 && !sent[0].contains("requestState"),
        "{sent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_open_the_urls_gets_the_error() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    for responses in [r#"{"1":{"action":"decline"}}"#, r#"{"1":null}"#, "{}", "[]"] {
        stage.receive(&call("1", ""));
        let state = required(&stage, &connection, "e");
        stage.receive(&call("2", &again(&state, responses)));
        let error = member(&stage.lines(), "error");
        let error = Members::of(&error);
        assert_eq!(error.get("code"), Some("-32600"));
        assert!(
            error
                .get("data")
                .unwrap()
                .contains(r#""elicitationId":"e""#)
        );
        wait(11_000).await;
        assert!(stage.sent_to("a").is_empty());
    }
    // A client that shows no URLs is not asked.
    let plain = call("1", "").replace(r#","url":{}"#, "");
    stage.receive(&plain);
    let number = member(&stage.sent_to("a"), "id");
    let data = r#"{"elicitations":[{"mode":"url","message":"m","url":"u","elicitationId":"e"}]}"#;
    let line =
        format!(r#"{{"id":{number},"error":{{"code":-32042,"message":"m","data":{data}}}}}"#);
    connection.receive(&line, None).unwrap();
    assert!(member(&stage.lines(), "error").contains("-32600"));
    assert!(stage.session.state().parked_calls.is_empty());
}

/// The official Python server of the modern era sends this error too.
#[tokio::test(start_paused = true)]
async fn the_urls_of_a_modern_server_are_requested_too() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    connection.set_era(Era::Modern, None);
    // The server has requested other input before, by a result.
    let input = again("own", r#"{"k":{}}"#);
    stage.receive(&call("1", &input));
    let state = required(&stage, &connection, "e");
    stage.receive(&call("2", &again(&state, ACCEPTED)));
    complete(&connection, "e");
    // The client gets the notification too.
    assert!(stage.lines()[0].contains("elicitation/complete"));
    wait(1).await;
    let sent = stage.sent_to("a");
    assert!(sent[0].contains(r#""requestState":"own""#), "{}", sent[0]);
    assert!(sent[0].contains(r#""inputResponses":{"k":{}}"#));
    let line = format!(r#"{{"id":{},"result":{{}}}}"#, member(&sent, "id"));
    connection.receive(&line, None).unwrap();
    assert_eq!(member(&stage.lines(), "id"), "2");

    stage.receive(&call("3", ""));
    let state = required(&stage, &connection, "f");
    stage.receive(&call("4", &again(&state, r#"{"1":{"action":"cancel"}}"#)));
    assert!(member(&stage.lines(), "error").contains("-32042"));
    // A request of its own is against the rules of its era.
    stage.receive(&call("5", ""));
    stage.sent_to("a");
    connection.receive(&ask("7"), None).unwrap();
    assert!(member(&stage.sent_to("a"), "error").contains("-32601"));
}
