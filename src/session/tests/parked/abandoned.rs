//! Clients that do not come back.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_does_not_return_is_cancelled() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    tokio::time::sleep(std::time::Duration::from_secs(599)).await;
    assert!(stage.sent_to("a").is_empty());
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let sent = stage.sent_to("a");
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(Members::of(&sent[0]).get("id"), Some("7"));
    assert_eq!(
        Members::of(&sent[0]).object("error").get("code"),
        Some("-32603")
    );
    let params = Members::of(&sent[1]);
    assert_eq!(params.object("params").get("requestId"), Some(&*number));
    assert_eq!(connection.in_flight(), 0);
    stage.receive(&call("2", &again(&state, r#"{"1":{}}"#)));
    is_invalid_state(&stage.lines());
    // The client may begin again.
    stage.receive(&call("3", ""));
    assert_eq!(stage.sent_to("a").len(), 1);
}

/// A client over HTTP that abandons its call is not seen to leave.
#[tokio::test(start_paused = true)]
async fn an_abandoned_call_does_not_keep_its_client_from_being_asked() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    for (id, key) in [("1", "1"), ("2", "2"), ("3", "3")] {
        stage.receive(&call_of("c", id, ""));
        connection.receive(&ask(id), None).unwrap();
        collected().await;
        let lines = stage.lines();
        assert_eq!((&*member(&lines, "id"), &*asked(&lines).0[0]), (id, key));
    }
    // The newest call is the most likely one to ask again.
    stage.receive(&call_of("c", "4", ""));
    connection.receive(&ask("4"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    connection.receive(&ask("5"), None).unwrap();
    stage.receive(&call_of("c", "5", &again(&state, r#"{"4":{}}"#)));
    collected().await;
    assert_eq!(asked(&stage.lines()).0, ["5"]);
}

/// Its server cannot ask other clients meanwhile, since it does not tell whom it asks.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_parked_for_long_gives_way_to_another_client() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    stage.receive(&call_of("c", "1", ""));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("1"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    stage.receive(&call_of("d", "2", ""));
    stage.sent_to("a");
    for (seconds, is_given_up) in [(59, false), (2, true)] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        connection.receive(&ask("2"), None).unwrap();
        let sent = stage.sent_to("a");
        let cancelled = sent.iter().any(|line| {
            let id = Members::of(line).object("params").get("requestId") == Some(&*number);
            id && line.contains("notifications/cancelled")
        });
        assert_eq!(cancelled, is_given_up, "{sent:?}");
        // This request may still be one of the first call.
        assert!(sent.last().unwrap().contains("wrong client"), "{sent:?}");
    }
    connection.receive(&ask("3"), None).unwrap();
    collected().await;
    assert_eq!(member(&stage.lines(), "id"), "2");
    stage.receive(&call_of("c", "3", &again(&state, r#"{"1":{}}"#)));
    is_invalid_state(&stage.lines());
}

#[tokio::test(start_paused = true)]
async fn an_answered_call_keeps_its_result_when_others_give_way() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    let park = |id: &str| {
        stage.receive(&call_of("c", id, ""));
        connection.receive(&ask(id), None).unwrap();
    };
    park("1");
    let number = member(&stage.sent_to("a"), "id");
    collected().await;
    let (_, answered) = asked(&stage.lines());
    park("2");
    collected().await;
    let (_, given_up) = asked(&stage.lines());
    tokio::time::sleep(Duration::from_secs(61)).await;
    let response = format!(r#"{{"id":{number},"result":{{"content":[]}}}}"#);
    connection.receive(&response, None).unwrap();
    stage.receive(&call_of("d", "3", ""));
    connection.receive(&ask("3"), None).unwrap();
    stage.receive(&call_of("c", "4", &again(&given_up, r#"{"2":{}}"#)));
    is_invalid_state(&stage.lines());
    stage.receive(&call_of("c", "5", &again(&answered, r#"{"1":{}}"#)));
    let result = member(&stage.lines(), "result");
    assert!(result.contains("complete"), "{result}");
}
