//! Legacy servers that request input from modern clients.

mod abandoned;
mod attacks;
mod early_roots;
mod histories;
mod urls;

use super::*;
use crate::jsonrpc::quoted;

/// Returns the line of a modern request; `params` are further members of its params.
fn request(id: &str, method: &str, client: &str, params: &str) -> String {
    let meta = format!(
        r#"{{{MODERN},"io.modelcontextprotocol/clientInfo":{{"name":"{client}"}},"io.modelcontextprotocol/clientCapabilities":{{"roots":{{}},"elicitation":{{"form":{{}},"url":{{}}}}}}}}"#
    );
    format!(r#"{{"id":{id},"method":"{method}","params":{{{params},"_meta":{meta}}}}}"#)
}

/// Returns the line of a call of the tool `t`.
fn call(id: &str, more: &str) -> String {
    let params = format!(r#""name":"t","arguments":{{"a":1E5}}{more}"#);
    request(id, "tools/call", "c", &params)
}

/// Returns further params that repeat a call with these `responses`.
fn again(state: &str, responses: &str) -> String {
    format!(
        r#","inputResponses":{responses},"requestState":{}"#,
        quoted(state)
    )
}

/// Returns the line of a server's request for the roots.
fn ask(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#)
}

/// Returns the member of the only line.
fn member(lines: &[String], name: &str) -> String {
    assert_eq!(lines.len(), 1, "{lines:?}");
    Members::of(&lines[0])
        .get(name)
        .unwrap_or_default()
        .to_owned()
}

/// Waits until a server that has requested input, and requests no more for now, has its requests sent.
async fn collected() {
    tokio::time::sleep(std::time::Duration::from_millis(21)).await;
}

/// Returns the keys and the state of the only line, which requests input.
fn asked(lines: &[String]) -> (Vec<String>, String) {
    let result = member(lines, "result");
    let result = Members::of(&result);
    assert_eq!(result.text("resultType").as_deref(), Some("input_required"));
    let requests = result.object("inputRequests");
    let keys = requests.iter().map(|(key, _)| key.into_owned()).collect();
    (keys, result.text("requestState").unwrap().into_owned())
}

#[track_caller]
fn is_invalid_state(lines: &[String]) {
    let error = member(lines, "error");
    assert_eq!(
        error,
        r#"{"code":-32602,"message":"Invalid or expired requestState","data":{"reason":"invalid_request_state"}}"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_when_its_client_repeats_it_with_the_input() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", r#","inputResponses":{"x":{}}"#));
    let sent = stage.sent_to("a");
    let number = member(&sent, "id");
    assert!(!sent[0].contains("inputResponses"), "{}", sent[0]);
    for id in ["\"q\"", "7"] {
        connection.receive(&ask(id), None).unwrap();
    }
    assert!(stage.heard().is_empty());
    collected().await;
    let (keys, state) = asked(&stage.lines());
    assert_eq!(
        (keys, connection.parked_calls()),
        (vec!["1".into(), "2".into()], 1)
    );

    // A request during the wait for the client is sent after it, and only one of the others is answered.
    connection.receive(&ask("8"), None).unwrap();
    collected().await;
    assert!(stage.heard().is_empty());
    stage.receive(&call(
        "2",
        &again(&state, r#"{"2":{"roots":[1E5]},"9":{}}"#),
    ));
    assert_eq!(
        stage.sent_to("a"),
        [r#"{"jsonrpc":"2.0","id":7,"result":{"roots":[1E5]}}"#]
    );
    collected().await;
    let (keys, state) = asked(&stage.lines());
    assert_eq!(keys, ["1", "3"]);
    let responses = r#"{"1":{"roots":[]},"3":{"roots":[]}}"#;
    stage.receive(&call("3", &again(&state, responses)));
    assert_eq!(stage.sent_to("a").len(), 2);
    assert_eq!((connection.parked_calls(), connection.in_flight()), (0, 1));
    let response = format!(r#"{{"id":{number},"result":{{"content":[-0]}}}}"#);
    connection.receive(&response, None).unwrap();
    assert_eq!(
        stage.lines(),
        [r#"{"jsonrpc":"2.0","id":3,"result":{"content":[-0],"resultType":"complete"}}"#]
    );
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_state_is_valid_once_and_for_one_call_of_one_client() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    stage.sent_to("a");
    let (_, state) = asked(&stage.lines());
    let more = again(&state, r#"{"1":{"roots":[]}}"#);
    let params = |params: &str| format!("{params}{more}");
    for line in [
        request(
            "2",
            "tools/call",
            "c",
            &params(r#""name":"t","arguments":{"a":2}"#),
        ),
        request(
            "2",
            "tools/call",
            "c",
            &params(r#""name":"u","arguments":{"a":1E5}"#),
        ),
        request(
            "2",
            "prompts/get",
            "c",
            &params(r#""name":"t","arguments":{"a":1E5}"#),
        ),
        request(
            "2",
            "tools/call",
            "d",
            &params(r#""name":"t","arguments":{"a":1E5}"#),
        ),
        call("2", &again("0123456789abcdef0123456789abcdef", "{}")),
        call("2", &again("", "{}")),
    ] {
        stage.receive(&line);
        is_invalid_state(&stage.lines());
        assert!(stage.sent_to("a").is_empty(), "{line}");
    }
    // The order of the params does not matter.
    let params = params(r#""arguments":{"a":1E5},"name":"t""#);
    stage.receive(&request("2", "tools/call", "c", &params));
    assert_eq!(stage.sent_to("a").len(), 1);
    stage.receive(&call("3", &more));
    is_invalid_state(&stage.lines());
    assert_eq!(connection.in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_arrives_before_its_client_returns_is_kept() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    let number = member(&stage.sent_to("a"), "id");
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    // The TypeScript SDK withdraws its request at its time limit, and answers the call.
    let withdrawn = r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#;
    connection.receive(withdrawn, None).unwrap();
    let response = format!(r#"{{"id":{number},"error":{{"code":1,"message":"late"}}}}"#);
    connection.receive(&response, None).unwrap();
    assert!(stage.heard().is_empty() && connection.in_flight() == 0);
    stage.receive(&call("2", &again(&state, r#"{"1":{}}"#)));
    assert_eq!(
        stage.lines(),
        [r#"{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"late"}}"#]
    );
    assert!(stage.sent_to("a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_cannot_ask_a_client_that_has_left() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    stage.receive(&call("1", ""));
    stage.receive(&call("2", ""));
    stage.sent_to("a");
    for id in ["7", "8"] {
        connection.receive(&ask(id), None).unwrap();
        collected().await;
    }
    assert_eq!(connection.parked_calls(), 2);
    stage.receive(&call("3", ""));
    stage.sent_to("a");
    stage.session.end_parked_calls();
    let sent = stage.sent_to("a");
    assert_eq!((sent.len(), connection.in_flight()), (4, 1), "{sent:?}");
    connection.receive(&ask("9"), None).unwrap();
    collected().await;
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("has disconnected"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn parked_calls_are_limited() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    let mut numbers = Vec::new();
    for id in 0..65 {
        stage.receive(&call(&id.to_string(), ""));
        numbers.push(member(&stage.sent_to("a"), "id"));
        connection.receive(&ask(&id.to_string()), None).unwrap();
        collected().await;
    }
    assert_eq!((stage.heard().len(), connection.parked_calls()), (64, 64));
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("too many requests wait"), "{error}");
    // An answered call makes room.
    let response = format!(r#"{{"id":{},"result":{{}}}}"#, numbers[0]);
    connection.receive(&response, None).unwrap();
    stage.sent_to("a");
    connection.receive(&ask("65"), None).unwrap();
    collected().await;
    assert_eq!((stage.heard().len(), connection.parked_calls()), (1, 64));
}

#[tokio::test(start_paused = true)]
async fn a_server_asks_only_during_a_call_and_only_for_what_it_declares() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    let code = |lines: &[String]| {
        Members::of(&member(lines, "error"))
            .get("code")
            .map(str::to_owned)
    };
    let form = r#"{"id":7,"method":"elicitation/create","params":{}}"#;
    connection.receive(form, None).unwrap();
    assert_eq!(code(&stage.sent_to("a")).as_deref(), Some("-32600"));
    stage.receive(&request("1", "vendor/x", "c", r#""a":1"#));
    stage.sent_to("a");
    connection.receive(form, None).unwrap();
    assert_eq!(code(&stage.sent_to("a")).as_deref(), Some("-32600"));
    stage.receive(&call("2", ""));
    stage.sent_to("a");
    let line = r#"{"id":7,"method":"vendor/ask"}"#;
    connection.receive(line, None).unwrap();
    assert_eq!(code(&stage.sent_to("a")).as_deref(), Some("-32601"));
    let line = r#"{"id":7,"method":"sampling/createMessage","params":{}}"#;
    connection.receive(line, None).unwrap();
    collected().await;
    assert_eq!(code(&stage.sent_to("a")).as_deref(), Some("-32021"));
    assert!(stage.heard().is_empty());
    // Another request is collected again.
    connection.receive(&ask("8"), None).unwrap();
    collected().await;
    assert_eq!(asked(&stage.lines()).0, ["2"]);
}

/// Returns the line of a call by the client with this name; `more` are further members of its params.
fn call_of(client: &str, id: &str, more: &str) -> String {
    request(id, "tools/call", client, &format!(r#""name":"t"{more}"#))
}

#[tokio::test(start_paused = true)]
async fn of_several_clients_only_a_certain_one_is_asked() {
    let stage = Stage::shared(&["a"]);
    let connection = stage.connect("a");
    let mut numbers = Vec::new();
    for id in ["1", "2"] {
        stage.receive(&call_of(id, id, ""));
        numbers.push(member(&stage.sent_to("a"), "id"));
    }
    connection.receive(&ask("7"), None).unwrap();
    let error = member(&stage.sent_to("a"), "error");
    assert!(error.contains("wrong client"), "{error}");
    // The stream of a call tells to which one the request belongs.
    let number = numbers[1].parse().unwrap();
    connection.receive(&ask("7"), Some(number)).unwrap();
    collected().await;
    let lines = stage.lines();
    assert_eq!(member(&lines, "id"), "2");
    // Another request may name the call until it ends, also while it is parked.
    connection.receive(&ask("8"), None).unwrap();
    assert_eq!(stage.sent_to("a").len(), 1);
    let response = format!(r#"{{"id":{},"result":{{}}}}"#, numbers[0]);
    connection.receive(&response, None).unwrap();
    stage.heard();
    connection.receive(&ask("9"), None).unwrap();
    collected().await;
    let (_, state) = asked(&lines);
    stage.receive(&call_of("2", "3", &again(&state, r#"{"1":{}}"#)));
    collected().await;
    assert_eq!(asked(&stage.lines()).0, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn progress_and_logs_go_to_the_newest_request() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    let with_token = |id: &str, token: &str, more: &str| {
        let level = r#""io.modelcontextprotocol/logLevel":"info""#;
        let meta = format!(r#""_meta":{{"progressToken":{token},{level},"#);
        call(id, more).replace(r#""_meta":{"#, &meta)
    };
    stage.receive(&with_token("1", "\"p\"", ""));
    // The call follows a request to set the level.
    let number = member(&stage.sent_to("a")[1..], "id");
    let tell = |value: u8| {
        let params = format!(r#"{{"progressToken":{number},"progress":{value}}}"#);
        let line = format!(r#"{{"method":"notifications/progress","params":{params}}}"#);
        connection.receive(&line, None).unwrap();
        let params = format!(r#"{{"level":"info","data":{value}}}"#);
        let line = format!(r#"{{"method":"notifications/message","params":{params}}}"#);
        connection.receive(&line, None).unwrap();
        stage.heard()
    };
    let told = tell(1);
    assert!(
        told.iter().all(|(about, _)| about == "request 1"),
        "{told:?}"
    );
    assert!(told[0].1.contains(r#""progressToken":"p","progress":1"#));
    assert_eq!(told.len(), 2);
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    assert!(tell(2).is_empty());
    stage.receive(&with_token("2", "5", &again(&state, r#"{"1":{}}"#)));
    // First the log message of the time between the requests; its progress is out of date.
    let told = tell(3);
    assert!(
        told.iter().all(|(about, _)| about == "request 2"),
        "{told:?}"
    );
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].1.contains(r#""data":2"#));
    assert!(told[1].1.contains(r#""progressToken":5,"progress":3"#));
    assert!(told[2].1.contains(r#""data":3"#));
}

#[tokio::test(start_paused = true)]
async fn the_newest_log_messages_of_a_parked_call_are_kept() {
    let stage = Stage::new(&["a"], true, Set::Dev);
    let connection = stage.connect("a");
    let with_level = |id: &str, level: &str, more: &str| {
        let meta = format!(r#""_meta":{{"io.modelcontextprotocol/logLevel":"{level}","#);
        call(id, more).replace(r#""_meta":{"#, &meta)
    };
    stage.receive(&with_level("1", "info", ""));
    connection.receive(&ask("7"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    let log = |level: &str, data: &str| {
        let params = format!(r#"{{"level":"{level}","data":{data}}}"#);
        let line = format!(r#"{{"method":"notifications/message","params":{params}}}"#);
        connection.receive(&line, None).unwrap();
    };
    for number in 0..150 {
        log("error", &number.to_string());
        log("debug", "0");
        log("info", "0");
    }
    stage.receive(&with_level("2", "error", &again(&state, r#"{"1":{}}"#)));
    let told = stage.lines();
    // Half of the newest hundred are of the level that this request wants.
    assert_eq!(told.len(), 50, "{told:?}");
    assert!(told[0].contains(r#""data":100"#), "{}", told[0]);

    connection.receive(&ask("8"), None).unwrap();
    collected().await;
    let (_, state) = asked(&stage.lines());
    log("error", &quoted(&"x".repeat(70_000)));
    log("error", &quoted(&"y".repeat(60_000)));
    stage.receive(&with_level("3", "debug", &again(&state, r#"{"2":{}}"#)));
    let told = stage.lines();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("yyy"));
}
