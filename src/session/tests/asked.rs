//! Requests to the client: those of servers and the proxy's own.

use super::*;

/// Returns the session's message to the client, about nothing in particular.
fn told(line: &str) -> (String, String) {
    ("nothing".to_owned(), line.to_owned())
}

#[tokio::test]
async fn requests_of_servers_get_numbers_and_responses_their_own_ids() {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    stage.greet();
    for (number, (server, id)) in [("a", "1"), ("b", "1"), ("a", r#""\ud83d""#), ("b", "1e400")]
        .into_iter()
        .enumerate()
    {
        let (number, connection) = (number + 1, stage.connect(server));
        let line = |id: &str| {
            format!(r#"{{"x":-0,"id":{id},"method":"roots/list","params":{{"n":1E400,"n":[ ]}}}}"#)
        };
        connection.receive(&line(id), None).unwrap();
        assert_eq!(stage.heard(), [told(&line(&number.to_string()))]);
        let answer = |id: &str| format!(r#"{{"result":{{"n":1E400,"n":[ ]}},"id":{id},"x":-0}}"#);
        stage.sent_to(server);
        stage.receive(&answer(&number.to_string()));
        assert_eq!(stage.sent_to(server), [answer(id)]);
        // A second response is a response to nothing.
        stage.receive(&answer(&number.to_string()));
        assert!(stage.sent_to(server).is_empty());
    }
}

#[tokio::test]
async fn only_the_number_itself_answers_a_request() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.greet();
    let connection = stage.connect("a");
    let line = r#"{"id":5,"method":"roots/list"}"#;
    connection.receive(line, None).unwrap();
    for id in [r#""1""#, "1.0", "5", "-1", "null", "2", r#""\u0031""#] {
        stage.receive(&format!(r#"{{"id":{id},"result":{{}}}}"#));
        assert!(stage.sent_to("a").is_empty(), "{id}");
    }
    stage.receive(r#"{"id":1,"error":{"code":1,"message":"no"}}"#);
    assert_eq!(
        stage.sent_to("a"),
        [r#"{"id":5,"error":{"code":1,"message":"no"}}"#]
    );
}

#[tokio::test]
async fn progress_tokens_of_several_servers_do_not_meet() {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    stage.greet();
    let line = |token: &str, id: &str| {
        format!(
            r#"{{"id":{id},"method":"sampling/createMessage","params":{{"_meta":{{"progressToken":{token}}}}}}}"#
        )
    };
    for (server, number) in [("a", "1"), ("b", "2")] {
        let connection = stage.connect(server);
        connection.receive(&line(r#""t""#, "7"), None).unwrap();
        assert_eq!(stage.heard(), [told(&line(number, number))]);
    }
    stage.receive(
        r#"{"method":"notifications/progress","params":{"progressToken":2,"progress":1E5}}"#,
    );
    assert!(stage.sent_to("a").is_empty());
    assert_eq!(
        stage.sent_to("b"),
        [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1E5}}"#
        ]
    );
}

#[tokio::test]
async fn a_withdrawn_request_is_cancelled_under_its_number() {
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    stage.greet();
    let (a, b) = (stage.connect("a"), stage.connect("b"));
    let line = r#"{"id":"q","method":"roots/list"}"#;
    a.receive(line, None).unwrap();
    b.receive(line, None).unwrap();
    stage.heard();
    let cancelled = |id: &str| {
        format!(
            r#"{{"method":"notifications/cancelled","params":{{"reason":"late","requestId":{id}}}}}"#
        )
    };
    b.receive(&cancelled(r#""q""#), None).unwrap();
    assert_eq!(stage.heard(), [told(&cancelled("2"))]);
    // The request is unknown by now.
    b.receive(&cancelled(r#""q""#), None).unwrap();
    assert!(stage.heard().is_empty());
    stage.receive(r#"{"id":2,"result":{}}"#);
    assert!(stage.sent_to("b").is_empty());
    stage.receive(r#"{"id":1,"result":{}}"#);
    assert_eq!(stage.sent_to("a"), [r#"{"id":"q","result":{}}"#]);
}

#[tokio::test]
async fn requests_of_a_server_that_ended_are_withdrawn() {
    use crate::server::Client as _;
    let stage = Stage::new(&["a", "b"], false, Set::Dev);
    stage.greet();
    let (a, b) = (stage.connect("a"), stage.connect("b"));
    let line = r#"{"id":5,"method":"roots/list"}"#;
    a.receive(line, None).unwrap();
    b.receive(line, None).unwrap();
    stage.heard();
    stage.session.withdraw_requests(&a);
    assert_eq!(
        stage.heard(),
        [told(
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"the server was restarted"}}"#
        )]
    );
    stage.receive(r#"{"id":1,"result":{}}"#);
    assert!(stage.sent_to("a").is_empty());
    stage.receive(r#"{"id":2,"result":{}}"#);
    assert_eq!(stage.sent_to("b").len(), 1);
}

#[tokio::test]
async fn a_server_hears_that_its_client_cannot_be_asked() {
    for (is_legacy, is_deaf, code) in [(false, false, "-32600"), (true, true, "-32603")] {
        let stage = Stage::new(&["a"], true, Set::Dev);
        if is_legacy {
            stage.greet();
        }
        if is_deaf {
            stage.deafen();
        }
        let connection = stage.connect("a");
        let line = r#"{"id":"\ud83d","method":"sampling/createMessage"}"#;
        connection.receive(line, None).unwrap();
        let sent = stage.sent_to("a");
        let answer = Members::of(&sent[0]);
        assert_eq!(answer.get("id"), Some(r#""\ud83d""#));
        assert_eq!(answer.object("error").get("code"), Some(code));
        let open = stage.session.state().requests_to_client.take("1".into());
        assert!(open.is_none());
        assert!(stage.heard().is_empty());
    }
}

#[tokio::test]
async fn messages_of_servers_wait_until_the_client_is_ready() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.receive(r#"{"id":0,"method":"initialize","params":{}}"#);
    let connection = stage.connect("a");
    let ask = r#"{"id":1,"method":"roots/list"}"#;
    let tell = r#"{"method":"vendor/x","params":{"n":1E400}}"#;
    connection.receive(ask, None).unwrap();
    connection.receive(tell, None).unwrap();
    assert!(stage.heard().is_empty());
    stage.receive(r#"{"method":"notifications/initialized"}"#);
    assert_eq!(stage.heard(), [told(ask), told(tell)]);
    connection.receive(tell, None).unwrap();
    assert_eq!(stage.heard(), [told(tell)]);
}

#[tokio::test]
async fn requests_waiting_for_the_client_are_limited() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.receive(r#"{"id":0,"method":"initialize","params":{}}"#);
    let connection = stage.connect("a");
    let long = format!(
        r#"{{"method":"vendor/x","params":["{}"]}}"#,
        "x".repeat(700_000)
    );
    connection.receive(&long, None).unwrap();
    assert!(stage.heard().is_empty());
    connection.receive(&long, None).unwrap();
    assert_eq!(stage.heard(), [told(&long), told(&long)]);
}

#[tokio::test]
async fn the_proxys_own_requests_share_the_numbers_of_the_servers() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.greet();
    let connection = stage.connect("a");
    let line = r#"{"id":9,"method":"roots/list"}"#;
    connection.receive(line, None).unwrap();
    stage.heard();
    let asking = stage.session.ask_client(
        "elicitation/create",
        Some(r#"{"message":1E5}"#),
        r#""i""#.into(),
    );
    let answer = r#"{"id":2,"result":{"action":"accept","n":1E400}}"#;
    let client = async {
        let line =
            r#"{"jsonrpc":"2.0","id":2,"method":"elicitation/create","params":{"message":1E5}}"#;
        let about = r#"request "i""#.to_owned();
        assert_eq!(stage.heard(), [(about, line.to_owned())]);
        stage.receive(r#"{"id":"2","result":{}}"#);
        stage.receive(answer);
    };
    let (answered, ()) = tokio::join!(asking, client);
    assert_eq!(answered.as_deref(), Ok(answer));
    assert!(stage.sent_to("a").is_empty());
    assert!(stage.heard().is_empty());
    // The server's request is still open.
    stage.receive(r#"{"id":1,"result":{}}"#);
    assert_eq!(stage.sent_to("a"), [r#"{"id":9,"result":{}}"#]);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_cancelled() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    stage.greet();
    stage.heard();
    {
        let asking = stage
            .session
            .ask_client("elicitation/create", Some("{}"), "7".into());
        tokio::select! {
            biased;
            _ = asking => panic!("nobody answers"),
            () = std::future::ready(()) => {}
        }
    }
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    ];
    let about = |line: &str| ("request 7".to_owned(), line.to_owned());
    assert_eq!(stage.heard(), lines.map(about));
    stage.deafen();
    let unheard = stage.session.ask_client("x", None, "7".into()).await;
    assert_eq!(unheard, Err(Undelivered));
    let open = stage
        .session
        .state()
        .requests_to_client
        .take_own("2".into());
    assert!(open.is_none());
}

/// Returns the lines that `take` gives once it gives any.
pub(super) async fn eventually(take: impl Fn() -> Vec<String>) -> Vec<String> {
    loop {
        let lines = take();
        if !lines.is_empty() {
            return lines;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_legacy_client_is_asked_for_the_input_that_a_modern_server_requests() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    connection.set_era(Era::Modern, None);
    let params = r#"{"capabilities":{"roots":{}}}"#;
    stage.greet_with(params);
    let line = r#"{"id":"c","method":"tools/call","params":{"name":"t","arguments":{"a":1E5}}}"#;
    stage.receive(line);
    let id = |lines: &[String]| Members::of(&lines[0]).get("id").unwrap().to_owned();
    let first = id(&stage.sent_to("a"));
    let respond = |id: &str, result: &str| {
        let line = format!(r#"{{"id":{id},"result":{result}}}"#);
        connection.receive(&line, None).unwrap();
    };
    stage.heard();
    let request = r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}"#;
    respond(&first, request);
    // It has had its response.
    respond(&first, "{}");
    assert_eq!(connection.in_flight(), 1);
    let asked = eventually(|| stage.lines()).await;
    let expected = r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#;
    assert_eq!(asked, [expected]);

    stage.receive(r#"{"id":1,"result":{"roots":[1E5]}}"#);
    let sent = eventually(|| stage.sent_to("a")).await;
    let second = id(&sent);
    assert_ne!(first, second);
    let added = r#""inputResponses":{"k":{"roots":[1E5]}},"requestState":"s""#;
    assert!(sent[0].contains(added), "{}", sent[0]);
    respond(&second, r#"{"resultType":"complete","content":[]}"#);
    let answer = r#"{"jsonrpc":"2.0","id":"c","result":{"content":[]}}"#;
    assert_eq!(stage.lines(), [answer]);
    assert_eq!(connection.in_flight(), 0);

    // A cancelled call withdraws its requests to the client; the server has nothing to cancel.
    stage.receive(line);
    respond(&id(&stage.sent_to("a")), request);
    eventually(|| stage.lines()).await;
    let sink = stage.session.as_sink();
    assert!(connection.cancel(&sink, r#""c""#.into(), "{}"));
    let cancelled = eventually(|| stage.lines()).await;
    let expected =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    assert_eq!(cancelled, [expected]);
    assert!(stage.sent_to("a").is_empty() && connection.in_flight() == 0);
}

#[tokio::test]
async fn progress_of_a_call_goes_on_where_it_was_before_the_request_for_input() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    connection.set_era(Era::Modern, None);
    let params = r#"{"capabilities":{"roots":{}}}"#;
    stage.greet_with(params);
    stage.receive(
        r#"{"id":"c","method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}"#,
    );
    let id = |lines: &[String]| Members::of(&lines[0]).get("id").unwrap().to_owned();
    let report = |token: &str, value: &str| {
        let line = |token: &str| {
            format!(
                r#"{{"method":"notifications/progress","params":{{"progressToken":{token},"progress":{value}}}}}"#
            )
        };
        connection.receive(&line(token), None).unwrap();
        (stage.lines(), vec![line(r#""p""#)])
    };
    let first = id(&stage.sent_to("a"));
    stage.lines();
    let (heard, expected) = report(&first, "2");
    assert_eq!(heard, expected);
    let request =
        r#"{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}}}"#;
    let line = format!(r#"{{"id":{first},"result":{request}}}"#);
    connection.receive(&line, None).unwrap();
    eventually(|| stage.lines()).await;
    stage.receive(r#"{"id":1,"result":{"roots":[]}}"#);
    let second = id(&eventually(|| stage.sent_to("a")).await);
    for value in ["1", "2.0"] {
        assert!(report(&second, value).0.is_empty(), "{value}");
    }
    let (heard, expected) = report(&second, "2.5");
    assert_eq!(heard, expected);
}
